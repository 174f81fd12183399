"""Tool calls that an app's model wrote as its answer, as `tool_instructions` asks for them.

An answer is calls only where, thoughts aside, it is nothing else: no word before, between or after
them. So a call that the app quotes, out of a document or the user's own words, stays text.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dify_api.answers._thinking import beginning_at_end


@dataclass(frozen=True)
class Call:
    """A tool call.

    Attributes:
        name: The tool.
        arguments: By name; empty for a call that cannot be made.
        text: Of a call that cannot be made: the call itself.
        error: Why it cannot be made; None for one that can.
        id: Tells calls from each other.
    """

    name: str
    arguments: dict[str, Any] = field(default_factory=dict)
    text: str = ""
    error: str | None = None
    id: str = field(default_factory=lambda: f"call_{uuid.uuid4().hex}", compare=False)


_BETWEEN = re.compile(
    r"(?:\s|,(?=\s*[{\[`<])|``` ?(?i:json)?(?=\s*(?:[,{\[`<]|$))|<think>.*?</think>)*", re.DOTALL
)
"""What may stand around calls: blank space, the fences of a block of JSON, thoughts."""

_OPENINGS = tuple(
    f'{bracket}{{"{key}"'
    for bracket in ("", "[")
    for key in ("tool_calls", "name", "arguments", "function", "type", "id")
)
"""How calls may begin, without their white space; the last three in OpenAI's form."""

_BEGINNING = re.compile(
    r'(?P<list>\[?)\s*\{\s*"name"\s*:\s*"(?P<name>[^"\\]*)'
    r'(?P<named>"\s*(?:,\s*"(?P<key>[^"\\]*)(?P<keyed>")?)?)?'
)
"""A call in the plain form, as far as it has come: its tool, and the key after that."""

_LIST = re.compile(r'\s*(?:\{\s*"tool_calls"\s*:\s*)?\[')
_NAME = re.compile(r'"name"\s*:\s*"((?:[^"\\]|\\.)*)')
_MARKS = re.compile(r'["\\{}\[\]]')

_ARGUMENTS = ("arguments", "args", "parameters", "input")
_KEYS = frozenset({"name", "id", "type", "index", "function", *_ARGUMENTS})
_decoder = json.JSONDecoder(strict=False)


