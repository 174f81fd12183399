"""Reads the body of an answer: bytes in, events out, and the judgement how it ended.

No I/O here: the two edges in `streams` feed it and obey it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

from dify_api import errors
from dify_api._replies import error_from_code
from dify_api.answers._sse import SSEDecoder
from dify_api.answers.answer import Answer, AnswerBuilder
from dify_api.answers.events import (
    AgentMessageEvent,
    AnswerMetadata,
    DatasourceErrorEvent,
    ErrorEvent,
    Event,
    HumanInputRequiredEvent,
    MessageEndEvent,
    MessageEvent,
    PingEvent,
    TTSMessageEndEvent,
    TTSMessageEvent,
    WorkflowFinishedEvent,
    WorkflowPausedEvent,
    parse_event,
)
from dify_api.models import decode

_TERMINAL = (
    MessageEndEvent,
    WorkflowFinishedEvent,
    WorkflowPausedEvent,
    ErrorEvent,
    DatasourceErrorEvent,
)

Step = tuple[Event, str]
"""An event, and the text that it adds to the streamed answer ("" for most)."""

COMPANION_GRACE = 1.0
"""Seconds that an ended answer waits for its other terminal event, or for the body's end."""
SPEECH_GRACE = 5.0
"""Seconds that it waits for more speech once speech has begun."""


class AnswerReader:
    """The state of one answer that is being read.

    Args:
        operation: Method and path, for errors.
        progress_timeout: Seconds without any event but pings after which the answer counts as
            interrupted; None for no limit.
    """

    def __init__(self, operation: str, progress_timeout: float | None) -> None:
        self.builder = AnswerBuilder()
        self._operation = operation
        self._progress_timeout = progress_timeout
        self._decoder = SSEDecoder()
        self._progress_at = time.monotonic()
        self._stalled = False
        self._speaking = False
        self._speech_ended = False
        self._pinged = False
        self.is_settled = False
        """Whether a terminal event has come, so that the run need not be stopped."""

    def feed(self, piece: bytes) -> list[Step]:
        """Take the next bytes of an event stream; return the events that they complete."""
        return self._take(self._decoder.feed(piece))

    def end(self) -> list[Step]:
        """Take the end of the body; return the event that was left open by it, if any."""
        return [] if self.is_done else self._take(self._decoder.flush())

    def take_whole(self, body: bytes) -> list[Step]:
        """Take a reply that does not call itself a stream; return it as a stream's events.

        It is a blocking answer or an error; or a stream after all, whose type a proxy changed.

        Raises:
            UnexpectedReplyError: If it is not an answer of Dify's.
        """
        try:
            reply = json.loads(body)
        except (ValueError, RecursionError):
            reply = None
        if not isinstance(reply, dict):
            if steps := [*self.feed(body), *self.end()]:
                return steps
            raise errors.UnexpectedReplyError(
                "the reply is no answer",
                operation=self._operation,
                hint='Check base_url: it ends in "/v1" on a standard installation.',
            )
        steps = [(event, self.builder.add(event)) for event in _events_of_blocking(reply)]
        self.is_settled = True
        return steps

    def _take(self, frames: list[tuple[str, bytes]]) -> list[Step]:
        steps: list[Step] = []
        progress = False
        for name, data in frames:
            event = parse_event(name, data)
            if event is None:
                continue
            steps.append((event, self.builder.add(event)))
            kind = type(event)
            if kind is PingEvent:
                self._pinged = True
                continue
            progress = True
            if kind is not MessageEvent and kind is not AgentMessageEvent:
                self._note(event)
                if self.is_done:
                    break  # what follows counts no more, however the bytes were cut
        if progress:
            self._progress_at = time.monotonic()
        elif self._progress_timeout is not None:
            self._stalled = time.monotonic() - self._progress_at > self._progress_timeout
        return steps

    def _note(self, event: Event) -> None:
        if isinstance(event, _TERMINAL):
            self.is_settled = True
        elif isinstance(event, TTSMessageEvent):
            self._speaking = True
        elif isinstance(event, TTSMessageEndEvent):
            self._speech_ended = True

    @property
    def is_done(self) -> bool:
        """Whether nothing more is to be read."""
        builder = self.builder
        if self._stalled:
            return True
        if not self.is_settled:
            return False
        if builder.error or builder.paused:
            return True
        if self._speaking and not self._speech_ended:
            return False
        if builder.workflow is None:
            return self._speech_ended and builder.message_end is not None
        return not builder.is_chatflow or builder.message_end is not None

    @property
    def grace(self) -> float | None:
        """Seconds to wait for what may follow; None while the answer is going on."""
        if not self.is_settled:
            return None
        # Chatflows close without their last speech; completion and chat apps send it after.
        return SPEECH_GRACE if self._speaking and not self.builder.workflow else COMPANION_GRACE

    def finish(self, cause: Exception | None = None) -> Answer:
        """Judge how the answer ended, once nothing more is read.

        Args:
            cause: What broke the connection, if something did.

        Returns:
            The answer.

        Raises:
            StatusError: An `error` event ended it; the class is that of its code.
            WorkflowFailedError: The run failed.
            WorkflowPausedError: The run waits for a human.
            StreamInterruptedError: It ended without a terminal event.
        """
        if self.is_settled:
            cause = None  # a connection that breaks after the end is no part of the story
        failure = self._failure(cause)
        if failure is None:
            return self.builder.build()
        failure.answer = self.builder.build()
        raise failure from cause

    def _failure(self, cause: Exception | None) -> errors.DifyError | None:
        builder = self.builder
        if builder.paused is not None:
            return self._pause()
        if builder.is_failed:
            return self._workflow_failure()
        if builder.message_end is not None:
            return None
        if builder.error is not None:
            event = builder.error
            return error_from_code(
                event.code, event.status, event.message or "", operation=self._operation
            )
        closed = cause is None and not self._stalled
        if builder.workflow is not None and (self.is_settled or closed):
            return None  # a datasource closes the body after the last of its results
        text_of_2023 = builder.message_id is not None and not builder.has_message_ids
        if text_of_2023 and closed:
            return None  # 0.3.0 just closes the body
        return self._interruption(cause)

    def _pause(self) -> errors.WorkflowPausedError:
        titles = ", ".join(form.node_title or "?" for form in self.builder.forms)
        error = errors.WorkflowPausedError(
            f"the run waits for human input ({titles})" if titles else "the run is paused",
            operation=self._operation,
            hint="Submit its forms, then attach to the run's event stream.",
        )
        error.forms = list(self.builder.forms)
        error.workflow_run_id = self.builder.workflow_run_id
        return error

    def _workflow_failure(self) -> errors.WorkflowFailedError:
        event = self.builder.error or ErrorEvent()
        finished = self.builder.workflow
        message = (finished.error if finished else None) or event.message or "the run failed"
        like = error_from_code(event.code, event.status, message, operation=self._operation)
        return errors.WorkflowFailedError(
            message,
            code=event.code,
            status=event.status,
            operation=self._operation,
            hint=like.hint,
        )

    def _interruption(self, cause: Exception | None) -> errors.StreamInterruptedError:
        known = f"{'after' if self.builder.task_id else 'before'} the answer had begun"
        hint = None
        if self._stalled:
            text = f"no progress for {self._progress_timeout:g} s, {known}"
        elif cause is not None:
            text = f"the stream broke {known}: {cause or type(cause).__name__}"
        else:
            text = f"the stream ended {known}, without its terminal event"
        if not self.builder.task_id and self._pinged:
            hint = (
                "Servers of 1.13 and 1.14 refuse missing inputs, unknown conversations and "
                'foreign files this way: response_mode="blocking" tells which.'
            )
        elif self.builder.workflow_run_id:
            hint = f"The run may be going on: workflow_run_id {self.builder.workflow_run_id}."
        return errors.StreamInterruptedError(text, operation=self._operation, hint=hint)


