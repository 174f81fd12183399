"""The two edges of a streamed answer: the socket, sync and async.

Everything they know about Dify is in `reader`; here are only reading, waiting and leaving.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from types import TracebackType

import httpx
from typing_extensions import Self

from dify_api._transport.deadlines import Deadline
from dify_api._transport.failures import broken_connection
from dify_api._transport.turns import TURNS
from dify_api.answers._reader import AnswerReader, Step
from dify_api.answers.answer import Answer
from dify_api.answers.events import Event
from dify_api.operation import Operation


class _Stream:
    """What both edges share: the reader, the conversation's turn, whether to stop the run."""

    def __init__(
        self, operation: Operation[Answer], app: str, progress_timeout: float | None
    ) -> None:
        self._operation = operation
        self._app = app
        self._limit = progress_timeout
        self._turn = (app, operation.conversation_id) if operation.conversation_id else None
        self._began = 0.0
        self._reader = AnswerReader(operation.name, progress_timeout)
        self._ended = False  # by the server
        self._is_deleted = False  # the conversation
        self._response: httpx.Response | None = None

    @property
    def answer(self) -> Answer:
        """The answer as far as it has come: whole once the iteration has ended."""
        return self._reader.builder.build()

    @property
    def task_id(self) -> str | None:
        """The task to stop; known from the first event on."""
        return self._reader.builder.task_id

    def _entered(self) -> httpx.Response:
        if self._response is None:
            raise RuntimeError("enter the stream first: with client.stream(...) as stream: ...")
        return self._response

    def _note_first_turn(self) -> None:
        """A new conversation has its id now: its next turn must not begin too soon."""
        conversation_id = self._reader.builder.conversation_id
        if self._turn is None and conversation_id and self._operation.generates:
            TURNS.note((self._app, conversation_id), self._began)

    def _task_to_stop(self) -> str | None:
        """The task that goes on at the server if it is not stopped."""
        left_early = not self._ended and not self._reader.is_settled
        return self.task_id if left_early and self._operation.stop_path else None

    def _conversation_to_delete(self) -> str | None:
        """The conversation that is not to outlive its answer, once."""
        if self._operation.delete_path is None or self._is_deleted:
            return None
        self._is_deleted = True
        return self._reader.builder.conversation_id


