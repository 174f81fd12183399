"""One turn of a conversation at a time.

Dify orders a conversation by the second in which each message was created (all releases, 0.15.3
to 1.16.0): two turns at once, or within one second, come back scrambled from its own history,
to the user and to the model. So turns of one conversation wait for each other, within this
process, and begin at least a second apart.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import asynccontextmanager, contextmanager

from dify_api.errors import ConversationBusyError

INTERVAL = 1.0
"""Seconds between the beginnings of two turns: the resolution of the server's clock."""

Key = tuple[str, str]
"""App fingerprint and conversation id."""


class Turns:
    """Queues for the turns of all conversations, for threads and event loops together."""

    def __init__(self, interval: float = INTERVAL) -> None:
        self._interval = interval
        self._lock = threading.Lock()
        self._waiting: dict[Key, deque[Future[None]]] = {}
        self._began: dict[Key, float] = {}

    @contextmanager
    def turn(self, key: Key | None, limit: float | None = None) -> Iterator[None]:
        """Hold the conversation's turn.

        Args:
            key: The conversation; None for a new one, which does not wait.
            limit: Seconds to wait for the turn at most; None for no limit.

        Raises:
            ConversationBusyError: If the turn before goes on for longer.
        """
        if key is None:
            yield
            return
        place = self._queue_up(key)
        try:
            try:
                place.result(limit)
            except FutureTimeoutError:
                raise _busy(key, limit) from None
            time.sleep(self._pause(key))
            self.note(key)
            yield
        finally:
            self._leave(key, place)

    @asynccontextmanager
    async def aturn(self, key: Key | None, limit: float | None = None) -> AsyncIterator[None]:
        """`turn` for asyncio."""
        if key is None:
            yield
            return
        place = self._queue_up(key)
        try:
            if not place.done():
                try:
                    await asyncio.wait_for(asyncio.wrap_future(place), limit)
                except asyncio.TimeoutError:
                    raise _busy(key, limit) from None
            if pause := self._pause(key):
                await asyncio.sleep(pause)
            self.note(key)
            yield
        finally:
            self._leave(key, place)

    def note(self, key: Key, began: float | None = None) -> None:
        """Remember when a turn began: `time.monotonic()` of then, or now.

        The first turn of a conversation is noted when its id has become known.
        """
        now = time.monotonic()
        with self._lock:
            if len(self._began) > 1_000:  # forget what can no longer make anyone wait
                recent = {k: t for k, t in self._began.items() if now - t < self._interval}
                self._began = recent
            self._began[key] = now if began is None else began

    def _queue_up(self, key: Key) -> Future[None]:
        place: Future[None] = Future()
        with self._lock:
            queue = self._waiting.setdefault(key, deque())
            queue.append(place)
            if len(queue) == 1:
                place.set_result(None)
        return place

    def _leave(self, key: Key, place: Future[None]) -> None:
        with self._lock:
            queue = self._waiting[key]
            held = place.done() and not place.cancelled()
            queue.remove(place)
            if not queue:
                del self._waiting[key]
            elif held:
                _grant_next(queue)

    def _pause(self, key: Key) -> float:
        with self._lock:
            return max(0.0, self._began.get(key, 0.0) + self._interval - time.monotonic())


def _grant_next(queue: deque[Future[None]]) -> None:
    """Let the first go on that still waits; one that was cancelled leaves the queue by itself."""
    for place in queue:
        if place.set_running_or_notify_cancel():
            place.set_result(None)
            return


def _busy(key: Key, limit: float | None) -> ConversationBusyError:
    return ConversationBusyError(
        f"an earlier turn of conversation {key[1]} is still going on after {limit:g} s",
        hint="Read its stream to the end, or close it.",
    )


TURNS = Turns()
"""The queues of this process."""
