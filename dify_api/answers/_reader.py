"""Reads the body of an answer: bytes in, events out, and the judgement how it ended.

No I/O here: the two edges in `streams` feed it and obey it.
"""

from __future__ import annotations

import json
import time

from dify_api import errors
from dify_api._advice import Advice
from dify_api._replies import error_from_code
from dify_api.answers._blocking import events_of_blocking
from dify_api.answers._builder import AnswerBuilder
from dify_api.answers._rejoined import Progress, Rejoined, Seen, key_of
from dify_api.answers._sse import SSEDecoder, begins_like_stream
from dify_api.answers.answer import Answer
from dify_api.answers.events import (
    AgentMessageEvent,
    DatasourceErrorEvent,
    ErrorEvent,
    Event,
    MessageEndEvent,
    MessageEvent,
    PingEvent,
    TTSMessageEndEvent,
    TTSMessageEvent,
    UnreadableEventError,
    WorkflowFinishedEvent,
    WorkflowPausedEvent,
    parse_event,
)

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
MESSAGE_END_GRACE = 10.0
"""Seconds that a chatflow's `message_end` may come after `workflow_finished` (up to 1.12.1)."""
SPEECH_GRACE = 5.0
"""Seconds that an ended answer waits for more speech once speech has begun."""


class AnswerReader:
    """The state of one answer that is being read.

    Args:
        operation: Method and path, for errors.
        progress_timeout: Seconds without any event but pings after which the answer counts as
            interrupted; None for no limit.
        before: What there is of the answer already, where it goes on.
    """

    def __init__(
        self, operation: str, progress_timeout: float | None, before: Answer | None = None
    ) -> None:
        self.builder = AnswerBuilder.of(before) if before else AnswerBuilder()
        self.progress_timeout = progress_timeout
        self.lost: str | None = None
        """Why an answer that broke off was not found again."""
        self.advice = Advice()
        self.is_stopped_here = False
        """Whether the run was stopped by this process, which wants what there is of its answer."""
        self._operation = operation
        self._seen: Seen = set()
        self._answered: set[str] = set()  # forms
        self._rejoined: Rejoined | None = None
        self._has_gap = False  # whether text was lost
        self._restored: list[Step] = []
        self._patience: float | None = None
        self._decoder = SSEDecoder()
        self._whole: bytearray | None = None  # a body that is not known to be a stream
        self._since = time.monotonic()  # when the wait for the next event that counts began
        self._progress = False  # whether such an event has come meanwhile
        self._late = False
        self._speaking = False
        self._speech_ended = False
        self._pinged = False
        self._unreadable = False  # whether a frame came that is an event, but which?
        self.is_settled = False
        """Whether a terminal event has come, so that the run need not be stopped."""
        self.has_progressed = False
        """Whether this body has brought anything but pings."""

    def expect(self, content_type: str) -> None:
        """Take note of what the reply calls itself: proxies change that, so it is not believed.

        What calls itself no stream is a blocking answer or an error, unless it begins like one.
        """
        if not content_type.lower().startswith("text/event-stream"):
            self._whole = bytearray()

    def go_on(self, patience: float | None = None) -> None:
        """Read another body into the same answer.

        Args:
            patience: Seconds for which it may bring nothing but pings; None for the
                `progress_timeout`.
        """
        self._decoder = SSEDecoder()
        self._whole = None
        self._since, self._patience = time.monotonic(), patience
        self.is_settled = self._progress = self._late = self.has_progressed = False
        if self._rejoined is None:
            self._join(holds_text=False)

    def start_from(self, before: Answer) -> None:
        """Go on with an answer, of which nothing has been read yet."""
        self.builder = AnswerBuilder.of(before)

    def answer_form(self, form_id: str) -> None:
        """Take note that a form was answered: its run goes on."""
        self._answered.add(form_id)
        self.builder.go_on()
        self.is_settled = False

    def rejoin(self) -> None:
        """Take note that the stream broke: what comes from now on follows a gap."""
        self._has_gap = True
        self._join(holds_text=True)

    def _join(self, *, holds_text: bool) -> None:
        self._rejoined = Rejoined(self.builder, self._seen, self._answered, holds_text=holds_text)

    def restore(self, events: list[Event], text: str | None = None) -> None:
        """Take events that were found elsewhere than in a stream, and end the answer.

        Args:
            events: The events.
            text: The whole text of the answer, where they do not tell it.
        """
        if self._rejoined is not None and text is not None:
            events = [*self._rejoined.complete(text), *events]
            self._has_gap = self._unreadable = False
        elif self._rejoined is not None:
            events = [new for event in events for new in self._rejoined.take(event)]
            events += self._rejoined.rest()
        for event in events:
            self._restored.append((event, self.builder.add(event)))
            self._note(event)

    def restored(self) -> list[Step]:
        """The events that were found elsewhere, or held back; nothing more is read."""
        if self._rejoined is not None:
            self.restore([])
        steps, self._restored = self._restored, []
        return steps

    def feed(self, piece: bytes) -> list[Step]:
        """Take the next bytes of the body; return the events that they complete."""
        if self._whole is not None:
            self._whole += piece
            if not begins_like_stream(self._whole):
                return self._take([])
            piece, self._whole = bytes(self._whole), None
        return self._take(self._decoder.feed(piece))

    def end(self, is_whole: bool = True) -> list[Step]:
        """Take the end of the body; return the events that were left open by it.

        Args:
            is_whole: Whether the server ended it; else the connection broke, or time was up.

        Raises:
            UnexpectedReplyError: If it is not an answer of Dify's.
        """
        if self._whole is not None:
            body, self._whole = bytes(self._whole), None
            return self._take_whole(body, is_whole)
        return [] if self.is_done else self._take(self._decoder.flush())

    def _take_whole(self, body: bytes, is_whole: bool) -> list[Step]:
        try:
            reply = json.loads(body)
        except (ValueError, RecursionError):
            reply = None
        if not isinstance(reply, dict):
            # Lines of JSON, or a frame unfinished?
            if (steps := [*self.feed(body), *self.end()]) or not is_whole:
                return steps
            raise errors.UnexpectedReplyError(
                "the reply is no answer",
                operation=self._operation,
                hint='Check base_url: it ends in "/v1" on a standard installation.',
            )
        steps = [(event, self.builder.add(event)) for event in events_of_blocking(reply)]
        self.is_settled = True
        return steps

    def _take(self, frames: list[tuple[str, bytes]]) -> list[Step]:
        steps: list[Step] = []
        progress = False
        for name, data in frames:
            try:
                event = parse_event(name, data)
            except UnreadableEventError:
                self._unreadable = progress = True
                continue
            if event is None:
                continue
            kind = type(event)
            if kind is PingEvent:
                self._pinged = True
                steps.append((event, ""))
                continue
            progress = self._rejoined is None or self._rejoined.is_news(event) or progress
            for new in (event,) if self._rejoined is None else self._rejoined.take(event):
                steps.append((new, self.builder.add(new)))
                kind = type(new)
                if kind is not MessageEvent and kind is not AgentMessageEvent:
                    self._note(new)
            if self.is_settled and self.is_done:
                break  # what follows counts no more, however the bytes were cut
        if progress:
            self._progress = self.has_progressed = True
        else:
            self.look_at_clock()
        return steps

    def _note(self, event: Event) -> None:
        if isinstance(event, _TERMINAL):
            self.is_settled = True
        elif isinstance(event, Progress):
            self._seen.add(key_of(event))
        elif isinstance(event, TTSMessageEvent):
            self._speaking = True
        elif isinstance(event, TTSMessageEndEvent):
            self._speech_ended = True

    def wait(self) -> None:
        """Begin to wait for more: the time that the consumer took is not the server's."""
        if self._progress:
            self._progress = False
            self._since = time.monotonic()

    def look_at_clock(self) -> None:
        """Take note of it if no more is to be waited for."""
        due = self.due()
        self._late = due is not None and time.monotonic() >= due

    def due(self) -> float | None:
        """The moment (of `time.monotonic`) until which more is waited for; None for no limit."""
        if self.is_settled:
            seconds: float | None = self._grace()
        else:
            seconds = self.progress_timeout if self._patience is None else self._patience
        return None if seconds is None else self._since + seconds

    @property
    def is_done(self) -> bool:
        """Whether nothing more is to be read."""
        builder = self.builder
        if self._late:
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

    def _grace(self) -> float:
        """Seconds to wait for what may follow the end."""
        builder = self.builder
        # Chatflows close without their last speech; completion and chat apps send it after.
        if self._speaking and builder.workflow is None:
            return SPEECH_GRACE
        return MESSAGE_END_GRACE if builder.lacks_message_end else COMPANION_GRACE

    @property
    def is_impatient(self) -> bool:
        """Whether the wait is over sooner than that for progress."""
        return self.is_settled or self._patience is not None

    @property
    def is_stalled(self) -> bool:
        """Whether there was no progress for the `progress_timeout`."""
        return self._late and not self.is_impatient

    @property
    def is_silent(self) -> bool:
        """Whether a body has brought nothing but pings for as long as that was to be borne."""
        return self._late and self.is_impatient and not self.is_settled

    def is_interrupted(self, cause: Exception | None) -> bool:
        """Whether the answer broke off, by what has come and what broke the connection."""
        failure = self._failure(None if self.is_settled else cause)
        return isinstance(failure, errors.StreamInterruptedError) and not self.is_stalled

    def finish(self, cause: Exception | None = None) -> Answer:
        """Judge how the answer ended, once nothing more is read.

        Args:
            cause: What broke the connection, if something did.

        Returns:
            The answer.

        Raises:
            StatusError: An `error` event ended it; the class is that of its code.
            WorkflowFailedError: The run failed.
            WorkflowStoppedError: Somebody else stopped the run.
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
        if builder.is_cut_short and not self.is_stopped_here:
            reason = (builder.workflow and builder.workflow.error) or "the run was stopped"
            return errors.WorkflowStoppedError(reason, operation=self._operation)
        if builder.message_end is None and builder.error is not None:
            event = builder.error
            return error_from_code(
                event.code, event.status, event.message or "", operation=self._operation
            )
        closed = cause is None and not self.is_stalled
        # A datasource closes the body after the last of its results.
        ran = builder.workflow is not None and (self.is_settled or closed)
        # 0.3.0 just closes the body.
        of_2023 = builder.message_id is not None and not builder.has_message_ids and closed
        ended = builder.message_end is not None or ran or of_2023
        lost = self._unreadable or self._has_gap
        if not ended or (lost and not builder.is_streamed_text_replaced):
            return self._interruption(cause)
        return None

    def _pause(self) -> errors.WorkflowPausedError:
        titles = ", ".join(form.node_title or "?" for form in self.builder.forms)
        error = errors.WorkflowPausedError(
            f"the run waits for human input ({titles})" if titles else "the run is paused",
            operation=self._operation,
            hint=self.advice.paused,
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
        if self.is_stalled:
            text = f"no progress for {self.progress_timeout:g} s, {known}"
        elif cause is not None:
            text = f"the stream broke {known}: {cause or type(cause).__name__}"
        elif self._unreadable:
            text = "an event of the stream cannot be read, so that a part of the answer may be lost"
        elif self._has_gap and self.is_settled:
            text = "a part of the answer was lost with the connection"
        else:
            text = f"the stream ended {known}, without its terminal event"
        generates = self._operation.startswith("POST")
        if generates and not self.builder.task_id and self._pinged:
            hint = (
                "Servers of 1.13 and 1.14 refuse missing inputs, unknown conversations and "
                'foreign files this way: response_mode="blocking" tells which.'
            )
        elif self.builder.workflow_run_id and not self.is_settled:
            hint = f"The run may be going on: workflow_run_id {self.builder.workflow_run_id}."
        if self.lost:
            hint = f"{hint or ''} The answer was not found again: {self.lost}".strip()
        return errors.StreamInterruptedError(text, operation=self._operation, hint=hint)
