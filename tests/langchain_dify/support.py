"""What differs between the releases of langchain-core and LangGraph that are tested."""

from __future__ import annotations

import inspect
from importlib.metadata import version
from typing import Any

import pytest
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.load import dumpd, load

_ALLOWED = {"allowed_objects": "messages"}
_KNOWN = inspect.signature(load).parameters

needs_interrupts = pytest.mark.skipif(
    tuple(int(number) for number in version("langgraph").split(".")[:3]) < (1, 2, 16),
    reason="an older LangGraph does again what a subgraph has done, so interrupts are refused",
)
HAS_TYPED_EVENTS = hasattr(BaseChatModel, "stream_events")
"""Whether `stream_events(version="v3")` is there."""


def reloaded(message: Any, dumped: Any = None) -> Any:
    """A message as another process loads it."""
    facts = dumpd(message) if dumped is None else dumped
    return load(facts, **{k: v for k, v in _ALLOWED.items() if k in _KNOWN})
