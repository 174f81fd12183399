"""What goes on inside an app as runs below another run: its nodes and tools, by its events.

Where the usage is: on one run, that of the app, which is the model's run, or where none is above
(a tool, a workflow) the run called "workflow". Tracers sum over all runs, so the runs of LLM nodes
say zero in the places that are summed, which keeps tracers from guessing too, and tell their own
share under `node_usage` of their output, with the name of the node's model.

Written once for sync and async: `NodeRuns` yields calls of a callback manager and is sent what
they return, awaited where they must be.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Mapping
from typing import Any
from uuid import UUID

from langchain_core.callbacks import AsyncCallbackManager, CallbackManager
from langchain_core.documents import Document
from langchain_core.messages import AIMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.outputs import ChatGeneration, LLMResult

from dify_api._calls.end_user import private_event
from dify_api.answers._usage import usage_of_node
from dify_api.answers.answer import Answer
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
from dify_api.errors import DifyError
from dify_api.models import as_json
from langchain_dify._answers.content_blocks import ServerTools
from langchain_dify._answers.metadata import closing_metadata, usage_metadata
from langchain_dify._answers.replacement import MESSAGE_REPLACE
from langchain_dify._names import MODEL_PROVIDER

Calls = Generator[Any, Any, None]
Manager = CallbackManager | AsyncCallbackManager

_APP = "app"
_KINDS = {"knowledge-retrieval": "retriever", "llm": "llm", "tool": "tool"}
_ENDS = ("on_chain_end", "on_tool_end", "on_retriever_end", "on_llm_end")


class NodeRuns:
    """Makes the runs below a run from the events of its app's answer.

    Args:
        manager: Callbacks whose parent is the run above.
        run_id: Of the run above.
        model: Name of the app as a model.
        user: The end user, whose name no run tells.
        is_model: Whether the run above is a model's, which carries the usage.
    """

    def __init__(
        self, manager: Manager, run_id: UUID, model: str, user: str, *, is_model: bool
    ) -> None:
        self._manager = manager
        self._run_id = run_id
        self._model = model
        self._user = user
        self._is_model = is_model
        self._open: dict[str, Any] = {}  # run managers, by what they are runs of
        self._query = ""
        self._tools = ServerTools()

    def take(self, event: Event) -> Calls:
        """The calls that an event means."""
        if isinstance(event, AgentThoughtEvent):
            yield from self._take_thought(event)
        elif isinstance(event, WorkflowEvent):
            event = private_event(event, self._user)
            data = getattr(event, "data", None)
            facts = as_json(data, exclude_none=True) if data is not None else {}
            yield self._manager.on_custom_event(event.event, facts, run_id=self._run_id)
            yield from self._take_workflow_event(event)

    def replace(self, mark: Mapping[str, Any]) -> Calls:
        """The call that tells of a chunk that replaces those before it."""
        yield self._manager.on_custom_event(MESSAGE_REPLACE, dict(mark), run_id=self._run_id)

    def finish(self, answer: Answer) -> Calls:
        """End all runs, the app's own with its answer."""
        if not self._is_model and _APP not in self._open:
            yield from self._start_app(self._model, {})
        app = self._open.pop(_APP, None)
        yield from self.close(None)
        if app is not None and self._is_model:
            yield _ending(app, answer.outputs or {})
        elif app is not None:
            yield app.on_llm_end(_result_of_app(answer, self._model))

    def close(self, error: BaseException | None) -> Calls:
        """End what is still open, innermost first."""
        for key, run in reversed(list(self._open.items())):
            if key == _APP and not self._is_model and isinstance(error, DifyError):
                partial = _result_of_app(error.answer or Answer(), self._model)
                yield run.on_llm_error(error, response=partial)
            elif error is not None:
                yield _failing(run, error)
            else:
                yield _ending(run, {})
        self._open.clear()

    def _take_workflow_event(self, event: WorkflowEvent) -> Calls:
        if isinstance(event, WorkflowStartedEvent):
            inputs = event.data.inputs or {}
            self._query = str(inputs.get("sys.query") or "")
            yield from self._start_app("workflow", inputs)
        elif isinstance(event, WorkflowFinishedEvent):
            failed = event.data.error if event.data.status == "failed" else None
            if self._is_model:  # otherwise with the answer, which has the usage
                yield from self._end(_APP, event.data.outputs or {}, failed)
        elif isinstance(event, NodeStartedEvent):
            yield from self._start_node(event.data)
        elif isinstance(event, NodeFinishedEvent):
            node = event.data
            failed = node.error if node.status in ("failed", "exception") else None
            yield from self._end(_node_key(node), _result(node), failed, node.inputs)
        elif isinstance(event, IterationStartedEvent | LoopStartedEvent):
            part = event.data
            name = part.title or part.node_type or "node"
            manager = self._below({"dify_node_id": part.node_id, "dify_node_type": part.node_type})
            yield from self._start(_container_key(part), "chain", name, part.inputs or {}, manager)
        elif isinstance(event, IterationCompletedEvent | LoopCompletedEvent):
            part = event.data
            failed = part.error if part.status == "failed" else None
            yield from self._end(_container_key(part), part.outputs or {}, failed)

    def _start_node(self, node: NodeExecution) -> Calls:
        kind = _KINDS.get(node.node_type or "", "chain")
        container = self._open.get(f"container {node.iteration_id or node.loop_id}")
        manager = self._below(
            {"dify_node_id": node.node_id, "dify_node_type": node.node_type}, container
        )
        name = node.title or node.node_type or "node"
        yield from self._start(_node_key(node), kind, name, node.inputs or {}, manager)

    def _take_thought(self, event: AgentThoughtEvent) -> Calls:
        if not self._is_model and _APP not in self._open:
            yield from self._start_app(self._model, {})
        for block in self._tools.take(event):
            if block["type"] == "server_tool_call":
                yield from self._start(
                    block["id"], "tool", block["name"], block["args"], self._below({})
                )
            else:
                yield from self._end(block["tool_call_id"], block["output"])

    def _start_app(self, name: str, inputs: dict[str, Any]) -> Calls:
        kind = "chain" if self._is_model else "llm"
        yield from self._start(_APP, kind, name, inputs, self._manager)

    def _below(self, facts: dict[str, Any], container: Any = None) -> Manager:
        """The callbacks of a node, which belongs to the app's run or to a container's."""
        above = container or self._open.get(_APP)
        manager: Manager = self._manager.copy()
        if above is not None:
            manager.parent_run_id = above.run_id
        manager.add_metadata({k: v for k, v in facts.items() if v is not None}, inherit=False)
        return manager

    def _start(
        self, key: str, kind: str, name: str, inputs: dict[str, Any], manager: Manager
    ) -> Calls:
        described = {"name": name, "id": ["dify", name]}
        if kind == "retriever":
            query = str(inputs.get("query") or self._query)
            self._open[key] = yield manager.on_retriever_start(described, query, name=name)
        elif kind == "llm":
            manager = manager.copy()
            manager.add_metadata(
                {"ls_provider": MODEL_PROVIDER, "ls_model_name": self._model}, inherit=False
            )
            prompt = self._query or (json.dumps(inputs, ensure_ascii=False) if inputs else "")
            started = yield manager.on_llm_start(
                described,
                [prompt],
                name=name,
                invocation_params={"_type": MODEL_PROVIDER, "model_name": self._model},
                options={},
            )
            self._open[key] = started[0]
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
    ) -> Calls:
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


