"""What a batch is told: which columns are what, and what it may not exceed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any


@dataclass(frozen=True)
class Columns:
    """Which columns of a row are what the app is asked with.

    Attributes:
        query: Column of the user's message, or of the one text that a completion or workflow app
            asks for. Default: "query" where there is such a column.
        inputs: Column of each variable of the app, by variable. Default: those columns that are
            called as a variable.
        files: Columns of files that go along with the query: a public URL, the path of a file
            (relative to that of the rows), or a list of these.
        id: Column that tells rows with the same content apart. Default: they are numbered in
            their order.
        fixed: Values of variables that are the same for all rows.
    """

    query: str | None = None
    inputs: Mapping[str, str] | None = None
    files: Sequence[str] = ()
    id: str | None = None
    fixed: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Limits:
    """What a batch may not exceed; None for no limit.

    Attributes:
        concurrency: Requests at a time, at most; fewer while the server refuses some.
        requests_per_second: Requests that begin in a second.
        tokens_per_minute: Tokens that answers may use in a minute. They are known only
            afterwards, so that what goes on is counted by the mean so far.
        attempts: Requests for one row, the first included, while failures may pass.
        max_failures: Failed rows, those of earlier runs included, after which the batch stops.
        max_price: Price of all answers, those of earlier runs included, at which it stops. What
            goes on is counted by the mean so far.

    Raises:
        ValueError: For a limit that lets nothing through.
    """

    concurrency: int = 16
    requests_per_second: float | None = None
    tokens_per_minute: float | None = None
    attempts: int = 8
    max_failures: int | None = None
    max_price: Decimal | float | None = None

    def __post_init__(self) -> None:
        for name in ("concurrency", "attempts", "requests_per_second", "tokens_per_minute"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"{name} must be above 0, not {value!r}")
        for name in ("max_failures", "max_price"):
            value = getattr(self, name)
            if value is not None and not value >= 0:
                raise ValueError(f"{name} must be 0 or more, not {value!r}")
