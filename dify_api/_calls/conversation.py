"""The rule that turns a list of messages into one request to a Dify conversation.

Dify keeps a conversation on the server; the frameworks resend the whole history each time. The
rule, the same for both:

1. a `conversation_id` given for the call wins;
2. else the newest assistant message that carries an anchor of the same app and the same user
   names the conversation, and only what follows it is sent;
3. else a new conversation begins: a lone human message is the query as it stands, anything more
   is written out readably in front of it.

System text and the offer of tools go along whenever they are not what the conversation was told
last: the anchor has hashes of that.

So any store of messages is a store of conversations, and no model object holds one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from dify_api._calls.chat_settings import Memory, Transcript
from dify_api._calls.fingerprints import text_hash, user_fingerprint
from dify_api._calls.input_message import Anchor, InputMessage, Marks, marks
from dify_api._calls.transcript import after_last_answer, system_text, write_out


@dataclass(frozen=True)
class Instructions:
    """What an adapter asks of the app's model by prompt.

    Attributes:
        tools: The offer of tools: a conversation is told it once, until it changes.
        demand: What this answer must be: told every time.
    """

    tools: str = ""
    demand: str = ""


@dataclass(frozen=True)
class Request:
    """What to send.

    Attributes:
        query: The query. Empty only where the new messages hold no text.
        conversation_id: The conversation to continue; None for a new one.
        system: The system text, where it travels in the app's inputs.
        first: Index of the first message that is sent: files of it and of later ones go along.
        message_id: Our last message in the conversation, to be compared for forks.
        marks: What the answer is marked with.
    """

    query: str
    conversation_id: str | None
    system: str | None
    first: int
    message_id: str | None = None
    marks: Marks = field(default_factory=dict, compare=False)


def plan_request(
    messages: Sequence[InputMessage],
    *,
    apps: Sequence[str],
    user: str,
    conversation_id: str | None = None,
    memory: Memory = "server",
    system_as_input: bool = False,
    instructions: Instructions = Instructions(),  # it is frozen
    transcript: Transcript | None = None,
) -> Request:
    """Apply the rule.

    Args:
        messages: The whole input, oldest first.
        apps: Names of the app that is asked: the one it has now, and earlier ones.
        user: The end user who asks.
        conversation_id: Given for this call.
        memory: "client" and "none" start a new conversation on every call, with everything
            written out.
        system_as_input: Whether system text goes into an input of the app, on every turn.
        instructions: What is asked of the app's model beside the messages.
        transcript: Writes out a history. Default: `write_transcript`.

    Returns:
        What to send.

    Raises:
        ValueError: If there is nothing to send: no message, or none after the answer.
    """
    if not messages:
        raise ValueError("there is no message to send: pass at least one human message")
    first, anchor = find_anchor(messages, apps, user, conversation_id, memory)
    continued = conversation_id or (anchor.conversation_id if anchor else None)
    tail = messages[first:]
    new = [m for m in tail if m.role != "system"] if continued or system_as_input else tail
    if all(message.role == "assistant" for message in (new if system_as_input else tail)):
        raise ValueError(
            "there is nothing new to send: the last message is an answer of the app; "
            "add a human message after it"
        )
    told_system = anchor.system if anchor else None
    told_tools = anchor.tools if anchor else None
    system, tools = system_text(messages), instructions.tools
    system_hash = text_hash(system) if system else told_system
    tools_hash = text_hash(tools) if tools else told_tools
    if system_as_input:
        query = write_out(new, transcript=transcript)
        in_input = _join(system, tools, instructions.demand) or None
        system_hash, tools_hash = told_system, told_tools  # its queries were not told
    else:
        tools = "" if tools_hash == told_tools else tools
        query = write_out(
            new,
            # A new conversation has it among its messages.
            system=system if continued and system_hash != told_system else "",
            instructions=_join(tools, instructions.demand),
            transcript=transcript,
        )
        in_input = None
    return Request(
        query=query,
        conversation_id=continued,
        system=in_input,
        first=first,
        message_id=anchor.message_id if anchor else None,
        marks={} if memory == "none" else marks(apps[0], user, system_hash, tools_hash),
    )


def find_anchor(
    messages: Sequence[InputMessage],
    apps: Sequence[str],
    user: str,
    conversation_id: str | None = None,
    memory: Memory = "server",
) -> tuple[int, Anchor | None]:
    """Index of the first message to send, and the anchor before it; see `plan_request`."""
    if memory != "server" and conversation_id is None:
        return 0, None
    if memory != "none":
        own = user_fingerprint(user)
        for index in range(len(messages), 0, -1):
            message, anchor = messages[index - 1], messages[index - 1].anchor
            if message.role != "assistant" or anchor is None:
                continue
            is_ours = anchor.app in apps and anchor.user == own
            if is_ours and conversation_id in (None, anchor.conversation_id):
                return index, anchor
    # A conversation that was named holds what went before, whoever kept the messages.
    return after_last_answer(messages) if conversation_id else 0, None


def _join(*parts: str) -> str:
    return "\n\n".join(part for part in parts if part)


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
