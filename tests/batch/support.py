"""What the tests of batches share."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dify_api import DifyClient
from dify_batch import Columns, Result, Summary, read_results, run
from tests.batch.server import FaultyDify


def questions(*queries: str) -> list[dict[str, Any]]:
    return [{"question": query} for query in queries]


def some_questions(count: int, tokens: int = 3) -> list[dict[str, Any]]:
    return questions(*(f"/tokens {tokens}\nRow {number}" for number in range(count)))


def client(server: FaultyDify, app: str = "chat", **options: Any) -> DifyClient:
    return DifyClient(server.keys[app], base_url=server.base_url, **options)


def run_rows(
    server: FaultyDify, rows: Sequence[dict[str, Any]], output: Path, app: str = "chat", **more: Any
) -> tuple[Summary, list[Result]]:
    """Run a batch over rows with a `question`; return the sums and the results in order of rows."""
    options = {"columns": Columns(query="question"), **more}
    summary = run(rows, client(server, app), output, **options)
    return summary, results_of(output)


def results_of(output: Path) -> list[Result]:
    return sorted(read_results(output), key=lambda result: result.row or 0)


def generations_of(server: FaultyDify, rows: Sequence[dict[str, Any]]) -> list[int]:
    """How often each row has begun on the server."""
    counted = server.generations()
    return [counted[row["question"]] for row in rows]
