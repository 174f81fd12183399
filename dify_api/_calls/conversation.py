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
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Memory = Literal["server", "client"]
"""Who keeps the history: Dify ("server"), or the caller, who resends it ("client")."""

OnFork = Literal["ignore", "new", "error"]
"""What to do when the conversation on the server went on without the caller's history."""


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


@dataclass(frozen=True)
class Turn:
    """A message of either framework, as far as the rule needs it.

    Attributes:
        role: Who speaks.
        text: What is said.
        anchor: Of an answer of Dify's.
        name: Of the tool, for its results.
    """

    role: Literal["system", "user", "assistant", "tool"]
    text: str
    anchor: Anchor | None = None
    name: str | None = None


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
    turns: Sequence[Turn],
    *,
    app: str,
    user: str,
    conversation_id: str | None = None,
    memory: Memory = "server",
    system_as_input: bool = False,
) -> Request:
    """Apply the rule.

    Args:
        turns: The whole input, oldest first.
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
    if not turns:
        raise ValueError("there is no message to send: pass at least one human message")
    system = None
    if system_as_input:
        system = "\n\n".join(t.text for t in turns if t.role == "system" and t.text) or None
    first, anchor = _start(turns, app, user_fingerprint(user), conversation_id, memory)
    new = turns[first:]
    if system_as_input:
        new = [turn for turn in new if turn.role != "system"]
    if all(turn.role == "assistant" for turn in new):
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
    turns: Sequence[Turn], app: str, user: str, conversation_id: str | None, memory: Memory
) -> tuple[int, Anchor | None]:
    """Index of the first message to send, and the anchor before it."""
    if memory == "client" and conversation_id is None:
        return 0, None
    last_answer = 0
    for index in range(len(turns) - 1, -1, -1):
        turn, anchor = turns[index], turns[index].anchor
        if turn.role != "assistant":
            continue
        last_answer = last_answer or index + 1
        if anchor is None or (anchor.app, anchor.user) != (app, user):
            continue
        if conversation_id is None or anchor.conversation_id == conversation_id:
            return index + 1, anchor
    # A conversation that was named holds what went before, whoever kept the messages.
    return (last_answer, None) if conversation_id else (0, None)


def write_out(turns: Sequence[Turn]) -> str:
    r"""Messages as one text: the newest ones as they stand, below what went before.

    Example:
        >>> write_out([Turn("system", "Be brief."), Turn("user", "Hello")])
        'Be brief.\n\nHello'
    """
    tail = len(turns)
    while tail and turns[tail - 1].role != "assistant":
        tail -= 1
    before, new = turns[:tail], turns[tail:]
    system = [turn.text for turn in before if turn.role == "system" and turn.text]
    transcript = [_line(turn) for turn in before if turn.role != "system" and turn.text]
    parts = list(system)
    if transcript:
        parts.append("The conversation so far:\n" + "\n".join(transcript))
    parts += [_line(turn) if turn.role == "tool" else turn.text for turn in new if turn.text]
    return "\n\n".join(parts)


def _line(turn: Turn) -> str:
    if turn.role == "tool":
        return (
            f"Result of the tool {turn.name}: {turn.text}"
            if turn.name
            else (f"Result of the tool: {turn.text}")
        )
    return f"{'User' if turn.role == 'user' else 'Assistant'}: {turn.text}"


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
