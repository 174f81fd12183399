"""Leaving an async stream by every way that LlamaIndex offers: the app is stopped, in silence."""

from __future__ import annotations

import pytest

from tests.dify_api.test_streams import serve, token
from tests.support.scripts import run_script

HEAD = """
    import asyncio, sys
    from contextlib import aclosing
    from llama_index.core.llms import ChatMessage
    from llama_index_dify import Dify, DifyChatEngine, DifyCompletion, DifyQueryEngine
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
        # Core leaves a generator until after the loop has shut down generators: a warning.
        hidden = "ignore::ResourceWarning"
        done = run_script(
            HEAD, WAYS[way], server.base_url, warnings=hidden, framework="llama_index"
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert server.stopped == ["t1"]
