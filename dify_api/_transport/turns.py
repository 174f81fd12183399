"""One turn of a conversation at a time.

Dify orders a conversation by the second in which each message was created (all releases, 0.15.3
to 1.16.0): two turns at once, or within one second, come back scrambled from its own history,
to the user and to the model. So turns of one conversation wait for each other, within this
process. A message is created after its request has left and before its response begins: a
request that leaves a second after the response before it began is a message of another second.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass, field
from weakref import WeakSet

from dify_api._transport.takers import Taker
from dify_api.errors import ConversationBusyError

if sys.version_info >= (3, 11):
    from asyncio import timeout
else:
    from async_timeout import timeout

logger = logging.getLogger("dify_api")

INTERVAL = 1.0
"""Seconds from the beginning of a response to the next request: the server's clock ticks so."""
PATIENCE = 5.0
"""Seconds after which a wait is logged."""

_PASSES = 10
"""Passes of an event loop until an async generator that was dropped begins to close."""

Key = tuple[str, str]
"""App fingerprint and conversation id."""

_COME: Future[None] = Future()
"""The place of turns that need not wait: to make one takes as long as the rest of a turn."""
_COME.set_result(None)


@dataclass(eq=False)
class Turn:
    """A place in the queue of a conversation, to be left by whoever comes to its end first.

    Attributes:
        turns: The queues.
        key: The conversation.
        taker: Who takes it.
        place: Done when the turn has come.
        is_ending: Whether its stream is being closed.
    """

    turns: Turns
    key: Key
    taker: Taker = field(default_factory=Taker.current)
    place: Future[None] = field(default_factory=Future)
    is_ending: bool = False

    @property
    def is_held(self) -> bool:
        """Whether the turn has come, and is not over."""
        return self.place.done() and not self.place.cancelled()

    def begin(self) -> None:
        """Say that the response begins: the next request may leave an interval later."""
        self.turns.note(self.key)

    def leave(self) -> None:
        """Let the next one on. From any thread, any number of times."""
        self.turns._lock.leave(self)


class _Lock:
    """A lock that nobody waits for who has a turn to leave: who holds it does that, too.

    The garbage collector may close a stream anywhere, so also where its thread holds the lock.

    Args:
        remove: Takes a turn out of its queue.
    """

    def __init__(self, remove: Callable[[Turn], None]) -> None:
        self._remove = remove
        self._lock = threading.Lock()
        self._left: deque[Turn] = deque()

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()
        self._remove_left()

    def leave(self, turn: Turn) -> None:
        """Have a turn removed, now or as soon as the lock is free."""
        self._left.append(turn)
        self._remove_left()

    def _remove_left(self) -> None:
        while self._left and self._lock.acquire(blocking=False):
            try:
                while self._left:
                    self._remove(self._left.popleft())
            finally:
                self._lock.release()


_EVERY: WeakSet[Turns] = WeakSet()


