"""Messages as one text: how a history is written out for a conversation that lacks it."""

from __future__ import annotations

import re
from collections.abc import Sequence

from dify_api._calls.chat_settings import Transcript
from dify_api._calls.input_message import InputMessage

_HEADING = "The conversation so far:"
_SPEAKERS = "User|Assistant|Result of the tool"
_WRITTEN = re.compile(
    rf"(?:\A|(?<=\n\n)){_HEADING}\n(?:{_SPEAKERS})(?:(?!\n\n).)*(?:\n\n|\Z)", re.S
)
_RESULT = re.compile(r"Result of the tool(?: (?P<name>[^\s:]+))?: (?P<text>.*)", re.S)


def write_transcript(messages: Sequence[InputMessage]) -> str:
    r"""The transcript where no other is asked for: a heading, and each message in a line.

    It holds no empty line, so that its end can be found again.

    Example:
        >>> write_transcript([InputMessage("user", "Hello"), InputMessage("assistant", "Hi!")])
        'The conversation so far:\nUser: Hello\nAssistant: Hi!'
    """
    return _as_paragraph("\n".join([_HEADING, *map(_line, messages)]))


def write_out(
    messages: Sequence[InputMessage],
    *,
    system: str = "",
    instructions: str = "",
    transcript: Transcript | None = None,
) -> str:
    r"""Messages as one text: the newest ones as they stand, below what went before.

    Args:
        messages: Oldest first.
        system: System text in front of everything.
        instructions: What stands right before the newest messages.
        transcript: Writes out what went before. Default: `write_transcript`.

    Example:
        >>> write_out([InputMessage("system", "Be brief."), InputMessage("user", "Hello")])
        'Be brief.\n\nHello'
    """
    first = after_last_answer(messages)
    before, new = messages[:first], messages[first:]
    told = [message for message in before if message.role != "system" and message.text]
    parts = [
        system,
        system_text(before),
        (transcript or write_transcript)(told) if told else "",
        instructions,
        *(_as_paragraph(_line(m)) if m.role == "tool" else m.text for m in new if m.text),
    ]
    return "\n\n".join(part for part in parts if part)


def system_text(messages: Sequence[InputMessage]) -> str:
    """All system text, in order."""
    return "\n\n".join(m.text for m in messages if m.role == "system" and m.text)


def after_last_answer(messages: Sequence[InputMessage]) -> int:
    """Index of the first message after the last answer, whoever gave that."""
    first = len(messages)
    while first and messages[first - 1].role != "assistant":
        first -= 1
    return first


def without_transcript(query: str) -> str:
    """A query of `write_out` without the transcript of `write_transcript`."""
    return _WRITTEN.sub("", query, count=1)


def read_results(query: str) -> tuple[list[tuple[str | None, str]], str]:
    """The results of tools at the beginning of a query of `write_out`, and what follows them.

    Returns:
        Name (None where it has none) and text of each, and the rest of the query.
    """
    results: list[tuple[str | None, str]] = []
    while query:
        paragraph, _, rest = query.partition("\n\n")
        match = _RESULT.fullmatch(paragraph)
        if match is None:
            break
        results.append((match["name"], match["text"]))
        query = rest
    return results, query


def _line(message: InputMessage) -> str:
    if message.role == "tool":
        return f"Result of the tool{f' {message.name}' if message.name else ''}: {message.text}"
    return f"{'User' if message.role == 'user' else 'Assistant'}: {message.text}"


def _as_paragraph(text: str) -> str:
    """The text with a blank in each of its empty lines."""
    return re.sub(r"\n(?=\n)", "\n ", text).rstrip("\n")
