"""What a chat model can be set to: types that its class is declared with, before any call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal, TypeAlias

Memory = Literal["server", "client", "none"]
"""Who keeps the history: Dify ("server"), the caller, who resends it ("client"), or the caller, and
the answer belongs to no conversation ("none")."""

OnFork = Literal["ignore", "new", "error"]
"""What to do when the conversation on the server went on without the history given, or is gone."""

if TYPE_CHECKING:
    from dify_api._calls.input_message import InputMessage

    Transcript: TypeAlias = Callable[[Sequence[InputMessage]], str]
    """Writes out what was said before the newest messages, without the system text."""
else:
    Transcript = Callable  # pydantic looks no further, and messages take long to import


def name_of(transcript: Transcript | None) -> str | None:
    """Tells a transcript function from others, in caches and traces."""
    if transcript is None:
        return None
    return (
        f"{transcript.__module__}.{getattr(transcript, '__qualname__', type(transcript).__name__)}"
    )
