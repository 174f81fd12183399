"""The fold of events into an answer.

The same fold serves both frameworks, sync and async, streaming and blocking.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from dify_api.answers._usage import NodeUsages
from dify_api.answers.answer import Answer
from dify_api.answers.events import (
    AgentMessageEvent,
    AgentThoughtEvent,
    AnnotationEvent,
    DatasourceCompletedEvent,
    DatasourceErrorEvent,
    ErrorEvent,
    Event,
    HumanInputForm,
    HumanInputRequiredEvent,
    MessageEndEvent,
    MessageEvent,
    MessageFileEvent,
    MessageReplaceEvent,
    NodeFinishedEvent,
    ReasoningChunkEvent,
    TextChunkEvent,
    TextReplaceEvent,
    WorkflowEvent,
    WorkflowFinished,
    WorkflowFinishedEvent,
    WorkflowPaused,
    WorkflowPausedEvent,
)
from dify_api.models import AnswerFile, decode, unchecked


class AnswerBuilder:
    """Folds events into an `Answer`, one by one, at constant cost each.

    Example:
        >>> builder = AnswerBuilder()
        >>> "".join(builder.add(event) for event in events)  # the text as it streams
        'Saturn has 146.'
        >>> builder.build().usage.total_tokens
        178
    """

    def __init__(self) -> None:
        self.conversation_id: str | None = None
        self.message_id: str | None = None
        self.task_id: str | None = None
        self.workflow_run_id: str | None = None
        self.message_end: MessageEndEvent | None = None
        self.workflow: WorkflowFinished | None = None
        self.paused: WorkflowPaused | None = None
        self.error: ErrorEvent | None = None
        self.is_chatflow = False
        """Whether a run's events came with a message's: two terminal events are due."""
        self.has_message_ids = False
        """False on streams of 2023, which have no terminal event."""
        self.whole_text: str | None = None
        """The text by the outputs of a workflow, where a part of the stream is known to be lost."""
        self._created_at: datetime | None = None
        self._identified = False
        self._parts: list[str] = []  # as streamed
        self._kept = 0  # parts before this one were replaced
        self._replacement: str | None = None
        self._moderated = False
        self._closing: list[str] = []  # a New Agent's closing message
        self.is_agent = False
        """Whether an agent's events came: its text comes by other ones."""
        self._thoughts: dict[str, AgentThoughtEvent] = {}
        self._files: dict[str, AnswerFile] = {}
        self._reasoning: list[str] = []
        self._node_usages = NodeUsages()
        self._forms: dict[str, HumanInputForm] = {}

    @classmethod
    def of(cls, answer: Answer) -> AnswerBuilder:
        """A builder that goes on with an answer: what follows a pause, or a lost connection."""
        builder = cls()
        builder.conversation_id = answer.conversation_id
        builder.message_id = answer.message_id
        pretended = answer.task_id == answer.workflow_run_id  # by snapshots, up to 1.16
        builder.task_id = None if pretended else answer.task_id
        builder.workflow_run_id = answer.workflow_run_id
        builder.is_chatflow = builder.has_message_ids = answer.message_id is not None
        builder._created_at = answer.created_at
        builder._parts = [answer.streamed_text] if answer.streamed_text else []
        if answer.text != answer.streamed_text:
            builder._replace(answer.text, moderated=bool(answer.streamed_text))
        builder._thoughts = {thought.id or "": thought for thought in answer.agent_thoughts}
        builder._files = {file.id or file.url or "": file for file in answer.files}
        builder._reasoning = [answer.reasoning]
        builder._node_usages = NodeUsages(answer.usage)
        builder._forms = {_key_of(form): form for form in answer.forms}
        return builder

    def go_on(self) -> None:
        """Take note that the run goes on after its pause: what follows belongs to the answer."""
        self.paused = self.workflow = self.error = None
        self._forms.clear()

    @property
    def is_begun(self) -> bool:
        """Whether anything is known of the answer."""
        return bool(self.task_id or self.workflow_run_id or self.message_id)

    @property
    def forms(self) -> list[HumanInputForm]:
        """The forms that are waited for."""
        return list(self._forms.values())

    def add(self, event: Event) -> str:
        """Take the next event.

        Returns:
            The text that it adds to the streamed answer; "" for any other event.
        """
        handler = _HANDLERS.get(type(event))
        if not self._identified or handler is None:
            self._identify(event)
        return handler(self, event) if handler else ""

    @property
    def is_failed(self) -> bool:
        """Whether the run ended "failed"; after a `message_end` that is no failure (1.16.0)."""
        failed = self.workflow is not None and self.workflow.status == "failed"
        return failed and self.message_end is None

    @property
    def is_cut_short(self) -> bool:
        """Whether the run ended "stopped", other than by a moderator with an answer of its own."""
        stopped = self.workflow is not None and self.workflow.status == "stopped"
        return stopped and not (self._moderated or self._is_moderators())

    def _is_moderators(self) -> bool:
        return "moderation" in ((self.workflow and self.workflow.error) or "")

    @property
    def lacks_message_end(self) -> bool:
        """Whether a chatflow's run has ended, but not its message, with usage and citations."""
        ended = self.workflow is not None and self.workflow.status != "failed"
        return ended and self.is_chatflow and self.message_end is None

    @property
    def is_streamed_text_replaced(self) -> bool:
        """Whether the answer does not depend on what was streamed: the run told it as a whole."""
        if self.is_chatflow or self.workflow is None:
            whole = self._replacement is not None and self._kept == len(self._parts)
            return bool(self._closing) or self._own_text() is not None or whole
        return self.workflow.outputs is not None

    def build(self) -> Answer:
        """The answer as far as it has come."""
        streamed = "".join(self._parts)
        metadata = self.message_end.metadata if self.message_end else None
        resources = metadata.retriever_resources if metadata else None
        if not resources and self.message_end:
            resources = self.message_end.retriever_resources
        fields = {
            "text": self._text(streamed),
            "streamed_text": streamed,
            "conversation_id": self.conversation_id,
            "message_id": self.message_id,
            "task_id": self.task_id,
            "workflow_run_id": self.workflow_run_id,
            "created_at": self._created_at,
            "usage": (metadata and metadata.usage) or self._node_usages.build(self.workflow),
            "retriever_resources": [*(resources or ())],
            "files": self._all_files(),
            "agent_thoughts": list(self._thoughts.values()),
            "reasoning": "".join(self._reasoning),
            "annotation_reply": metadata.annotation_reply if metadata else None,
            "outputs": self.workflow.outputs if self.workflow else None,
            "workflow": self.workflow,
            "forms": self.forms,
            "finish_reason": self._finish_reason(),
            "lacks_message_end": self.lacks_message_end,
        }
        return unchecked(Answer, fields)

    def _text(self, streamed: str) -> str:
        if self._replacement is not None and self._moderated:
            return self._replacement + "".join(self._parts[self._kept :])
        if self._closing:
            return "".join(self._closing)
        own = self._own_text()
        own = self.whole_text if own is None else own
        if own is not None:
            return own
        if self._replacement is not None:
            return self._replacement + "".join(self._parts[self._kept :])
        return streamed

    def _own_text(self) -> str | None:
        return None if self.workflow is None else self.text_of(self.workflow)

    def text_of(self, workflow: WorkflowFinished) -> str | None:
        """What a run that ended calls its answer; a chatflow's deltas may be lost or doubled."""
        if workflow.status not in ("succeeded", "partial-succeeded"):
            return None
        outputs = workflow.outputs or {}
        if self.is_chatflow:
            answer = outputs.get("answer")
            return answer if isinstance(answer, str) else None
        texts = [value for value in outputs.values() if isinstance(value, str)]
        # Attached to when it had ended, a chatflow's run does not tell that it is one.
        of_chatflow = outputs.keys() == {"answer", "files"}
        return texts[0] if len(texts) == 1 and (len(outputs) == 1 or of_chatflow) else None

    def _finish_reason(self) -> str | None:
        if self.workflow is not None and self.workflow.status == "stopped":
            return "stopped"
        finished = self.workflow is not None and self.workflow.status != "failed"
        return "stop" if finished or self.message_end else None

    def _all_files(self) -> list[AnswerFile]:
        files = dict(self._files)
        listed = (self.message_end.files if self.message_end else None) or []
        if not listed and self.workflow is not None and self.workflow.files:
            listed = decode(list[AnswerFile], self.workflow.files)
        for file in listed:
            name = file.id or file.related_id or file.url or str(len(files))
            if name in files or not self._is_users_own(file):
                files.setdefault(name, file)
        return list(files.values())

    def _is_users_own(self, file: AnswerFile) -> bool:
        """Completion, chat and agent apps list the user's attachments too (1.14.2, 1.16.0)."""
        attached = self.workflow is None and file.transfer_method in ("local_file", "remote_url")
        return attached or file.belongs_to == "user"

    def _identify(self, event: Event) -> None:
        self.task_id = self.task_id or event.task_id
        self.conversation_id = self.conversation_id or event.conversation_id
        self._created_at = self._created_at or event.created_at
        if event.message_id:
            self.has_message_ids = True
            self.message_id = self.message_id or event.message_id
        elif isinstance(event, _NAMED_BY_ID):
            self.message_id = self.message_id or event.id  # 2023
        if isinstance(event, WorkflowEvent):
            self.workflow_run_id = self.workflow_run_id or event.workflow_run_id
            self.is_chatflow = self.is_chatflow or event.message_id is not None
        self._identified = self.task_id is not None or self.message_id is not None

    # One handler for each event that says something about the answer ------------------------

    def _take_message(self, event: MessageEvent) -> str:
        if self.is_agent:
            self._closing.append(event.answer)
            return ""
        self._parts.append(event.answer)
        return event.answer

    def _take_agent_message(self, event: AgentMessageEvent) -> str:
        self.is_agent = True
        self._parts.append(event.answer)
        return event.answer

    def _take_text(self, event: AnnotationEvent) -> str:
        self._parts.append(event.answer)
        return event.answer

    def _take_message_file(self, event: MessageFileEvent) -> str:
        if event.answer is not None:  # text, on 1.11.2 to 1.12.1
            self._parts.append(event.answer)
            return event.answer
        file = AnswerFile(id=event.id, type=event.type, url=event.url, belongs_to=event.belongs_to)
        if event.belongs_to != "user":
            self._files[event.id or event.url or ""] = file
        return ""

    def _take_text_chunk(self, event: TextChunkEvent) -> str:
        self._parts.append(event.data.text)
        return event.data.text

    def _take_replacement(self, event: MessageReplaceEvent) -> str:
        self._replace(event.answer, moderated=not self._is_snapshot(event))
        return ""

    def _take_text_replacement(self, event: TextReplaceEvent) -> str:
        self._replace(event.data.text, moderated=True)
        return ""

    def _replace(self, text: str, *, moderated: bool) -> None:
        self._replacement = text
        self._kept = len(self._parts)
        self._moderated = moderated
        self._closing.clear()

    def _is_snapshot(self, event: MessageReplaceEvent) -> bool:
        """Re-attaching to a run replays its text first, in a replacement without a reason."""
        return self.is_chatflow and not event.reason and not self._parts and not self.workflow

    def _take_thought(self, event: AgentThoughtEvent) -> str:
        self.is_agent = True
        self._thoughts[event.id or str(len(self._thoughts))] = event
        return ""

    def _take_reasoning(self, event: ReasoningChunkEvent) -> str:
        self._reasoning.append(event.data.reasoning)
        return ""

    def _take_message_end(self, event: MessageEndEvent) -> str:
        self._identify(event)
        self.message_end = event
        return ""

    def _take_workflow_finished(self, event: WorkflowFinishedEvent) -> str:
        self._identify(event)
        self.workflow = event.data
        return ""

    def _take_node(self, event: NodeFinishedEvent) -> str:
        self._node_usages.take(event.data)
        return ""

    def _take_datasource_data(self, event: DatasourceCompletedEvent) -> str:
        found = event.data if isinstance(event.data, list) else [event.data]
        before = (self.workflow.outputs if self.workflow else None) or {"data": []}
        outputs = {"data": [*before["data"], *found]}
        self.workflow = WorkflowFinished(
            status="succeeded", outputs=outputs, elapsed_time=event.time_consuming
        )
        return ""

    def _take_datasource_error(self, event: DatasourceErrorEvent) -> str:
        outputs = self.workflow.outputs if self.workflow else None
        self.workflow = WorkflowFinished(status="failed", outputs=outputs, error=event.error)
        return ""

    def _take_form(self, event: HumanInputRequiredEvent) -> str:
        form = event.data
        self._forms[_key_of(form)] = form
        return ""

    def _take_pause(self, event: WorkflowPausedEvent) -> str:
        self._identify(event)
        self.paused = event.data
        for form in event.data.forms:  # where their own events were lost
            self._forms.setdefault(_key_of(form), form)
        return ""

    def _take_error(self, event: ErrorEvent) -> str:
        self._identify(event)
        self.error = self.error or event
        return ""