def _events_of_blocking(reply: Mapping[str, Any]) -> list[Event]:
    """A blocking reply as the events that a stream would have brought."""
    kind = reply.get("event")
    data = reply.get("data")
    if kind == "workflow_paused" or (isinstance(data, dict) and data.get("status") == "paused"):
        return _paused(reply, data if isinstance(data, dict) else {})
    if isinstance(data, dict):
        return [decode(WorkflowFinishedEvent, {**reply, "event": "workflow_finished"})]
    if "answer" in reply:
        return [
            decode(MessageEvent, {**reply, "event": "message"}),
            MessageEndEvent(metadata=decode(AnswerMetadata, reply.get("metadata") or {})),
        ]
    return [decode(ErrorEvent, {"message": f"the reply is no answer: {sorted(reply)}", **reply})]


def _paused(reply: Mapping[str, Any], data: Mapping[str, Any]) -> list[Event]:
    facts = {**data, **{name: value for name, value in reply.items() if name != "data"}}
    reasons = facts.get("reasons") or []
    events: list[Event] = []
    if facts.get("answer"):
        events.append(decode(MessageEvent, {**facts, "event": "message"}))
    ids = {
        name: facts.get(name)
        for name in ("task_id", "workflow_run_id", "conversation_id", "message_id")
    }
    events += [
        decode(HumanInputRequiredEvent, {**ids, "event": "human_input_required", "data": reason})
        for reason in reasons
        if isinstance(reason, dict)
    ]
    paused = decode(WorkflowPausedEvent, {**ids, "event": "workflow_paused", "data": facts})
    return [*events, paused]
