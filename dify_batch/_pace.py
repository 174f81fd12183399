"""How fast a batch goes: one object that all its workers ask before each request.

It lets so many requests begin as the limits say, and fewer while the server refuses some: each
refusal takes a part off the number of requests at a time, each answer adds to it, as TCP does. One
refusal holds up its own row only, several without an answer between them hold up all; what the
server says in `Retry-After` holds up all.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from dify_batch.options import Limits

LONGEST_WAIT = 60.0
"""Seconds; a longer `Retry-After` is cut to it."""

_BURST = 10.0  # seconds' worth of tokens that may be used at once
_FIRST_WAIT = 0.5  # seconds
_KEPT = 0.7  # of the requests at a time, after a refusal
_LOOK_AGAIN = 0.5  # seconds, after which who waits sees that the batch is to stop

Stopped = Literal["failures", "price", "interrupted"]


@dataclass(frozen=True)
class Outcome:
    """How a request ended, as far as the limits are concerned.

    Attributes:
        tokens: That it used.
        price: Of its answer.
        is_refused: Whether the server was too busy, or failed.
        retry_after: Seconds that the server asked to wait.
    """

    tokens: int = 0
    price: Decimal | None = None
    is_refused: bool = False
    retry_after: float | None = None


def seconds_before_retry(attempt: int) -> float:
    """How long a row waits after its request number `attempt`, from 1, was refused."""
    longest = min(LONGEST_WAIT, _FIRST_WAIT * 2 ** (attempt - 1))
    return random.uniform(longest / 2, longest)  # noqa: S311 - spreads requests


@dataclass
class _Mean:
    total: float = 0.0
    count: int = 0

    def add(self, value: float) -> None:
        self.total += value
        self.count += 1

    @property
    def value(self) -> float:
        return self.total / self.count if self.count else 0.0


class Pace:
    """The limits of a batch, and how far it is from them. Not safe across threads.

    Args:
        limits: What may not be exceeded.
        clock: Tells seconds.

    Attributes:
        stopped: Why no further request may begin; None while they may.
    """

    def __init__(
        self,
        limits: Limits,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limits = limits
        self._clock = clock
        self._allowed = float(limits.concurrency)
        self._going_on = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._refusals = 0  # since the last answer
        self._not_before = 0.0
        self._next_request = 0.0
        self._tokens_left = self._burst
        self._filled_at = clock()
        self._answers, self._tokens, self._price = 0, _Mean(), _Mean()
        self._spent, self._failures = Decimal(0), 0
        self.stopped: Stopped | None = None

    async def acquire(self) -> bool:
        """Wait until a request may begin.

        Returns:
            Whether it may; False if the batch is to stop. `release` follows if it may.
        """
        while self.stopped is None and not self._has_room():
            place = asyncio.get_running_loop().create_future()
            self._waiting.append(place)
            await place
        if self.stopped is not None:
            self._wake()
            return False
        self._going_on += 1
        try:
            while (wait := self._seconds_to_wait()) > 0 and self.stopped is None:  # noqa: ASYNC110
                await asyncio.sleep(min(wait, _LOOK_AGAIN))
        except asyncio.CancelledError:
            self._leave()
            raise
        if self.stopped is not None:
            self._leave()
            return False
        return True

    async def pause(self, seconds: float) -> None:
        """Wait for so long, or until the batch is to stop."""
        until = self._clock() + seconds
        while self.stopped is None and (left := until - self._clock()) > 0:  # noqa: ASYNC110
            await asyncio.sleep(min(left, _LOOK_AGAIN))

    def release(self, outcome: Outcome) -> None:
        """Tell how the request ended."""
        self._take_tokens(outcome.tokens)
        if outcome.tokens:
            self._tokens.add(outcome.tokens)
        if outcome.price is not None:
            self._spent += outcome.price
            self._price.add(float(outcome.price))
        if outcome.is_refused:
            self._hold_back(outcome.retry_after)
        else:
            self._refusals = 0
            self._answers += 1
            more = self._allowed + 1 / self._allowed
            self._allowed = min(more, float(self._limits.concurrency))
        self._leave()
        self._check_budgets()

    def count(self, price: Decimal | None = None, *, failed: bool = False) -> None:
        """Take note of a result that no request has been released with.

        Args:
            price: Of an answer of an earlier run, or that was picked up.
            failed: Whether its row failed for good.
        """
        self._spent += price or 0
        self._failures += failed
        self._check_budgets()

    def stop(self, reason: Stopped) -> None:
        """Let no further request begin."""
        self.stopped = self.stopped or reason
        self._wake()

    def _has_room(self) -> bool:
        return self._going_on < int(self._allowed) and not self._would_exceed_price()

    def _would_exceed_price(self) -> bool:
        """Whether what goes on will use up the price that is left; the first answer tells."""
        if self._limits.max_price is None or not self._going_on:
            return False
        if not self._answers:
            return True
        expected = self._going_on * self._price.value
        return float(self._spent) + expected >= float(self._limits.max_price)

    def _seconds_to_wait(self) -> float:
        """Seconds until the next request may begin; not above 0 if it may, and begins."""
        now = self._clock()
        wait = max(self._not_before - now, self._tokens_wait(now))
        if wait > 0:
            return wait
        rate = self._limits.requests_per_second
        if rate is None:
            return 0.0
        if self._next_request <= now:
            self._next_request = max(self._next_request, now - 1 / rate) + 1 / rate
            return 0.0
        return self._next_request - now

    @property
    def _rate(self) -> float:
        """Tokens a second."""
        return (self._limits.tokens_per_minute or 0.0) / 60

    @property
    def _burst(self) -> float:
        return self._rate * _BURST

    def _tokens_wait(self, now: float) -> float:
        if not self._rate:
            return 0.0
        self._take_tokens(0)
        others = self._going_on - 1
        if others and not self._answers:
            return _LOOK_AGAIN  # the first answer tells what an answer uses
        expected = min(self._tokens.value * others, self._burst)
        return (expected - self._tokens_left) / self._rate

    def _take_tokens(self, count: int) -> None:
        now = self._clock()
        filled = self._tokens_left + (now - self._filled_at) * self._rate
        self._filled_at = now
        self._tokens_left = min(filled, self._burst) - (count if self._rate else 0)

    def _hold_back(self, retry_after: float | None) -> None:
        self._refusals += 1
        self._allowed = max(1.0, self._allowed * _KEPT)
        rounds = self._refusals // max(3, int(self._allowed))
        wait = seconds_before_retry(rounds) if rounds else 0.0
        wait = max(wait, min(retry_after or 0.0, LONGEST_WAIT))
        self._not_before = max(self._not_before, self._clock() + wait)

    def _check_budgets(self) -> None:
        limits = self._limits
        if limits.max_failures is not None and self._failures > limits.max_failures:
            self.stop("failures")
        if limits.max_price is not None and self._spent >= Decimal(str(limits.max_price)):
            self.stop("price")

    def _leave(self) -> None:
        self._going_on -= 1
        self._wake()

    def _wake(self) -> None:
        """Let those look again who wait for a place; they wait on if there is none."""
        free = len(self._waiting) if self.stopped else 1 + int(self._allowed) - self._going_on
        while self._waiting and free > 0:
            place = self._waiting.popleft()
            if not place.done():
                place.set_result(None)
                free -= 1
