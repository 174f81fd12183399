"""What is seen of a batch that goes on: nothing, a bar with a table at its end, or JSON lines."""

from __future__ import annotations

import json
import sys
import time
from typing import Any, TextIO

from dify_batch._app import Request
from dify_batch.results import Attempt, Result
from dify_batch.summary import Summary

_EVERY = 5.0  # seconds between two JSON lines of progress
_REDRAW = 0.25  # seconds


class Progress:
    """Shows nothing; a base of those that show something."""

    def begin(self, summary: Summary) -> None:
        """The batch begins."""

    def result(self, result: Result, summary: Summary) -> None:
        """A row has its result."""

    def repeat(self, request: Request, attempt: Attempt) -> None:
        """A row is asked again, though the request before may have been paid for."""

    def note(self, text: str) -> None:
        """Something that the user should know."""

    def end(self, summary: Summary) -> None:
        """The batch has ended."""


class JsonLog(Progress):
    """Writes JSON lines: how it goes every few seconds, each failure and repeat, the summary."""

    def __init__(self, file: TextIO | None = None) -> None:
        self._file = file or sys.stdout
        self._next = 0.0

    def begin(self, summary: Summary) -> None:
        """The batch begins."""
        self._write("begin", **_numbers(summary))

    def result(self, result: Result, summary: Summary) -> None:
        """A row has its result."""
        if result.error is not None:
            error = result.error.model_dump(exclude_none=True)
            self._write("failure", id=result.id, row=result.row, error=error)
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + _EVERY
            self._write("progress", **_numbers(summary))

    def repeat(self, request: Request, attempt: Attempt) -> None:
        """A row is asked again."""
        fields = attempt.model_dump(mode="json", exclude_none=True)
        self._write("repeat", id=request.id, row=request.number, **fields)

    def note(self, text: str) -> None:
        """Something that the user should know."""
        self._write("note", text=text)

    def end(self, summary: Summary) -> None:
        """The batch has ended."""
        numbers = _numbers(summary)
        self._write("end", **numbers, stopped=summary.stopped, failures=dict(summary.failures))

    def _write(self, event: str, **fields: Any) -> None:
        print(json.dumps({"event": event, **fields}), file=self._file, flush=True)


class Bar(Progress):
    """A bar on a terminal, and a table at the end, on stderr.

    Raises:
        ImportError: If rich is not installed.
    """

    def __init__(self) -> None:
        try:
            from rich.console import Console
        except ImportError:
            raise ImportError(
                'the bar needs rich: pip install "dify-adapters[batch]", or use --quiet or --json'
            ) from None
        self._console = Console(stderr=True)
        self._next = 0.0

    def begin(self, summary: Summary) -> None:
        """The batch begins."""
        from rich.progress import BarColumn, TaskProgressColumn, TextColumn
        from rich.progress import Progress as RichProgress

        self._bar = RichProgress(
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.description}"),
            console=self._console,
            auto_refresh=False,
        )
        self._task = self._bar.add_task(_line(summary), total=summary.rows)
        self._bar.start()

    def result(self, result: Result, summary: Summary) -> None:
        """A row has its result."""
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + _REDRAW
            self._draw(summary)

    def note(self, text: str) -> None:
        """Something that the user should know."""
        self._console.print(text, markup=False, highlight=False)

    def end(self, summary: Summary) -> None:
        """The batch has ended."""
        from rich.table import Table

        self._draw(summary)
        self._bar.stop()
        table = Table(show_header=False, title="Batch")
        for name, value in _table(summary):
            table.add_row(name, value)
        self._console.print(table)

    def _draw(self, summary: Summary) -> None:
        self._bar.update(
            self._task,
            total=summary.rows,
            completed=summary.done,
            description=_line(summary),
            refresh=True,
        )


def _line(summary: Summary) -> str:
    left = summary.seconds_left
    facts = [
        f"{summary.done}/{'?' if summary.rows is None else summary.rows} rows",
        f"{summary.rows_per_second:.1f}/s",
        f"{summary.tokens} tokens",
        _price(summary),
        f"{summary.failed} failed",
        "" if left is None else f"{_time(left)} left",
    ]
    return "  ".join(fact for fact in facts if fact)


def _table(summary: Summary) -> list[tuple[str, str]]:
    facts = [
        ("rows", "?" if summary.rows is None else str(summary.rows)),
        ("done before", str(summary.done_before)),
        ("succeeded", str(summary.succeeded)),
        ("failed", str(summary.failed)),
        *((f"  {kind}", str(count)) for kind, count in summary.failures.most_common()),
        ("picked up after a loss", str(summary.picked_up)),
        ("asked again, maybe paid twice", str(summary.repeats)),
        ("tokens", str(summary.tokens)),
        ("price", _price(summary) or "not told"),
        ("time", f"{_time(summary.seconds)}, {summary.rows_per_second:.1f} rows/s"),
    ]
    if summary.stopped:
        facts.append(("stopped", summary.stopped))
    return facts


def _price(summary: Summary) -> str:
    return f"{summary.price:.4f} {summary.currency}" if summary.currency else ""


def _time(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}"


def _numbers(summary: Summary) -> dict[str, Any]:
    return {
        "rows": summary.rows,
        "done": summary.done,
        "done_before": summary.done_before,
        "succeeded": summary.succeeded,
        "failed": summary.failed,
        "picked_up": summary.picked_up,
        "repeats": summary.repeats,
        "tokens": summary.tokens,
        "price": str(summary.price),
        "currency": summary.currency,
        "rows_per_second": round(summary.rows_per_second, 2),
        "seconds": round(summary.seconds or time.monotonic() - summary.began, 1),
        "seconds_left": None if summary.seconds_left is None else round(summary.seconds_left),
    }