class ToolCallReader:
    r"""Reads tool calls out of a streamed text; what cannot become calls passes at once.

    Args:
        names: Of the tools that can be called. JSON that names others only is text.

    Example:
        >>> reader = ToolCallReader(["add"])
        >>> reader.feed('{"tool_calls": [{"name": "add", '), reader.feed('"args": {}}]}')
        ('', '')
        >>> reader.feed(" is what I was told to say.")
        '{"tool_calls": [{"name": "add", "args": {}}]} is what I was told to say.'
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._names = frozenset(names)
        self._held = ""
        self._place = 0  # what is held until here is understood: calls and what is around them
        self._value: _JSONValue | None = None  # the one that begins there
        self._is_text = False  # text has begun, so that nothing is a call any more
        self._is_thought = False
        self.calls: list[Call] = []
        """The calls, once the text has ended. Invalid: of no tool, of no object, broken off."""

    def feed(self, piece: str) -> str:
        """Take the next piece; return what is sure to be no part of calls."""
        if self._is_text:
            return piece
        self._held += piece
        shown = "" if self._place or self._value else self._thoughts()
        while not (self._is_text or self._is_thought) and self._advance():
            pass
        return shown + self._release() if self._is_text else shown

    def end(self) -> str:
        """What was held back and is no call; the calls are in `calls`."""
        held = self._release()
        self.calls = read_calls(held, self._names)
        return "" if self.calls else held

    def split(self, text: str) -> tuple[str, list[Call]]:
        """What of a whole text is no calls, and the calls."""
        fresh = ToolCallReader(sorted(self._names))
        return fresh.feed(text) + fresh.end(), fresh.calls

    def _thoughts(self) -> str:
        """Take out the thoughts before any call: they pass at once."""
        shown = ""
        while self._is_thought or self._held.lstrip().startswith("<think>"):
            thought, tag, rest = self._held.partition("</think>")
            self._is_thought = not tag
            if not tag:
                kept = beginning_at_end(thought, "</think>")
                thought, rest = thought[: len(thought) - kept], thought[len(thought) - kept :]
            shown += thought + tag
            self._held = rest
            if not tag:
                break
        return shown

    def _advance(self) -> bool:
        """Look at what is held from `_place` on; whether there is more to look at."""
        if self._value is not None:
            return self._has_ended(self._value)
        start = _end_of_between(self._held, self._place)
        rest = self._held[start:]
        if rest.startswith("<think>") or _may_go_on(rest):
            return False
        if rest[0] not in "{[":
            self._is_text = True
            return False
        self._place, self._value = start, _JSONValue(self._held, start)
        return True

    def _has_ended(self, value: _JSONValue) -> bool:
        """Whether the value has ended, and is calls."""
        value.read(self._held)
        if value.end is None:
            beginning = self._held[self._place : self._place + 200]
            self._is_text = not _may_be_calls(beginning, self._names)
            return False
        text = self._held[self._place : value.end]
        self._is_text = not (_may_be_calls(text, self._names) and _read_value(text, self._names))
        self._place, self._value = value.end, None
        return not self._is_text

    def _release(self) -> str:
        held, self._held = self._held, ""
        return held


class _JSONValue:
    """Where an object or list in a growing text ends, found at constant cost for each piece."""

    def __init__(self, text: str, start: int) -> None:
        self.end: int | None = None
        self._place = start
        self._depth = 0
        self._is_string = False

    def read(self, text: str) -> None:
        """Look at what is new in the text."""
        while self.end is None and (mark := _MARKS.search(text, self._place)):
            character = mark.group()
            self._place = mark.end()
            if character == "\\":
                if self._place == len(text):
                    self._place -= 1  # what it escapes is still to come
                    return
                self._place += 1
            elif character == '"':
                self._is_string = not self._is_string
            elif not self._is_string:
                self._depth += 1 if character in "{[" else -1
                if self._depth == 0:
                    self.end = self._place
                    return
        if self.end is None:
            self._place = len(text)


def read_calls(text: str, names: frozenset[str]) -> list[Call]:
    """The tool calls that a text consists of; none where it holds anything else.

    Args:
        text: A whole answer: JSON, perhaps in code fences, perhaps with thoughts around it.
        names: Of the tools that can be called.
    """
    calls: list[Call] = []
    for value in _json_values(text):
        read = _read_value(value, names)
        if not read:
            return []
        calls += read
    known = any(name.startswith(call.name or "\0") for call in calls for name in names)
    return calls if known else []


def _json_values(text: str) -> Iterator[str]:
    """The objects and lists that a text consists of, the last perhaps broken off; "" for text."""
    place = 0
    while True:
        place = _end_of_between(text, place)
        if place == len(text):
            return
        if text[place] not in "{[":
            yield ""
            return
        value = _JSONValue(text, place)
        value.read(text)
        yield text[place : value.end]
        place = len(text) if value.end is None else value.end


def _end_of_between(text: str, place: int) -> int:
    between = _BETWEEN.match(text, place)
    return between.end() if between else place


def _may_go_on(text: str) -> bool:
    """Whether what may stand around calls begins so."""
    text = text.rstrip().lower()
    return any(whole.startswith(text) for whole in ("<think>", "```json", "``` json", ","))


def _may_be_calls(text: str, names: frozenset[str]) -> bool:
    """Whether JSON that begins so can still become calls."""
    bare = re.sub(r"\s", "", text[:100])
    if not any(bare.startswith(o) or o.startswith(bare) for o in _OPENINGS):
        return False
    beginning = _BEGINNING.match(text)
    if beginning is None:
        return True
    name = beginning["name"]
    if beginning["named"] is None:
        return bool(beginning["list"]) or any(known.startswith(name) for known in names)
    if beginning["keyed"] and beginning["key"] not in _KEYS:
        return False
    return bool(beginning["list"]) or name in names


def _read_value(text: str, names: frozenset[str]) -> list[Call]:
    """The calls that a JSON object or list is; none where it is, or holds, anything else."""
    if not text:
        return []
    try:
        value = _decoder.decode(text)
    except (ValueError, RecursionError):
        return _broken_calls(text, names)
    is_wrapped = isinstance(value, dict) and "tool_calls" in value
    if is_wrapped:
        besides = {k: v for k, v in value.items() if k not in ("tool_calls", "role") and v}
        value = [] if besides else value["tool_calls"]
    items = value if isinstance(value, list) else [value]
    read = [_call(item, names, is_wrapped) for item in items]
    return [] if None in read else [call for call in read if call is not None]


def _broken_calls(text: str, names: frozenset[str]) -> list[Call]:
    """The calls in JSON that broke off or is malformed: none of them is to be made."""
    start = _LIST.match(text)
    place = start.end() if start else 0
    items: list[str] = []
    while start:
        place += len(text[place:]) - len(text[place:].lstrip(" \t\r\n,"))
        value = _JSONValue(text, place)
        value.read(text)
        if value.end is None or text[place : place + 1] != "{":
            break
        items.append(text[place : value.end])
        place = value.end
    if "{" in text[place:]:
        items.append(text[place:])
    calls: list[Call] = []
    for item in items:
        name = _NAME.search(item)
        if name and any(known.startswith(name[1]) for known in names):
            calls.append(Call(name[1], text=item, error="the call is not valid JSON, or broke off"))
    return calls


def _call(value: object, names: frozenset[str], is_wrapped: bool) -> Call | None:
    if not isinstance(value, dict):
        return None
    fields: dict[str, Any] = value["function"] if _is_nested(value) else value
    name = fields.get("name")
    arguments: Any = next((fields[key] for key in _ARGUMENTS if key in fields), None)
    if not isinstance(name, str) or not (is_wrapped or fields.keys() <= _KEYS):
        return None  # a record that has a name
    if isinstance(arguments, str):
        arguments = _arguments_as_text(arguments)
    if name not in names:
        is_call = is_wrapped or any(key in fields for key in _ARGUMENTS)
        text = json.dumps(value, ensure_ascii=False)
        return Call(name, text=text, error=f"there is no tool {name}") if is_call else None
    if arguments and not isinstance(arguments, dict):
        text = json.dumps(value, ensure_ascii=False)
        return Call(name, text=text, error="the arguments are no JSON object")
    return Call(name, arguments or {})


def _arguments_as_text(text: str) -> object:
    try:
        return _decoder.decode(text) if text.strip() else {}
    except (ValueError, RecursionError):
        return text


def _is_nested(value: Mapping[str, Any]) -> bool:
    """Whether a call is in OpenAI's form, which some models fall back to."""
    return isinstance(value.get("function"), dict)
