"""The nodes of a run: their events, from start to finish."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from dify_local._protocol.values import JsonObject, new_id, now, seconds_since


@dataclass
class Node:
    """One execution of a node.

    Args:
        node_id: Its name in the graph, the first part of a variable selector.
        node_type: Such as `llm`.
        title: What a person reads.
        iteration_id: The iteration node it is in, if it is in one.
        loop_id: The loop node it is in, if it is in one.
        agent_strategy: How an agent node decides, with its `name`.
    """

    node_id: str
    node_type: str
    title: str
    id: str = field(default_factory=new_id)
    created_at: int = field(default_factory=now)
    began: float = field(default_factory=time.monotonic)
    elapsed_time: float = 0.0
    status: str = "running"
    iteration_id: str | None = None
    loop_id: str | None = None
    agent_strategy: JsonObject | None = None

    def _common(self) -> JsonObject:
        return {
            "id": self.id,
            "node_id": self.node_id,
            "node_type": self.node_type,
            "title": self.title,
            "index": 1,
            "predecessor_node_id": None,
        }

    def started(self) -> JsonObject:
        """Return the data of `node_started`."""
        return {
            **self._common(),
            "inputs": None,
            "inputs_truncated": False,
            "created_at": self.created_at,
            "extras": {},
            **_outside_of_parallels(self.iteration_id, self.loop_id),
            "parallel_run_id": None,
            "agent_strategy": self.agent_strategy,
        }

    def finished(
        self,
        *,
        inputs: JsonObject | None = None,
        outputs: JsonObject | None = None,
        process_data: JsonObject | None = None,
        status: str = "succeeded",
        error: str | None = None,
        execution_metadata: JsonObject | None = None,
    ) -> JsonObject:
        """Return the data of `node_finished`."""
        self.status = status
        self.elapsed_time = seconds_since(self.began)
        return {
            **self._common(),
            "inputs": inputs or {},
            "inputs_truncated": False,
            "process_data": process_data or {},
            "process_data_truncated": False,
            "outputs": outputs or {},
            "outputs_truncated": False,
            "status": status,
            "error": error,
            "elapsed_time": self.elapsed_time,
            "execution_metadata": execution_metadata,
            "created_at": self.created_at,
            "finished_at": now(),
            "files": [],
            **_outside_of_parallels(self.iteration_id, self.loop_id),
        }

    def retried(self, error: str, retry_index: int) -> JsonObject:
        """Return the data of `node_retry`: the node has failed and is tried again.

        Args:
            error: Why it has failed.
            retry_index: Which retry follows, from 1.
        """
        data = self.finished(status="retry", error=error)
        self.status = "running"
        return {**data, "retry_index": retry_index}

    def snapshot(self, index: int) -> list[tuple[str, JsonObject]]:
        """Return this node's events as a later watcher sees them: without inputs and outputs."""
        common = {**self._common(), "index": index, "inputs": None}
        ids = {"iteration_id": None, "loop_id": None}
        started = {**common, "created_at": self.created_at, "extras": {}, **ids}
        events = [("node_started", started)]
        if self.status != "running":
            finished = {
                **common,
                "process_data": None,
                "outputs": None,
                "status": self.status,
                "error": None,
                "elapsed_time": self.elapsed_time,
                "execution_metadata": None,
                "created_at": self.created_at,
                "finished_at": now(),
                "files": [],
                **ids,
            }
            events.append(("node_finished", finished))
        return events


def _outside_of_parallels(iteration_id: str | None, loop_id: str | None) -> JsonObject:
    return {
        "iteration_id": iteration_id,
        "loop_id": loop_id,
        "parallel_id": None,
        "parallel_start_node_id": None,
        "parent_parallel_id": None,
        "parent_parallel_start_node_id": None,
    }
