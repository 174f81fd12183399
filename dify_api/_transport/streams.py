"""The two edges of a streamed answer: the socket, sync and async.

Everything they know about Dify is in `reader`; here are only reading, waiting and leaving.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import time
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Iterator
from typing import Any, cast

from typing_extensions import Self

from dify_api._runs.flows import Pause
from dify_api._runs.steps import Follow, Plan, TakeTurn
from dify_api._transport import open_streams
from dify_api._transport.calls import AsyncCalls, Calls
from dify_api._transport.deadlines import Alarm, is_limited, limit_rest, read_in_thread, within
from dify_api._transport.failures import ignored_failures
from dify_api._transport.open_streams import READ_ON
from dify_api._transport.pieces import AsyncReply, Reply, async_body, no_body, raw_pieces
from dify_api._transport.pools import require_asyncio, watch
from dify_api._transport.stream_state import StreamState
from dify_api._transport.turns import TURNS
from dify_api.answers._reader import Step
from dify_api.answers.answer import Answer
from dify_api.answers.events import Event
from dify_api.connection import DifyConnection
from dify_api.errors import DifyError
from dify_api.operation import Operation


class EventStream(StreamState):
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
        connection: DifyConnection,
        calls: Calls,
        plan: Plan,
        before: Answer | None = None,
    ) -> None:
        super().__init__(operation, connection, plan, before)
        self._calls = calls
        self._response: Reply | None = None  # none, where all was told without a stream
        self._pieces: Iterator[bytes] = iter(())
        self._is_limited, self._is_handed_over = True, False  # to a thread that closes the response
        self.thread = threading.get_ident()  # that has read last, and may go on

    def __enter__(self) -> Self:
        try:
            self._go_on()
        except BaseException:
            self._end_turn()
            raise
        open_streams.SYNC.add(self)
        self._is_entered = True
        return self

    def _go_on(self) -> bool:
        """Follow the course to the next body; whether there is one."""
        step = self._next_step(self._cause)
        while step is not None:
            came = failed = None
            try:
                if isinstance(step, Follow):
                    self._close_response()
                    self.take_response(self._calls.open(step.operation), step)
                    return True
                came = self._take(step)
            except DifyError as error:
                failed = error
            step = self._next_step(came, failed)
        return False

    def _take(self, step: TakeTurn | Pause | Operation[Any]) -> Any:
        if isinstance(step, Operation):
            return self._calls.send(step)
        if isinstance(step, Pause):
            return time.sleep(step.seconds)
        key, limit = self._key(step.conversation_id), self._connection.turn_timeout
        self._turn = TURNS.take(key, limit, begins=step.begins)
        return None

    def take_response(self, response: Reply, follow: Follow) -> None:
        """Begin with a response, whoever has asked for it."""
        self._response, self._is_sent = response, True
        self._begin_body(response.headers.get("content-type", ""), follow)
        self._is_limited, self._is_handed_over = is_limited(response), False
        limit_rest(response, self._reader.due)
        self._pieces = raw_pieces(response)

    def _close_response(self) -> None:
        if self._response is not None and not self._is_handed_over:
            with ignored_failures():
                self._response.close()

    def __exit__(self, *_error: object) -> None:
        self.close()

    def close(self) -> None:
        """Leave the stream; the run is stopped if it was going on."""
        if self._closed or self._process != os.getpid():  # a forked child's copy is not its own
            return
        self._is_leaving()
        if self._is_unknown or open_streams.is_left_by_loop(self):
            thread = threading.Thread(target=self._leave, name="dify-leave", daemon=True)
            with contextlib.suppress(RuntimeError):  # the interpreter is about to end
                thread.start()
                return
        self._leave()

    def _leave(self) -> None:
        try:
            if self._is_unknown:
                self._read_on(cast("Reply", self._response))
            self._close_response()
            self.stop_run()
            if conversation_id := self._conversation_to_delete():
                self._calls.delete(self._operation, conversation_id)
        finally:
            self._end_turn()
            open_streams.SYNC.discard(self)

    def _read_on(self, response: Reply) -> None:
        """Read until the task is known, which cannot be stopped before."""
        until = time.monotonic() + READ_ON
        limit_rest(response, lambda: until)
        with ignored_failures(DifyError):
            for piece in self._pieces:
                self._reader.feed(piece)
                if self.task_id or time.monotonic() > until:
                    break

    def stop_run(self) -> None:
        """Stop the run if it goes on and its task is known."""
        if self._runs_on and self.task_id is not None:
            self._stops = False
            self._calls.stop(self._stopped, self.task_id)

    def __iter__(self) -> Iterator[Event]:
        for event, _ in self.steps():
            yield event

    def steps(self) -> Iterator[Step]:
        """Iterate events, each with the text that it adds to the streamed answer."""
        while steps := self.next_steps():
            yield from steps

    def next_steps(self) -> list[Step]:
        """Wait for the next of `steps`, and return what came with it; [] at the end."""
        self._require_entered()
        reader = self._reader
        while not self._is_over:
            try:
                while not reader.is_done:
                    if reader.is_impatient and not self._is_limited:
                        self._read_in_thread()
                    reader.wait()
                    self.thread = threading.get_ident()
                    piece = next(self._pieces, None)
                    if piece is None:
                        self._take_end()
                        break
                    steps = reader.feed(piece)
                    self._hold_first_turn()
                    if steps:
                        return steps
            except Exception as error:  # noqa: BLE001 - what is not the connection's is raised again
                self._cause = self._take_failure(error)
            if rest := self._end_body():
                return rest
        self._finish()
        return []

    def _end_body(self) -> list[Step]:
        """The events that are left of a body."""
        rest = self._rest()
        if self._go_on():
            return rest
        self._is_over = True
        self._end_turn()
        return rest + self._reader.restored()

    def _read_in_thread(self) -> None:
        response = cast("Reply", self._response)
        self._pieces = read_in_thread(response, self._pieces, self._reader.due)
        self._is_limited = self._is_handed_over = True


class AsyncEventStream(StreamState):
    """`EventStream` for asyncio: `async with`, `async for`."""

    def __init__(
        self,
        operation: Operation[Answer],
        connection: DifyConnection,
        calls: AsyncCalls,
        plan: Plan,
        before: Answer | None = None,
    ) -> None:
        super().__init__(operation, connection, plan, before)
        self._calls = calls
        self._response: AsyncReply | None = None  # none, where all was told without a stream
        self._pieces, self._ready = no_body()
        self._alarm = Alarm(self._reader.due)
        self._opening: asyncio.Future[AsyncReply] | None = None
        self.loop: asyncio.AbstractEventLoop | None = None

    async def __aenter__(self) -> Self:
        require_asyncio()
        try:
            await self._go_on()
        except asyncio.CancelledError:
            await self.aclose()
            raise
        except BaseException:
            self._take_end()
            await self.aclose()
            raise
        self._is_entered = True
        return self

    async def _go_on(self) -> bool:
        """Follow the course to the next body; whether there is one."""
        step = self._next_step(self._cause)
        while step is not None:
            came = failed = None
            try:
                if isinstance(step, Follow):
                    await self._begin(step)
                    return True
                came = await self._take(step)
            except DifyError as error:
                failed = error
            step = self._next_step(came, failed)
        return False

    async def _take(self, step: TakeTurn | Pause | Operation[Any]) -> Any:
        if isinstance(step, Operation):
            return await self._calls.send(step)
        if isinstance(step, Pause):
            return await asyncio.sleep(step.seconds)
        key, limit = self._key(step.conversation_id), self._connection.turn_timeout
        self._turn = await TURNS.atake(key, limit, begins=step.begins)
        return None

    async def _begin(self, follow: Follow) -> None:
        await self._close_response()
        leave = self._leave_unanswered if follow.begins else None
        self._take_response(await self._calls.open(follow.operation, leave), follow)

    async def _close_response(self) -> None:
        if self._opening is not None:  # it was not for the sake of its run that nobody waited
            self._opening.cancel()
            await asyncio.wait([self._opening])
            if not self._opening.cancelled() and self._opening.exception() is None:
                self._response = self._opening.result()
            self._opening = None
        if self._response is not None:
            with ignored_failures():
                await self._response.aclose()

    def _leave_unanswered(self, reply: asyncio.Future[AsyncReply]) -> None:
        """What comes of the reply to a request that was cancelled is needed to stop its run."""
        self._opening, self._is_sent = reply, True

    def _take_response(self, response: AsyncReply, follow: Follow) -> None:
        self._response, self._opening, self._is_sent = response, None, True
        self._begin_body(response.headers.get("content-type", ""), follow)
        self._pieces, self._ready = async_body(response)
        self.loop = asyncio.get_running_loop()
        watch(self.loop)
        open_streams.ASYNC.add(self)

    async def __aexit__(self, *_error: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Leave the stream; the run is stopped if it was going on."""
        if self._closed or self._process != os.getpid():  # a forked child's copy is not its own
            return
        self._is_leaving()
        self._alarm.reset()
        if self._leaves_nothing:
            await self._close_response()
            self._left()
            return
        # In a task of its own, so that a second cancellation does not cut it short.
        leaving = open_streams.leaving(self._leave)
        if not self._is_unknown:
            await asyncio.shield(leaving)

    async def _leave(self) -> None:
        try:
            with ignored_failures(DifyError, asyncio.CancelledError):
                if self._is_unknown:
                    await self._read_on()
            await self._close_response()
            await self._stop_run()
            if conversation_id := self._conversation_to_delete():
                await self._calls.delete(self._operation, conversation_id)
        finally:
            self._left()

    def _left(self) -> None:
        self._end_turn()
        open_streams.ASYNC.discard(self)

    async def _read_on(self) -> None:
        """Read until the task is known, which cannot be stopped before."""
        with within(READ_ON):
            if self._response is None and self._opening is not None:
                self._take_response(await self._opening, Follow(self._operation))
            # Begun anew: a reading that was cancelled is over, the body is not (over aiohttp).
            response = cast("AsyncReply", self._response)
            async for piece in cast("AsyncIterable[bytes]", response.stream):
                self._reader.feed(piece)
                if self.task_id is not None:
                    return

    async def _stop_run(self) -> None:
        if self._runs_on and self.task_id is not None:
            self._stops = False
            try:
                await self._calls.stop(self._stopped, self.task_id)
            except asyncio.CancelledError:
                # At its end asyncio.run cancels whatever it finds, and waits for it.
                await self._calls.stop(self._stopped, self.task_id)

    async def __aiter__(self) -> AsyncIterator[Event]:
        while steps := await self.next_steps():
            for event, _ in steps:
                yield event

    async def steps(self) -> AsyncGenerator[Step, None]:
        """Iterate events, each with the text that it adds to the streamed answer."""
        while steps := await self.next_steps():
            for step in steps:
                yield step

    async def next_steps(self) -> list[Step]:
        """Wait for the next of `steps`, and return what came with it; [] at the end."""
        self._require_entered()
        reader, alarm = self._reader, self._alarm
        while not self._is_over:
            try:
                while not reader.is_done:
                    reader.wait()
                    piece = self._ready()
                    if piece is None:
                        alarm.listen(anew=reader.is_impatient)
                        piece = await anext(self._pieces)
                        alarm.ignore()
                    steps = reader.feed(piece)
                    self._hold_first_turn()
                    if steps:
                        return steps
            except StopAsyncIteration:
                self._take_end()
            except asyncio.CancelledError:
                if not alarm.rang():
                    raise
                reader.look_at_clock()
            except Exception as error:  # noqa: BLE001 - what is not the connection's is raised again
                self._cause = self._take_failure(error)
            alarm.reset()
            if rest := await self._end_body():
                return rest
        self._finish()
        return []

    async def _end_body(self) -> list[Step]:
        """The events that are left of a body."""
        rest = self._rest()
        if await self._go_on():
            return rest
        self._is_over = True
        self._end_turn()
        return rest + self._reader.restored()
