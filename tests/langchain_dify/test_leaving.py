"""Leaving an async stream by every way that LangChain offers: the app is stopped, in silence."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler

from dify_local import LocalDify
from langchain_dify import ChatDify
from tests.dify_api.test_streams import SSE, frame, serve, token
from tests.support.replay import Received, ReplayServer, Reply
from tests.support.scripts import run_script

HEAD = """
    import asyncio, sys, warnings
    from contextlib import aclosing, suppress
    from langchain_core.callbacks import AsyncCallbackHandler
    from langchain_core.output_parsers import StrOutputParser
    from langchain_core.prompts import ChatPromptTemplate
    from langchain_dify import ChatDify, DifyLLM, DifyWorkflow
    class Listening(AsyncCallbackHandler):
        async def on_llm_error(self, *_, **options):
            await asyncio.sleep(0.01)
    url = sys.argv[1]
    model = ChatDify(base_url=url)
    traced = ChatDify(base_url=url, callbacks=[Listening()])
    llm = DifyLLM(base_url=url)
    chain = ChatPromptTemplate.from_template('{question}') | model | StrOutputParser()
    async def leave(stream):
        async for _ in stream:
            break
    async def close(stream):
        async with aclosing(stream):
            async for _ in stream:
                break
    async def hold(stream):
        global held
        held = stream
        await anext(held)
"""

WAYS = {
    "break": "asyncio.run(leave(model.astream('Hello')))",
    "break, traced": """
        asyncio.run(leave(model.astream('Hello', config={'callbacks': [Listening()]})))
        """,
    "aclosing": "asyncio.run(close(model.astream('Hello')))",
    "aclosing, traced": """
        asyncio.run(close(model.astream('Hello', config={'callbacks': [Listening()]})))
        """,
    "break, LLM": "asyncio.run(leave(llm.astream('Hello')))",
    "aclosing, LLM": "asyncio.run(close(llm.astream('Hello')))",
    "events": """
        async def main():
            async with aclosing(model.astream_events('Hello', version='v2')) as events:
                async for event in events:
                    if event['event'] == 'on_chat_model_stream':
                        break
        asyncio.run(main())
        """,
    "held": "asyncio.run(hold(model.astream('Hello')))",
    "held, LLM": "asyncio.run(hold(llm.astream('Hello')))",
    "break in a chain": "asyncio.run(leave(chain.astream({'question': 'Hello'})))",
    "aclosing a chain": "asyncio.run(close(chain.astream({'question': 'Hello'})))",
    "an error in a chain": """
        async def main():
            async for _ in chain.astream({'question': 'Hello'}):
                raise KeyError
        with suppress(KeyError):
            asyncio.run(main())
        """,
    "held, a chain": "asyncio.run(hold(chain.astream({'question': 'Hello'})))",
    "held, a chain, traced": """
        config = {'callbacks': [Listening()]}
        asyncio.run(hold(chain.astream({'question': 'Hello'}, config)))
        """,
}


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_leaving_stops_the_app_in_silence(way: str) -> None:
    with serve(token("a"), token("b"), ending="open") as server:
        done = run_script(HEAD, WAYS[way], server.base_url, framework="langchain")
        assert (done.returncode, done.stderr) == (0, "")
        assert server.stopped == ["t1"]


@pytest.mark.slow
@pytest.mark.parametrize("how", ["leave", "close", "hold"])
def test_leaving_stops_the_workflow_in_silence(how: str) -> None:
    version = "5f2d3f0e-3f5a-4d53-8f0e-1c9a4f4b7a10"
    code = f"""
        asyncio.run({how}(DifyWorkflow(base_url=url, workflow_id='{version}').astream({{}})))
        """

    def reply(request: Received) -> Reply:
        if request.method == "GET":
            return Reply(200, {"content-type": "application/json"}, [b'{"user_input_form": []}'])
        return Reply(200, SSE, [frame("text_chunk", data={"text": "a"})], ending="open")

    with ReplayServer(reply) as server:
        done = run_script(HEAD, code, server.base_url, framework="langchain")
        assert (done.returncode, done.stderr) == (0, "")
        assert server.stopped == ["t1"]


async def test_leaving_leaves_alone_what_a_handler_began() -> None:
    begun, left = asyncio.Event(), asyncio.Event()

    async def read(stream: Any) -> int:
        """How many characters came, some of them later."""
        count = len((await anext(stream)).text)
        begun.set()
        await left.wait()
        return count + sum([len(chunk.text) async for chunk in stream])

    class Begins(BaseCallbackHandler):
        run_inline = True

        def on_chat_model_start(self, *args: Any, **kwargs: Any) -> None:
            self.task = asyncio.create_task(read(model.astream("/tokens 300")))

    with LocalDify() as server:
        model = ChatDify(api_key=server.keys["chat"], base_url=server.base_url)
        whole, handler = await model.ainvoke("/tokens 300"), Begins()
        stream: Any = model.astream("/tokens 100000", {"callbacks": [handler]})
        await anext(stream)
        await begun.wait()
        await stream.aclose()
        left.set()
        assert await handler.task == len(whole.text)
