"""Which session of the caller's trace a call belongs to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def trace_session_of(arguments: Mapping[str, Any], default: str | None) -> str | None:
    """That of a call, also an empty one, which is refused then; else the default."""
    given: str | None = arguments.get("trace_session_id")
    return default if given is None else given
