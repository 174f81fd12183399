"""An answer whose stream broke, found again where the server goes on with it, or has kept it."""

from __future__ import annotations

import contextlib
import math
import time

from dify_api._runs.flows import Flow, Pause
from dify_api._runs.following import OUT_OF_REACH, followed, pauses
from dify_api._runs.records import ENDED, finished_run, message_end
from dify_api._runs.steps import Course, Follow, TakeTurn
from dify_api.answers._reader import AnswerReader
from dify_api.answers.answer import Answer
from dify_api.answers.events import ErrorEvent
from dify_api.endpoints import messages, workflows
from dify_api.endpoints.messages import Message
from dify_api.endpoints.pages import Page
from dify_api.endpoints.workflows import WorkflowRun
from dify_api.errors import DifyError, NotFoundError
from dify_api.operation import Operation, is_uuid


def answered(reader: AnswerReader, operation: Operation[Answer], *, recover: bool) -> Course:
    """The course of a call that answers: read it, and find the answer again if that breaks.

    Args:
        reader: Reads the answer.
        operation: The call.
        recover: Whether to find it again.
    """
    if operation.conversation_id:
        yield TakeTurn(operation.conversation_id)
    cause = yield Follow(operation)
    if recover and operation.user and reader.is_interrupted(cause):
        yield from recovered(reader, operation.user)


def attached(reader: AnswerReader, run_id: str, user: str, *, recover: bool) -> Course:
    """The course of an answer whose run was begun elsewhere, or earlier.

    Args:
        reader: Reads the answer; its builder has the ids that are known.
        run_id: The run.
        user: The end user who began it.
        recover: Whether to attach again where the connection breaks.
    """
    yield from _run(reader, run_id, user, look_first=True, again=recover)
    yield from _ended_message(reader, user)


def recovered(reader: AnswerReader, user: str) -> Course:
    """Find an interrupted answer again; what is known of it tells where.

    A run is attached to, else looked up; a message is looked up in its conversation. Nothing is
    begun again. Where that fails the answer stays interrupted, and `reader.lost` says why.
    """
    builder = reader.builder
    run_id = builder.workflow_run_id
    conversation_id, message_id = builder.conversation_id, builder.message_id
    has_message = is_uuid(conversation_id) and is_uuid(message_id)
    if not (is_uuid(run_id) or has_message):
        return
    reader.rejoin()
    try:
        if is_uuid(run_id):
            yield from _run(reader, run_id or "", user)
        if has_message and not reader.is_settled:
            yield from _kept_message(reader, conversation_id or "", message_id or "", user)
        yield from _ended_message(reader, user)
    except DifyError as error:
        reader.lost = str(error)


def _run(
    reader: AnswerReader, run_id: str, user: str, *, look_first: bool = False, again: bool = True
) -> Course:
    """The run's events; its detail on servers that have none (before 1.13)."""
    try:
        yield from followed(reader, run_id, user, look_first=look_first, again=again)
    except DifyError as refused:
        # Servers tell the record of a run to whoever knows its id, its events to its user alone.
        if look_first and _is_of_another_user(refused):
            raise
        try:
            yield from _run_detail(reader, run_id)
        except DifyError:
            reader.lost = str(refused)
        if not (reader.is_settled or reader.builder.message_id):
            raise


def _is_of_another_user(error: DifyError) -> bool:
    """Whether it is no user's run at all, or another's; 404 is also what older servers say."""
    return isinstance(error, NotFoundError) and error.message.startswith("Workflow run not found")


def _run_detail(reader: AnswerReader, run_id: str) -> Course:
    limit, waits, since = reader.progress_timeout or math.inf, pauses(), time.monotonic()
    while time.monotonic() - since <= limit:
        run: WorkflowRun = yield workflows.run_detail(run_id)
        if run.status in ENDED:
            reader.restore([finished_run(run)])
            return
        if run.id is None or run.status == "paused":  # unknown, up to 1.12.1
            return
        yield Pause(next(waits))


def _kept_message(reader: AnswerReader, conversation_id: str, message_id: str, user: str) -> Course:
    """The answer as history has it; it is kept when it has ended, and "" until then."""
    limit = min(reader.progress_timeout or math.inf, OUT_OF_REACH)
    waits, since = pauses(), time.monotonic()
    while time.monotonic() - since <= limit:
        message = yield from _message(conversation_id, message_id, user)
        if message is None:
            return
        if message.status == "error":
            reader.restore([ErrorEvent(message=message.error)])
            return
        if message.answer and message.status != "paused":
            reader.restore([message_end(message)], text=message.answer)
            return
        yield Pause(next(waits))
    reader.lost = f"the server has kept no answer within {limit:g} s"


def _ended_message(reader: AnswerReader, user: str) -> Course:
    """The usage and citations of a chatflow whose run has ended, but not its message."""
    builder = reader.builder
    if builder.lacks_message_end and builder.conversation_id and builder.message_id:
        with contextlib.suppress(DifyError):  # the answer is what counts
            message = yield from _message(builder.conversation_id, builder.message_id, user)
            if message is not None:
                reader.restore([message_end(message)])


def _message(conversation_id: str, message_id: str, user: str) -> Flow[Message | None]:
    page: Page[Message] = yield messages.list_messages(conversation_id, user=user, limit=20)
    return next((message for message in page.data if message.id == message_id), None)
