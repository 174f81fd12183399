"""Every event of a Dify stream as one pydantic class, and the parser of a frame.

Field lists are those of releases 0.3.0 to 1.16.0 together. All fields have defaults, unknown
fields are kept (`event.model_extra`), and an event of no known name becomes an `UnknownEvent`.
A new event is one class in `message_events` or `workflow_events` and one name in `_Known`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError

from dify_api.answers.message_events import (
    AgentMessageEvent as AgentMessageEvent,
)
from dify_api.answers.message_events import (
    AgentThoughtEvent as AgentThoughtEvent,
)
from dify_api.answers.message_events import (
    AnnotationEvent as AnnotationEvent,
)
from dify_api.answers.message_events import (
    AnswerMetadata as AnswerMetadata,
)
from dify_api.answers.message_events import (
    ErrorEvent as ErrorEvent,
)
from dify_api.answers.message_events import (
    Event as Event,
)
from dify_api.answers.message_events import (
    MessageEndEvent as MessageEndEvent,
)
from dify_api.answers.message_events import (
    MessageEvent as MessageEvent,
)
from dify_api.answers.message_events import (
    MessageFileEvent as MessageFileEvent,
)
from dify_api.answers.message_events import (
    MessageReplaceEvent as MessageReplaceEvent,
)
from dify_api.answers.message_events import (
    PingEvent as PingEvent,
)
from dify_api.answers.message_events import (
    ReasoningChunk as ReasoningChunk,
)
from dify_api.answers.message_events import (
    ReasoningChunkEvent as ReasoningChunkEvent,
)
from dify_api.answers.message_events import (
    TextChunk as TextChunk,
)
from dify_api.answers.message_events import (
    TextChunkEvent as TextChunkEvent,
)
from dify_api.answers.message_events import (
    TextReplaceEvent as TextReplaceEvent,
)
from dify_api.answers.message_events import (
    TTSMessageEndEvent as TTSMessageEndEvent,
)
from dify_api.answers.message_events import (
    TTSMessageEvent as TTSMessageEvent,
)
from dify_api.answers.message_events import (
    UnknownEvent as UnknownEvent,
)
from dify_api.answers.message_events import (
    WarningEvent as WarningEvent,
)
from dify_api.answers.workflow_events import (
    AgentLog as AgentLog,
)
from dify_api.answers.workflow_events import (
    AgentLogEvent as AgentLogEvent,
)
from dify_api.answers.workflow_events import (
    ContainerExecution as ContainerExecution,
)
from dify_api.answers.workflow_events import (
    HumanInputForm as HumanInputForm,
)
from dify_api.answers.workflow_events import (
    HumanInputFormFilled as HumanInputFormFilled,
)
from dify_api.answers.workflow_events import (
    HumanInputFormFilledEvent as HumanInputFormFilledEvent,
)
from dify_api.answers.workflow_events import (
    HumanInputFormTimeout as HumanInputFormTimeout,
)
from dify_api.answers.workflow_events import (
    HumanInputFormTimeoutEvent as HumanInputFormTimeoutEvent,
)
from dify_api.answers.workflow_events import (
    HumanInputRequiredEvent as HumanInputRequiredEvent,
)
from dify_api.answers.workflow_events import (
    IterationCompletedEvent as IterationCompletedEvent,
)
from dify_api.answers.workflow_events import (
    IterationNextEvent as IterationNextEvent,
)
from dify_api.answers.workflow_events import (
    IterationStartedEvent as IterationStartedEvent,
)
from dify_api.answers.workflow_events import (
    LoopCompletedEvent as LoopCompletedEvent,
)
from dify_api.answers.workflow_events import (
    LoopNextEvent as LoopNextEvent,
)
from dify_api.answers.workflow_events import (
    LoopStartedEvent as LoopStartedEvent,
)
from dify_api.answers.workflow_events import (
    NodeExecution as NodeExecution,
)
from dify_api.answers.workflow_events import (
    NodeFinishedEvent as NodeFinishedEvent,
)
from dify_api.answers.workflow_events import (
    NodeRetryEvent as NodeRetryEvent,
)
from dify_api.answers.workflow_events import (
    NodeStartedEvent as NodeStartedEvent,
)
from dify_api.answers.workflow_events import (
    ParallelBranch as ParallelBranch,
)
from dify_api.answers.workflow_events import (
    ParallelBranchFinishedEvent as ParallelBranchFinishedEvent,
)
from dify_api.answers.workflow_events import (
    ParallelBranchStartedEvent as ParallelBranchStartedEvent,
)
from dify_api.answers.workflow_events import (
    WorkflowEvent as WorkflowEvent,
)
from dify_api.answers.workflow_events import (
    WorkflowFinished as WorkflowFinished,
)
from dify_api.answers.workflow_events import (
    WorkflowFinishedEvent as WorkflowFinishedEvent,
)
from dify_api.answers.workflow_events import (
    WorkflowPaused as WorkflowPaused,
)
from dify_api.answers.workflow_events import (
    WorkflowPausedEvent as WorkflowPausedEvent,
)
from dify_api.answers.workflow_events import (
    WorkflowStarted as WorkflowStarted,
)
from dify_api.answers.workflow_events import (
    WorkflowStartedEvent as WorkflowStartedEvent,
)
from dify_api.models import decode

_Known = Annotated[
    PingEvent
    | WarningEvent
    | ErrorEvent
    | MessageEvent
    | AgentMessageEvent
    | MessageFileEvent
    | AnnotationEvent
    | MessageReplaceEvent
    | TextChunkEvent
    | TextReplaceEvent
    | ReasoningChunkEvent
    | AgentThoughtEvent
    | MessageEndEvent
    | TTSMessageEvent
    | TTSMessageEndEvent
    | WorkflowStartedEvent
    | NodeStartedEvent
    | NodeFinishedEvent
    | NodeRetryEvent
    | IterationStartedEvent
    | IterationNextEvent
    | IterationCompletedEvent
    | LoopStartedEvent
    | LoopNextEvent
    | LoopCompletedEvent
    | ParallelBranchStartedEvent
    | ParallelBranchFinishedEvent
    | AgentLogEvent
    | WorkflowFinishedEvent
    | HumanInputRequiredEvent
    | HumanInputFormFilledEvent
    | HumanInputFormTimeoutEvent
    | WorkflowPausedEvent,
    Field(discriminator="event"),
]
_known: TypeAdapter[Event] = TypeAdapter(_Known)
_validate_json = _known.validator.validate_json
_classes: dict[str, type[Event]] = {
    str(kind.model_fields["event"].default): kind
    for kind in (*Event.__subclasses__(), *WorkflowEvent.__subclasses__())
    if kind.model_fields["event"].default
}


def parse_event(name: str, data: bytes) -> Event | None:
    """Read one frame of a stream.

    Args:
        name: The frame's `event:` line, "" where it has none.
        data: The frame's data, JSON text.

    Returns:
        The event; None for a frame that holds no JSON object (a proxy's debris).
    """
    try:
        return _validate_json(data)  # type: ignore[no-any-return]  # typed Any by pydantic-core
    except ValidationError:
        return _parse_leniently(name, data)


def _parse_leniently(name: str, data: bytes) -> Event | None:
    """The slow path: pings, frames of 2023, unknown events, fields of unexpected types."""
    if not data.strip():
        return PingEvent() if name == "ping" else None
    try:
        frame = json.loads(data.decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return None
    if not isinstance(frame, dict):
        return None
    kind = str(frame.get("event") or name or _kind_of(frame))
    return decode(_classes.get(kind, UnknownEvent), {**frame, "event": kind})


def _kind_of(frame: Mapping[str, Any]) -> str:
    """The event that a frame without a name is (releases 0.3.x and the 2023 references)."""
    if "answer" in frame:
        return "message"
    if "message" in frame and ("code" in frame or "status" in frame):
        return "error"
    return ""
