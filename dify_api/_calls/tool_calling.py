"""Tool calls and structured output by prompt: Dify's API has neither.

The tools travel as text before the query, and the app's model is asked to answer a call as::

    {"tool_calls": [{"name": "get_weather", "arguments": {"city": "Rome"}}]}

That works as well as the app's model follows instructions.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from typing import Any

_TOOLS = """\
You can call these tools, each given with the JSON Schema of its arguments:

{tools}

To call tools, answer with JSON of this form alone, without any other text:

{{"tool_calls": [{{"name": "name of the tool", "arguments": {{"argument": "value"}}}}]}}

Where no tool is needed, answer as usual, in plain text. What tools return comes to you as \
"Result of the tool"."""

_STRUCTURE = """\
Answer with JSON alone, without any other text, that is valid by this JSON Schema:

{schema}"""


_PARTS = [re.escape(part) for part in _TOOLS.replace("{{", "{").replace("}}", "}").split("{tools}")]
_OFFER = re.compile(rf"{_PARTS[0]}(?P<tools>\{{.*(?:\n\{{.*)*){_PARTS[1]}(?:\n\n|\Z)")
_DEMAND = re.compile(
    r"(?:\A|(?<=\n\n))You must call (?:at least one tool|the tool \S+) now\.(?:\n\n|\Z)"
)
_SCHEMA_START = _STRUCTURE.removesuffix("{schema}")


def tool_instructions(tools: Sequence[Mapping[str, Any]]) -> str:
    """The text that offers tools to a model.

    Args:
        tools: In OpenAI's format, as `convert_to_openai_tool` makes them.
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
    return _TOOLS.format(tools="\n".join(described))


def tool_demand(choice: str) -> str:
    """The text that asks for a call: for "any", or the name of the tool; "" for "auto"."""
    if choice == "auto":
        return ""
    return f"You must call {'at least one tool' if choice == 'any' else f'the tool {choice}'} now."


def structure_instructions(schema: Mapping[str, Any]) -> str:
    """The text that asks for an answer in JSON."""
    return _STRUCTURE.format(schema=json.dumps(schema, ensure_ascii=False))


def read_instructions(query: str, offered: Collection[str] = ()) -> tuple[str, list[str]]:
    """A query without what this module wrote into it.

    Args:
        query: As it was sent.
        offered: Names of the tools that were on offer before.

    Returns:
        The query, and the names of the tools that it offers.
    """
    names: list[str] = []
    if match := _OFFER.search(query):
        names = re.findall(r'^\{"name": "([^"]+)"', match["tools"], re.MULTILINE)
        query = query[: match.start()] + query[match.end() :]
    if names or offered:
        query = _DEMAND.sub("", query, count=1)
    start = query.find(_SCHEMA_START)
    if start >= 0:
        with suppress(ValueError):
            _, end = json.JSONDecoder().raw_decode(query, start + len(_SCHEMA_START))
            query = query[:start] + query[end:].removeprefix("\n\n")
    return query, names


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
