"""What differs between the releases of langchain-core that are tested."""

from __future__ import annotations

import inspect
from typing import Any

from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.load import dumpd, load

_ALLOWED = {"allowed_objects": "messages"}
_KNOWN = inspect.signature(load).parameters

HAS_TYPED_EVENTS = hasattr(BaseChatModel, "stream_events")
"""Whether `stream_events(version="v3")` is there."""


def reloaded(message: Any, dumped: Any = None) -> Any:
    """A message as another process loads it."""
    facts = dumpd(message) if dumped is None else dumped
    return load(facts, **{k: v for k, v in _ALLOWED.items() if k in _KNOWN})
