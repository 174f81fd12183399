"""What comes from a run that was attached to, made one with what came before."""

from __future__ import annotations

from dify_api.answers._builder import AnswerBuilder
from dify_api.answers.events import (
    AgentMessageEvent,
    Event,
    HumanInputRequiredEvent,
    MessageEndEvent,
    MessageEvent,
    MessageReplaceEvent,
    NodeFinishedEvent,
    NodeStartedEvent,
    TextChunk,
    TextChunkEvent,
    WorkflowFinished,
    WorkflowFinishedEvent,
    WorkflowPausedEvent,
    WorkflowStartedEvent,
)

Progress = WorkflowStartedEvent | NodeStartedEvent | NodeFinishedEvent
"""The events that a snapshot replays of nodes."""

Seen = set[tuple[str | None, ...]]


class Rejoined:
    """Lets through of a run's events what is new.

    A snapshot replays nodes, text, and forms that have been answered. After a stream that broke
    nobody knows which text was lost before the next piece: so text is held back until the end of
    the run tells the whole of it, or until nothing else can be known.

    Args:
        builder: The answer so far.
        seen: The nodes' events so far, as `key_of` names them.
        answered: Ids of the forms that were answered.
        holds_text: Whether text was lost.
    """

    def __init__(
        self, builder: AnswerBuilder, seen: Seen, answered: set[str], *, holds_text: bool
    ) -> None:
        self._builder = builder
        self._seen = seen
        self._answered = answered
        self._holds_text = holds_text
        self._before = builder.build().text
        self._held: list[Event] = []
        self._message_end: MessageEndEvent | None = None

    def is_news(self, event: Event) -> bool:
        """Whether an event that is about to be taken is no replay."""
        if isinstance(event, Progress):
            return key_of(event) not in self._seen
        replays = MessageReplaceEvent | HumanInputRequiredEvent | WorkflowPausedEvent
        return not isinstance(event, replays)

    def take(self, event: Event) -> list[Event]:
        """Take the next event; return the events that are to be read."""
        if isinstance(event, MessageReplaceEvent) and not event.reason:
            return self._snapshot(event)
        if isinstance(event, Progress):
            return self._if_new(event)
        if isinstance(event, HumanInputRequiredEvent):
            return [] if event.data.form_id in self._answered else [event]
        if isinstance(event, WorkflowPausedEvent):
            return self._pause(event)
        if isinstance(event, WorkflowFinishedEvent):
            return [*self._rest_of(event.data), event]
        return self._hold(event) if self._holds_text else [event]

    def _pause(self, event: WorkflowPausedEvent) -> list[Event]:
        """A pause without the forms that were answered; none if those were all."""
        reasons = event.data.reasons or []
        open_ones = [r for r in reasons if r.get("form_id") not in self._answered]
        if reasons and not open_ones:
            return []
        data = event.data.model_copy(update={"reasons": open_ones})
        return [*self.rest(), event.model_copy(update={"data": data})]

    def rest(self) -> list[Event]:
        """The text that was held back, where no more can be known."""
        held, self._held = self._held, []
        if self._message_end is not None:
            held.append(self._message_end)
            self._message_end = None
        return held

    def complete(self, text: str) -> list[Event]:
        """What the whole text of the answer adds to it; servers keep it trimmed."""
        self._held.clear()
        streamed = self._builder.build().text
        if text == streamed.strip():
            return []
        for began in (streamed, streamed.lstrip()):
            if text.startswith(began):
                return [self._piece(text[len(began) :])]
        return [MessageReplaceEvent(answer=text)]

    def _hold(self, event: Event) -> list[Event]:
        if isinstance(event, MessageEvent | TextChunkEvent):
            self._held.append(event)
            return []
        if isinstance(event, MessageEndEvent):
            self._message_end = event  # the end of the run, which follows, tells the whole text
            return []
        return [event]

    def _rest_of(self, finished: WorkflowFinished) -> list[Event]:
        """What the end of a run tells that was lost, or held back."""
        whole = self._whole_of(finished)
        text = None if whole is None else self._after(whole)
        if whole is not None and text is None:
            self._builder.whole_text = whole
        if text is not None and self._builder.message_end is None:
            self._held = [self._piece(text)] if text else []
        return self.rest()

    def _whole_of(self, finished: WorkflowFinished) -> str | None:
        """The whole text; of several outputs that one which goes on as the text began."""
        whole = self._builder.text_of(finished)
        if whole is not None or self._builder.is_chatflow or finished.status != "succeeded":
            return whole
        known = self._builder.build().text, "".join(_text(event) for event in self._held)
        if not any(known) and not self._holds_text:
            return None
        texts = [text for text in (finished.outputs or {}).values() if isinstance(text, str)]
        likely = [text for text in texts if text.startswith(known[0]) and known[1] in text]
        if not likely and known[0].startswith(self._before):  # a part between was lost
            since = known[0][len(self._before) :]
            likely = [t for t in texts if t.startswith(self._before) and t.endswith(since)]
        return likely[0] if len(likely) == 1 else None

    def _snapshot(self, event: MessageReplaceEvent) -> list[Event]:
        """The text that the run has saved: less than what was streamed, or more."""
        if not self._builder.build().text:
            return [event]
        text = self._after(event.answer)
        if not text:
            return []
        self._held.clear()  # a part of it
        return [self._piece(text)]

    def _after(self, whole: str) -> str | None:
        """What the whole text has after that which was streamed; None if it is another one."""
        streamed = self._builder.build().text
        return whole[len(streamed) :] if whole.startswith(streamed) else None

    def _piece(self, text: str) -> Event:
        builder = self._builder
        if builder.message_id is None:
            return TextChunkEvent(data=TextChunk(text=text), task_id=builder.task_id)
        kind = AgentMessageEvent if builder.is_agent else MessageEvent
        return kind(
            answer=text,
            task_id=builder.task_id,
            message_id=builder.message_id,
            conversation_id=builder.conversation_id,
        )

    def _if_new(self, event: Progress) -> list[Event]:
        key = key_of(event)
        if key in self._seen:
            return []
        self._seen.add(key)
        return [event]


def _text(event: Event) -> str:
    if isinstance(event, TextChunkEvent):
        return event.data.text
    return event.answer if isinstance(event, MessageEvent) else ""


def key_of(event: Progress) -> tuple[str | None, ...]:
    """What tells an event that is replayed from another."""
    data = event.data
    if isinstance(event, WorkflowStartedEvent):
        return (event.event, event.data.reason)
    return (event.event, data.id, event.data.status)
