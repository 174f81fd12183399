"""Parts of a graph that a directive asks for: iterations, loops, parallel branches, agent nodes.

Their nodes take no time; the model of the run answers after them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator

from dify_local._answers.reply import GraphPart
from dify_local._protocol.fields import known
from dify_local._protocol.values import JsonObject, new_id, now
from dify_local._runs.nodes import Node
from dify_local._runs.run_events import RunEvents

_NO_PRICE = {"total_tokens": 0, "total_price": "0.0", "currency": "USD"}
_RETRIED = "[models] Server Unavailable Error, the model is down"


def part_events(events: RunEvents, parts: Iterable[GraphPart]) -> Iterator[JsonObject]:
    """Yield the events of the parts before the model."""
    for part in parts:
        if part.kind in _PARTS:
            yield from _PARTS[part.kind](events, part.count)


def retry_events(events: RunEvents, node: Node, parts: Iterable[GraphPart]) -> Iterator[JsonObject]:
    """Yield the `node_retry` events of the model's node, if it is to fail first."""
    for part in parts:
        if part.kind == "retry":
            for retry_index in range(1, part.count + 1):
                yield events.node("node_retry", node.retried(_RETRIED, retry_index))


def _iteration(events: RunEvents, count: int) -> Iterator[JsonObject]:
    items = [f"item {index}" for index in range(count)]
    container = _Container(events, "iteration", "Iteration", count, {"iterator_selector": items})
    yield container.started()
    previous: str | None = None
    for index, item in enumerate(items):
        yield container.next(index, pre_iteration_output=previous)
        yield from _inner_node(events, "iteration_llm", "llm", iteration_id="iteration")
        previous = item
    yield container.completed({"output": items})


def _loop(events: RunEvents, count: int) -> Iterator[JsonObject]:
    container = _Container(events, "loop", "Loop", count, {"loop_count": count, "num": 0})
    yield container.started()
    for index in range(count):
        if index:
            yield container.next(index, pre_loop_output={})
        yield from _inner_node(events, "loop_assigner", "assigner", loop_id="loop")
    yield container.completed({"num": count, "loop_round": count})


def _branches(events: RunEvents, count: int) -> Iterator[JsonObject]:
    """Run branches side by side; before 1.9 they were announced."""
    announced = not events.service.release.since(1, 9)
    parallel_id = new_id()
    names = [f"branch_{index}" for index in range(1, count + 1)]
    nodes = [events.run.begin(name, "llm", f"Branch {name[-1]}") for name in names]
    for node in nodes:
        if announced:
            yield events.event("parallel_branch_started", _branch(parallel_id, node.node_id))
        yield events.node("node_started", node.started())
    for node in nodes:
        yield events.node("node_finished", node.finished(outputs={"text": node.title}))
        if announced:
            ending = {"status": "succeeded", "error": None}
            data = {**_branch(parallel_id, node.node_id), **ending}
            yield events.event("parallel_branch_finished", data)


def _branch(parallel_id: str, node_id: str) -> JsonObject:
    return {
        "parallel_id": parallel_id,
        "parallel_branch_id": node_id,
        "parent_parallel_id": None,
        "parent_parallel_start_node_id": None,
        "iteration_id": None,
        "created_at": now(),
    }


def _agent(events: RunEvents, count: int) -> Iterator[JsonObject]:
    """Run an agent node, which logs each round and the tool it uses there."""
    node = events.run.begin("agent", "agent", "Agent")
    node.agent_strategy = {"name": "function_calling", "icon": None}
    yield events.node("node_started", node.started())
    for number in range(1, count + 1):
        round_id, call_id = new_id(), new_id()
        labels = ((round_id, f"ROUND {number}", None), (call_id, "CALL calculator", round_id))
        for log_id, label, parent_id in labels:
            yield _agent_log(events, node, log_id, label, parent_id, "start")
        for log_id, label, parent_id in reversed(labels):
            yield _agent_log(events, node, log_id, label, parent_id, "success")
    outputs = {"text": "", "files": [], "json": []}
    yield events.node("node_finished", node.finished(outputs=outputs))


def _agent_log(
    events: RunEvents, node: Node, log_id: str, label: str, parent_id: str | None, status: str
) -> JsonObject:
    data = {
        "node_execution_id": node.id,
        "id": log_id,
        "label": label,
        "parent_id": parent_id,
        "error": None,
        "status": status,
        "data": {"output": "2"} if status == "success" else {},
        "metadata": {"started_at": time.perf_counter(), "provider": "local"},
        "node_id": node.node_id,
    }
    return {**events.envelope("agent_log"), "data": data}


def _inner_node(
    events: RunEvents,
    node_id: str,
    node_type: str,
    *,
    iteration_id: str | None = None,
    loop_id: str | None = None,
) -> Iterator[JsonObject]:
    node = events.run.begin(node_id, node_type, node_type.upper())
    node.iteration_id, node.loop_id = iteration_id, loop_id
    yield events.node("node_started", node.started())
    yield events.node("node_finished", node.finished())


class _Container:
    """The events of an iteration or loop node; it has no `node_started` of its own."""

    def __init__(
        self, events: RunEvents, kind: str, title: str, count: int, inputs: JsonObject
    ) -> None:
        self.events, self.kind, self.count, self.inputs = events, kind, count, inputs
        self.began, self.created_at = time.monotonic(), now()
        self.node = {"id": kind, "node_id": kind, "node_type": kind, "title": title}

    def _event(self, name: str, data: JsonObject) -> JsonObject:
        shown = known(self.events.service.release, "node", {**self.node, **data})
        return self.events.event(f"{self.kind}_{name}", shown)

    def started(self) -> JsonObject:
        # Its name has changed with the graph engine.
        old = self.kind == "iteration" and not self.events.service.release.since(1, 9)
        return self._event(
            "started",
            {
                "created_at": self.created_at,
                "extras": {},
                "metadata": {"iterator_length" if old else f"{self.kind}_length": self.count},
                "inputs": self.inputs,
                "inputs_truncated": False,
                "parallel_id": None,
                "parallel_start_node_id": None,
            },
        )

    def next(self, index: int, **output: object) -> JsonObject:
        return self._event(
            "next",
            {
                "index": index,
                "created_at": self.created_at,
                **output,
                "extras": {},
                "parallel_id": None,
                "parallel_start_node_id": None,
                "parallel_mode_run_id": None,
                "duration": None,
            },
        )

    def completed(self, outputs: JsonObject) -> JsonObject:
        return self._event(
            "completed",
            {
                "outputs": outputs,
                "outputs_truncated": False,
                "created_at": self.created_at,
                "extras": {},
                "inputs": self.inputs,
                "inputs_truncated": False,
                "status": "succeeded",
                "error": None,
                "elapsed_time": round(time.monotonic() - self.began, 6),
                "total_tokens": 0,
                "execution_metadata": {**_NO_PRICE, "completed_reason": "loop_completed"}
                if self.kind == "loop"
                else dict(_NO_PRICE),
                "finished_at": now(),
                "steps": self.count,
                "parallel_id": None,
                "parallel_start_node_id": None,
            },
        )


_PARTS: dict[str, Callable[[RunEvents, int], Iterator[JsonObject]]] = {
    "iteration": _iteration,
    "loop": _loop,
    "branches": _branches,
    "agent": _agent,
}