class Turns:
    """Queues for the turns of all conversations, for threads and event loops together.

    Args:
        interval: Seconds from the beginning of a turn's response to the next request.
        what: What errors call a conversation. Default: by its id.
    """

    def __init__(self, interval: float = INTERVAL, what: str | None = None) -> None:
        self._what = what
        self.interval = interval
        self.forget()
        _EVERY.add(self)

    def forget(self) -> None:
        """Begin anew: in a forked child, whose parent ends the turns that it had begun."""
        self._lock = _Lock(self._remove)
        self._queues: dict[Key, deque[Turn]] = {}
        self._began: dict[Key, float] = {}

    def take(self, key: Key, limit: float | None = None, *, begins: bool = True) -> Turn:
        """Wait for the conversation's turn and take it.

        Args:
            key: The conversation.
            limit: Seconds to wait for the turn at most; None for no limit.
            begins: Whether a message is begun, rather than gone on with.

        Raises:
            ConversationBusyError: If the turn before goes on for longer; at once, if it never
                ends because the thread or task that must go on with it is the one that waits.
        """
        turn = self._queue_up(Turn(self, key))
        try:
            if self._never_comes(turn, blocking=True):
                raise self._busy(key, "is kept here, and would be waited for without end")
            for seconds in self._waits(key, limit):
                try:
                    turn.place.result(seconds)
                    break
                except FutureTimeoutError:
                    continue
            else:
                raise self._busy(key, f"is still going on after {limit:g} s")
            if begins:
                time.sleep(self._pause(key))
        except BaseException:
            turn.leave()
            raise
        return turn

    async def atake(self, key: Key, limit: float | None = None, *, begins: bool = True) -> Turn:
        """`take` for asyncio."""
        turn = self._queue_up(Turn(self, key))
        try:
            for _ in range(_PASSES):
                if turn.place.done() or not self._never_comes(turn, blocking=False):
                    break
                await asyncio.sleep(0)
            else:
                raise self._busy(key, "is kept here, and would be waited for without end")
            for seconds in self._waits(key, limit):
                if turn.place.done():
                    break
                try:
                    # `asyncio.wait_for` would swallow a cancellation as the turn comes (3.11).
                    async with timeout(seconds):
                        await asyncio.shield(asyncio.wrap_future(turn.place))
                    break
                except asyncio.TimeoutError:
                    continue
            else:
                raise self._busy(key, f"is still going on after {limit:g} s")
            if begins and (pause := self._pause(key)):
                await asyncio.sleep(pause)
        except BaseException:
            turn.leave()
            raise
        return turn

    def hold(self, key: Key) -> Turn:
        """The turn of whoever has just begun a conversation, which nobody else can have had."""
        turn = Turn(self, key, place=_COME)
        with self._lock:
            self._queues.setdefault(key, deque()).appendleft(turn)
        return turn

    def note(self, key: Key, began: float | None = None) -> None:
        """Remember when a turn's response began: `time.monotonic()` of then, or now."""
        now = time.monotonic()
        with self._lock:
            self._began.pop(key, None)  # to the end: the dict is in the order of noting
            self._began[key] = now if began is None else began
            while now - self._began[oldest := next(iter(self._began))] > self.interval:
                del self._began[oldest]  # it can no longer make anyone wait
                if not self._began:
                    break

    def _queue_up(self, turn: Turn) -> Turn:
        with self._lock:
            queue = self._queues.setdefault(turn.key, deque())
            queue.append(turn)
            if len(queue) == 1:
                turn.place.set_result(None)
        return turn

    def _never_comes(self, turn: Turn, *, blocking: bool) -> bool:
        """Whether a turn before is kept by the thread or task that waits for it."""
        with self._lock:
            queue = self._queues.get(turn.key, deque())
            before = itertools.takewhile(lambda other: other is not turn, queue)
            return any(
                other.taker.is_held_up(turn.taker, blocking=blocking) and not other.is_ending
                for other in before
            )

    def _remove(self, turn: Turn) -> None:
        queue = self._queues.get(turn.key, deque())
        if turn not in queue:  # left already, or the parent's, before a fork
            return
        queue.remove(turn)
        if not queue:
            del self._queues[turn.key]
        elif not any(other.is_held for other in queue):
            _grant_next(queue)

    def _pause(self, key: Key) -> float:
        with self._lock:
            return max(0.0, self._began.get(key, 0.0) + self.interval - time.monotonic())

    def _waits(self, key: Key, limit: float | None) -> Iterator[float | None]:
        """Seconds to wait: at first with patience, then, once that is logged, for the rest."""
        if limit is not None and limit <= PATIENCE:
            yield limit
            return
        yield PATIENCE
        logger.warning("waiting for an earlier turn of %s to end", self._name(key))
        yield None if limit is None else limit - PATIENCE

    def _busy(self, key: Key, how: str) -> ConversationBusyError:
        return ConversationBusyError(
            f"an earlier turn of {self._name(key)} {how}",
            hint="Read its stream to the end, or close it.",
        )

    def _name(self, key: Key) -> str:
        return self._what or f"conversation {key[1]}"


def _grant_next(queue: deque[Turn]) -> None:
    """Let the first go on that still waits; one that was cancelled leaves the queue by itself."""
    for turn in queue:
        if not turn.place.cancelled() and turn.place.set_running_or_notify_cancel():
            turn.place.set_result(None)
            return


TURNS = Turns()
"""The queues of this process."""


def _forget_all() -> None:
    for turns in _EVERY:
        turns.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all)
