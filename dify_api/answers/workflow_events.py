"""The events of workflow and chatflow runs: nodes, iterations, loops, forms, the run's end."""

from __future__ import annotations

from typing import Any, Literal

from dify_api.answers.forms import HumanInputForm as HumanInputForm  # public here too
from dify_api.answers.message_events import Event
from dify_api.models import Model, Moment, decode


class WorkflowEvent(Event):
    """An event of a workflow or chatflow run."""

    workflow_run_id: str | None = None


class WorkflowStarted(Model):
    """`data` of a `workflow_started`."""

    id: str | None = None
    workflow_id: str | None = None
    inputs: dict[str, Any] | None = None
    created_at: Moment | None = None
    reason: str | None = None
    """"initial" or "resumption" (1.13.0 and later)."""


class WorkflowStartedEvent(WorkflowEvent):
    """A run began, or was resumed."""

    event: Literal["workflow_started"] = "workflow_started"
    data: WorkflowStarted = WorkflowStarted()


class NodeExecution(Model):
    """`data` of the node events; fields of the end are None at the start."""

    id: str | None = None
    """The execution's id: pairs a start with its end."""
    node_id: str | None = None
    node_type: str | None = None
    title: str | None = None
    index: int | None = None
    predecessor_node_id: str | None = None
    inputs: dict[str, Any] | None = None
    process_data: dict[str, Any] | None = None
    outputs: dict[str, Any] | None = None
    status: str | None = None
    error: str | None = None
    elapsed_time: float | None = None
    """Seconds."""
    execution_metadata: dict[str, Any] | None = None
    created_at: Moment | None = None
    finished_at: Moment | None = None
    iteration_id: str | None = None
    loop_id: str | None = None
    retry_index: int | None = None
    files: list[dict[str, Any]] | None = None


class NodeStartedEvent(WorkflowEvent):
    """A node began."""

    event: Literal["node_started"] = "node_started"
    data: NodeExecution = NodeExecution()


class NodeFinishedEvent(WorkflowEvent):
    """A node ended: `data.status` is succeeded, failed, exception, stopped or paused."""

    event: Literal["node_finished"] = "node_finished"
    data: NodeExecution = NodeExecution()


class NodeRetryEvent(WorkflowEvent):
    """A node failed and is tried again (0.14.2 and later)."""

    event: Literal["node_retry"] = "node_retry"
    data: NodeExecution = NodeExecution()


class ContainerExecution(Model):
    """`data` of iteration and loop events; `id` equals `node_id`."""

    id: str | None = None
    node_id: str | None = None
    node_type: str | None = None
    title: str | None = None
    index: int | None = None
    """Of an iteration from 0, of a loop from 1."""
    inputs: dict[str, Any] | None = None
    outputs: dict[str, Any] | None = None
    metadata: dict[str, Any] | None = None
    status: str | None = None
    error: str | None = None
    elapsed_time: float | None = None
    total_tokens: int | None = None
    steps: int | None = None
    created_at: Moment | None = None
    finished_at: Moment | None = None


class IterationStartedEvent(WorkflowEvent):
    """An iteration node began."""

    event: Literal["iteration_started"] = "iteration_started"
    data: ContainerExecution = ContainerExecution()


class IterationNextEvent(WorkflowEvent):
    """An iteration node took its next item."""

    event: Literal["iteration_next"] = "iteration_next"
    data: ContainerExecution = ContainerExecution()


class IterationCompletedEvent(WorkflowEvent):
    """An iteration node ended."""

    event: Literal["iteration_completed"] = "iteration_completed"
    data: ContainerExecution = ContainerExecution()


class LoopStartedEvent(WorkflowEvent):
    """A loop node began."""

    event: Literal["loop_started"] = "loop_started"
    data: ContainerExecution = ContainerExecution()


class LoopNextEvent(WorkflowEvent):
    """A loop node began its next round."""

    event: Literal["loop_next"] = "loop_next"
    data: ContainerExecution = ContainerExecution()


class LoopCompletedEvent(WorkflowEvent):
    """A loop node ended."""

    event: Literal["loop_completed"] = "loop_completed"
    data: ContainerExecution = ContainerExecution()


