"""What a server's records of runs and messages say, in the terms of an answer."""

from __future__ import annotations

from dify_api.answers.events import (
    AnswerMetadata,
    Event,
    MessageEndEvent,
    WorkflowFinished,
    WorkflowFinishedEvent,
)
from dify_api.endpoints.messages import Message
from dify_api.endpoints.workflows import WorkflowRun
from dify_api.models import Usage, as_json, decode

ENDED = ("succeeded", "partial-succeeded", "failed", "stopped")
"""The statuses of a run that goes on no more."""


def finished_run(run: WorkflowRun, *, message_id: str | None = None) -> WorkflowFinishedEvent:
    """The event that ended a run.

    Args:
        run: Its record.
        message_id: The message that it answered with, of a chatflow.
    """
    data = decode(WorkflowFinished, as_json(run))
    return WorkflowFinishedEvent(workflow_run_id=run.id, message_id=message_id, data=data)


def usage_of(message: Message) -> Usage | None:
    """What a message cost; None where the server has not kept it."""
    if not message.total_tokens:
        return None
    return Usage(
        prompt_tokens=message.message_tokens or 0,
        completion_tokens=message.answer_tokens or 0,
        total_tokens=message.total_tokens,
        total_price=message.total_price,
        currency=message.currency,
        latency=message.provider_response_latency,
    )


def message_end(message: Message) -> Event:
    """The event that ended a message."""
    resources = message.retriever_resources
    metadata = AnswerMetadata(usage=usage_of(message), retriever_resources=resources)
    return MessageEndEvent(
        id=message.id, message_id=message.id, metadata=metadata, files=message.message_files
    )
