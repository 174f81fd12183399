"""A batch: rows in, results out, with as many workers as requests may go on at a time."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from dify_api._runs.flows import arun
from dify_api.client import AsyncDifyClient
from dify_api.connection import DifyConnection
from dify_api.endpoints import conversations
from dify_api.errors import DifyError, NotFoundError
from dify_batch import _parquet
from dify_batch._app import App, Request, describe
from dify_batch._ask import Asker
from dify_batch._journal import Journal
from dify_batch._pace import Pace
from dify_batch._progress import Progress
from dify_batch._rows import Row, Rows, count_rows, folder_of, read_rows
from dify_batch.options import Columns, Limits
from dify_batch.results import Result, lines_of
from dify_batch.summary import Summary


@dataclass
class Batch:
    """One run over the rows.

    Attributes:
        rows: Where they come from.
        connection: The app's.
        output: File of the results.
        columns: Which columns are what.
        limits: What may not be exceeded.
        user: End user of all rows.
        workflow_id: Published version to run.
        retry_failed: Whether rows that failed are asked again.
        delete_conversations: Whether each row's conversation is deleted once its result is kept.
        progress: Shows how it goes.
    """

    rows: Rows
    connection: DifyConnection
    output: Path
    columns: Columns
    limits: Limits
    user: str
    workflow_id: str | None = None
    retry_failed: bool = False
    delete_conversations: bool = False
    progress: Progress = field(default_factory=Progress)

    def __post_init__(self) -> None:
        self.summary = Summary()
        self._client = AsyncDifyClient.over(self.connection)
        self._pace: Pace | None = None
        self._failure: Exception | None = None
        self._is_interrupted = False
        self._has_begun = False

    async def run(self) -> Summary:
        """Ask the app for all rows that have no result yet.

        Raises:
            ValueError: If the rows or the columns are not fit.
            DifyError: For a failure that every row would meet.
        """
        if self.output.suffix == ".parquet":
            _parquet.schema()  # tells at once if it cannot be written
        rows = read_rows(self.rows)
        first = next(rows, None)
        app = await arun(
            self._client,
            describe(
                self.connection.app,
                self.columns,
                [*first] if first else [],
                user=self.user,
                workflow_id=self.workflow_id,
                folder=folder_of(self.rows),
            ),
        )
        self.summary.rows = await asyncio.to_thread(count_rows, self.rows)
        journal = Journal(lines_of(self.output))
        is_complete = False
        try:
            await self._run(app, journal, itertools.chain([first] if first else [], rows))
            is_complete = self.summary.stopped is None and not journal.attempts
        finally:
            await journal.close(is_complete=is_complete)
            self.summary.seconds = time.monotonic() - self.summary.began
            if self._has_begun:
                self.progress.end(self.summary)
        if self.output.suffix == ".parquet":
            await asyncio.to_thread(_parquet.write, self.output, lines_of(self.output))
        return self.summary

    async def _run(self, app: App, journal: Journal, rows: Iterator[Row]) -> None:
        if self.retry_failed:
            journal.drop_failed()
        self._pace = pace = Pace(self.limits)
        asker = Asker(self._client, app, journal, pace, self.limits.attempts, self.progress.repeat)
        done = await self._take_earlier(asker, pace)
        if self._is_interrupted:
            pace.stop("interrupted")
        self.progress.begin(self.summary)
        self._has_begun = True
        requests = _left(app, rows, done)
        workers = [self._work(asker, pace, requests) for _ in range(self.limits.concurrency)]
        await asyncio.gather(*workers)
        if self._failure is not None:
            raise self._failure
        if pace.stopped and next(requests, None) is None and not journal.attempts:
            pace.stopped = None  # it was the last row that used up the budget
        self.summary.stopped = pace.stopped

    async def _take_earlier(self, asker: Asker, pace: Pace) -> set[str]:
        """Take note of the results of earlier runs; return the ids of their rows."""
        done: set[str] = set()
        oldest = min(
            (attempt.sent_at for of_row in asker.journal.attempts.values() for attempt in of_row),
            default=None,
        )
        to_delete = []
        for result in asker.journal.results():
            if result.id in done:
                raise ValueError(f"{self.output.name} has two results of row {result.id}")
            done.add(result.id)
            self.summary.add(result)
            pace.count(result.price, failed=result.status == "failed")
            if oldest is not None and result.finished_at >= oldest:
                asker.pick_up.claim(
                    result.finished_at, result.conversation_id, result.workflow_run_id
                )
            if self.delete_conversations and result.id in asker.journal.attempts:
                to_delete.append(result)
            else:
                asker.journal.forget(result.id)
        for attempts in asker.journal.attempts.values():
            for attempt in attempts:
                asker.pick_up.claim(
                    attempt.sent_at, attempt.conversation_id, attempt.workflow_run_id
                )
        self.summary.done_before = len(done)
        for result in to_delete:
            await self._delete(result, asker.journal)
        return done

    async def _work(self, asker: Asker, pace: Pace, requests: Iterator[Request]) -> None:
        """Ask for one row after the other."""
        try:
            while pace.stopped is None and (request := next(requests, None)) is not None:
                result = await asker.ask(request)
                if result is None:
                    return
                await asker.journal.write(result)
                price = result.price if result.picked_up else None
                pace.count(price, failed=result.status == "failed")
                self.summary.add(result)
                self.progress.result(result, self.summary)
                if self.delete_conversations:
                    await self._delete(result, asker.journal)
                else:
                    asker.journal.forget(result.id)
        except Exception as error:  # noqa: BLE001 - raised once the others have ended
            self._failure = self._failure or error
            pace.stop("interrupted")

    async def _delete(self, result: Result, journal: Journal) -> None:
        """Delete the conversations of a row; what cannot be deleted is noted, and tried again."""
        attempts = journal.attempts.get(result.id, [])
        ids = {result.conversation_id, *(attempt.conversation_id for attempt in attempts)}
        try:
            for conversation_id in ids - {None}:
                with contextlib.suppress(NotFoundError):
                    await self._client.send(
                        conversations.delete(conversation_id or "", user=self.user)
                    )
        except DifyError as error:
            self.progress.note(f"deleting a conversation failed: {error}")
        else:
            journal.deleted(result.id)

    def interrupt(self) -> None:
        """Let no further request begin; what goes on ends."""
        self._is_interrupted = True
        if self._pace is not None:
            self._pace.stop("interrupted")

    async def run_until_interrupted(self) -> Summary:
        """`run`, which the first Ctrl-C (or SIGTERM) ends cleanly, and a second one at once."""
        loop, this = asyncio.get_running_loop(), asyncio.current_task()

        def on_signal() -> None:
            if self._is_interrupted and this is not None:
                this.cancel()
                return
            self.interrupt()
            self.progress.note("Ending what goes on; Ctrl-C again leaves it.")

        numbers = (signal.SIGINT, signal.SIGTERM)
        for number in numbers:
            # Not on Windows, and in the main thread alone.
            with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):
                loop.add_signal_handler(number, on_signal)
        try:
            return await self.run()
        except asyncio.CancelledError:
            if not self._is_interrupted:
                raise
            self.summary.stopped = "interrupted"
            return self.summary
        finally:
            for number in numbers:
                with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):
                    loop.remove_signal_handler(number)


def _left(app: App, rows: Iterator[Row], done: set[str]) -> Iterator[Request]:
    """The rows without a result; those with the same content are numbered."""
    seen: dict[str, int] = {}
    for number, row in enumerate(rows):
        request = app.request(row, number).numbered(seen)
        if request.id not in done:
            yield request
