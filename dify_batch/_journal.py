"""What a batch keeps on disk: results, a line each, and notes of what goes on.

The results are the output itself. The notes are beside it, in `OUTPUT.started`: of each request
that it is about to be sent, which ids the server gave it, and how it was lost, so that what a
process leaves behind when it is killed can be picked up. They are removed when all rows are done.

A result is on disk (`fsync`) before `write` returns; many share one `fsync`. A note survives the
process as soon as `note` returns, and the machine with the next result.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dify_batch.results import Attempt, Result, now

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]  # there are no advisory locks there

_GATHER = 0.01  # seconds for which results are gathered for one fsync


class Journal:
    """The results and notes of a batch, open for more.

    Args:
        path: File of the results. What an interrupted write has left at its end is cut off.

    Attributes:
        path: The file.
        attempts: Requests that were sent for rows, by the row's id; of those without a result,
            and of those whose conversation is to be deleted still.

    Raises:
        BlockingIOError: If another process has it open.
        ValueError: If it is no output of a batch.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._notes_path = _notes_of(path)
        self._file = _opened(path)
        try:
            _lock(self._file, path)
            _mend(path)
            self._notes = _opened(self._notes_path)
        except BaseException:
            os.close(self._file)
            raise
        _mend(self._notes_path)
        self.attempts = read_notes(path)
        self._end = os.fstat(self._file).st_size
        self._pending: list[bytes] = []
        self._written: asyncio.Future[None] | None = None
        self._syncing: asyncio.Task[None] | None = None

    # Notes ---------------------------------------------------------------------------------------

    def sent(self, row_id: str) -> Attempt:
        """Note that a request is about to be sent."""
        attempt = Attempt(sent_at=now())
        self.attempts.setdefault(row_id, []).append(attempt)
        self._note({"id": row_id, "sent_at": attempt.sent_at.isoformat()})
        return attempt

    def began(self, row_id: str, **ids: str | None) -> None:
        """Note which ids the server has given the newest request."""
        known = {name: value for name, value in ids.items() if value}
        _update(self.attempts[row_id][-1], known)
        self._note({"id": row_id, **known})

    def lost(self, row_id: str, reason: str) -> None:
        """Note that the answer of the newest request is lost, though it may have been paid for."""
        _update(self.attempts[row_id][-1], {"reason": reason})
        self._note({"id": row_id, "reason": reason})

    def adopt(self, row_id: str, attempts: list[Attempt]) -> None:
        """Take over the requests that another process has sent for a row."""
        self.attempts[row_id] = attempts
        for attempt in attempts:
            self._note({"id": row_id, **attempt.model_dump(mode="json", exclude_none=True)})

    def refused(self, row_id: str) -> None:
        """Note that the newest request has begun nothing."""
        of_row = self.attempts[row_id]
        of_row.pop()
        if not of_row:
            del self.attempts[row_id]
        self._note({"id": row_id, "refused": True})

    def forget(self, row_id: str) -> None:
        """Keep the requests of a row, which has its result, in memory no longer."""
        self.attempts.pop(row_id, None)

    def deleted(self, row_id: str) -> None:
        """Note that the conversations of a row are deleted."""
        self.forget(row_id)
        self._note({"id": row_id, "done": True})

    def _note(self, note: dict[str, Any]) -> None:
        os.write(self._notes, json.dumps(note).encode() + b"\n")

    # Results -------------------------------------------------------------------------------------

    def results(self) -> Iterator[Result]:
        """Read the results that are there.

        Raises:
            ValueError: For a line that is none.
        """
        for number, (_, line) in enumerate(lines(self.path), 1):
            try:
                yield Result.model_validate_json(line)
            except ValueError:
                raise ValueError(
                    f"{self.path.name}, line {number}: not the result of a batch; give another "
                    "output"
                ) from None

    async def write(self, result: Result) -> int:
        """Write a result down; it is on disk when this returns.

        Returns:
            Where it begins in the file.

        Raises:
            OSError: If it cannot be written.
        """
        line = result.line()
        begins, self._end = self._end, self._end + len(line)
        self._pending.append(line)
        loop = asyncio.get_running_loop()
        if self._written is None:
            self._written = loop.create_future()
        written = self._written
        if self._syncing is None:
            self._syncing = asyncio.ensure_future(self._sync())
        await asyncio.shield(written)
        return begins

    async def _sync(self) -> None:
        try:
            while self._written is not None:
                await asyncio.sleep(_GATHER)
                written, self._written = self._written, None
                data, self._pending = b"".join(self._pending), []
                try:
                    await asyncio.to_thread(self._write_and_sync, data)
                except OSError as error:
                    written.set_exception(error)
                else:
                    written.set_result(None)
        finally:
            self._syncing = None

    def _write_and_sync(self, data: bytes) -> None:
        _write_all(self._file, data)
        os.fsync(self._notes)
        os.fsync(self._file)

    def drop_failed(self) -> int:
        """Take the failed results out, so that their rows are asked again; return how many."""
        fresh = self.path.with_name(f"{self.path.name}.tmp")
        dropped = 0
        with fresh.open("wb") as file:
            for result in self.results():
                if result.status == "failed":
                    dropped += 1
                    self._keep_paused(result)
                else:
                    file.write(result.line())
            file.flush()
            os.fsync(file.fileno())
        renamed = os.open(fresh, os.O_APPEND | os.O_WRONLY)
        _lock(renamed, self.path)
        os.replace(fresh, self.path)
        os.close(self._file)
        self._file = renamed
        self._end = os.fstat(renamed).st_size
        return dropped

    def _keep_paused(self, result: Result) -> None:
        """A run that waits for a person is attached to again, not started anew."""
        if result.error and result.error.type == "WorkflowPausedError" and result.workflow_run_id:
            self.sent(result.id)
            names = ("task_id", "conversation_id", "message_id", "workflow_run_id")
            self.began(result.id, **{name: getattr(result, name) for name in names})

    async def close(self, *, is_complete: bool) -> None:
        """Close the files; the notes are removed if no row is left."""
        if self._syncing is not None:
            await self._syncing
        if is_complete:
            self._notes_path.unlink()
        self.close_files()

    def close_files(self) -> None:
        """Close the files, where nothing is being written."""
        os.close(self._notes)
        os.close(self._file)


