"""The rule that turns a list of messages into one request to a Dify conversation.

Dify keeps a conversation on the server; the frameworks resend the whole history each time. The
rule, the same for both:

1. a `conversation_id` given for the call wins;
2. else the newest assistant message that carries an anchor of the same app and the same user
   names the conversation, and only what follows it is sent;
3. else a new conversation begins: a lone human message is the query as it stands, anything more
   is written out readably in front of it.

So any store of messages is a store of conversations, and no model object holds one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from dify_api._calls.attachments import Attachment

Memory = Literal["server", "client"]
"""Who keeps the history: Dify ("server"), or the caller, who resends it ("client")."""

OnFork = Literal["ignore", "new", "error"]
"""What to do when the conversation on the server went on without the caller's history."""

Role = Literal["system", "user", "assistant", "tool"]
"""Who speaks in a message."""


@dataclass(frozen=True)
class Anchor:
    """Where an answer stands in Dify: kept with the message, so that a later call finds it.

    Attributes:
        conversation_id: The conversation.
        message_id: The answer's message in it.
        app: Fingerprint of the app (`client.fingerprint`).
        user: Fingerprint of the end user (`user_fingerprint`).
    """

    conversation_id: str
    message_id: str | None
    app: str
    user: str

    @classmethod
    def read(cls, kept: Mapping[str, Any], message_id: object) -> Anchor | None:
        """The anchor that was kept with a message; None where none was, or not a whole one.

        Args:
            kept: Holds `conversation_id`, `app` and `user`, as `Anchor` has them.
            message_id: The answer's message, where it is known.
        """
        match kept:
            case {"conversation_id": str(conversation_id), "app": str(app), "user": str(user)}:
                known = message_id if isinstance(message_id, str) else None
                return cls(conversation_id, known, app, user)
        return None


@dataclass(frozen=True)
class InputMessage:
    """A message of either framework, as far as the rule needs it.

    Attributes:
        role: Who speaks.
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


@dataclass(frozen=True)
class Request:
    """What to send.

    Attributes:
        query: The query. Empty only where the new messages hold no text.
        conversation_id: The conversation to continue; None for a new one.
        system: The system text, where it travels in the app's inputs.
        first: Index of the first message that is sent: files of it and of later ones go along.
        message_id: Our last message in the conversation, to be compared for forks.
    """

    query: str
    conversation_id: str | None
    system: str | None
    first: int
    message_id: str | None = None


def user_fingerprint(user: str) -> str:
    """A short hash that names an end user in stored messages without telling who it is."""
    return hashlib.sha256(user.encode()).hexdigest()[:16]


def plan_request(
    messages: Sequence[InputMessage],
    *,
    app: str,
    user: str,
    conversation_id: str | None = None,
    memory: Memory = "server",
    system_as_input: bool = False,
) -> Request:
    """Apply the rule.

    Args:
        messages: The whole input, oldest first.
        app: Fingerprint of the app that is asked.
        user: The end user who asks.
        conversation_id: Given for this call.
        memory: "client" starts a new conversation on every call, with everything written out.
        system_as_input: Whether system text goes into an input of the app, on every turn.

    Returns:
        What to send.

    Raises:
        ValueError: If there is nothing to send: no message, or none after the answer.
    """
    if not messages:
        raise ValueError("there is no message to send: pass at least one human message")
    system = None
    if system_as_input:
        system = "\n\n".join(m.text for m in messages if m.role == "system" and m.text) or None
    first, anchor = _start(messages, app, user_fingerprint(user), conversation_id, memory)
    new = messages[first:]
    if system_as_input:
        new = [message for message in new if message.role != "system"]
    if all(message.role == "assistant" for message in new):
        raise ValueError(
            "there is nothing new to send: the last message is an answer of the app; "
            "add a human message after it"
        )
    return Request(
        query=write_out(new),
        conversation_id=conversation_id or (anchor.conversation_id if anchor else None),
        system=system,
        first=first,
        message_id=anchor.message_id if anchor else None,
    )


def _start(
    messages: Sequence[InputMessage],
    app: str,
    user: str,
    conversation_id: str | None,
    memory: Memory,
) -> tuple[int, Anchor | None]:
    """Index of the first message to send, and the anchor before it."""
    if memory == "client" and conversation_id is None:
        return 0, None
    for index in range(len(messages), 0, -1):
        message, anchor = messages[index - 1], messages[index - 1].anchor
        if message.role != "assistant" or anchor is None:
            continue
        is_ours = (anchor.app, anchor.user) == (app, user)
        if is_ours and conversation_id in (None, anchor.conversation_id):
            return index, anchor
    # A conversation that was named holds what went before, whoever kept the messages.
    return after_last_answer(messages) if conversation_id else 0, None


def write_out(messages: Sequence[InputMessage]) -> str:
    r"""Messages as one text: the newest ones as they stand, below what went before.

    Example:
        >>> write_out([InputMessage("system", "Be brief."), InputMessage("user", "Hello")])
        'Be brief.\n\nHello'
    """
    first = after_last_answer(messages)
    before, new = messages[:first], messages[first:]
    parts = [m.text for m in before if m.role == "system" and m.text]
    transcript = [_line(m) for m in before if m.role != "system" and m.text]
    if transcript:
        parts.append("The conversation so far:\n" + "\n".join(transcript))
    parts += [_line(m) if m.role == "tool" else m.text for m in new if m.text]
    return "\n\n".join(parts)


def after_last_answer(messages: Sequence[InputMessage]) -> int:
    """Index of the first message after the last answer, whoever gave that."""
    first = len(messages)
    while first and messages[first - 1].role != "assistant":
        first -= 1
    return first


def _line(message: InputMessage) -> str:
    if message.role == "tool":
        return f"Result of the tool{f' {message.name}' if message.name else ''}: {message.text}"
    return f"{'User' if message.role == 'user' else 'Assistant'}: {message.text}"


class ConversationForkedError(ValueError):
    """The conversation on the server is not where the caller's history ends.

    Attributes:
        conversation_id: The conversation.
        expected: Our last message in it.
        found: Its newest message on the server; None if it holds none.
    """

    def __init__(self, conversation_id: str, expected: str, found: str | None) -> None:
        super().__init__(conversation_id, expected, found)
        self.conversation_id = conversation_id
        self.expected = expected
        self.found = found

    def __str__(self) -> str:
        return (
            f"conversation {self.conversation_id} went on at the server: its newest message is "
            f"{self.found}, the history given ends at {self.expected}. Pass the newer history, "
            'or use on_fork="new" or memory="client".'
        )