def _container_key(part: ContainerExecution) -> str:
    return f"container {part.node_id}"


def _result(node: NodeExecution) -> Any:
    outputs = node.outputs or {}
    if node.node_type == "knowledge-retrieval":
        found = outputs.get("result")
        return [_document(record) for record in found] if isinstance(found, list) else []
    if node.node_type == "llm":
        usage = usage_of_node(node)
        told = {
            "model_name": (node.process_data or {}).get("model_name"),
            "node_usage": as_json(usage, exclude_none=True) if usage else None,
        }
        return _llm_result(
            AIMessage(content=str(outputs.get("text") or ""), usage_metadata=_NOTHING),
            {name: value for name, value in told.items() if value is not None},
        )
    return outputs


_NOTHING = UsageMetadata(input_tokens=0, output_tokens=0, total_tokens=0)
"""What a run below the app's says, whose tokens the app's run counts."""


def _result_of_app(answer: Answer, model: str) -> LLMResult:
    message = AIMessage(
        content=answer.text or json.dumps(answer.outputs or {}, ensure_ascii=False, default=str),
        response_metadata=closing_metadata(answer, model),
        usage_metadata=usage_metadata(answer),
    )
    return _llm_result(message, {"model_name": model})


def _llm_result(message: AIMessage, told: dict[str, Any]) -> LLMResult:
    return LLMResult(generations=[[ChatGeneration(message=message)]], llm_output=told)


def _document(record: Any) -> Document:
    facts = record if isinstance(record, dict) else {}
    metadata = dict(facts.get("metadata") or {})
    title = {"title": facts["title"]} if facts.get("title") else {}
    return Document(
        id=metadata.get("segment_id"),
        page_content=str(facts.get("content") or ""),
        metadata={**title, **metadata},
    )


def _ending(run: Any, result: Any) -> Any:
    name = next(name for name in _ENDS if hasattr(run, name))
    if name == "on_llm_end" and not isinstance(result, LLMResult):
        result = _llm_result(AIMessage(content="", usage_metadata=_NOTHING), {})
    if name == "on_retriever_end" and not isinstance(result, list):
        result = []
    return getattr(run, name)(result)


def _failing(run: Any, error: BaseException) -> Any:
    return getattr(run, next(n for n in _ENDS if hasattr(run, n)).replace("_end", "_error"))(error)
