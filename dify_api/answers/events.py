"""Every event of a Dify stream as one pydantic class, and the parser of a frame.

Field lists are those of releases 0.3.0 to 1.16.0 together. All fields have defaults, unknown
fields are kept (`event.model_extra`), and an event of no known name becomes an `UnknownEvent`.
A new event is one class in `message_events` or `workflow_events`: each class there that names
its `event` is read from streams, and is public here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import reduce
from operator import or_
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError

from dify_api._class_tree import class_tree
from dify_api.answers.datasource_events import *  # noqa: F403 - public here under its own name
from dify_api.answers.message_events import *  # noqa: F403 - public here under its own name
from dify_api.answers.message_events import (
    Event,
    PingEvent,
    TextChunkEvent,
    TextReplaceEvent,
    UnknownEvent,
)
from dify_api.answers.workflow_events import *  # noqa: F403 - and loaded, for the class tree
from dify_api.models import decode

_classes: dict[str, type[Event]] = {
    kind.model_fields["event"].default: kind
    for kind in class_tree(Event)
    if kind.model_fields["event"].default
}
_known: TypeAdapter[Event] = TypeAdapter(
    Annotated[reduce(or_, _classes.values()), Field(discriminator="event")]  # type: ignore[arg-type]  # a union made at run time
)
_validate_json = _known.validator.validate_json


class UnreadableEventError(ValueError):
    """A frame that is an event, but cannot be read: what it said is lost."""


def parse_event(name: str, data: bytes) -> Event | None:
    """Read one frame of a stream.

    Args:
        name: The frame's `event:` line, "" where it has none.
        data: The frame's data, JSON text.

    Returns:
        The event; None for a frame that is none (a proxy's debris).

    Raises:
        UnreadableEventError: If it is an event that was torn, or whose text is no text.
    """
    try:
        return _validate_json(data)  # type: ignore[no-any-return]  # typed Any by pydantic-core
    except ValidationError:
        return _parse_leniently(name, data)


def _parse_leniently(name: str, data: bytes) -> Event | None:
    """The slow path: pings, frames of 2023, unknown events, fields of unexpected types."""
    if not data.strip():
        return PingEvent() if name == "ping" else None
    try:
        frame = json.loads(data.decode("utf-8", "replace"), strict=False, parse_int=_number)
    except (ValueError, RecursionError) as error:
        if data.lstrip().startswith(b"{") or b'"event"' in data:
            raise UnreadableEventError from error
        return None
    if not isinstance(frame, dict):
        return None
    kind = str(frame.get("event") or name or _kind_of(frame))
    known = _classes.get(kind, UnknownEvent)
    if not _has_text(known, frame):
        raise UnreadableEventError
    return decode(known, {**frame, "event": kind})


def _number(digits: str) -> int | float:
    """An integer; one beyond what Python reads (4,300 digits) as infinity."""
    try:
        return int(digits)
    except ValueError:
        return float(digits)


def _has_text(kind: type[Event], frame: Mapping[str, Any]) -> bool:
    """Whether what should be a piece of the answer's text is one, or is not given."""
    if kind in (TextChunkEvent, TextReplaceEvent):
        data = frame.get("data") or {}
        return isinstance(data, dict) and isinstance(data.get("text"), str | None)
    return "answer" not in kind.model_fields or isinstance(frame.get("answer"), str | None)


def _kind_of(frame: Mapping[str, Any]) -> str:
    """The event that a frame without a name is (releases 0.3.x and the 2023 references)."""
    if "answer" in frame:
        return "message"
    if "message" in frame and ("code" in frame or "status" in frame):
        return "error"
    return ""
