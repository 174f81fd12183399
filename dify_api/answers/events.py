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
from dify_api.answers.message_events import Event, PingEvent, UnknownEvent
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


def parse_event(name: str, data: bytes) -> Event | None:
    """Read one frame of a stream.

    Args:
        name: The frame's `event:` line, "" where it has none.
        data: The frame's data, JSON text.

    Returns:
        The event; None for a frame that holds no JSON object (a proxy's debris).
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
        frame = json.loads(data.decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return None
    if not isinstance(frame, dict):
        return None
    kind = str(frame.get("event") or name or _kind_of(frame))
    return decode(_classes.get(kind, UnknownEvent), {**frame, "event": kind})


def _kind_of(frame: Mapping[str, Any]) -> str:
    """The event that a frame without a name is (releases 0.3.x and the 2023 references)."""
    if "answer" in frame:
        return "message"
    if "message" in frame and ("code" in frame or "status" in frame):
        return "error"
    return ""
