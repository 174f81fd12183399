"""Blocking replies, read as the events that a stream would have brought."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dify_api.answers.events import (
    AnswerMetadata,
    ErrorEvent,
    Event,
    HumanInputRequiredEvent,
    MessageEndEvent,
    MessageEvent,
    WorkflowFinishedEvent,
    WorkflowPausedEvent,
)
from dify_api.models import decode


def events_of_blocking(reply: Mapping[str, Any]) -> list[Event]:
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
