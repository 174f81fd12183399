"""A run of a Dify app as traces: its nodes and tools as runs below the model's own run.

Written once for sync and async: `NodeRuns` yields calls of a callback manager and is sent what
they return, awaited where they must be.
"""

from __future__ import annotations

import sys
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from types import TracebackType
from typing import Any, TypeVar
from uuid import UUID, uuid4

from langchain_core.callbacks import (
    AsyncCallbackManager,
    AsyncCallbackManagerForLLMRun,
    BaseRunManager,
    CallbackManager,
    CallbackManagerForLLMRun,
)
from langchain_core.documents import Document
from langchain_core.messages import AIMessageChunk
from langchain_core.outputs import (
    ChatGenerationChunk,
    Generation,
    GenerationChunk,
    LLMResult,
)
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import ensure_config

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
    WorkflowEvent,
    WorkflowFinishedEvent,
    WorkflowStartedEvent,
)
from dify_api.models import as_json
from langchain_dify._answers.content_blocks import ServerTools
from langchain_dify._answers.replacement import MESSAGE_REPLACE, replacement_of

RunManager = CallbackManagerForLLMRun | AsyncCallbackManagerForLLMRun
_Manager = TypeVar("_Manager", CallbackManager, AsyncCallbackManager)
_RunManager = TypeVar("_RunManager", CallbackManagerForLLMRun, AsyncCallbackManagerForLLMRun)
_Calls = Generator[Any, Any, None]

CURRENT_RUN: ContextVar[RunManager | None] = ContextVar("dify_run", default=None)
"""The model's run, where langchain-core does not hand it to `_stream`."""


class NodeRuns:
    """Makes the runs below a model's run from the events of its answer.

    Args:
        manager: Callbacks whose parent is the model's run.
        run_id: Of the model's run.
    """

    def __init__(self, manager: CallbackManager | AsyncCallbackManager, run_id: UUID) -> None:
        self._manager = manager
        self._run_id = run_id
        self._open: dict[str, Any] = {}  # run managers, by what they are runs of
        self._query = ""
        self._tools = ServerTools()

    def take(self, event: Event) -> _Calls:
        """The calls that an event means."""
        if isinstance(event, AgentThoughtEvent):
            yield from self._take_thought(event)
        elif isinstance(event, WorkflowEvent):
            data = getattr(event, "data", None)
            facts = as_json(data, exclude_none=True) if data is not None else {}
            yield self._manager.on_custom_event(event.event, facts, run_id=self._run_id)
            yield from self._take_workflow_event(event)

    def replace(self, mark: Mapping[str, Any]) -> _Calls:
        """The call that tells of a chunk that replaces those before it."""
        yield self._manager.on_custom_event(MESSAGE_REPLACE, dict(mark), run_id=self._run_id)

    def close(self, error: BaseException | None) -> _Calls:
        """End what is still open, innermost first."""
        for run in reversed(list(self._open.values())):
            if error is not None:
                yield _failing(run, error)
            else:
                yield _ending(run, {})
        self._open.clear()

    def _take_workflow_event(self, event: WorkflowEvent) -> _Calls:
        if isinstance(event, WorkflowStartedEvent):
            inputs = event.data.inputs or {}
            self._query = str(inputs.get("sys.query") or "")
            yield from self._start("workflow", "chain", "workflow", inputs, self._manager)
        elif isinstance(event, WorkflowFinishedEvent):
            failed = event.data.error if event.data.status == "failed" else None
            yield from self._end("workflow", event.data.outputs or {}, failed)
        elif isinstance(event, NodeStartedEvent):
            yield from self._start_node(event.data)
        elif isinstance(event, NodeFinishedEvent):
            node = event.data
            failed = node.error if node.status in ("failed", "exception") else None
            yield from self._end(_node_key(node), _result(node), failed, node.inputs)
        elif isinstance(event, IterationStartedEvent | LoopStartedEvent):
            part = event.data
            inputs = part.inputs or {}
            name = part.title or part.node_type or "node"
            yield from self._start(f"container {part.node_id}", "chain", name, inputs)
        elif isinstance(event, IterationCompletedEvent | LoopCompletedEvent):
            yield from self._end_container(event.data)

    def _start_node(self, node: NodeExecution) -> _Calls:
        kind = {"knowledge-retrieval": "retriever", "llm": "llm", "tool": "tool"}.get(
            node.node_type or "", "chain"
        )
        name = node.title or node.node_type or "node"
        container = self._open.get(f"container {node.iteration_id or node.loop_id}")
        parent = container.get_child() if container else None
        yield from self._start(_node_key(node), kind, name, node.inputs or {}, parent)

    def _end_container(self, part: ContainerExecution) -> _Calls:
        failed = part.error if part.status == "failed" else None
        yield from self._end(f"container {part.node_id}", part.outputs or {}, failed)

    def _take_thought(self, event: AgentThoughtEvent) -> _Calls:
        for block in self._tools.take(event):
            if block["type"] == "server_tool_call":
                yield from self._start(block["id"], "tool", block["name"], block["args"])
            else:
                yield from self._end(block["tool_call_id"], block["output"])

    def _start(
        self, key: str, kind: str, name: str, inputs: dict[str, Any], parent: Any = None
    ) -> _Calls:
        workflow = self._open.get("workflow")
        manager = parent or (workflow.get_child() if workflow else self._manager)
        described = {"name": name}
        if kind == "retriever":
            query = str(inputs.get("query") or self._query)
            self._open[key] = yield manager.on_retriever_start(described, query, name=name)
        elif kind == "llm":
            self._open[key] = (yield manager.on_llm_start(described, [self._query], name=name))[0]
        elif kind == "tool":
            self._open[key] = yield manager.on_tool_start(
                described, str(inputs), inputs=inputs, name=name
            )
        else:
            self._open[key] = yield manager.on_chain_start(described, inputs, name=name)

    def _end(
        self,
        key: str,
        result: Any,
        failed: str | None = None,
        inputs: dict[str, Any] | None = None,
    ) -> _Calls:
        run = self._open.pop(key, None)
        if run is None:
            return
        if failed is not None:
            yield _failing(run, RuntimeError(failed))
        elif inputs is not None and hasattr(run, "on_chain_end"):
            yield run.on_chain_end(result, inputs=inputs)
        else:
            yield _ending(run, result)


