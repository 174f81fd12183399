"""The command line: `python -m dify_batch ROWS OUTPUT`, also installed as `dify-batch`."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
from collections.abc import Sequence
from dataclasses import fields
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
    add = parser.add_argument
    add("rows", help=".csv, .tsv, .jsonl or .parquet file")
    add("output", help=".jsonl or .parquet file of the results")
    add("--retry-failed", action="store_true", help="ask rows again that failed in earlier runs")
    add(
        "--delete-conversations",
        action="store_true",
        help="delete each row's conversation once its result is on disk",
    )
    shown = parser.add_mutually_exclusive_group()
    shown.add_argument("--quiet", action="store_true", help="show errors only")
    shown.add_argument("--json", action="store_true", help="JSON lines instead of the bar")
    _add_app(parser.add_argument_group("the app"))
    _add_columns(parser.add_argument_group("columns"))
    _add_limits(parser.add_argument_group("limits"))
    return parser


def _add_app(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add(
        "--app-key-env",
        default="DIFY_API_KEY",
        metavar="NAME",
        help="environment variable of its key (DIFY_API_KEY)",
    )
    add("--base-url", metavar="URL", help="of the API (DIFY_BASE_URL, or Dify's cloud)")
    add("--app-id", metavar="NAME", help="by which rows are known when the app's key changes")
    add("--user", default=DEFAULT_USER, help=f"end user of all rows ({DEFAULT_USER})")
    add("--workflow-id", metavar="UUID", help="published version to run")
    add("--timeout", type=float, metavar="S", help="seconds for one network operation (60)")


def _add_columns(group: argparse._ArgumentGroup) -> None:
    def add(option: str, text: str, metavar: str = "COLUMN", *, many: bool = True) -> None:
        if many:
            text += "; may be repeated"
            group.add_argument(option, action="append", default=[], metavar=metavar, help=text)
        else:
            group.add_argument(option, metavar=metavar, help=text)

    add("--query-column", "of the message, or of the text that the app asks for", many=False)
    add("--input-column", "of a variable that is called otherwise", "VARIABLE=COLUMN")
    add("--input", "value of a variable for all rows", "VARIABLE=VALUE")
    add("--file-column", "of files that go along: URLs or paths")
    add("--id-column", "tells rows with the same content apart", many=False)


def _add_limits(group: argparse._ArgumentGroup) -> None:
    def add(name: str, kind: type, text: str) -> None:
        default = getattr(Limits(), name)
        option = f"--{name.replace('_', '-')}"
        shown = text if default is None else f"{text} ({default})"
        group.add_argument(option, type=kind, default=default, metavar="N", help=shown)

    add("concurrency", int, "requests at a time, at most")
    add("requests_per_second", float, "requests that begin in a second")
    add("tokens_per_minute", float, "tokens that answers use in a minute")
    add("attempts", int, "requests for one row, while failures may pass")
    add("max_failures", int, "failed rows before it stops")
    add("max_price", float, "price at which it stops")


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
    limits = Limits(**{field.name: getattr(options, field.name) for field in fields(Limits)})
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
