"""Tool calls that an app's model wrote into its answer, as `tool_instructions` asks for them.

An answer that holds no such call is an answer, and passes through untouched.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from langchain_core.messages.tool import ToolCall, tool_call

from dify_api.answers._thinking import beginning_at_end

_OPENINGS = tuple(
    f'{bracket}{{"{key}"' for bracket in ("", "[") for key in ("tool_calls", "name", "type", "id")
)
"""How a call may begin, without its white space; the last two in OpenAI's form."""

_BETWEEN = re.compile(r"(\s|,|```(json)?)*")
"""What may stand between calls that a model writes one after the other."""

_ARGUMENTS = ("arguments", "args", "parameters", "input")


class ToolCallReader:
    r"""Reads tool calls out of a streamed text; what cannot be a call passes at once.

    Args:
        names: Of the tools that can be called. JSON that names others is text.

    Example:
        >>> reader = ToolCallReader(["add"])
        >>> reader.feed("Let me see."), reader.feed('\n{"tool_calls": [{"name": "add", ')
        ('Let me see.', '')
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._names = frozenset(names)
        self._held = ""
        self._is_call = False  # what is held has the beginning of a call
        self._is_thought = False  # what comes is reasoning, in which calls are only drafted
        self._line_start = True
        self.calls: list[ToolCall] = []
        """The calls, once the text has ended."""

    def feed(self, piece: str) -> str:
        """Take the next piece; return what is sure to be no part of a call."""
        self._held += piece
        if self._is_call:
            return ""
        shown = ""
        while self._held:
            if self._is_thought:
                shown += self._thought()
                if self._is_thought:
                    return shown
                continue
            likeness = _likeness(self._held) if self._line_start else None
            if likeness == "thought":
                self._is_thought = True
                continue
            if likeness:
                self._is_call = likeness == "call"
                return shown
            line, newline, rest = self._held.partition("\n")
            shown += line + newline
            self._held, self._line_start = rest, bool(newline)
        return shown

    def _thought(self) -> str:
        """Take out of what is held what is reasoning; a call may follow on the same line."""
        thought, tag, rest = self._held.partition("</think>")
        self._is_thought = not tag
        if not tag:
            kept = beginning_at_end(thought, "</think>")
            thought, rest = thought[: len(thought) - kept], thought[len(thought) - kept :]
        self._held = rest
        return thought + tag

    def end(self) -> str:
        """What was held back and is no call; the calls are in `calls`."""
        held, self._held = self._held, ""
        self.calls = read_calls(held, self._names)
        return "" if self.calls else held


def _likeness(text: str) -> str | None:
    """Whether a text begins a "call" or a "thought", "may" still do so, or cannot (None)."""
    bare = re.sub(r"\s", "", text)
    if bare.startswith("<think>"):
        return "thought"
    if "<think>".startswith(bare):
        return "may"
    for fence in ("```json", "```"):
        if fence.startswith(bare) and bare:
            return "may"
        if bare.startswith(fence):
            bare = bare[len(fence) :]
            break
    if any(bare.startswith(opening) for opening in _OPENINGS):
        return "call"
    return "may" if any(opening.startswith(bare) for opening in _OPENINGS) else None


def read_calls(text: str, names: frozenset[str]) -> list[ToolCall]:
    """The tool calls that a text begins with; none where one of a list is no call.

    Args:
        text: JSON, perhaps in code fences, perhaps followed by what a model invented after it.
        names: Of the tools that can be called.
    """
    calls: list[ToolCall] = []
    for value in _json_values(text):
        read = [_call(item, names) for item in _items(value)]
        if None in read:
            break
        calls += [call for call in read if call is not None]
    return calls


def _items(value: Any) -> list[Any]:
    if isinstance(value, dict) and "tool_calls" in value:
        value = value["tool_calls"]
    return value if isinstance(value, list) else [value]


def _json_values(text: str) -> Iterator[Any]:
    """The first JSON object or list in a text, and those that follow it without other text."""
    start = re.search(r"[{\[]", text)
    place = start.start() if start else len(text)
    while text[place : place + 1] in ("{", "["):
        try:
            value, end = json.JSONDecoder(strict=False).raw_decode(text, place)
        except (ValueError, RecursionError):
            return
        yield value
        between = _BETWEEN.match(text, end)
        place = between.end() if between else end


def _call(value: object, names: frozenset[str]) -> ToolCall | None:
    if not isinstance(value, dict):
        return None
    fields: dict[str, Any] = value["function"] if _is_nested(value) else value
    name = fields.get("name")
    arguments: Any = next((fields[key] for key in _ARGUMENTS if key in fields), None)
    if isinstance(arguments, str) and arguments.strip():
        arguments = next(_json_values(arguments), arguments)
    if not isinstance(name, str) or name not in names:
        return None
    if arguments is None and not fields.keys() <= {"name", "id", "type", *_ARGUMENTS}:
        return None  # a record that has the name of a tool
    if arguments and not isinstance(arguments, dict):
        return None
    return tool_call(name=name, args=arguments or {}, id=f"call_{uuid.uuid4().hex}")


def _is_nested(value: Mapping[str, Any]) -> bool:
    """Whether a call is in OpenAI's form, which some models fall back to."""
    return isinstance(value.get("function"), dict)
