"""What a workflow app answers."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field
from typing_extensions import Self

from dify_api._calls.app_tool import result_text
from dify_api.answers.answer import Answer
from dify_api.answers.events import NodeExecution
from dify_api.models import AnswerFile, Usage
from llama_index_dify._answers.responses import raw
from llama_index_dify.events import DifyEvent


class DifyWorkflowResponse(BaseModel):
    """The outputs of a run, and how it went. `str()` of it is `text`."""

    outputs: dict[str, Any]
    """By the names that the app's End node gives them."""
    text: str = ""
    """The outputs as a text: the only one, or their JSON."""
    nodes: list[NodeExecution] = Field(default=[], repr=False)
    """The nodes that ran, in the order in which they ended."""
    files: list[AnswerFile] = []
    usage: Usage | None = None
    """Tokens and price of the run's nodes."""
    status: str | None = None
    """How the run ended: "succeeded", "partial-succeeded", or "stopped" by this process."""
    workflow_run_id: str | None = None
    raw: dict[str, Any] = Field(default={}, repr=False)
    """Everything that Dify said of the run."""

    @classmethod
    def of(cls, answer: Answer, nodes: list[NodeExecution]) -> Self:
        """The response that an answer is.

        Args:
            answer: A whole answer.
            nodes: The nodes that ran.
        """
        return cls(
            outputs=answer.outputs or {},
            text=result_text(answer),
            nodes=nodes,
            files=answer.files,
            usage=answer.usage,
            status=answer.workflow.status if answer.workflow else None,
            workflow_run_id=answer.workflow_run_id,
            raw=raw(answer),
        )

    def __str__(self) -> str:
        return self.text


class DifyWorkflowResponseEvent(DifyEvent):
    """The last event of a stream of `DifyWorkflow`."""

    response: DifyWorkflowResponse
