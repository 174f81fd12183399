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
        attempts: Requests that were sent for rows, by the row's id; of those without a result,
            and of those whose conversation is to be deleted still.

    Raises:
        BlockingIOError: If another process has it open.
        ValueError: If it is no output of a batch.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._notes_path = path.with_name(f"{path.name}.started")
        self._file = _opened(path)
        try:
            _lock(self._file, path)
            _mend(path)
            self._notes = _opened(self._notes_path)
        except BaseException:
            os.close(self._file)
            raise
        _mend(self._notes_path)
        self.attempts: dict[str, list[Attempt]] = {}
        for _, line in _lines(self._notes_path):
            self._read_note(line)
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

    def refused(self, row_id: str) -> None:
        """Note that the newest request has begun nothing."""
        self.attempts[row_id].pop()
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

    def _read_note(self, line: bytes) -> None:
        note = json.loads(line)
        row_id = note.pop("id")
        of_row = self.attempts.setdefault(row_id, [])
        if "sent_at" in note:
            of_row.append(Attempt.model_validate(note))
        elif "done" in note:
            self.attempts.pop(row_id)
        elif of_row and "refused" in note:
            of_row.pop()
        elif of_row:
            _update(of_row[-1], note)

    # Results -------------------------------------------------------------------------------------

    def results(self) -> Iterator[Result]:
        """Read the results that are there.

        Raises:
            ValueError: For a line that is none.
        """
        for number, line in _lines(self._path):
            try:
                yield Result.model_validate_json(line)
            except ValueError:
                raise ValueError(
                    f"{self._path.name}, line {number}: not the result of a batch; give another "
                    "output"
                ) from None

    async def write(self, result: Result) -> None:
        """Write a result down; it is on disk when this returns.

        Raises:
            OSError: If it cannot be written.
        """
        self._pending.append(result.line())
        loop = asyncio.get_running_loop()
        if self._written is None:
            self._written = loop.create_future()
        written = self._written
        if self._syncing is None:
            self._syncing = asyncio.ensure_future(self._sync())
        await asyncio.shield(written)

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
        fresh = self._path.with_name(f"{self._path.name}.tmp")
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
        _lock(renamed, self._path)
        os.replace(fresh, self._path)
        os.close(self._file)
        self._file = renamed
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
        os.close(self._notes)
        if is_complete:
            self._notes_path.unlink()
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


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                yield number, line


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
