"""What a workflow's stream shows of its run: text, nodes, and last the outputs."""

from __future__ import annotations

from typing import Any

from langchain_core.runnables import AddableDict
from pydantic import BaseModel

from dify_api.answers.answer import Answer
from dify_api.answers.events import (
    Event,
    WorkflowEvent,
    WorkflowFinishedEvent,
    WorkflowPausedEvent,
    WorkflowStartedEvent,
)
from dify_api.models import as_json


class WorkflowOutputs(AddableDict):
    """The last chunk of a stream: the outputs, in place of the progress before them."""

    def __radd__(self, _progress: AddableDict) -> AddableDict:
        """The outputs alone, so that a merged stream is what `invoke` returns."""
        return WorkflowOutputs(self)


def progress(event: Event, text: str) -> AddableDict | None:
    """The chunk of an event; None where it shows nothing."""
    if text:
        return AddableDict(text=text)
    node = node_progress(event)
    return AddableDict(nodes=[node]) if node else None


def outputs(answer: Answer) -> WorkflowOutputs:
    """The last chunk."""
    return WorkflowOutputs(answer.outputs or {})


def node_progress(event: Event) -> dict[str, Any] | None:
    """What an event tells of a node, an iteration, a loop or a form; None for other events."""
    if not isinstance(event, WorkflowEvent) or isinstance(event, _WHOLE_RUN):
        return None
    data: BaseModel | None = getattr(event, "data", None)
    if data is None:
        return None
    return {"event": event.event, **as_json(data, exclude_none=True)}


_WHOLE_RUN = (WorkflowStartedEvent, WorkflowFinishedEvent, WorkflowPausedEvent)
