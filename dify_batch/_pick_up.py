"""The answer of a request whose stream was lost: taken from the server, where it keeps it.

Runs of workflow and chatflow apps go on when nobody reads them; they are attached to until they
end. Chat and agent apps answer only as long as somebody reads, and their history has what was
whole. Of a request whose ids are not known, the batch's user tells: its conversations and runs are
looked through for one with the same message and inputs. Completion apps keep nothing that can be
asked for.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from dify_api._runs.records import ENDED, finished_run, usage_of
from dify_api.answers._builder import AnswerBuilder
from dify_api.answers.answer import Answer
from dify_api.client import AsyncDifyClient
from dify_api.endpoints import chat, completion, conversations, workflows
from dify_api.endpoints.messages import Message, list_messages
from dify_api.endpoints.workflows import WorkflowRun
from dify_api.errors import (
    DifyError,
    NotFoundError,
    StreamInterruptedError,
    WorkflowFailedError,
    WorkflowPausedError,
)
from dify_api.models import Usage
from dify_batch._app import App, Request
from dify_batch.results import Attempt

_CLOCKS_DIFFER = timedelta(minutes=5)
_OVERTAKES = timedelta(seconds=30)  # by which requests may begin in another order than sent
_REMEMBERED = 10_000  # conversations and runs that are known to be of other rows
_POLLS = 2  # for the answer of a chat, which is there at once or never
_LONGEST_POLL = 10.0  # seconds


class NothingBeganError(Exception):
    """The server has nothing of the request: to send it again costs nothing twice."""


class LostError(Exception):
    """The answer is lost; the request may have been paid for."""


@dataclass
class PickUp:
    """Takes answers from the server.

    Args:
        client: Of the app.
        app: What it is.
        time_limit: Seconds that a run is waited for; None for no limit.
        began: Called with the ids of a run that was found.
    """

    client: AsyncDifyClient
    app: App
    time_limit: float | None = 600.0

    def __post_init__(self) -> None:
        self._claimed: dict[str, datetime] = {}
        self._questions: dict[str, Message] = {}
        self._runs: dict[str, WorkflowRun] = {}

    def claim(self, sent_at: datetime, *ids: str | None) -> None:
        """Take note of conversations and runs of known rows, and of when they were sent."""
        self._claimed.update((name, sent_at) for name in ids if name)
        while len(self._claimed) > _REMEMBERED:
            del self._claimed[next(iter(self._claimed))]

    async def answer(
        self, attempt: Attempt, request: Request, began: Callable[..., None]
    ) -> Answer:
        """The answer of a request that was sent.

        Args:
            attempt: What is known of it.
            request: What was asked.
            began: Called with the ids that are found out.

        Raises:
            NothingBeganError: If the server has nothing of it.
            LostError: If the answer is lost.
            WorkflowFailedError: If the run failed.
            WorkflowPausedError: If it waits for a person.
        """
        if not attempt.is_known:
            try:
                found = await self._find(attempt.sent_at, request)
            except DifyError as error:
                raise LostError(f"Whether it began cannot be told: {error}") from None
            self.claim(attempt.sent_at, *found.values())
            began(**found)
        if attempt.workflow_run_id:
            try:
                answer = await self._of_run(attempt.workflow_run_id, attempt)
            except NotFoundError:  # also of all chatflows before 1.3.1
                if not attempt.conversation_id:
                    raise LostError("The server knows no such run.") from None
                answer = await self._of_history(attempt)
        elif attempt.conversation_id:
            answer = await self._of_history(attempt)
        else:
            raise LostError("The app keeps no answers that can be asked for.")
        return answer.model_copy(
            update={name: value for name, value in _ids(attempt).items() if value}
        )

    async def stop(self, attempt: Attempt) -> None:
        """Let an answer that is lost go on no longer; best effort."""
        if attempt.task_id is None:
            return
        stops: dict[str, Any] = {"workflow": workflows.stop, "completion": completion.stop}
        stop = stops.get(self.app.tool.mode, chat.stop)
        with contextlib.suppress(DifyError):
            await self.client.send(stop(attempt.task_id, user=self.app.user))

    # By ids --------------------------------------------------------------------------------------

    async def _of_run(self, run_id: str, attempt: Attempt) -> Answer:
        """Wait until the run has ended.

        A stream of its events is attached to, and what the server has written down looked at
        before, since the first attachment after a drop may bring nothing.
        """

        async def look() -> Answer | None:
            run = await self.client.send(workflows.run_detail(run_id))
            if run.id is None:  # what servers up to 1.12.1 say
                raise NotFoundError("no such run", status=404)
            return await self._of_ended_run(run, attempt) if run.status in ENDED else None

        async def attach() -> Answer | None:
            if answer := await look():
                return answer
            try:
                with contextlib.suppress(NotFoundError, StreamInterruptedError):  # before 1.13
                    following = workflows.events(run_id, user=self.app.user)
                    answer = await self.client.send(following)
                    # Only what followed came: the whole is written down.
                    return (await look()) or answer
            except WorkflowFailedError:
                return await look()
            return None

        return await self._poll(attach, self.time_limit)

    async def _of_ended_run(self, run: WorkflowRun, attempt: Attempt) -> Answer:
        if run.status == "stopped":
            raise LostError("The run was stopped.")
        builder = AnswerBuilder()
        builder.add(finished_run(run, message_id=attempt.message_id))
        answer = builder.build()
        if run.status == "failed":
            raise WorkflowFailedError(run.error or "the run failed", answer=answer)
        message = await self._message(attempt)
        if message is None:
            usage = answer.usage or Usage(total_tokens=run.total_tokens or 0)
            text = answer.text or _only_text(run.outputs or {})
            return answer.model_copy(update={"usage": usage, "text": text})
        return answer.model_copy(
            update={**_of_message(message), "text": answer.text or message.answer}
        )

    async def _of_history(self, attempt: Attempt) -> Answer:
        async def look() -> Answer | None:
            message = await self._message(attempt)
            if message is None or message.status == "error":
                raise LostError((message and message.error) or "There is no such message.")
            if message.status == "paused":
                raise WorkflowPausedError("the run waits for human input", answer=partial(message))
            return partial(message) if message.answer else None

        def partial(message: Message) -> Answer:
            return Answer(text=message.answer, **_of_message(message))

        if self.app.lives_on:  # a chatflow whose run is not known
            return await self._poll(look, self.time_limit)
        return await self._poll(look, None, most=_POLLS)

    async def _message(self, attempt: Attempt) -> Message | None:
        if not attempt.conversation_id:
            return None
        try:
            listing = list_messages(attempt.conversation_id, user=self.app.user, limit=1)
            page = await self.client.send(listing)
        except NotFoundError:
            return None
        return page.data[-1] if page.data else None

    async def _poll(
        self,
        look: Callable[[], Awaitable[Answer | None]],
        time_limit: float | None,
        most: int | None = None,
    ) -> Answer:
        began, seconds, count = time.monotonic(), 0.5, 0
        while True:
            try:
                if answer := await look():
                    return answer
            except DifyError as error:
                if not error.retryable:
                    raise
            count += 1
            late = time_limit is not None and time.monotonic() - began > time_limit
            if late or (most is not None and count >= most):
                raise LostError("The server has no answer of it.")
            await asyncio.sleep(seconds)
            seconds = min(seconds * 2, _LONGEST_POLL)

    # By what was asked ---------------------------------------------------------------------------

    async def _find(self, sent_at: datetime, request: Request) -> dict[str, str]:
        """The ids of what a request has begun.

        Raises:
            NothingBeganError: If there is nothing.
            LostError: If the app cannot be asked.
        """
        if self.app.has_conversations:
            return await self._find_conversation(sent_at, request)
        if self.app.tool.mode == "workflow":
            return await self._find_run(sent_at, request)
        raise LostError("Whether it began cannot be told: completion apps list nothing.")

    def _is_before(self, name: str, created_at: datetime | None, sent_at: datetime) -> bool:
        """Whether a conversation or run, and so all that are older, began before a request."""
        claimed = self._claimed.get(name)
        if claimed is not None and claimed < sent_at - _OVERTAKES:
            return True
        return created_at is not None and created_at < sent_at - _CLOCKS_DIFFER

    async def _find_conversation(self, sent_at: datetime, request: Request) -> dict[str, str]:
        listing = conversations.list_conversations(
            user=self.app.user, limit=100, sort_by="-created_at"
        )
        async for conversation in self.client.iterate(listing):
            if self._is_before(conversation.id, conversation.created_at, sent_at):
                break
            if conversation.id in self._claimed:
                continue
            message = self._questions.get(conversation.id)
            if message is None:
                found = await self._message(
                    Attempt(sent_at=sent_at, conversation_id=conversation.id)
                )
                if found is None:
                    continue
                message = self._questions[conversation.id] = found
            same = message.query == request.query and _has(message.inputs, request.inputs)
            if same and conversation.id not in self._claimed:
                self._questions.pop(conversation.id)
                return {"conversation_id": conversation.id, "message_id": message.id}
        raise NothingBeganError

    async def _find_run(self, sent_at: datetime, request: Request) -> dict[str, str]:
        since = sent_at - _CLOCKS_DIFFER
        listing = workflows.logs(
            created_at_after=since, created_by_end_user_session_id=self.app.user, limit=100
        )
        async for entry in self.client.iterate(listing):
            run_id = entry.workflow_run.id
            if self._is_before(run_id or "", entry.created_at, sent_at):
                break
            if run_id is None or run_id in self._claimed:
                continue
            if run_id not in self._runs:
                self._runs[run_id] = await self.client.send(workflows.run_detail(run_id))
            if _has(self._runs[run_id].inputs or {}, request.inputs) and (
                run_id not in self._claimed
            ):
                self._runs.pop(run_id)
                return {"workflow_run_id": run_id}
        raise NothingBeganError


def _only_text(outputs: Mapping[str, Any]) -> str:
    """What a workflow with several outputs has streamed, as far as its outputs tell."""
    texts = [value for value in outputs.values() if isinstance(value, str)]
    return texts[0] if len(texts) == 1 else ""


def _ids(attempt: Attempt) -> dict[str, str | None]:
    names = ("task_id", "conversation_id", "message_id", "workflow_run_id")
    return {name: getattr(attempt, name) for name in names}


def _of_message(message: Message) -> dict[str, Any]:
    files = [file for file in message.message_files if file.belongs_to != "user"]
    return {
        "conversation_id": message.conversation_id,
        "message_id": message.id,
        "retriever_resources": message.retriever_resources,
        "files": files,
        "usage": usage_of(message),
        "finish_reason": "stop",
    }


def _has(inputs: Mapping[str, Any], asked: Mapping[str, Any]) -> bool:
    """Whether a server's record of a request is what a row asks; files look different there."""
    return all(
        str(inputs.get(name)) == str(value)
        for name, value in asked.items()
        if value not in (None, "") and not isinstance(inputs.get(name), dict | list)
    )
