"""What becomes of an app's call in a node, step after step: pure, without I/O."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import Any, NamedTuple, cast

from dify_api._calls.end_user import private_answer
from dify_api._runs.resumption import filled
from dify_api.answers.answer import Answer
from dify_api.errors import DifyError, InvalidFormDataError, WorkflowPausedError
from dify_api.models import as_json
from langchain_dify._human_input.graph import Record
from langchain_dify._human_input.node_log import outcome

QUESTION_TYPE = "dify_human_input"


class Question(NamedTuple):
    """What a human is asked.

    Attributes:
        value: The value of the interrupt.
        schema: The JSON schema of the reply.
    """

    value: Record
    schema: dict[str, Any]


BEGIN = "begin"
"""Look up the outcome of the next step; None where it is to be done now."""
OPEN = "open"
"""Do it: open the stream."""

Course = Generator[str | Record | Question, Any, None]
"""Yields what is to be done, by the edges in `streams`: `BEGIN`, `OPEN`, a record to keep, a
question to ask; is sent what comes of it."""


class Progress:
    """What has become of a call of an app in this node: pure, without I/O."""

    def __init__(self, caller: str) -> None:
        self._caller = caller
        self._paused: Answer | None = None
        self._values: Mapping[str, Any] = {}
        self._refusal: str | None = None
        self._known: Answer | None = None

    @property
    def text_before(self) -> str:
        """What was streamed when the node was executed before."""
        before = self._known or self._paused
        return before.streamed_text if before else ""

    def _course(self, record: Record | None) -> Course:
        """Go through what is known, up to what is to be streamed now.

        Args:
            record: The newest outcome, where it is known.
        """
        while True:
            if record is None:
                record = yield BEGIN
            if record is None:
                try:
                    yield OPEN
                except InvalidFormDataError as error:
                    record = self._refused(error)
                    yield record
                else:
                    return
            if not self._is_question(record):
                return
            while not self._take_reply((yield self._question())):
                pass
            record = None

    def _outcome_of(self, error: DifyError) -> Record:
        """What a stream came to that did not end in an answer; other errors are raised again."""
        if isinstance(error, WorkflowPausedError):
            return self._outcome(error.answer or Answer(), "paused")
        if isinstance(error, InvalidFormDataError):
            return self._refused(error)
        raise error

    def _outcome(self, answer: Answer, kind: str = "answer") -> Record:
        kept = as_json(private_answer(answer), exclude_none=True)
        return outcome(self._caller, {kind: kept})

    def _refused(self, error: InvalidFormDataError) -> Record:
        if self._paused is None:
            raise error
        return outcome(self._caller, {"refused": error.message})

    def _is_question(self, record: Record) -> bool:
        """Take an earlier outcome; whether a human is to be asked next."""
        if "answer" in record:
            self._known = Answer.model_validate(record["answer"])
            return False
        if "paused" in record:
            self._paused = Answer.model_validate(record["paused"])
        self._refusal = record.get("refused")
        return True

    def _question(self) -> Question:
        paused = cast("Answer", self._paused)
        schema = _schema(paused)
        question = {
            "type": QUESTION_TYPE,
            "workflow_run_id": paused.workflow_run_id,
            "text": paused.text,
            "forms": [as_json(form, exclude_none=True) for form in paused.forms],
            "response_schema": schema,
        }
        if self._refusal is not None:
            question["error"] = self._refusal
        return Question(question, schema)

    def _take_reply(self, reply: Any) -> bool:
        """Take a human's reply; whether it fits the forms."""
        try:
            if not isinstance(reply, Mapping):
                raise ValueError(f"the form is filled with a mapping, not {type(reply).__name__}")
            filled(cast("Answer", self._paused).forms, reply)
        except ValueError as error:
            self._refusal = str(error)
            return False
        self._values, self._refusal = reply, None
        return True


def _schema(paused: Answer) -> dict[str, Any]:
    """The reply: the values of the form, or those of each by the node that asks."""
    schemas = [form.response_schema() for form in paused.forms]
    if len(schemas) == 1:
        return schemas[0]
    names = [form.node_id or form.form_token or "" for form in paused.forms]
    properties = {
        name: {"title": form.node_title or name, **schema}
        for name, form, schema in zip(names, paused.forms, schemas, strict=True)
    }
    return {"type": "object", "properties": properties, "minProperties": 1}
