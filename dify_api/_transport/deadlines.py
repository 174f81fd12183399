"""Limits over a whole exchange: an HTTP library limits each read alone, and a byte begins it anew.

Sync code has no way to end a read that is under way. So the time that is left is asked for at
each read, by `exchange`; nothing is shut from outside, where it might by then serve somebody
else. Async code cancels the task that waits.
"""

from __future__ import annotations

import asyncio
import contextvars
import queue
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, cast

import httpx
from typing_extensions import Self

from dify_api._transport.pieces import Reply, raw_pieces

Due = Callable[[], float | None]
"""Tells the moment (of `time.monotonic`) at which waiting ends; None for no limit."""


def due_in(seconds: float | None) -> Due:
    """The moment so many seconds from now."""
    due = None if seconds is None else time.monotonic() + seconds
    return lambda: due


TIME_IS_UP = "the time is up"
"""What errors say when it was not a single read that lasted too long."""

_NO_TIMEOUT = 1e7  # seconds


class Limit(float):
    """A timeout in seconds that ends at a moment besides.

    It takes the place of a request's timeout. `exchange` looks at the moment at each read and
    write; others see the number alone.
    """

    due: Due

    def __new__(cls, seconds: float | None, due: Due) -> Self:
        limit = super().__new__(cls, _NO_TIMEOUT if seconds is None else seconds)
        limit.due = due
        return limit

    def left(self) -> float:
        """Seconds that a step may last which begins now; not above zero if the time is up."""
        due = self.due()
        return float(self) if due is None else min(self, due - time.monotonic())


def limit(timeouts: dict[str, float | None], due: Due) -> None:
    """Let the steps of a sync exchange that are still to come end at `due`.

    Args:
        timeouts: Those of the exchange, in the dict that it looks at.
        due: The moment.
    """
    for name in ("connect", "write", "read"):
        timeouts[name] = Limit(timeouts.get(name), due)


TIMEOUTS = "dify_timeouts"


def is_limited(reply: Reply) -> bool:
    """Whether a reply comes over a connection that obeys `limit`: not from others' clients."""
    return TIMEOUTS in reply.extensions


def limit_rest(reply: Reply, due: Due) -> None:
    """Let what is still to come of a reply end at `due`."""
    if is_limited(reply):
        limit(reply.extensions[TIMEOUTS], due)
    else:
        limit(cast("httpx.Response", reply).request.extensions["timeout"], due)


def read_whole(response: Reply, due: Due) -> bytes:
    """The body of a response.

    Raises:
        httpx.ReadTimeout: If it is not whole at `due`.
    """
    pieces: list[bytes] = []
    for piece in raw_pieces(response):
        pieces.append(piece)
        if (until := due()) is not None and time.monotonic() > until:
            raise httpx.ReadTimeout(TIME_IS_UP)
    return b"".join(pieces)


def read_in_thread(response: Reply, pieces: Iterator[bytes], due: Due) -> Iterator[bytes]:
    """The pieces of a body that come until `due`, over a connection that obeys no limit.

    A thread reads them, which closes the response when the body has ended at last: neither the
    socket nor the streams that may share it (HTTP/2) are touched before.
    """
    done = object()
    read: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def pump() -> None:
        try:
            for piece in pieces:
                read.put(piece)
            response.close()
            read.put(done)
        except Exception as error:  # noqa: BLE001 - raised again by whom it concerns
            read.put(error)

    context = contextvars.copy_context()
    threading.Thread(target=context.run, args=(pump,), name="dify-end", daemon=True).start()
    while True:
        at = due()
        try:
            piece = read.get(timeout=None if at is None else max(0.0, at - time.monotonic()))
        except queue.Empty:
            raise httpx.ReadTimeout(TIME_IS_UP) from None
        if piece is done:
            return
        if isinstance(piece, Exception):
            raise piece
        yield piece


class Alarm:
    """Ends a task's waiting at a moment that moves.

    `asyncio.timeout` sets up a timer for each await; a stream waits for every token. (And it costs
    a short call twice as much.)
    """

    __slots__ = ("_cancelled", "_due", "_rang", "_task", "_timer")

    def __init__(self, due: Due) -> None:
        self._due = due
        self._task: asyncio.Task[Any] | None = None  # that waits
        self._timer: asyncio.TimerHandle | None = None
        self._rang = False
        self._cancelled = 0  # how often the task had been cancelled before

    def listen(self, *, anew: bool = False) -> None:
        """Begin to wait, in the running task.

        Args:
            anew: Whether the moment may be nearer now than it was.
        """
        if anew:
            self.reset()
        task = self._task = asyncio.current_task()
        if sys.version_info >= (3, 11) and task is not None:
            self._cancelled = task.cancelling()
        if self._timer is None:
            self._set()

    def ignore(self) -> None:
        """Wait no more."""
        self._task = None

    def reset(self) -> None:
        """Drop the timer."""
        self._task = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def rang(self) -> bool:
        """Whether a cancellation that was caught is the alarm's own, and nobody else's."""
        task, self._task = self._task, None
        rang, self._rang = self._rang, False
        if not rang or task is None:
            return False
        return sys.version_info < (3, 11) or task.uncancel() <= self._cancelled

    def _set(self) -> None:
        due = self._due()
        if due is not None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(max(0.0, due - time.monotonic()), self._ring)

    def _ring(self) -> None:
        self._timer = None
        due = self._due()
        if self._task is None or due is None:
            return  # set again by whom listens next
        if due > time.monotonic():
            self._set()
        else:
            self._rang = True
            self._task.cancel()


class within(Alarm):  # noqa: N801 - as `asyncio.timeout`
    """Limit what is awaited inside the block.

    Raises:
        httpx.ReadTimeout: When the time is up.
    """

    __slots__ = ()

    def __init__(self, seconds: float | None) -> None:
        super().__init__(due_in(seconds))

    def __enter__(self) -> None:
        self.listen()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        rang = self.rang() and isinstance(error, asyncio.CancelledError)
        self.reset()
        if rang or isinstance(error, asyncio.TimeoutError):
            raise httpx.ReadTimeout(TIME_IS_UP) from error
