"""A scripted policy that calls the tools a prompt describes: agents without a model.

It reads three kinds of prompt. In the first, tools are JSON objects with `name` and a schema of
their arguments, and a call is answered as JSON in the form that the prompt shows. The second is
ReAct, as LlamaIndex writes it: `> Tool Name: …`, and a call is `Action:` with `Action Input:`. In
both, the tool is taken whose name and description share most words with the newest question; when
results of tools stand behind that question, the answer is made of them. The third asks for JSON
that is valid by a schema: see `structures`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from dify_local._answers.structured_output import asked_structure, fill
from dify_local._storage.knowledge import words

_SCHEMA_KEYS = ("parameters", "args_schema", "input_schema", "inputSchema", "schema", "args")
_ARGUMENT_KEYS = ("arguments", "args", "parameters", "input", "kwargs")
_LABEL = re.compile(
    r"^\W*(?:(?P<user>human|user|question)"
    r"|(?P<result>observation|function|tools?(?: results?)?|results?(?: of the tool)?)"
    r"|(?P<other>system|assistant|ai|thought|action(?: input)?|answer))"
    r"(?: [^\s:]+)?(?: \([^)\n]*\))?[ \t]*:[ \t]*",
    re.IGNORECASE,
)
_NO_RESULT = re.compile(r"^\W*tool (?:name|description|args)", re.IGNORECASE)
_REACT_TOOL = re.compile(
    r"> Tool Name: (?P<name>.+)\n\s*Tool Description: (?P<description>(?:.|\n)*?)"
    r"\n\s*Tool Args: (?P<args>\{.*)"
)
_MUST_CALL = re.compile(r"You must call (?:the tool (\S+)|at least one tool) now")
_AGENT = re.compile(r"""['"](?P<name>[^'"]+)['"]: (?P<quote>['"])(?P<about>.*?)(?P=quote)""")
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
_ARITHMETIC = re.compile(r"\(*-?\d[\d.\s()]*(?:[-+*/][\d.\s()]+)+")


@dataclass(frozen=True)
class PromptTool:
    """A tool as a prompt describes it."""

    name: str
    description: str
    properties: dict[str, Any] = field(default_factory=dict)

    def fit(self, question: str) -> int:
        """Return how many words of a question the tool's name and description share."""
        own = set(words(re.sub(r"[_-]", " ", f"{self.name} {self.description}")))
        own.update(_CALCULATING if _calculates(self.name) else ())
        fit = len(own.intersection(words(question)))
        return fit + (3 if _calculates(self.name) and _ARITHMETIC.search(question) else 0)


_CALCULATING = frozenset(words("times plus minus sum product"))


def _calculates(name: str) -> bool:
    return any(word in name.lower() for word in ("calc", "multiply", "add", "math", "sum"))


def plan(prompt: str, earlier: Sequence[str] = ()) -> str:
    r"""Return what an agent says next: a call of a tool, or an answer.

    Args:
        prompt: The whole prompt, or only what has come since the last turn.
        earlier: Prompts of the turns before, oldest first, which may describe the tools.

    Example:
        >>> plan('Tools: [{"name": "weather", "description": "The weather in a city", '
        ...      '"parameters": {"properties": {"city": {"type": "string"}}}}]\n'
        ...      'Answer {"name": ..., "arguments": ...}.\nHuman: What is the weather in Rome?')
        '{"name": "weather", "arguments": {"city": "What is the weather in Rome?"}}'
    """
    if asked := asked_structure(prompt):
        schema, rest = asked
        return json.dumps(fill(schema, _question_and_results(rest)[0]))
    react = "Action Input:" in prompt
    offers = [prompt] if react else [prompt, *reversed(earlier)]
    offer = next((text for text in offers if _tools(text, react=react)), prompt)
    tools = _tools(offer, react=react)
    question, results = _question_and_results(prompt)
    must = _MUST_CALL.search(prompt)
    if results and not must:
        return _answer(f"According to the tools: {' '.join(results)}", react=react)
    if must:
        tool = _demanded(tools, must[1], question, results)
    else:
        tool = max(tools, key=lambda candidate: candidate.fit(question), default=None)
    if tool is None or not (must or tool.fit(question)):
        return _answer("I can answer that without a tool.", react=react)
    arguments = _arguments(tool, question)
    if react:
        return (
            f"Thought: I need the tool {tool.name}.\nAction: {tool.name}\n"
            f"Action Input: {json.dumps(arguments)}"
        )
    return json.dumps(_call(offer, tool.name, arguments))


def _demanded(
    tools: list[PromptTool], name: str | None, question: str, results: list[str]
) -> PromptTool | None:
    """Return the tool to call where one must be; an answer is usually the last of them."""
    named = [tool for tool in tools if name in {None, tool.name}]
    if results:
        return named[-1] if named else None
    return max(named, key=lambda candidate: candidate.fit(question), default=None)


def _answer(text: str, *, react: bool) -> str:
    if react:
        return f"Thought: I can answer without using any more tools.\nAnswer: {text}"
    return text


def _call(prompt: str, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """Return a call in the form that the prompt shows."""
    shown = [key for key in _ARGUMENT_KEYS[:2] if f'"{key}"' in prompt]
    call = {"name": name, (shown or ["arguments"])[0]: arguments}
    return {"tool_calls": [call]} if '"tool_calls"' in prompt else call


def _json_values(text: str) -> Iterator[tuple[Any, int, int]]:
    decoder, position = json.JSONDecoder(), 0
    while (match := re.compile(r"[\[{]").search(text, position)) is not None:
        try:
            value, end = decoder.raw_decode(text, match.start())
        except ValueError:
            position = match.end()
            continue
        yield value, match.start(), end
        position = end


def _tools(prompt: str, *, react: bool) -> list[PromptTool]:
    return list(_react_tools(prompt) if react else _json_tools(prompt))


def _json_tools(prompt: str) -> Iterator[PromptTool]:
    for value, _, _ in _json_values(prompt):
        yield from _tools_in(value)


def _tools_in(value: Any) -> Iterator[PromptTool]:
    if isinstance(value, list):
        for item in value:
            yield from _tools_in(item)
    if not isinstance(value, dict):
        return
    schema = next((value[key] for key in _SCHEMA_KEYS if isinstance(value.get(key), dict)), None)
    if isinstance(value.get("name"), str) and schema is not None:
        properties = schema.get("properties", schema)
        yield PromptTool(value["name"], str(value.get("description") or ""), properties)
        return
    for item in value.values():
        yield from _tools_in(item)


def _react_tools(prompt: str) -> Iterator[PromptTool]:
    for match in _REACT_TOOL.finditer(prompt):
        schema, _, _ = next(_json_values(match["args"]), ({}, 0, 0))
        properties = schema.get("properties", {}) if isinstance(schema, dict) else {}
        yield PromptTool(match["name"].strip(), match["description"], properties)


def _question_and_results(prompt: str) -> tuple[str, list[str]]:
    """Return the newest question and the results of tools that stand behind it."""
    results: list[str] = []
    for kind, text in reversed(_segments(prompt)):
        if kind == "result":
            results.insert(0, _readable(text))
        elif results:
            break
        elif kind in {"user", "plain"}:
            return text, []
    return "", results


def _readable(result: str) -> str:
    """Return the `text` of a result that is a JSON object, else the result."""
    value, _, _ = next(_json_values(result), (None, 0, 0))
    text = value.get("text") if isinstance(value, dict) and result.startswith("{") else None
    return text if isinstance(text, str) else result


def _segments(prompt: str) -> list[tuple[str, str]]:
    """Split a prompt into paragraphs and labelled lines, each with its kind."""
    segments: list[tuple[str, list[str]]] = []
    for paragraph in re.split(r"\n\s*\n", prompt):
        for number, line in enumerate(paragraph.splitlines()):
            kind, text = _labelled(line)
            if kind != "plain" or number == 0:
                segments.append((kind, [text]))
            else:
                segments[-1][1].append(text)
    joined = [(kind, "\n".join(lines).strip()) for kind, lines in segments]
    return [
        (kind, text)
        for kind, text in joined
        if text and (kind == "result" or not text.startswith(("{", "[")))
    ]


def _labelled(line: str) -> tuple[str, str]:
    """Return the kind of a line and its text without the label."""
    match = _LABEL.match(line)
    if match is None or _NO_RESULT.match(line):
        return "plain", line
    kind, text = match.lastgroup or "plain", line[match.end() :]
    # LlamaIndex hands results over as words of the user.
    return _labelled(text) if kind == "user" and _LABEL.match(text) else (kind, text)


def _agent(description: str, question: str) -> str:
    """Return the agent of a hand-off whose description shares most words with the question."""
    agents = {found["name"]: found["about"] for found in _AGENT.finditer(description)}
    asked = set(words(question))
    return max(agents, key=lambda name: len(asked.intersection(words(agents[name]))), default="")


def _arguments(tool: PromptTool, question: str) -> dict[str, Any]:
    numbers = [float(number) for number in _NUMBER.findall(question)]
    arithmetic = _ARITHMETIC.search(question)
    arguments: dict[str, Any] = {}
    for name, schema in tool.properties.items():
        if isinstance(schema, dict) and "default" in schema:
            continue  # a policy this simple leaves options alone
        kind = schema.get("type", "string") if isinstance(schema, dict) else "string"
        if kind in {"integer", "number"}:
            number = numbers.pop(0) if numbers else 0.0
            arguments[name] = int(number) if number.is_integer() else number
        elif kind == "boolean":
            arguments[name] = True
        elif kind in {"array", "object"}:
            arguments[name] = [] if kind == "array" else {}
        elif name == "expression" and arithmetic:
            arguments[name] = arithmetic[0].strip()
        elif name == "to_agent":
            arguments[name] = _agent(tool.description, question)
        else:
            arguments[name] = question
    return arguments
