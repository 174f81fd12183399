"""The command line: `python -m dify_batch ROWS OUTPUT`, also installed as `dify-batch`."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
from collections.abc import Sequence
from typing import Any

from dify_api.client import DifyClient
from dify_api.errors import DifyError
from dify_batch._run import DEFAULT_USER, make_batch
from dify_batch.options import Columns, Limits

_OK, _SOME_FAILED, _BAD_INPUT, _STOPPED, _INTERRUPTED = 0, 1, 2, 3, 130


def parser() -> argparse.ArgumentParser:
    """The parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="dify-batch",
        description="Ask a Dify app for each row of a file. Called again, it goes on where it was.",
        epilog="It ends with 0 if all rows have an answer, 1 if some failed, 2 for bad input or a "
        "failure that every row would meet, 3 if a budget stopped it, 130 after Ctrl-C.",
    )
    parser.add_argument("rows", help=".csv, .tsv, .jsonl or .parquet file")
    parser.add_argument("output", help=".jsonl or .parquet file of the results")
    app = parser.add_argument_group("the app")
    app.add_argument("--app-key-env", default="DIFY_API_KEY", metavar="NAME",
                     help="environment variable of its key (DIFY_API_KEY)")  # fmt: skip
    app.add_argument("--base-url", metavar="URL", help="of the API (DIFY_BASE_URL, or the cloud)")
    app.add_argument("--app-id", metavar="NAME",
                     help="a name for the app by which rows are known when its key changes")  # fmt: skip
    app.add_argument("--user", default=DEFAULT_USER, help=f"end user of all rows ({DEFAULT_USER})")
    app.add_argument("--workflow-id", metavar="UUID", help="published version to run")
    app.add_argument("--timeout", type=float, metavar="S",
                     help="seconds for one network operation (60)")  # fmt: skip
    columns = parser.add_argument_group("columns")
    columns.add_argument("--query-column", metavar="COLUMN",
                         help="of the message, or of the one text that the app asks for (query)")  # fmt: skip
    columns.add_argument("--input-column", action="append", default=[], metavar="VARIABLE=COLUMN",
                         help="of a variable, if it is called otherwise; may be repeated")  # fmt: skip
    columns.add_argument("--input", action="append", default=[], metavar="VARIABLE=VALUE",
                         help="value of a variable for all rows; may be repeated")  # fmt: skip
    columns.add_argument("--file-column", action="append", default=[], metavar="COLUMN",
                         help="of files that go along: URLs or paths; may be repeated")  # fmt: skip
    columns.add_argument("--id-column", metavar="COLUMN",
                         help="tells rows with the same content apart")  # fmt: skip
    limits = parser.add_argument_group("limits")
    default = Limits()
    limits.add_argument("--concurrency", type=int, default=default.concurrency, metavar="N",
                        help=f"requests at a time, at most ({default.concurrency})")  # fmt: skip
    limits.add_argument("--requests-per-second", type=float, metavar="N")
    limits.add_argument("--tokens-per-minute", type=float, metavar="N")
    limits.add_argument("--attempts", type=int, default=default.attempts, metavar="N",
                        help=f"requests for one row, while failures may pass ({default.attempts})")  # fmt: skip
    limits.add_argument("--max-failures", type=int, metavar="N", help="failed rows before it stops")
    limits.add_argument("--max-price", type=float, metavar="PRICE", help="at which it stops")
    parser.add_argument("--retry-failed", action="store_true",
                        help="ask the rows again that failed in an earlier run")  # fmt: skip
    parser.add_argument("--delete-conversations", action="store_true",
                        help="delete each row's conversation once its result is on disk")  # fmt: skip
    shown = parser.add_mutually_exclusive_group()
    shown.add_argument("--quiet", action="store_true", help="show errors only")
    shown.add_argument("--json", action="store_true", help="JSON lines instead of the bar")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a batch.

    Args:
        arguments: Command line; that of the process when left out.

    Returns:
        The exit code.
    """
    command = parser()
    options = command.parse_args(arguments)
    try:
        batch = make_batch(options.rows, _client(options), options.output, **_options(options))
        summary = asyncio.run(batch.run_until_interrupted())
    except (DifyError, ValueError, ImportError, OSError) as error:
        command.exit(_BAD_INPUT, f"dify-batch: {error}\n")
    if summary.stopped == "interrupted":
        return _INTERRUPTED
    if summary.stopped:
        return _STOPPED
    return _SOME_FAILED if summary.failed else _OK


def _client(options: argparse.Namespace) -> DifyClient:
    key = os.environ.get(options.app_key_env)
    if not key:
        raise ValueError(f"no API key: set {options.app_key_env}")
    timeout = {} if options.timeout is None else {"timeout": options.timeout}
    return DifyClient(key, base_url=options.base_url, app_id=options.app_id, **timeout)


def _options(options: argparse.Namespace) -> Any:
    columns = Columns(
        query=options.query_column,
        inputs=_pairs(options.input_column, "--input-column"),
        files=options.file_column,
        id=options.id_column,
        fixed={name: _value(text) for name, text in _pairs(options.input, "--input").items()},
    )
    limits = Limits(
        concurrency=options.concurrency,
        requests_per_second=options.requests_per_second,
        tokens_per_minute=options.tokens_per_minute,
        attempts=options.attempts,
        max_failures=options.max_failures,
        max_price=options.max_price,
    )
    return {
        "columns": columns,
        "limits": limits,
        "user": options.user,
        "workflow_id": options.workflow_id,
        "retry_failed": options.retry_failed,
        "delete_conversations": options.delete_conversations,
        "progress": None if options.quiet else "json" if options.json else "bar",
    }


def _pairs(texts: Sequence[str], option: str) -> dict[str, str]:
    pairs = [text.partition("=") for text in texts]
    if any(not (name and equals) for name, equals, _ in pairs):
        raise ValueError(f"{option} takes NAME=VALUE")
    return {name: value for name, _, value in pairs}


def _value(text: str) -> Any:
    """A value of a variable: objects and lists as JSON, the rest as text, which the form reads."""
    if text[:1] in ("{", "["):
        try:
            return json.loads(text)
        except ValueError:
            return text
    return text
