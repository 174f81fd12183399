"""The sums of a batch."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal

from dify_batch._pace import Stopped
from dify_batch.results import Result


@dataclass
class Summary:
    """How far a batch has come, and what it came to.

    Attributes:
        rows: How many there are; None while that is not known.
        done_before: Rows that had their result when this run began.
        succeeded: Results with an answer, those of earlier runs included.
        failed: Results without, those of earlier runs included.
        picked_up: Answers that were taken from the server after their stream was lost.
        repeats: Requests whose answer is lost, and which may have been paid for; each is named in
            its row's result.
        tokens: Of all answers.
        price: Of all answers, as far as the app tells it.
        currency: Of the price.
        failures: How many rows failed, by the error's class.
        stopped: Why not all rows were asked: "failures" or "price" (a budget is used up),
            "interrupted"; None if all were.
        seconds: That this run took.
    """

    rows: int | None = None
    done_before: int = 0
    succeeded: int = 0
    failed: int = 0
    picked_up: int = 0
    repeats: int = 0
    tokens: int = 0
    price: Decimal = Decimal(0)
    currency: str | None = None
    failures: Counter[str] = field(default_factory=Counter)
    stopped: Stopped | None = None
    seconds: float = 0.0
    began: float = field(default_factory=time.monotonic, repr=False)

    @property
    def done(self) -> int:
        """Rows that have their result."""
        return self.succeeded + self.failed

    @property
    def rows_per_second(self) -> float:
        """Of this run."""
        seconds = self.seconds or time.monotonic() - self.began
        return (self.done - self.done_before) / seconds if seconds else 0.0

    @property
    def seconds_left(self) -> float | None:
        """Until all rows are done, at the pace so far; None if that cannot be told."""
        rate = self.rows_per_second
        return None if self.rows is None or not rate else max(0, self.rows - self.done) / rate

    def add(self, result: Result) -> None:
        """Count a result."""
        if result.status == "succeeded":
            self.succeeded += 1
        else:
            self.failed += 1
            self.failures[result.error.type if result.error else "?"] += 1
        self.picked_up += result.picked_up
        self.repeats += len(result.repeats)
        if result.usage is not None:
            self.tokens += result.usage.total_tokens
            self.price += result.price or 0
            self.currency = result.usage.currency or self.currency
