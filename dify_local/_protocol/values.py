"""The shapes everything on the wire shares: JSON values, ids and times."""

from __future__ import annotations

import json
import random
import secrets
import time
import uuid
from contextvars import ContextVar
from typing import Any, TypeAlias

# JSON objects are open by nature: each endpoint builds its own keys.
JsonObject: TypeAlias = dict[str, Any]

NIL_UUID = "00000000-0000-0000-0000-000000000000"

_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "dify-local")
_compact = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class Chance:
    """Where ids and times come from: from chance and the clock, or the same in every run.

    Args:
        seed: Makes every id follow from it, and stops the clock at the beginning of 2026.
    """

    def __init__(self, seed: int | None = None) -> None:
        self.seed = seed
        self._random = random.Random(seed)  # noqa: S311 - no secrets
        self.mark()

    def mark(self) -> None:
        """Remember where the ids are."""
        self._marked = self._random.getstate()

    def restart(self) -> None:
        """Begin anew with the ids that came after the mark."""
        self._random.setstate(self._marked)

    def new_id(self) -> str:
        """Return the next id."""
        bits = uuid.uuid4().int if self.seed is None else self._random.getrandbits(128)
        return str(uuid.UUID(int=bits, version=4))

    def new_token(self) -> str:
        """Return the next token of a form."""
        if self.seed is None:
            return secrets.token_urlsafe(16)
        return self._random.randbytes(16).hex()[:22]

    def now(self) -> float:
        """Return the time in seconds since the epoch."""
        return time.time() if self.seed is None else _STOPPED_AT

    def since(self, began: float) -> float:
        """Return the seconds since a moment of `time.monotonic`; none where the clock stands."""
        return round(time.monotonic() - began, 6) if self.seed is None else 0.0


_STOPPED_AT = 1767225600.0  # 2026-01-01T00:00:00Z
_TRUE_CHANCE = Chance()
_CHANCE: ContextVar[Chance] = ContextVar("chance", default=_TRUE_CHANCE)


def use(chance: Chance) -> None:
    """Take ids and times from there, in this context and the tasks that it starts."""
    _CHANCE.set(chance)


def new_id() -> str:
    """Return a random UUID, as servers give to messages, tasks and runs."""
    return _CHANCE.get().new_id()


def new_token() -> str:
    """Return a random token, as servers give to forms."""
    return _CHANCE.get().new_token()


def seconds_since(began: float) -> float:
    """Return the seconds that have passed since a moment of `time.monotonic`."""
    return _CHANCE.get().since(began)


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
    return int(_CHANCE.get().now())


def compact_json(value: object) -> str:
    """Return the JSON of stream frames: one line, raw UTF-8, no spaces."""
    return _compact(value)


def spaced_json(value: object) -> str:
    """Return the JSON of every other body: ASCII with escapes, and a space after separators."""
    return json.dumps(value)