def _key_of(form: HumanInputForm) -> str:
    return form.form_id or form.form_token or form.node_id or ""


_NAMED_BY_ID = (MessageEvent, MessageEndEvent, AgentMessageEvent, AnnotationEvent)

_HANDLERS: dict[type[Event], Callable[[AnswerBuilder, Any], str]] = {
    MessageEvent: AnswerBuilder._take_message,
    AgentMessageEvent: AnswerBuilder._take_agent_message,
    AnnotationEvent: AnswerBuilder._take_text,
    MessageFileEvent: AnswerBuilder._take_message_file,
    TextChunkEvent: AnswerBuilder._take_text_chunk,
    MessageReplaceEvent: AnswerBuilder._take_replacement,
    TextReplaceEvent: AnswerBuilder._take_text_replacement,
    AgentThoughtEvent: AnswerBuilder._take_thought,
    ReasoningChunkEvent: AnswerBuilder._take_reasoning,
    MessageEndEvent: AnswerBuilder._take_message_end,
    NodeFinishedEvent: AnswerBuilder._take_node,
    WorkflowFinishedEvent: AnswerBuilder._take_workflow_finished,
    DatasourceCompletedEvent: AnswerBuilder._take_datasource_data,
    DatasourceErrorEvent: AnswerBuilder._take_datasource_error,
    HumanInputRequiredEvent: AnswerBuilder._take_form,
    WorkflowPausedEvent: AnswerBuilder._take_pause,
    ErrorEvent: AnswerBuilder._take_error,
}