class EventStream(_Stream):
    """A streamed answer: a context manager that iterates events.

    Leaving it early (break, an exception) stops the run on the server, which would go on
    generating otherwise.

    Raises (while iterating):
        DifyError: The failure that the stream held, with the partial `answer`.

    Example:
        >>> with client.stream(chat.send_message("Hello", user="ann")) as stream:
        ...     for event in stream:
        ...         print(event.event)
        >>> stream.answer.text
        'Hi!'
    """

    def __init__(
        self,
        operation: Operation[Answer],
        app: str,
        progress_timeout: float | None,
        open_response: Callable[[], httpx.Response],
        stop: Callable[[str], None],
        delete: Callable[[str], None],
    ) -> None:
        super().__init__(operation, app, progress_timeout)
        self._open_response = open_response
        self._stop = stop
        self._delete = delete
        self._exits = contextlib.ExitStack()

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as exits:
            exits.enter_context(TURNS.turn(self._turn, self._limit))
            self._began = time.monotonic()
            self._response = self._open_response()
            self._exits = exits.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Leave the stream; the run is stopped if it was going on."""
        task_id = self._task_to_stop()
        self._ended = True
        with self._exits:
            self._note_first_turn()
            if self._response is not None:
                with contextlib.suppress(httpx.HTTPError, OSError):
                    self._response.close()
            if task_id is not None:
                self._stop(task_id)
            if conversation_id := self._conversation_to_delete():
                self._delete(conversation_id)

    def __iter__(self) -> Iterator[Event]:
        for event, _ in self.steps():
            yield event

    def steps(self) -> Iterator[Step]:
        """Iterate events, each with the text that it adds to the streamed answer."""
        reader, response, cause = self._reader, self._entered(), None
        deadline = Deadline(response)
        try:
            if is_event_stream(response):
                for piece in raw_pieces(response):
                    yield from reader.feed(piece)
                    if reader.is_done:
                        break
                    if reader.grace is not None:
                        deadline.set(reader.grace)
                else:
                    self._ended = True
            else:
                body = response.read()
                self._ended = True
                yield from reader.take_whole(body)
        except Exception as error:  # noqa: BLE001 - what is not the connection's is raised again
            cause = broken_connection(error)
            self._ended = True
        finally:
            deadline.cancel()
        yield from reader.end()
        reader.finish(cause)


class AsyncEventStream(_Stream):
    """`EventStream` for asyncio: `async with`, `async for`."""

    def __init__(
        self,
        operation: Operation[Answer],
        app: str,
        progress_timeout: float | None,
        open_response: Callable[[], Awaitable[httpx.Response]],
        stop: Callable[[str], Awaitable[None]],
        delete: Callable[[str], Awaitable[None]],
    ) -> None:
        super().__init__(operation, app, progress_timeout)
        self._open_response = open_response
        self._stop = stop
        self._delete = delete
        self._exits = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with contextlib.AsyncExitStack() as exits:
            await exits.enter_async_context(TURNS.aturn(self._turn, self._limit))
            self._began = time.monotonic()
            self._response = await self._open_response()
            self._exits = exits.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Leave the stream; the run is stopped if it was going on."""
        task_id = self._task_to_stop()
        self._ended = True
        # In a task of its own, so that a second cancellation does not cut it short.
        leaving = asyncio.ensure_future(self._leave(task_id))
        _leaving.add(leaving)
        leaving.add_done_callback(_leaving.discard)
        await asyncio.shield(leaving)

    async def _leave(self, task_id: str | None) -> None:
        async with self._exits:
            self._note_first_turn()
            if self._response is not None:
                with contextlib.suppress(httpx.HTTPError, OSError):
                    await self._response.aclose()
            if task_id is not None:
                await self._stop(task_id)
            if conversation_id := self._conversation_to_delete():
                await self._delete(conversation_id)

    async def __aiter__(self) -> AsyncIterator[Event]:
        async for event, _ in self.steps():
            yield event

    async def steps(self) -> AsyncGenerator[Step, None]:
        """Iterate events, each with the text that it adds to the streamed answer."""
        reader, response, cause = self._reader, self._entered(), None
        try:
            if is_event_stream(response):
                pieces = raw_async_pieces(response)
                async for piece in pieces:
                    for step in reader.feed(piece):
                        yield step
                    if reader.is_settled or reader.is_done:
                        break
                else:
                    self._ended = True
                while not (self._ended or reader.is_done):
                    for step in reader.feed(await self._next(pieces, reader.grace)):
                        yield step
            else:
                body = await response.aread()
                self._ended = True
                for step in reader.take_whole(body):
                    yield step
        except Exception as error:  # noqa: BLE001 - what is not the connection's is raised again
            cause = broken_connection(error)
            self._ended = True
        for step in reader.end():
            yield step
        reader.finish(cause)

    async def _next(self, pieces: AsyncIterator[bytes], limit: float | None) -> bytes:
        """The next piece, or b"" and the end where none comes in time."""
        try:
            return await asyncio.wait_for(pieces.__anext__(), limit)
        except (StopAsyncIteration, asyncio.TimeoutError):
            self._ended = True
            return b""


_leaving: set[asyncio.Future[None]] = set()  # asyncio itself keeps only weak references


def is_event_stream(response: httpx.Response) -> bool:
    """Whether the reply is a stream. Servers do not always send what was asked for."""
    content_type: str = response.headers.get("content-type", "")
    return content_type.lower().startswith("text/event-stream")


def raw_pieces(response: httpx.Response) -> Iterator[bytes]:
    """The body's bytes as they come; through httpx's decoder only if they are compressed."""
    encoded = response.headers.get("content-encoding", "identity") != "identity"
    return response.iter_bytes() if encoded else response.iter_raw()


def raw_async_pieces(response: httpx.Response) -> AsyncIterator[bytes]:
    """The body's bytes as they come; through httpx's decoder only if they are compressed."""
    encoded = response.headers.get("content-encoding", "identity") != "identity"
    return response.aiter_bytes() if encoded else response.aiter_raw()
