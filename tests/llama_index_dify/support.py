"""What the tests of the LlamaIndex models share."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.instrumentation.span import BaseSpan
from llama_index.core.instrumentation.span_handlers import BaseSpanHandler
from llama_index.core.llms import ChatMessage, ChatResponse, CompletionResponse
from pydantic import PrivateAttr

from llama_index_dify import Dify, DifyCompletion
from tests.support.replay import Received, ReplayServer, Reply

Response = ChatResponse | CompletionResponse
Way = Callable[[Dify | DifyCompletion, str], Awaitable[list[Response]]]

IDS = {
    "task_id": "22222222-2222-4222-8222-222222222222",
    "message_id": "33333333-3333-4333-8333-333333333333",
    "conversation_id": "44444444-4444-4444-8444-444444444444",
    "created_at": 1795293715,
}
USAGE = {
    "prompt_tokens": 7,
    "completion_tokens": 5,
    "total_tokens": 12,
    "total_price": "0.0000120",
    "currency": "USD",
}


def message(text: str, **fields: Any) -> dict[str, Any]:
    return {"event": "message", **IDS, "answer": text, **fields}


def message_end(**metadata: Any) -> dict[str, Any]:
    return {"event": "message_end", **IDS, "metadata": {"usage": USAGE, **metadata}}


def frame(event: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(event).encode() + b"\n\n"


@contextmanager
def streaming(
    *events: dict[str, Any] | Callable[[], None], ending: str = "end"
) -> Iterator[ReplayServer]:
    """A server that streams these events to every request; a callable waits in its turn."""
    pieces = [event if callable(event) else frame(event) for event in events]

    def reply(_: Received) -> Reply:
        return Reply(headers={"content-type": "text/event-stream"}, pieces=pieces, ending=ending)

    with ReplayServer(reply) as server:
        yield server


async def _chat(llm: Dify | DifyCompletion, text: str) -> list[Response]:
    return [llm.chat([ChatMessage(text)])]


async def _achat(llm: Dify | DifyCompletion, text: str) -> list[Response]:
    return [await llm.achat([ChatMessage(text)])]


async def _complete(llm: Dify | DifyCompletion, text: str) -> list[Response]:
    return [llm.complete(text)]


async def _acomplete(llm: Dify | DifyCompletion, text: str) -> list[Response]:
    return [await llm.acomplete(text)]


async def _stream_chat(llm: Dify | DifyCompletion, text: str) -> list[Response]:
    return list(llm.stream_chat([ChatMessage(text)]))


async def _astream_chat(llm: Dify | DifyCompletion, text: str) -> list[Response]:
    return [response async for response in await llm.astream_chat([ChatMessage(text)])]


async def _stream_complete(llm: Dify | DifyCompletion, text: str) -> list[Response]:
    return list(llm.stream_complete(text))


async def _astream_complete(llm: Dify | DifyCompletion, text: str) -> list[Response]:
    return [response async for response in await llm.astream_complete(text)]


WAYS: dict[str, Way] = {
    "chat": _chat,
    "achat": _achat,
    "complete": _complete,
    "acomplete": _acomplete,
    "stream_chat": _stream_chat,
    "astream_chat": _astream_chat,
    "stream_complete": _stream_complete,
    "astream_complete": _astream_complete,
}
STREAMING_WAYS = {name: way for name, way in WAYS.items() if "stream" in name}


def text_of(response: Response) -> str:
    if isinstance(response, CompletionResponse):
        return response.text
    return response.message.content or ""


class Recorder(BaseEventHandler):
    """Keeps the events that were dispatched."""

    seen: list[Any] = []

    def handle(self, event: Any, **_: Any) -> None:
        self.seen.append(event)

    def of(self, kind: type) -> list[Any]:
        return [event for event in self.seen if isinstance(event, kind)]


@contextmanager
def recorded_events() -> Iterator[Recorder]:
    recorder = Recorder(seen=[])
    root = get_dispatcher()
    root.add_event_handler(recorder)
    try:
        yield recorder
    finally:
        root.event_handlers.remove(recorder)


class SpanRecorder(BaseSpanHandler[BaseSpan]):
    """Keeps the spans that failed, by name."""

    _failed: list[tuple[str, BaseException | None]] = PrivateAttr(default_factory=list)

    @property
    def failed(self) -> list[tuple[str, BaseException | None]]:
        return self._failed

    def new_span(self, id_: str, *_: Any, **__: Any) -> BaseSpan:
        return BaseSpan(id_=id_)

    def prepare_to_exit_span(self, id_: str, *_: Any, **__: Any) -> BaseSpan | None:
        return self.open_spans.get(id_)

    def prepare_to_drop_span(
        self, id_: str, *_: Any, err: BaseException | None = None, **__: Any
    ) -> BaseSpan | None:
        self.failed.append((id_.split("-")[0], err))
        return self.open_spans.get(id_)


@contextmanager
def recorded_spans() -> Iterator[SpanRecorder]:
    recorder = SpanRecorder()
    root = get_dispatcher()
    root.add_span_handler(recorder)
    try:
        yield recorder
    finally:
        root.span_handlers.remove(recorder)
