"""Events, before they are written: JSON objects, and the ping that has no data."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Final

from dify_local._protocol.values import JsonObject

EventSource = AsyncGenerator[JsonObject, None]

PING: Final[JsonObject] = {"event": "ping"}
