"""The shapes everything on the wire shares: JSON values, ids and times."""

from __future__ import annotations

import json
import time
import uuid
from typing import Any, TypeAlias

# JSON objects are open by nature: each endpoint builds its own keys.
JsonObject: TypeAlias = dict[str, Any]

NIL_UUID = "00000000-0000-0000-0000-000000000000"

_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "dify-local")
_compact = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def new_id() -> str:
    """Return a random UUID, as servers give to messages, tasks and runs."""
    return str(uuid.uuid4())


def stable_id(*parts: object) -> str:
    """Return the same UUID for the same parts, for things that outlive a process.

    Example:
        >>> stable_id("app", "chat") == stable_id("app", "chat")
        True
    """
    return str(uuid.uuid5(_NAMESPACE, "/".join(str(part) for part in parts)))


def is_uuid(text: object) -> bool:
    """Tell whether a value reads as a UUID."""
    try:
        uuid.UUID(str(text))
    except ValueError:
        return False
    return True


def now() -> int:
    """Return the time in whole seconds since the epoch, the unit of every `created_at`."""
    return int(time.time())


def compact_json(value: object) -> str:
    """Return the JSON of stream frames: one line, raw UTF-8, no spaces."""
    return _compact(value)


def spaced_json(value: object) -> str:
    """Return the JSON of every other body: ASCII with escapes, and a space after separators."""
    return json.dumps(value)