def _update(attempt: Attempt, facts: dict[str, Any]) -> None:
    for name, value in facts.items():
        setattr(attempt, name, value)


def _opened(path: Path) -> int:
    return os.open(path, os.O_APPEND | os.O_CREAT | os.O_RDWR, 0o666)


def _lock(file: int, path: Path) -> None:
    if fcntl is None:
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise BlockingIOError(f"another batch is writing to {path}") from None


def _write_all(file: int, data: bytes) -> None:
    while data:
        data = data[os.write(file, data) :]


def lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """The lines of a file that are not blank, each with where it begins."""
    offset = 0
    with path.open("rb") as file:
        for line in file:
            if line.strip():
                yield offset, line
            offset += len(line)


def read_notes(path: Path) -> dict[str, list[Attempt]]:
    """The requests that the notes beside a file of results tell of, by the row's id."""
    attempts: dict[str, list[Attempt]] = {}
    notes = _notes_of(path)
    for _, line in lines(notes) if notes.exists() else ():
        if not _is_object(line):
            continue  # half of it
        note = json.loads(line)
        row_id = note.pop("id")
        of_row = attempts.setdefault(row_id, [])
        if "sent_at" in note:
            of_row.append(Attempt.model_validate(note))
        elif "done" in note:
            attempts.pop(row_id)
        elif of_row and "refused" in note:
            of_row.pop()
        elif of_row:
            _update(of_row[-1], note)
    return {row_id: of_row for row_id, of_row in attempts.items() if of_row}


def is_open(path: Path) -> bool:
    """Whether some process has a file of results open to write."""
    if fcntl is None:
        return False
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _notes_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.started")


def _mend(path: Path) -> None:
    """Cut off what an interrupted write has left at the end: half a line, or unwritten blocks."""
    good = 0
    with path.open("rb+") as file:
        for line in file:
            if line.endswith(b"\n") and (not line.strip() or _is_object(line)):
                good += len(line)
            elif line.endswith(b"\n") and file.peek(1):
                return  # in the middle: whoever reads it says so
            else:
                break
        file.truncate(good)


def _is_object(line: bytes) -> bool:
    return line.startswith(b"{") and line.rstrip().endswith(b"}") and _parses(line)


def _parses(line: bytes) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return True
