"""The streaming response of a chat engine.

LlamaIndex's own reads the stream in a thread or task of its own and hands tokens over through a
queue: it spins while it waits, adds 0.1 s at the end, cannot be cancelled, drops what is queued
when the run fails, and keeps text only. Here the consumer pulls the stream itself, so there is
nothing to wait for, to lose or to leave behind.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from dataclasses import dataclass, field
from types import GeneratorType, TracebackType
from typing import Any

from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    ChatResponseAsyncGen,
    ChatResponseGen,
)
from llama_index.core.chat_engine.types import StreamingAgentChatResponse
from llama_index.core.instrumentation.events.chat_engine import (
    StreamChatDeltaReceivedEvent,
    StreamChatEndEvent,
    StreamChatErrorEvent,
    StreamChatStartEvent,
)
from llama_index.core.instrumentation.span import active_span_id
from llama_index.core.schema import NodeWithScore
from llama_index.core.tools import ToolOutput
from llama_index_instrumentation import get_dispatcher
from llama_index_instrumentation.base import BaseEvent
from typing_extensions import Self

from dify_api.errors import WorkflowPausedError
from llama_index_dify._answers.records import source_nodes
from llama_index_dify._answers.responses import IDS
from llama_index_dify._chat_turn import ChatTurn
from llama_index_dify.open_streams import OpenStream, aclose, are_running, close

dispatcher = get_dispatcher(__name__)


@dataclass
class DifyStreamingChatResponse(StreamingAgentChatResponse):
    """An answer that streams; leaving it early stops the app.

    Iterate `response_gen` (or `async_response_gen()`) for the tokens. At the end, `response`,
    `message`, `source_nodes`, `sources` and `metadata` are complete and the turn is in the
    engine's memory. Leave early by `break`, by `close()` (`aclose()`) or as a context manager:
    the app is stopped, and what came so far is kept. `stop()` (`astop()`) may be called from
    another thread or task: the stream then ends with what it has.

    Attributes:
        message: The whole answer, with all its blocks; None before the end.
        metadata: What the app said beside the text; None before the end.

    Example:
        >>> with engine.stream_chat("Which planet has most moons?") as response:
        ...     for token in response.response_gen:
        ...         print(token, end="", flush=True)
        >>> [node.metadata["document_name"] for node in response.source_nodes]
        ['saturn.md']
    """

    message: ChatMessage | None = None
    metadata: dict[str, Any] | None = None
    turn: ChatTurn | None = field(default=None, repr=False)
    is_async: bool = field(default=False, repr=False)
    _span_id: str | None = field(default_factory=active_span_id.get, repr=False)
    _pieces: list[str] = field(default_factory=list, repr=False)
    _ids: dict[str, Any] = field(default_factory=dict, repr=False)
    _is_to_stop: bool = field(default=False, repr=False)

    def __str__(self) -> str:
        if not (self.is_async or self._pieces or self.is_done):
            for _ in self.response_gen:
                pass
        return self.response or "".join(self._pieces)

    @property
    def response_gen(self) -> Generator[str, None, None]:
        """The tokens; once the stream has ended, the answer as one."""
        if self.is_done or self.is_async or self.turn is None:
            yield self.response
            return
        self._dispatch(StreamChatStartEvent())
        try:
            for response in self._chat_stream(self.turn):
                delta = self._take(response)
                if delta:
                    yield delta
                if self._is_to_stop:
                    break
        except BaseException as error:
            self._note(error)
            raise
        finally:
            self.close()

    async def async_response_gen(self) -> AsyncGenerator[str, None]:
        """`response_gen` for asyncio."""
        if self.is_done or not self.is_async or self.turn is None:
            yield self.response
            return
        self._dispatch(StreamChatStartEvent())
        try:
            async for response in await self._achat_stream(self.turn):
                delta = self._take(response)
                if delta:
                    yield delta
                if self._is_to_stop:
                    break
        except BaseException as error:
            self._note(error)
            raise
        finally:
            await self._aleave()

    def _chat_stream(self, turn: ChatTurn) -> ChatResponseGen:
        """The model's responses, once the turn has come."""
        if self.chat_stream is None:
            turn.begin()
            if self.is_done:  # closed while it waited
                turn.end(None)
                return _nothing()
            self.chat_stream = turn.stream()
        return self.chat_stream

    async def _achat_stream(self, turn: ChatTurn) -> ChatResponseAsyncGen:
        """`_chat_stream` for asyncio."""
        if self.achat_stream is None:
            await turn.abegin()
            if self.is_done:
                await turn.aend(None)
                return _no_async()
            self.achat_stream = await turn.astream()
        return self.achat_stream

    def close(self) -> None:
        """Leave the stream: the app is stopped if it was going on.

        While another thread waits for a token, this is `stop()`.
        """
        opened = self._opened
        if any(isinstance(stream, GeneratorType) and stream.gi_running for stream in opened):
            self.stop()
        elif self._end():
            try:
                close((*opened, self.chat_stream))
            finally:
                if self.turn is not None:
                    self.turn.end(self.message)

    async def aclose(self) -> None:
        """`close` for asyncio. While another task waits for a token, this is `astop()`."""
        if are_running(self._opened):
            await self.astop()
        else:
            await self._aleave()

    def stop(self) -> None:
        """Stop the app, from any thread: the stream ends with what it has.

        Before the first token it ends with that: it tells what to stop.
        """
        self._is_to_stop = "task_id" not in self._ids
        if self.turn is not None and not self._is_to_stop:
            self.turn.stop(self._ids["task_id"])

    async def astop(self) -> None:
        """`stop` for asyncio, from any task."""
        self._is_to_stop = "task_id" not in self._ids
        if self.turn is not None and not self._is_to_stop:
            await self.turn.astop(self._ids["task_id"])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    @property
    def _opened(self) -> list[OpenStream]:
        return self.turn.opened if self.turn is not None else []

    async def _aleave(self) -> None:
        if self._end():
            if self.turn is not None:
                self.turn.note_end()
            try:
                await aclose((*self._opened, self.achat_stream))
            finally:  # cancelled, too: as at the end of `asyncio.run`
                if self.turn is not None:
                    await self.turn.aend(self.message)

    def _take(self, response: ChatResponse) -> str:
        """Take the next response; return what it adds to the answer."""
        if not self._ids:
            self._ids = {
                name: response.additional_kwargs[name]
                for name in IDS
                if name in response.additional_kwargs
            }
        if response.raw is not None:  # the last
            self._complete(response)
        delta = response.delta or ""
        if delta:
            self._pieces.append(delta)
            self._dispatch(StreamChatDeltaReceivedEvent(delta=delta))
        return delta

    def _complete(self, response: ChatResponse) -> None:
        self.message = response.message
        self.metadata = response.raw
        self.source_nodes.extend(source_nodes(response))
        self.sources.extend(
            tool_outputs(self.turn.question if self.turn else None, self.source_nodes)
        )

    def _note(self, error: BaseException) -> None:
        """Note a failure; a consumer that leaves early is none."""
        if isinstance(error, Exception):
            self.exception = error
            self.message = None
            if isinstance(error, WorkflowPausedError) and self.turn is not None:
                self.message = self.turn.paused_message(error)
            self._dispatch(StreamChatErrorEvent(exception=error))

    def _end(self) -> bool:
        """End the response; return False if it has ended before."""
        if self.is_done:
            return False
        self.is_done = True
        text = "".join(self._pieces)
        if self.message is None and self.exception is None and self.turn is not None:
            self.message = self.turn.partial(text, self._ids)
        if self.message is not None:
            text = self.message.content or ""
        self.response = self.unformatted_response = text
        if self.exception is None:
            self._dispatch(StreamChatEndEvent())
        return True

    def _dispatch(self, event: BaseEvent) -> None:
        event.span_id = self._span_id
        dispatcher.event(event)


def _nothing() -> ChatResponseGen:
    yield from ()


async def _no_async() -> ChatResponseAsyncGen:
    for response in _nothing():
        yield response


def tool_outputs(question: ChatMessage | None, nodes: list[NodeWithScore]) -> list[ToolOutput]:
    """What was retrieved, as chat engines tell it in `sources`."""
    if not nodes:
        return []
    return [
        ToolOutput(
            tool_name="dify",
            content="\n\n".join(node.get_content() for node in nodes),
            raw_input={"message": question.content if question is not None else None},
            raw_output=nodes,
        )
    ]