def _node_key(node: NodeExecution) -> str:
    return f"node {node.id or node.node_id}"


def _result(node: NodeExecution) -> Any:
    outputs = node.outputs or {}
    if node.node_type == "knowledge-retrieval":
        found = outputs.get("result")
        return [_document(record) for record in found] if isinstance(found, list) else []
    if node.node_type == "llm":
        usage = outputs.get("usage") or (node.execution_metadata or {})
        counts = {
            name: usage[name]
            for name in ("prompt_tokens", "completion_tokens", "total_tokens")
            if usage.get(name) is not None
        }
        generation = Generation(text=str(outputs.get("text") or ""))
        model = (node.process_data or {}).get("model_name")
        return LLMResult(
            generations=[[generation]], llm_output={"token_usage": counts, "model_name": model}
        )
    return outputs


def _document(record: Any) -> Document:
    facts = record if isinstance(record, dict) else {}
    metadata = dict(facts.get("metadata") or {})
    title = {"title": facts["title"]} if facts.get("title") else {}
    return Document(
        id=metadata.get("segment_id"),
        page_content=str(facts.get("content") or ""),
        metadata={**title, **metadata},
    )


_ENDS = ("on_chain_end", "on_tool_end", "on_retriever_end", "on_llm_end")


def _ending(run: Any, result: Any) -> Any:
    name = next(name for name in _ENDS if hasattr(run, name))
    if name == "on_llm_end" and not isinstance(result, LLMResult):
        result = LLMResult(generations=[[Generation(text="")]])
    if name == "on_retriever_end" and not isinstance(result, list):
        result = []
    return getattr(run, name)(result)


def _failing(run: Any, error: BaseException) -> Any:
    return getattr(run, next(n for n in _ENDS if hasattr(run, n)).replace("_end", "_error"))(error)


class NodeTracer:
    """Traces the events of an answer, sync or async; does nothing where nobody listens."""

    def __init__(self, runs: NodeRuns | None) -> None:
        self._runs = runs

    def take(self, event: Event) -> None:
        """Trace an event."""
        if self._runs is not None:
            _make(self._runs.take(event))

    async def atake(self, event: Event) -> None:
        """Trace an event, for asyncio."""
        if self._runs is not None:
            await _amake(self._runs.take(event))

    def tell(self, chunk: GenerationChunk | ChatGenerationChunk) -> None:
        """Tell listeners of a chunk that replaces those before it."""
        if (mark := _announced(chunk)) and self._runs is not None:
            _make(self._runs.replace(mark))

    async def atell(self, chunk: GenerationChunk | ChatGenerationChunk) -> None:
        """`tell` for asyncio."""
        if (mark := _announced(chunk)) and self._runs is not None:
            await _amake(self._runs.replace(mark))

    def close(self, error: BaseException | None = None) -> None:
        """End the runs that are open."""
        if self._runs is not None:
            _make(self._runs.close(error))

    async def aclose(self, error: BaseException | None = None) -> None:
        """End the runs that are open, for asyncio."""
        if self._runs is not None:
            await _amake(self._runs.close(error))


