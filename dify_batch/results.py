"""What a batch writes down of each row, and how it is read again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

from dify_api.answers.answer import Answer
from dify_api.errors import DifyError
from dify_api.models import AnswerFile, Model, RetrieverResource, Timestamp, Usage, as_json


class Attempt(Model):
    """A request that was sent for a row, and may have been paid for."""

    sent_at: Timestamp
    task_id: str | None = None
    conversation_id: str | None = None
    message_id: str | None = None
    workflow_run_id: str | None = None
    reason: str | None = None
    """Why its answer is lost."""

    @property
    def is_known(self) -> bool:
        """Whether the server has told that it began."""
        return bool(self.task_id or self.message_id or self.workflow_run_id)


class Failure(Model):
    """Why a row has no answer."""

    type: str
    """Name of the error's class: one of `dify_api.errors`, or "ValueError" for a bad row."""
    message: str = ""
    code: str | None = None
    """Dify's error code."""
    status: int | None = None
    """The HTTP status."""


class Result(Model):
    """The result of a row: its answer, or its failure with as much as had been answered."""

    id: str
    """Hash of what the app was asked and of the app; "-2" and so on for rows with the same."""
    row: int | None = None
    """Place among the rows, from 0; None on Ray, where rows have none."""
    status: Literal["succeeded", "failed"]
    input: dict[str, Any] = {}
    """The row itself."""
    answer: str = ""
    outputs: dict[str, Any] | None = None
    """Of a workflow or chatflow."""
    retriever_resources: list[RetrieverResource] = []
    """Citations."""
    files: list[AnswerFile] = []
    usage: Usage | None = None
    """Tokens and price."""
    latency: float | None = None
    """Seconds from the request to the end of the answer; None where it was picked up later."""
    conversation_id: str | None = None
    message_id: str | None = None
    task_id: str | None = None
    workflow_run_id: str | None = None
    picked_up: bool = False
    """Whether the answer was taken from the server after its stream was lost."""
    repeats: list[Attempt] = []
    """Earlier requests for the row whose answer is lost: they may have been paid for."""
    error: Failure | None = None
    finished_at: Timestamp

    @property
    def price(self) -> Decimal | None:
        """What the answer cost, in `usage.currency`; None where the app does not tell."""
        return self.usage.total_price if self.usage else None

    def line(self) -> bytes:
        """The result as a line of JSON."""
        try:
            text = self.model_dump_json(exclude_unset=True)
        except ValueError:  # half a surrogate pair, or deeper than pydantic writes
            text = json.dumps(as_json(self))
        return text.encode() + b"\n"


def of_answer(answer: Answer) -> dict[str, Any]:
    """The fields of a result that an answer has."""
    return {
        "answer": answer.text,
        "outputs": answer.outputs,
        "retriever_resources": answer.retriever_resources,
        "files": answer.files,
        "usage": answer.usage,
        "conversation_id": answer.conversation_id,
        "message_id": answer.message_id,
        "task_id": answer.task_id,
        "workflow_run_id": answer.workflow_run_id,
    }


def of_error(error: DifyError | ValueError | OSError) -> dict[str, Any]:
    """The fields of a result that a failure has, with the partial answer."""
    if not isinstance(error, DifyError):
        return {"error": Failure(type="ValueError", message=str(error))}
    failure = Failure(
        type=type(error).__name__, message=str(error), code=error.code, status=error.status
    )
    return {**(of_answer(error.answer) if error.answer else {}), "error": failure}


def read_results(output: str | Path) -> Iterator[Result]:
    """Read the results of a batch, in the order in which rows were finished.

    Args:
        output: The JSON lines or the Parquet file that a batch has written.

    Example:
        >>> for result in read_results("answers.jsonl"):
        ...     print(result.row, result.answer or result.error)
    """
    path = Path(output)
    if path.suffix == ".parquet":
        path = lines_of(path)
    with path.open("rb") as file:
        for line in file:
            if line.endswith(b"\n") and line.strip():
                yield Result.model_validate_json(line)


def lines_of(output: Path) -> Path:
    """The file of JSON lines of a batch: its output, or beside a Parquet output."""
    return output.with_name(f"{output.name}.jsonl") if output.suffix == ".parquet" else output


def now() -> datetime:
    """The time, aware of its zone."""
    return datetime.now().astimezone()
