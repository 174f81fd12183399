"""Tool calls and structured output by prompt: Dify's API has neither.

The tools travel as text before the query, and the app's model is asked to answer a call as::

    {"tool_calls": [{"name": "get_weather", "arguments": {"city": "Rome"}}]}

That works as well as the app's model follows instructions. An answer that holds no such call
is an answer, and passes through untouched.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.messages.tool import ToolCall, tool_call

_TOOLS = """\
You can call these tools, each given with the JSON Schema of its arguments:

{tools}

To call tools, answer with JSON of this form alone, without any other text:

{{"tool_calls": [{{"name": "name of the tool", "arguments": {{"argument": "value"}}}}]}}

{choice} What tools return comes to you as "Result of the tool"."""

_CHOICES = {
    "auto": "Where no tool is needed, answer as usual, in plain text.",
    "any": "You must call at least one tool now.",
}

_STRUCTURE = """\
Answer with JSON alone, without any other text, that is valid by this JSON Schema:

{schema}"""

_OPENINGS = ('{"tool_calls"', '{"name"', '[{"name"')
"""How a call may begin, without its white space."""

_ARGUMENTS = ("arguments", "args", "parameters", "input")


def tool_instructions(tools: Sequence[Mapping[str, Any]], choice: str = "auto") -> str:
    """The text that offers tools to a model.

    Args:
        tools: In OpenAI's format, as `convert_to_openai_tool` makes them.
        choice: "auto", "any", or the name of the tool that must be called.
    """
    described = [
        json.dumps(
            {
                "name": tool["function"]["name"],
                "description": tool["function"].get("description", ""),
                "parameters": tool["function"].get("parameters", {}),
            },
            ensure_ascii=False,
        )
        for tool in tools
    ]
    demand = _CHOICES.get(choice, f"You must call the tool {choice} now.")
    return _TOOLS.format(tools="\n".join(described), choice=demand)


def structure_instructions(schema: Mapping[str, Any]) -> str:
    """The text that asks for an answer in JSON."""
    return _STRUCTURE.format(schema=json.dumps(schema, ensure_ascii=False))


def tool_choice_of(choice: object, tools: Sequence[Mapping[str, Any]]) -> str:
    """A tool choice in any of its notations as "auto", "any", "none" or a tool's name.

    Raises:
        ValueError: If it names a tool that is not bound.
    """
    if isinstance(choice, Mapping):
        choice = (choice.get("function") or choice).get("name", "any")
    if choice is None or choice == "auto" or choice is False:
        return "auto"
    if choice is True or choice in ("any", "required"):
        return "any"
    names = [tool["function"]["name"] for tool in tools]
    if choice != "none" and choice not in names:
        raise ValueError(f"tool_choice {choice!r} is none of the tools: {', '.join(names)}")
    return str(choice)


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
            if self._line_start and (likeness := _likeness(self._held)):
                self._is_call = likeness == "call"
                return shown
            line, newline, rest = self._held.partition("\n")
            shown += line + newline
            self._held, self._line_start = rest, bool(newline)
        return shown

    def end(self) -> str:
        """What was held back and is no call; the calls are in `calls`."""
        held, self._held = self._held, ""
        self.calls = read_calls(held, self._names)
        return "" if self.calls else held


def _likeness(text: str) -> str | None:
    """Whether a text begins a "call", "may" still do so, or cannot (None)."""
    bare = re.sub(r"\s", "", text)
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
    """The tool calls that a text consists of; none if it holds anything else than calls.

    Args:
        text: JSON, perhaps in a code fence, perhaps followed by what a model invented after it.
        names: Of the tools that can be called.
    """
    value = first_json(text)
    if isinstance(value, dict) and "tool_calls" in value:
        value = value["tool_calls"]
    calls = [_call(item, names) for item in (value if isinstance(value, list) else [value])]
    return [call for call in calls if call is not None] if None not in calls else []


def first_json(text: str) -> Any:
    """The first JSON object or list in a text; None if there is none."""
    start = re.search(r"[{\[]", text)
    if start is None:
        return None
    try:
        return json.JSONDecoder(strict=False).raw_decode(text, start.start())[0]
    except ValueError:
        return None


def _call(value: object, names: frozenset[str]) -> ToolCall | None:
    if not isinstance(value, dict):
        return None
    fields: dict[str, Any] = value["function"] if _is_nested(value) else value
    arguments: Any = next((fields[key] for key in _ARGUMENTS if key in fields), {})
    if isinstance(arguments, str):
        arguments = first_json(arguments)
    if fields.get("name") not in names or not isinstance(arguments, dict | None):
        return None
    return tool_call(name=fields["name"], args=arguments or {}, id=f"call_{uuid.uuid4().hex}")


def _is_nested(value: Mapping[str, Any]) -> bool:
    """Whether a call is in OpenAI's form, which some models fall back to."""
    return isinstance(value.get("function"), dict)
