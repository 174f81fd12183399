"""Results as a Parquet file: a column for each fact, nested values as JSON text."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from dify_batch.results import Result, read_results

_BATCH = 1000


def schema() -> Any:
    """The `pyarrow.Schema` of results.

    Raises:
        ImportError: If pyarrow is not installed.
    """
    try:
        import pyarrow
    except ImportError:
        raise ImportError(
            'Parquet files need pyarrow: pip install "dify-adapters[parquet]"'
        ) from None
    text, number = pyarrow.string(), pyarrow.int64()
    return pyarrow.schema(
        {
            "id": text,
            "row": number,
            "status": text,
            "input": text,
            "answer": text,
            "outputs": text,
            "retriever_resources": text,
            "files": text,
            "prompt_tokens": number,
            "completion_tokens": number,
            "total_tokens": number,
            "total_price": pyarrow.decimal128(30, 12),
            "currency": text,
            "latency": pyarrow.float64(),
            "conversation_id": text,
            "message_id": text,
            "task_id": text,
            "workflow_run_id": text,
            "picked_up": pyarrow.bool_(),
            "repeats": text,
            "error_type": text,
            "error_code": text,
            "error_status": number,
            "error_message": text,
            "finished_at": pyarrow.timestamp("us", "UTC"),
        }
    )


def table(results: Iterable[Result]) -> Any:
    """Results as a `pyarrow.Table`."""
    import pyarrow

    return pyarrow.Table.from_pylist([_flat(result) for result in results], schema())


def write(output: Path, lines: Path) -> None:
    """Write the Parquet file of the results in a file of JSON lines, all of it or nothing."""
    import pyarrow.parquet

    unfinished = output.with_name(f"{output.name}.tmp")
    with pyarrow.parquet.ParquetWriter(unfinished, schema()) as writer:
        for some in _batches(read_results(lines)):
            writer.write_table(table(some))
    os.replace(unfinished, output)


def _batches(results: Iterator[Result]) -> Iterator[list[Result]]:
    while some := list(islice(results, _BATCH)):
        yield some


def _flat(result: Result) -> dict[str, Any]:
    fields = {name: getattr(result, name) for name in schema().names if hasattr(result, name)}
    dumped = result.model_dump(mode="json", exclude_none=True)
    for name in ("input", "outputs", "retriever_resources", "files", "repeats"):
        if fields[name] is not None:
            fields[name] = json.dumps(dumped[name], ensure_ascii=False)
    if result.usage is not None:
        usage = result.usage
        fields |= {
            "prompt_tokens": usage.prompt_tokens,
            "completion_tokens": usage.completion_tokens,
            "total_tokens": usage.total_tokens,
            "total_price": usage.total_price and round(usage.total_price, 12),
            "currency": usage.currency,
        }
    if result.error is not None:
        error = result.error
        fields |= {
            "error_type": error.type,
            "error_code": error.code,
            "error_status": error.status,
            "error_message": error.message,
        }
    return fields