def _announced(chunk: GenerationChunk | ChatGenerationChunk) -> Mapping[str, Any] | None:
    """The mark of a chunk that replaces; it is written into LangGraph's "custom" stream first."""
    message = chunk.message if isinstance(chunk, ChatGenerationChunk) else chunk
    mark = (
        replacement_of(message) if isinstance(message, AIMessageChunk | GenerationChunk) else None
    )
    graph = sys.modules.get("langgraph.config")
    if mark and graph is not None:
        with suppress(RuntimeError, LookupError):  # outside of a graph
            graph.get_stream_writer()({"event": MESSAGE_REPLACE, **mark})
    return mark


@contextmanager
def node_tracer(run_manager: BaseRunManager | None) -> Iterator[NodeTracer]:
    """What traces an answer below the run of its model; runs open at the end are ended."""
    tracer = NodeTracer(_runs_below(run_manager or CURRENT_RUN.get(), CallbackManager))
    try:
        yield tracer
    except BaseException as error:
        tracer.close(error)
        raise
    tracer.close()


class anode_tracer:  # noqa: N801 - used like `node_tracer`
    """`node_tracer` for asyncio.

    A class, for asyncio may close a generator in it before the one that uses it at a loop's end.
    """

    def __init__(self, run_manager: BaseRunManager | None) -> None:
        self._tracer = NodeTracer(
            _runs_below(run_manager or CURRENT_RUN.get(), AsyncCallbackManager)
        )

    async def __aenter__(self) -> NodeTracer:
        return self._tracer

    async def __aexit__(
        self,
        _kind: type[BaseException] | None,
        error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        await self._tracer.aclose(error)


def _make(calls: _Calls) -> None:
    with suppress(StopIteration):
        result = next(calls)
        while True:
            result = calls.send(result)


async def _amake(calls: _Calls) -> None:
    with suppress(StopIteration):
        result = await next(calls)
        while True:
            result = await calls.send(result)


@contextmanager
def current_run(run_manager: RunManager | None) -> Iterator[None]:
    """Make a model's run known to `_stream`, which langchain-core does not hand it to."""
    token = CURRENT_RUN.set(run_manager)
    try:
        yield
    finally:
        CURRENT_RUN.reset(token)


def known_run(
    manager_type: type[_Manager], run_type: type[_RunManager], config: RunnableConfig | None
) -> tuple[RunnableConfig, _RunManager | None]:
    """Decide the model's run before langchain-core makes it, so that it is known.

    Returns:
        The config to call langchain-core with, and the run; None where nobody listens.
    """
    config = ensure_config(config)
    manager = manager_type.configure(config.get("callbacks"))
    if not manager.inheritable_handlers:
        return config, None
    run_id = config.get("run_id") or uuid4()
    run = run_type(
        run_id=run_id,
        handlers=manager.handlers,
        inheritable_handlers=manager.inheritable_handlers,
        parent_run_id=manager.parent_run_id,
        tags=manager.tags,
        inheritable_tags=manager.inheritable_tags,
        metadata=manager.metadata,
        inheritable_metadata=manager.inheritable_metadata,
    )
    return {**config, "callbacks": manager, "run_id": run_id}, run


def _runs_below(
    run_manager: BaseRunManager | None, kind: type[CallbackManager] | type[AsyncCallbackManager]
) -> NodeRuns | None:
    if run_manager is None or not run_manager.inheritable_handlers:
        return None
    manager = kind(
        handlers=list(run_manager.inheritable_handlers),
        inheritable_handlers=list(run_manager.inheritable_handlers),
        parent_run_id=run_manager.run_id,
        inheritable_tags=list(run_manager.inheritable_tags),
        inheritable_metadata=dict(run_manager.inheritable_metadata),
        tags=list(run_manager.inheritable_tags),
        metadata=dict(run_manager.inheritable_metadata),
    )
    return NodeRuns(manager, run_manager.run_id)
