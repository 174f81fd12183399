"""`run` and `arun`."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Literal

from typing_extensions import TypedDict, Unpack

from dify_api.client import AsyncDifyClient, DifyClient
from dify_api.connection import DifyConnection
from dify_batch._batch import Batch
from dify_batch._progress import Bar, JsonLog, Progress
from dify_batch._rows import Rows
from dify_batch.options import Columns, Limits
from dify_batch.summary import Summary

DEFAULT_USER = "dify-batch"

App = DifyClient | AsyncDifyClient | DifyConnection
"""The app: a client of it, or a model of an adapter (`ChatDify`, `Dify`)."""

ProgressKind = Literal["bar", "json"]


class BatchOptions(TypedDict, total=False):
    """What `run` and `arun` take beside rows, app and output; `run` explains them."""

    columns: Columns
    limits: Limits
    user: str
    workflow_id: str | None
    retry_failed: bool
    delete_conversations: bool
    progress: ProgressKind | None


def run(rows: Rows, app: App, output: str | Path, **options: Unpack[BatchOptions]) -> Summary:
    """Ask an app for each row and write the results down; rows that have one are skipped.

    Each result is on disk before it counts. A run that is ended, killed or breaks off is gone on
    with by calling this again with the same arguments: what the server was still at then is picked
    up from there, and only what is lost is asked again. Such repeats are named in the results.

    Args:
        rows: Path of a .csv, .tsv, .jsonl or .parquet file, or mappings.
        app: A client of the app.
        output: Path of the results, .jsonl, or .parquet, which is made of OUTPUT.jsonl at the
            end.
        **options: columns: Which columns are what; see `Columns`.
            limits: Concurrency, pace and budgets; see `Limits`. Default: 16 requests at a time.
            user: End user of all rows. By it requests are found again, so that it should be one
            of the batch alone. Default: "dify-batch".
            workflow_id: Published version of a workflow or chatflow to run.
            retry_failed: Ask rows that failed in an earlier run again. Default: False.
            delete_conversations: Delete each row's conversation once its result is on disk.
            progress: "bar" (needs rich), "json" (lines on stdout), or None for silence, the
            default.

    Returns:
        The sums. `stopped` tells why rows are left, if some are.

    Raises:
        ValueError: If the rows or the columns are not fit, or `output` is no output of a batch.
        BlockingIOError: If another process writes to `output`.
        DifyError: For a failure that every row would meet, such as a wrong key; what is done is
            kept.
        KeyboardInterrupt: On Ctrl-C, once what was going on has ended.

    Example:
        >>> summary = run("questions.csv", DifyClient("app-..."), "answers.jsonl",
        ...               columns=Columns(query="question"), limits=Limits(max_price=5))
        >>> summary.succeeded, summary.failed, summary.price
        (998, 2, Decimal('3.1415'))
    """
    batch = make_batch(rows, app, output, **options)
    summary = asyncio.run(batch.run_until_interrupted())
    if summary.stopped == "interrupted":
        raise KeyboardInterrupt
    return summary


async def arun(
    rows: Rows, app: App, output: str | Path, **options: Unpack[BatchOptions]
) -> Summary:
    """`run` for asyncio. To cancel it leaves the answers that go on; calling it again resumes."""
    return await make_batch(rows, app, output, **options).run()


def make_batch(rows: Rows, app: App, output: str | Path, **options: Unpack[BatchOptions]) -> Batch:
    """A batch that has not begun."""
    unknown = options.keys() - BatchOptions.__annotations__.keys()
    if unknown:
        raise TypeError(f"unexpected argument: {', '.join(sorted(unknown))}")
    return Batch(
        rows=rows,
        connection=app if isinstance(app, DifyConnection) else app.connection,
        output=check_output(output, (".jsonl", ".parquet")),
        columns=options.get("columns", Columns()),
        limits=options.get("limits", Limits()),
        user=options.get("user", DEFAULT_USER),
        workflow_id=options.get("workflow_id"),
        retry_failed=options.get("retry_failed", False),
        delete_conversations=options.get("delete_conversations", False),
        progress=_progress(options.get("progress")),
    )


def check_output(output: str | Path, suffixes: tuple[str, ...]) -> Path:
    """The path of an output.

    Raises:
        ValueError: If it has none of the suffixes.
    """
    path = Path(output)
    if path.suffix not in suffixes:
        raise ValueError(f"the output must be a {' or '.join(suffixes)} file, not {path.name!r}")
    return path


def _progress(kind: ProgressKind | None) -> Progress:
    kinds: dict[ProgressKind | None, type[Progress]] = {None: Progress, "bar": Bar, "json": JsonLog}
    if kind not in kinds:
        raise ValueError(f'progress must be "bar", "json" or None, not {kind!r}')
    return kinds[kind]()