class ParallelBranch(Model):
    """`data` of the parallel branch events."""

    parallel_id: str | None = None
    parallel_branch_id: str | None = None
    iteration_id: str | None = None
    status: str | None = None
    error: str | None = None
    created_at: Moment | None = None


class ParallelBranchStartedEvent(WorkflowEvent):
    """A parallel branch began (0.8.1 to 1.8.x)."""

    event: Literal["parallel_branch_started"] = "parallel_branch_started"
    data: ParallelBranch = ParallelBranch()


class ParallelBranchFinishedEvent(WorkflowEvent):
    """A parallel branch ended (0.8.1 to 1.8.x)."""

    event: Literal["parallel_branch_finished"] = "parallel_branch_finished"
    data: ParallelBranch = ParallelBranch()


class AgentLog(Model):
    """`data` of an `agent_log`: a step of an agent node, a tree by `parent_id`."""

    id: str | None = None
    node_id: str | None = None
    node_execution_id: str | None = None
    parent_id: str | None = None
    label: str | None = None
    status: str | None = None
    error: str | None = None
    data: dict[str, Any] | None = None
    metadata: dict[str, Any] | None = None


class AgentLogEvent(WorkflowEvent):
    """A step of an agent node. Sent again with the same `data.id` as it goes on."""

    event: Literal["agent_log"] = "agent_log"
    data: AgentLog = AgentLog()


class WorkflowFinished(Model):
    """`data` of a `workflow_finished`."""

    id: str | None = None
    workflow_id: str | None = None
    status: str | None = None
    """succeeded, partial-succeeded, failed or stopped."""
    outputs: dict[str, Any] | None = None
    error: str | None = None
    elapsed_time: float | None = None
    """Seconds."""
    total_tokens: int | None = None
    total_steps: int | None = None
    exceptions_count: int | None = None
    created_at: Moment | None = None
    finished_at: Moment | None = None
    files: list[dict[str, Any]] | None = None


class WorkflowFinishedEvent(WorkflowEvent):
    """A run ended."""

    event: Literal["workflow_finished"] = "workflow_finished"
    data: WorkflowFinished = WorkflowFinished()


class HumanInputRequiredEvent(WorkflowEvent):
    """A run needs a form filled; `workflow_paused` follows (1.13.0 and later)."""

    event: Literal["human_input_required"] = "human_input_required"
    data: HumanInputForm = HumanInputForm()


class HumanInputFormFilled(Model):
    """`data` of a `human_input_form_filled`."""

    node_id: str | None = None
    node_title: str | None = None
    rendered_content: str | None = None
    action_id: str | None = None
    action_text: str | None = None
    submitted_data: dict[str, Any] | None = None


class HumanInputFormFilledEvent(WorkflowEvent):
    """A form was submitted."""

    event: Literal["human_input_form_filled"] = "human_input_form_filled"
    data: HumanInputFormFilled = HumanInputFormFilled()


class HumanInputFormTimeout(Model):
    """`data` of a `human_input_form_timeout`."""

    node_id: str | None = None
    node_title: str | None = None
    expiration_time: Moment | None = None


class HumanInputFormTimeoutEvent(WorkflowEvent):
    """A form expired."""

    event: Literal["human_input_form_timeout"] = "human_input_form_timeout"
    data: HumanInputFormTimeout = HumanInputFormTimeout()


class WorkflowPaused(Model):
    """`data` of a `workflow_paused`."""

    workflow_run_id: str | None = None
    paused_nodes: list[str] | None = None
    outputs: dict[str, Any] | None = None
    reasons: list[dict[str, Any]] | None = None
    status: str | None = None
    created_at: Moment | None = None
    elapsed_time: float | None = None
    total_tokens: int | None = None
    total_steps: int | None = None

    @property
    def forms(self) -> list[HumanInputForm]:
        """The forms among its reasons."""
        return [
            decode(HumanInputForm, reason)
            for reason in self.reasons or []
            if reason.get("form_id") or reason.get("form_token")
        ]


class WorkflowPausedEvent(WorkflowEvent):
    """A run waits for a human; the stream ends, the run does not (1.13.0 and later)."""

    event: Literal["workflow_paused"] = "workflow_paused"
    data: WorkflowPaused = WorkflowPaused()
