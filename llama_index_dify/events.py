"""What goes on inside an app, as instrumentation events within the span of the model's call.

Add an event handler to LlamaIndex's dispatcher to see them::

    class NodePrinter(BaseEventHandler):
        def handle(self, event, **kwargs):
            if isinstance(event, DifyNodeFinishedEvent):
                print(event.node.title, event.node.elapsed_time)

    get_dispatcher().add_event_handler(NodePrinter())
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from llama_index_instrumentation import get_dispatcher
from llama_index_instrumentation.base import BaseEvent

from dify_api.answers.events import (
    AgentLogEvent,
    AgentThoughtEvent,
    Event,
    HumanInputForm,
    HumanInputRequiredEvent,
    IterationCompletedEvent,
    IterationNextEvent,
    IterationStartedEvent,
    LoopCompletedEvent,
    LoopNextEvent,
    LoopStartedEvent,
    MessageFileEvent,
    MessageReplaceEvent,
    NodeExecution,
    NodeFinishedEvent,
    NodeRetryEvent,
    NodeStartedEvent,
    WorkflowFinished,
    WorkflowFinishedEvent,
    WorkflowStarted,
    WorkflowStartedEvent,
)
from dify_api.answers.workflow_events import AgentLog, ContainerExecution

dispatcher = get_dispatcher(__name__)


class DifyEvent(BaseEvent):
    """What all events of an app share.

    Attributes:
        task_id: The task on the server.
        conversation_id: The conversation, where there is one.
        message_id: The answer's message, where there is one.
        workflow_run_id: The run, in chatflows.
    """

    task_id: str | None = None
    conversation_id: str | None = None
    message_id: str | None = None
    workflow_run_id: str | None = None

    @classmethod
    def class_name(cls) -> str:
        """Name of the class."""
        return cls.__name__


class DifyWorkflowStartedEvent(DifyEvent):
    """A chatflow's run began."""

    workflow: WorkflowStarted


class DifyWorkflowFinishedEvent(DifyEvent):
    """A chatflow's run ended: `workflow.status`, `workflow.error`, seconds, tokens."""

    workflow: WorkflowFinished


class DifyNodeStartedEvent(DifyEvent):
    """A node began. `node.id` pairs it with its end."""

    node: NodeExecution


class DifyNodeRetryEvent(DifyEvent):
    """A node failed and is tried again."""

    node: NodeExecution


class DifyNodeFinishedEvent(DifyEvent):
    """A node ended: `node.status`, `node.error`, `node.outputs`, seconds."""

    node: NodeExecution


class DifyContainerEvent(DifyEvent):
    """An iteration or loop began, went on or ended; `event` is Dify's name of it."""

    event: str
    container: ContainerExecution


class DifyAgentThoughtEvent(DifyEvent):
    """A step of an agent. Comes again with the same `thought.id` as more of it is known."""

    thought: AgentThoughtEvent


class DifyAgentLogEvent(DifyEvent):
    """A step of an agent node of a chatflow."""

    log: AgentLog


class DifyFileEvent(DifyEvent):
    """A file that a tool made."""

    file: MessageFileEvent


class DifyMessageReplaceEvent(DifyEvent):
    """The text so far was replaced, by moderation."""

    text: str


class DifyHumanInputRequiredEvent(DifyEvent):
    """The run waits for a person to fill a form."""

    form: HumanInputForm


class DifyTextEvent(DifyEvent):
    """A piece of text, in the streams of `DifyWorkflow`; instrumentation has LlamaIndex's own."""

    delta: str


_Make = Callable[[Any], tuple[type[DifyEvent], dict[str, Any]]]


def _container(event: Any) -> tuple[type[DifyEvent], dict[str, Any]]:
    return DifyContainerEvent, {"event": event.event, "container": event.data}


_MAKERS: Mapping[type[Event], _Make] = {
    WorkflowStartedEvent: lambda e: (DifyWorkflowStartedEvent, {"workflow": e.data}),
    WorkflowFinishedEvent: lambda e: (DifyWorkflowFinishedEvent, {"workflow": e.data}),
    NodeStartedEvent: lambda e: (DifyNodeStartedEvent, {"node": e.data}),
    NodeRetryEvent: lambda e: (DifyNodeRetryEvent, {"node": e.data}),
    NodeFinishedEvent: lambda e: (DifyNodeFinishedEvent, {"node": e.data}),
    IterationStartedEvent: _container,
    IterationNextEvent: _container,
    IterationCompletedEvent: _container,
    LoopStartedEvent: _container,
    LoopNextEvent: _container,
    LoopCompletedEvent: _container,
    AgentThoughtEvent: lambda e: (DifyAgentThoughtEvent, {"thought": e}),
    AgentLogEvent: lambda e: (DifyAgentLogEvent, {"log": e.data}),
    MessageFileEvent: lambda e: (DifyFileEvent, {"file": e}),
    MessageReplaceEvent: lambda e: (DifyMessageReplaceEvent, {"text": e.answer}),
    HumanInputRequiredEvent: lambda e: (DifyHumanInputRequiredEvent, {"form": e.data}),
}


def is_told(event: Event) -> bool:
    """Whether an event of a stream tells anything."""
    return type(event) in _MAKERS


def dispatch(event: Event, span_id: str | None) -> DifyEvent | None:
    """Dispatch what an event of a stream tells, if anything, within a span.

    Args:
        event: Any event but a piece of text.
        span_id: The span of the model's call. The stream outlives the call, and with it the
            span that is active, so it is given.

    Returns:
        What was dispatched.
    """
    make = _MAKERS.get(type(event))
    if make is None:
        return None
    kind, fields = make(event)
    told = kind(
        span_id=span_id,
        task_id=event.task_id,
        conversation_id=event.conversation_id,
        message_id=event.message_id,
        workflow_run_id=getattr(event, "workflow_run_id", None),
        **fields,
    )
    dispatcher.event(told)
    return told
