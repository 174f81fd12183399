"""One row: asked as often as it takes, and no more than is free, until there is a result."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from dify_api._runs.flows import arun
from dify_api.answers.answer import Answer
from dify_api.answers.events import Event
from dify_api.client import AsyncDifyClient
from dify_api.errors import (
    AnswerError,
    CompletionRequestError,
    ConnectionFailedError,
    DifyError,
    FileAccessDeniedError,
    ForbiddenError,
    ProviderNotInitializeError,
    ProviderQuotaExceededError,
    RateLimitError,
    StreamInterruptedError,
    UnauthorizedError,
    WrongAppTypeError,
)
from dify_api.operation import Operation
from dify_batch._app import App, Request
from dify_batch._journal import Journal
from dify_batch._pace import Outcome, seconds_before_retry
from dify_batch._pick_up import LostError, NothingBeganError, PickUp
from dify_batch.results import Attempt, Result, now, of_answer, of_error

_OF_THE_WHOLE_BATCH = (
    UnauthorizedError,
    ForbiddenError,
    WrongAppTypeError,
    ProviderNotInitializeError,
    ProviderQuotaExceededError,
)
"""What every row would meet: the batch stops, and the row stays to be asked."""


class Pacing(Protocol):
    """`Pace`, here or on another machine."""

    async def acquire(self) -> bool:
        """Wait until a request may begin; False if the batch is to stop."""
        ...

    async def pause(self, seconds: float) -> None:
        """Wait for so long, or until the batch is to stop."""

    def release(self, outcome: Outcome) -> None:
        """Tell how it ended."""


@dataclass
class Asker:
    """Asks the app, row by row.

    Args:
        client: Of the app; makes everything but generations.
        app: What it is.
        journal: Where requests are noted.
        pace: The limits.
        attempts: Requests for a row.
        on_repeat: Told of each request whose answer is lost.
    """

    client: AsyncDifyClient
    app: App
    journal: Journal
    pace: Pacing
    attempts: int
    on_repeat: Callable[[Request, Attempt], None] = lambda _request, _attempt: None
    pick_up: PickUp = field(init=False)

    def __post_init__(self) -> None:
        # Whether a generation may be repeated, and where else its answer is, is looked up here.
        plain = self.client.connection.model_copy(update={"max_retries": 0, "recover": False})
        self._generating = AsyncDifyClient.over(plain)
        limit = self.client.connection.progress_timeout
        self.pick_up = PickUp(self.client, self.app, limit)
        self._asked = Counter[str]()  # what goes on, by message and inputs

    async def ask(self, request: Request) -> Result | None:
        """The result of a row; None if the batch is to stop.

        Raises:
            DifyError: For a failure that every row would meet.
        """
        same = _asked(request)
        self._asked[same] += 1
        try:
            return await self._ask(request)
        except (DifyError, ValueError, OSError) as error:
            if _is_of_the_whole_batch(error):
                raise
            return self._result(request, of_error(error), status="failed")
        finally:
            self._asked[same] -= 1
            if not self._asked[same]:
                del self._asked[same]

    async def _ask(self, request: Request) -> Result | None:
        if answer := await self._of_earlier(request):
            return self._result(request, of_answer(answer), picked_up=True)
        operation = await self._operation(request)
        for count in range(1, self.attempts + 1):
            if not await self.pace.acquire():
                return None
            began = time.monotonic()
            outcome = Outcome()
            try:
                answer = await self._generate(request, operation)
                outcome = _outcome_of(answer)
                latency = round(time.monotonic() - began, 3)
                return self._result(request, of_answer(answer), latency=latency)
            except DifyError as error:
                outcome = _outcome_of_failure(error)
                failure = error
            finally:
                self.pace.release(outcome)
            if answer_or_none := await self._after(
                request, failure, is_last=count == self.attempts
            ):
                return self._result(request, of_answer(answer_or_none), picked_up=True)
            await self.pace.pause(seconds_before_retry(count))
        raise AssertionError("the last failure is raised")

    async def _of_earlier(self, request: Request) -> Answer | None:
        """The answer of a request that a process has sent which has ended since."""
        attempts = self.journal.attempts.get(request.id)
        if not attempts or attempts[-1].reason is not None:
            return None
        try:
            return await self._picked_up(request, attempts[-1])
        except NothingBeganError:
            self.journal.refused(request.id)
        except LostError as lost:
            self._lose(request, f"The process ended. {lost}")
        return None

    async def _operation(self, request: Request) -> Operation[Answer]:
        operation = await arun(self.client, self.app.operation(request))
        # A run that lives on can be attached to again, even by another process.
        return replace(operation, stop_path=None) if self.app.lives_on else operation

    async def _generate(self, request: Request, operation: Operation[Answer]) -> Answer:
        self.journal.sent(request.id)
        stream = self._generating.stream(operation)
        async with stream, aclosing(stream.steps()) as steps:
            async for event, _ in steps:
                if event.task_id or event.message_id:
                    self._note_ids(request, event)
                    break
            async for _ in steps:
                pass
        return stream.answer

    def _note_ids(self, request: Request, event: Event) -> None:
        run_id = getattr(event, "workflow_run_id", None)  # of the events of runs
        sent_at = self.journal.attempts[request.id][-1].sent_at
        self.pick_up.claim(sent_at, event.conversation_id, run_id)
        self.journal.began(
            request.id,
            task_id=event.task_id,
            conversation_id=event.conversation_id,
            message_id=event.message_id,
            workflow_run_id=run_id,
        )

    async def _after(self, request: Request, error: DifyError, *, is_last: bool) -> Answer | None:
        """What is to be done after a failure.

        Returns:
            The answer, where the server has it; None to ask again.

        Raises:
            DifyError: The failure, if another request would not help or may not be made.
        """
        attempt, reason = self.journal.attempts[request.id][-1], str(error)
        may_be_there = isinstance(error, StreamInterruptedError) or not attempt.is_known
        try:
            if _began_nothing(error) and not attempt.is_known:
                raise NothingBeganError
            if may_be_there:
                return await self._picked_up(request, attempt)
        except NothingBeganError:
            self.journal.refused(request.id)
            reason = ""
        except LostError as lost:
            reason = f"{reason} {lost}"
        if is_last or not _may_pass(error):
            raise error
        if reason:
            self._lose(request, reason)
        return None

    async def _picked_up(self, request: Request, attempt: Attempt) -> Answer:
        """The answer of a request that was sent.

        Raises:
            NothingBeganError: If the server has nothing of it.
            LostError: If the answer is lost.
        """
        try:
            if not attempt.is_known and self._asked[_asked(request)] > 1:
                raise LostError("Another row that asks the same goes on.")
            return await self.pick_up.answer(
                attempt, request, lambda **ids: self.journal.began(request.id, **ids)
            )
        except LostError:
            await self.pick_up.stop(attempt)
            raise

    def _lose(self, request: Request, reason: str) -> None:
        self.journal.lost(request.id, reason)
        self.on_repeat(request, self.journal.attempts[request.id][-1])

    def _result(
        self,
        request: Request,
        fields: dict[str, Any],
        status: Any = "succeeded",
        **more: Any,
    ) -> Result:
        attempts = self.journal.attempts.get(request.id, [])
        facts = {
            "id": request.id,
            "row": request.number,
            "status": status,
            "input": dict(request.row),
            **fields,
            "repeats": [attempt for attempt in attempts if attempt.reason is not None],
            "finished_at": now(),
            **more,
        }
        known = {name: value for name, value in facts.items() if value not in (None, [])}
        return Result.model_construct(**known)


def _is_of_the_whole_batch(error: Exception) -> bool:
    if isinstance(error, ConnectionFailedError):
        return not error.sent
    return isinstance(error, _OF_THE_WHOLE_BATCH) and not isinstance(error, FileAccessDeniedError)


def _asked(request: Request) -> str:
    return repr((request.query, sorted(request.inputs.items())))


def _began_nothing(error: DifyError) -> bool:
    """Whether the server has begun nothing that could be paid for."""
    if isinstance(error, ConnectionFailedError):
        return not error.sent
    return error.status is not None and error.status < 500 and error.answer is None


def _is_rate_limit(error: DifyError) -> bool:
    """Whether the app or its model's provider is too busy; servers before 1.16 say so in words."""
    if isinstance(error, RateLimitError):
        return True
    return isinstance(error, CompletionRequestError) and "rate limit" in error.message.lower()


def _may_pass(error: DifyError) -> bool:
    return error.retryable or _is_rate_limit(error)


def _outcome_of(answer: Answer) -> Outcome:
    usage = answer.usage
    if usage is None:
        return Outcome()
    return Outcome(tokens=usage.total_tokens, price=usage.total_price)


def _outcome_of_failure(error: DifyError) -> Outcome:
    used = _outcome_of(error.answer) if error.answer else Outcome()
    refused = _is_rate_limit(error) or (error.retryable and not isinstance(error, AnswerError))
    return replace(used, is_refused=refused, retry_after=error.retry_after)
