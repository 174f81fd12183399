"""What goes on inside an app as spans below that of its call: its nodes, and an agent's tools.

A node's span tells its inputs and outputs, a retrieval's its documents too. Usage is told once, by
the call of the app: the share of a node is among its outputs.
"""

from __future__ import annotations

import inspect
from contextvars import copy_context
from types import TracebackType
from typing import Any
from uuid import uuid4

from llama_index.core.instrumentation.events.retrieval import (
    RetrievalEndEvent,
    RetrievalStartEvent,
)
from llama_index_instrumentation import get_dispatcher
from llama_index_instrumentation.base import BaseEvent
from llama_index_instrumentation.dispatcher import active_instrument_tags
from typing_extensions import Self

from dify_api.answers.events import (
    AgentThoughtEvent,
    ContainerExecution,
    Event,
    IterationCompletedEvent,
    IterationStartedEvent,
    LoopCompletedEvent,
    LoopStartedEvent,
    NodeExecution,
    NodeFinishedEvent,
    NodeStartedEvent,
    WorkflowFinishedEvent,
    WorkflowStartedEvent,
)
from dify_api.errors import WorkflowPausedError
from dify_api.models import RetrieverResource, decode
from llama_index_dify.nodes import nodes_from_resources

dispatcher = get_dispatcher(__name__)

_RUN = "run"


class NodeSpans:
    """Makes the spans of one answer from its events, in which users are hashes already.

    A context: spans that are open at its end are left then.

    Args:
        span_id: The span of the app's call; None where there is none.
    """

    def __init__(self, span_id: str | None) -> None:
        self._span_id = span_id
        self._open: dict[str, tuple[str, inspect.BoundArguments]] = {}
        self._query = ""
        self._thoughts: set[str] = set()

    def take(self, event: Event) -> None:
        """Take the next event."""
        if self._span_id is None:
            return
        if isinstance(event, WorkflowStartedEvent):
            inputs = event.data.inputs or {}
            self._query = str(inputs.get("sys.query") or "")
            self._enter(_RUN, "workflow", inputs, self._span_id)
        elif isinstance(event, WorkflowFinishedEvent):
            failed = event.data.error if event.data.status == "failed" else None
            self._leave(_RUN, event.data.outputs, failed)
        elif isinstance(event, NodeStartedEvent):
            self._start(event.data)
        elif isinstance(event, NodeFinishedEvent):
            self._finish(event.data)
        elif isinstance(event, IterationStartedEvent | LoopStartedEvent):
            part = event.data
            name = part.title or part.node_type or "node"
            self._enter(_container(part), name, part.inputs or {}, self._run)
        elif isinstance(event, IterationCompletedEvent | LoopCompletedEvent):
            part = event.data
            failed = part.error if part.status == "failed" else None
            self._leave(_container(part), part.outputs, failed)
        elif isinstance(event, AgentThoughtEvent):
            self._take_thought(event)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        """Leave the spans that are open, innermost first."""
        for key in reversed(list(self._open)):
            if isinstance(error, Exception) and not isinstance(error, WorkflowPausedError):
                self._drop(key, error)
            else:
                self._leave(key, None)

    @property
    def _run(self) -> str | None:
        return self._open[_RUN][0] if _RUN in self._open else self._span_id

    def _start(self, node: NodeExecution) -> None:
        container = f"container {node.iteration_id or node.loop_id}"
        above = self._open[container][0] if container in self._open else self._run
        name = node.title or node.node_type or "node"
        span_id = self._enter(_node(node), name, node.inputs or {}, above)
        if node.node_type == "knowledge-retrieval":
            query = str((node.inputs or {}).get("query") or self._query)
            _dispatch(RetrievalStartEvent(str_or_query_bundle=query), span_id)

    def _finish(self, node: NodeExecution) -> None:
        key = _node(node)
        if key in self._open and node.node_type == "knowledge-retrieval":
            found = [_resource(record) for record in _records(node)]
            query = str((node.inputs or {}).get("query") or self._query)
            ended = RetrievalEndEvent(
                str_or_query_bundle=query,
                nodes=nodes_from_resources(decode(list[RetrieverResource], found)),
            )
            _dispatch(ended, self._open[key][0])
        failed = node.error if node.status in ("failed", "exception") else None
        self._leave(key, node.outputs, failed)

    def _take_thought(self, thought: AgentThoughtEvent) -> None:
        """A tool of an agent: its call comes once, its result later."""
        if not thought.tool or not thought.id:
            return
        key = f"thought {thought.id}"
        if thought.id not in self._thoughts:
            self._thoughts.add(thought.id)
            self._enter(key, thought.tool, {"input": thought.tool_input}, self._run)
        if thought.observation:
            self._leave(key, {"output": thought.observation})

    # Entered in contexts of their own: handlers that set a current span must not set it for the
    # reader of the stream, in whose context events are taken.

    def _enter(self, key: str, name: str, inputs: dict[str, Any], above: str | None) -> str:
        span_id = f"{name.replace('-', ' ')}-{uuid4()}"  # handlers name a span by what precedes "-"
        arguments = inspect.signature(_inputs).bind(**inputs)
        self._open[key] = (span_id, arguments)
        copy_context().run(
            dispatcher.span_enter,
            id_=span_id,
            bound_args=arguments,
            parent_id=above,
            tags=active_instrument_tags.get(),
        )
        return span_id

    def _leave(self, key: str, result: Any, failed: str | None = None) -> None:
        if key not in self._open:
            return
        if failed is not None:
            self._drop(key, RuntimeError(failed))
            return
        span_id, arguments = self._open.pop(key)
        copy_context().run(dispatcher.span_exit, id_=span_id, bound_args=arguments, result=result)

    def _drop(self, key: str, error: Exception) -> None:
        span_id, arguments = self._open.pop(key)
        copy_context().run(dispatcher.span_drop, id_=span_id, bound_args=arguments, err=error)


def _inputs(**inputs: Any) -> None:
    """Has the signature of a node: whatever inputs."""


def _dispatch(event: BaseEvent, span_id: str) -> None:
    event.span_id = span_id
    dispatcher.event(event)


def _node(node: NodeExecution) -> str:
    return f"node {node.id or node.node_id}"


def _container(part: ContainerExecution) -> str:
    return f"container {part.node_id}"


def _records(node: NodeExecution) -> list[dict[str, Any]]:
    found = (node.outputs or {}).get("result")
    return (
        [record for record in found if isinstance(record, dict)] if isinstance(found, list) else []
    )


def _resource(record: dict[str, Any]) -> dict[str, Any]:
    """A record of a retrieval node as a citation tells it."""
    metadata = record.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    return {**metadata, "content": record.get("content"), "title": record.get("title")}
