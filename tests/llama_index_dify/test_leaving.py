"""Leaving an async stream by every way that LlamaIndex offers: the app is stopped, in silence."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.instrumentation.events.llm import LLMChatStartEvent
from llama_index.core.llms import ChatMessage

from dify_local import LocalDify
from llama_index_dify import Dify
from tests.dify_api.test_streams import SSE, frame, serve, token
from tests.support.replay import Received, ReplayServer, Reply
from tests.support.scripts import run_script

HEAD = """
    import asyncio, sys
    from contextlib import aclosing, suppress
    from llama_index.core.llms import ChatMessage
    from llama_index_dify import Dify, DifyChatEngine, DifyCompletion, DifyQueryEngine, DifyWorkflow
    from llama_index_dify.events import DifyTextEvent
    url = sys.argv[1]
    question = [ChatMessage(content="Hello")]
    async def leave(stream):
        async for _ in await stream:
            break
    async def close(stream):
        async with aclosing(await stream) as chunks:
            async for _ in chunks:
                break
"""

WAYS = {
    "chat, break": "asyncio.run(leave(Dify(base_url=url).astream_chat(question)))",
    "chat, aclosing": "asyncio.run(close(Dify(base_url=url).astream_chat(question)))",
    "complete, break": "asyncio.run(leave(DifyCompletion(base_url=url).astream_complete('Hi')))",
    "complete, aclosing": "asyncio.run(close(DifyCompletion(base_url=url).astream_complete('Hi')))",
    "query engine, break": """
        async def main():
            response = await DifyQueryEngine(base_url=url, streaming=True).aquery("Hello")
            async for _ in response.response_gen:
                break
        asyncio.run(main())
        """,
    "query engine, break in core's generator": """
        async def main():
            response = await DifyQueryEngine(base_url=url, streaming=True).aquery("Hello")
            async for _ in response.async_response_gen():
                break
        asyncio.run(main())
        """,
    "query engine, an error in core's generator": """
        async def main():
            response = await DifyQueryEngine(base_url=url, streaming=True).aquery("Hello")
            async for _ in response.async_response_gen():
                raise KeyError
        with suppress(KeyError):
            asyncio.run(main())
        """,
    "query engine, held": """
        async def main():
            global tokens
            response = await DifyQueryEngine(base_url=url, streaming=True).aquery("Hello")
            tokens = response.async_response_gen()
            await anext(tokens)
        asyncio.run(main())
        """,
    "chat, held": """
        async def main():
            global responses
            responses = await Dify(base_url=url).astream_chat(question)
            await anext(responses)
        asyncio.run(main())
        """,
    "chat engine, break": """
        async def main():
            response = await DifyChatEngine(Dify(base_url=url)).astream_chat("Hello")
            async for _ in response.async_response_gen():
                break
        asyncio.run(main())
        """,
    "chat engine, closed": """
        async def main():
            async with await DifyChatEngine(Dify(base_url=url)).astream_chat("Hello") as response:
                async for _ in response.async_response_gen():
                    break
        asyncio.run(main())
        """,
}


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_leaving_stops_the_app_in_silence(way: str) -> None:
    with serve(token("a"), token("b"), ending="open") as server:
        done = run_script(HEAD, WAYS[way], server.base_url, framework="llama_index")
        assert (done.returncode, done.stderr) == (0, "")
        assert server.stopped == ["t1"]


OF_WORKFLOWS = {
    "break": """
        async def main():
            async for event in DifyWorkflow(base_url=url).astream({}):
                if isinstance(event, DifyTextEvent):
                    break
        asyncio.run(main())
        """,
    "held": """
        async def main():
            global events
            events = DifyWorkflow(base_url=url).astream({})
            while not isinstance(await anext(events), DifyTextEvent):
                pass
        asyncio.run(main())
        """,
}


@pytest.mark.slow
@pytest.mark.parametrize("way", OF_WORKFLOWS)
def test_leaving_stops_the_workflow_in_silence(way: str) -> None:
    def reply(request: Received) -> Reply:
        if request.method == "GET":
            return Reply(200, {"content-type": "application/json"}, [b'{"user_input_form": []}'])
        return Reply(200, SSE, [frame("text_chunk", data={"text": "a"})], ending="open")

    with ReplayServer(reply) as server:
        done = run_script(HEAD, OF_WORKFLOWS[way], server.base_url, framework="llama_index")
        assert (done.returncode, done.stderr) == (0, "")
        assert server.stopped == ["t1"]


async def test_leaving_leaves_alone_what_a_handler_began(monkeypatch: pytest.MonkeyPatch) -> None:
    begun, left = asyncio.Event(), asyncio.Event()
    tasks: list[asyncio.Task[int]] = []

    async def read() -> int:
        """How many characters came, some of them later."""
        responses = await llm.astream_chat([ChatMessage("/tokens 300")])
        count = len((await anext(responses)).delta or "")
        begun.set()
        await left.wait()
        return count + sum([len(response.delta or "") async for response in responses])

    class Begins(BaseEventHandler):
        def handle(self, event: Any, **kwargs: Any) -> None:
            if isinstance(event, LLMChatStartEvent) and not tasks:
                tasks.append(asyncio.create_task(read()))

    with LocalDify() as server:
        llm = Dify(api_key=server.keys["chat"], base_url=server.base_url)
        whole = await llm.achat([ChatMessage("/tokens 300")])
        monkeypatch.setattr(get_dispatcher(), "event_handlers", [Begins()])
        responses: Any = await llm.astream_chat([ChatMessage("/tokens 100000")])
        await anext(responses)
        await begun.wait()
        await responses.aclose()
        left.set()
        assert await tasks[0] == len(whole.message.content or "")
