"""Tool calls and structured output by prompt: Dify's API has neither.

The tools travel as text before the query, and the app's model is asked to answer a call as::

    {"tool_calls": [{"name": "get_weather", "arguments": {"city": "Rome"}}]}

That works as well as the app's model follows instructions.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

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
