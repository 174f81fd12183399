"""A failure before any text leaves LangChain's fallbacks free to act, on streams too."""

from __future__ import annotations

import asyncio
import threading
from functools import reduce
from operator import add
from typing import Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.language_models import FakeListChatModel
from langchain_core.language_models.fake import FakeStreamingListLLM

from dify_api.errors import DifyError
from langchain_dify import ChatDify, DifyLLM
from tests.contract.exchanges import generations, replayed
from tests.contract.expected import expected
from tests.support.cassettes import Exchange, exchange
from tests.support.replay import ReplayServer, Reply


def early_failures(path: str) -> list[Exchange]:
    failed = [e for e in generations(path) if expected(e).failed]
    return [e for e in failed if not expected(e).streamed and not expected(e).text]


@pytest.mark.asyncio(loop_scope="module")  # whose connections are used again
@pytest.mark.parametrize("recorded", early_failures("/chat-messages"), ids=lambda e: e.name)
async def test_fallbacks_of_chats(recorded: Exchange) -> None:
    with replayed(recorded) as base_url:
        model = ChatDify(api_key="app-test", base_url=base_url, user="ann", max_retries=0)
        other = FakeListChatModel(responses=["Saturn"])
        safe = model.with_fallbacks([other], exceptions_to_handle=(DifyError,))
        assert reduce(add, list(safe.stream("Hello"))).content == "Saturn"
        assert reduce(add, [c async for c in safe.astream("Hello")]).content == "Saturn"


@pytest.mark.asyncio(loop_scope="module")  # whose connections are used again
@pytest.mark.parametrize("recorded", early_failures("/completion-messages"), ids=lambda e: e.name)
async def test_fallbacks_of_completions(recorded: Exchange) -> None:
    with replayed(recorded) as base_url:
        model = DifyLLM(api_key="app-test", base_url=base_url, user="ann", max_retries=0)
        other = FakeStreamingListLLM(responses=["Saturn"])
        safe = model.with_fallbacks([other], exceptions_to_handle=(DifyError,))
        assert "".join(safe.stream("Hello")) == "Saturn"
        assert "".join([c async for c in safe.astream("Hello")]) == "Saturn"


def test_the_first_chunk_has_content_and_the_ids() -> None:
    for recorded in generations("/chat-messages"):
        if not recorded.is_stream or expected(recorded).failed:
            continue
        with replayed(recorded) as base_url:
            model = ChatDify(api_key="app-test", base_url=base_url, user="ann")
            first, *rest = model.stream("Hello")
        assert first.content or first.additional_kwargs or not rest, recorded.name
        assert first.response_metadata["app"] == model.app
        assert not any("app" in chunk.response_metadata for chunk in rest)
        assert len({chunk.id for chunk in [first, *rest]}) == 1


class Nodes(BaseCallbackHandler):
    """Tells when a node's event has reached callbacks."""

    def __init__(self) -> None:
        self.seen = threading.Event()

    def on_custom_event(self, name: str, data: Any, **_: Any) -> None:
        if name == "node_started":
            self.seen.set()


CHATFLOW = exchange("dify-1.16.0/chatflow_ping_streaming").body
BEFORE = CHATFLOW[: CHATFLOW.index(b'data: {"event":"message"')]
HEADERS = {"content-type": "text/event-stream"}


def test_nodes_are_traced_before_any_text() -> None:
    handler = Nodes()
    in_time: list[bool] = []

    def wait() -> None:
        in_time.append(handler.seen.wait(10))

    reply = Reply(headers=HEADERS, pieces=[BEFORE, wait, CHATFLOW[len(BEFORE) :]])
    with ReplayServer(lambda _: reply) as server:
        model = ChatDify(api_key="app-test", base_url=server.base_url, user="ann")
        first, *_ = model.stream("Hello", {"callbacks": [handler]})
    assert in_time == [True]
    assert first.content


async def test_leaving_before_any_text_stops_the_run() -> None:
    handler = Nodes()
    reply = Reply(headers=HEADERS, pieces=[BEFORE], ending="open")
    with ReplayServer(lambda _: reply) as server:
        model = ChatDify(api_key="app-test", base_url=server.base_url, user="ann")
        chunks = model.astream("Hello", {"callbacks": [handler]})
        task = asyncio.ensure_future(anext(chunks))
        assert await asyncio.to_thread(handler.seen.wait, 10)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await asyncio.to_thread(server.wait_for_stop)
