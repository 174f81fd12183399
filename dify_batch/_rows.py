"""Rows out of files: CSV, JSON lines and Parquet; or any iterable of mappings."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Mapping, Sized
from contextlib import closing
from pathlib import Path
from typing import Any

Row = Mapping[str, Any]
Rows = str | Path | Iterable[Row]
"""Rows: the path of a .csv, .tsv, .jsonl (.ndjson) or .parquet file, or mappings."""

_LONGEST_FIELD = 100_000_000  # characters of a CSV field; Python's own limit is 131,072
_BATCH = 256  # rows of a Parquet file at a time


def read_rows(rows: Rows) -> Iterator[Row]:
    """Iterate rows, a few in memory at a time.

    Raises:
        ValueError: For a file of no known kind, or a line that is no row; the message names it.
        OSError: If the file cannot be read.
    """
    if not isinstance(rows, str | Path):
        return iter(rows)
    path = Path(rows)
    readers = {
        ".csv": _read_csv,
        ".tsv": _read_csv,
        ".jsonl": _read_json_lines,
        ".ndjson": _read_json_lines,
        ".parquet": _read_parquet,
    }
    if path.suffix.lower() not in readers:
        raise ValueError(f"rows are read from {', '.join(readers)} files, not from {path.name!r}")
    return readers[path.suffix.lower()](path)


def count_rows(rows: Rows) -> int | None:
    """How many rows there are; None where that is known only at their end."""
    if not isinstance(rows, str | Path):
        return len(rows) if isinstance(rows, Sized) else None
    if Path(rows).suffix.lower() == ".parquet":
        return int(_parquet().ParquetFile(rows).metadata.num_rows)
    return sum(1 for _ in read_rows(rows))


def folder_of(rows: Rows) -> Path:
    """Where the paths of files in the rows begin."""
    return Path(rows).resolve().parent if isinstance(rows, str | Path) else Path.cwd()


def _read_csv(path: Path) -> Iterator[Row]:
    csv.field_size_limit(max(csv.field_size_limit(), _LONGEST_FIELD))
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file, delimiter="\t" if path.suffix.lower() == ".tsv" else ",")
        names = reader.fieldnames or []
        if len(set(names)) != len(names):
            raise ValueError(f"{path.name}: two columns have the same name: {', '.join(names)}")
        for row in reader:
            if None in row:  # where the reader puts what is too much
                raise ValueError(f"{path.name}, line {reader.line_num}: more fields than columns")
            yield row


def _read_json_lines(path: Path) -> Iterator[Row]:
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except ValueError:
                row = None
            if not isinstance(row, dict):
                raise ValueError(f"{path.name}, line {number}: not a JSON object")
            yield row


def _read_parquet(path: Path) -> Iterator[Row]:
    with closing(_parquet().ParquetFile(path)) as file:
        for batch in file.iter_batches(batch_size=_BATCH):
            yield from batch.to_pylist()


def _parquet() -> Any:
    try:
        import pyarrow.parquet
    except ImportError:
        raise ImportError(
            'Parquet files need pyarrow: pip install "dify-adapters[parquet]"'
        ) from None
    return pyarrow.parquet
