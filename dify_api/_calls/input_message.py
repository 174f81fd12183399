"""A message of either framework, and where an answer of Dify's stands: what the rule works on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from dify_api._calls.attachments import Attachment
from dify_api._calls.fingerprints import user_fingerprint

Role = Literal["system", "user", "assistant", "tool"]
"""Who speaks in a message."""


@dataclass(frozen=True)
class Anchor:
    """Where an answer stands in Dify: kept with the message, so that a later call finds it.

    Attributes:
        conversation_id: The conversation.
        message_id: The answer's message in it.
        app: Name of the app (`connection.app`).
        user: Fingerprint of the end user (`user_fingerprint`).
        system: Hash of the system text that the conversation was told last; None where that is
            not known.
        tools: Hash of the offer of tools that it was told last.
    """

    conversation_id: str
    message_id: str | None
    app: str
    user: str
    system: str | None = None
    tools: str | None = None

    @classmethod
    def read(cls, kept: Mapping[str, Any], message_id: object) -> Anchor | None:
        """The anchor that was kept with a message; None where none was, or not a whole one.

        Args:
            kept: Holds `conversation_id` and the marks of a `Request`.
            message_id: The answer's message, where it is known.
        """
        match kept:
            case {"conversation_id": str(conversation_id), "app": str(app), "user": str(user)}:
                return cls(
                    conversation_id,
                    _text_or_none(message_id),
                    app,
                    user,
                    _text_or_none(kept.get("system_hash")),
                    _text_or_none(kept.get("tools_hash")),
                )
        return None


def marks(app: str, user: str, system: str | None = None, tools: str | None = None) -> Marks:
    """What an answer is marked with, beside its ids, so that they make an anchor.

    Args:
        app: Name of the app.
        user: The end user.
        system: Hash of the system text that the conversation was told last.
        tools: Hash of the offer of tools that it was told last.
    """
    made = {
        "app": app,
        "user": user_fingerprint(user),
        "system_hash": system,
        "tools_hash": tools,
    }
    return {name: value for name, value in made.items() if value}


Marks = Mapping[str, str]
"""What makes an anchor of an answer's ids; empty where the answer is not to be continued."""

MARK_NAMES = ("app", "user", "system_hash", "tools_hash")


def _text_or_none(value: object) -> str | None:
    return value if isinstance(value, str) else None


@dataclass(frozen=True)
class InputMessage:
    """A message of either framework, as far as the rule needs it.

    Attributes:
        role: Who speaks: "system", "user", "assistant" or "tool".
        text: What is said.
        anchor: Of an answer of Dify's.
        name: Of the tool, for its results.
        attachments: Reads the message's files; called only for what is sent. It raises a
            `ValueError` where the message holds what cannot be sent.
    """

    role: Role
    text: str
    anchor: Anchor | None = None
    name: str | None = None
    attachments: Callable[[], Sequence[Attachment]] = field(default=tuple, repr=False)
