"""The results of several workers: a folder with a file for each, which its worker alone writes.

What a worker has done is read by the others once it has ended, when its file is locked no longer:
Ray gives the rows of a worker that died to another.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from dify_batch._journal import Journal, is_open, lines, read_notes
from dify_batch.results import Attempt, Result


@dataclass(frozen=True)
class _Place:
    file: Path
    offset: int


class Parts:
    """The files of a folder.

    Args:
        folder: The folder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._read: set[Path] = set()
        self._places: dict[str, _Place] = {}
        self._attempts: dict[str, list[Attempt]] = {}

    def new(self) -> Path:
        """A file for one more worker."""
        return self._folder / f"part-{uuid.uuid4().hex}.jsonl"

    def read_ended(self) -> None:
        """Take note of what is in the files of workers that have ended."""
        for file in sorted(self._folder.glob("part-*.jsonl")):
            if file in self._read or is_open(file):
                continue
            self._read.add(file)
            for row_id, attempts in read_notes(file).items():
                self._attempts.setdefault(row_id, []).extend(attempts)
            for result, offset in _results(file):
                self._places[result.id] = _Place(file, offset)

    def add(self, row_id: str, file: Path, offset: int) -> None:
        """Take note of a result of this worker."""
        self._places[row_id] = _Place(file, offset)

    def result(self, row_id: str) -> Result | None:
        """The result of a row, of this worker or one that has ended; None if there is none."""
        place = self._places.get(row_id)
        if place is None:
            return None
        with place.file.open("rb") as file:
            file.seek(place.offset)
            return Result.model_validate_json(file.readline())

    def attempts(self, row_id: str) -> list[Attempt]:
        """Requests that workers which have ended have sent for a row, oldest first."""
        told = self._attempts.get(row_id, [])
        # One that was taken over is told by several; the last one knows most of it.
        told = sorted(told, key=lambda attempt: len(attempt.model_fields_set))
        attempts = {attempt.sent_at: attempt for attempt in told}
        return [attempts[moment] for moment in sorted(attempts)]

    def results(self) -> Iterator[Result]:
        """All results of workers that have ended."""
        for file in sorted(self._folder.glob("part-*.jsonl")):
            for result, _ in _results(file):
                yield result

    def drop_failed(self) -> None:
        """Take failed results out, so that their rows are asked again."""
        for file in sorted(self._folder.glob("part-*.jsonl")):
            journal = Journal(file)
            journal.drop_failed()
            journal.close_files()


def _results(file: Path) -> Iterator[tuple[Result, int]]:
    for offset, line in lines(file):
        if line.endswith(b"\n"):
            yield Result.model_validate_json(line), offset
