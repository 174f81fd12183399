"""References to variables in texts, as Dify writes them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence

_REFERENCE = re.compile(r"\{\{#([\w-]+)\.([\w.-]+)#\}\}|\{\{\s*([A-Za-z_]\w*)\s*\}\}")

Variables = Mapping[str, Mapping[str, object]]


def references(text: object) -> list[tuple[str, str]]:
    """Return the node and output of each reference in a text, in order.

    Example:
        >>> references("{{#llm.text#}} for {{name}}")
        [('llm', 'text'), ('start', 'name')]
    """
    if not isinstance(text, str):
        return []
    return [_selector(match) for match in _REFERENCE.finditer(text)]


def text_before(text: str, node_id: str, output: str) -> str | None:
    """Return the part of a text that stands before a reference, or None if that is not there."""
    for match in _REFERENCE.finditer(text):
        if _selector(match) == (node_id, output):
            return text[: match.start()]
    return None


def resolve(value: object, variables: Variables) -> object:
    """Return a value with every reference replaced; one that leads nowhere is an empty text.

    A text that is nothing but a reference becomes the value itself, whatever its type.

    Example:
        >>> resolve("{{#code.count#}}", {"code": {"count": 3}})
        3
        >>> resolve("{{#code.count#}} moons of {{planet}}", {
        ...     "code": {"count": 3}, "start": {"planet": "Mars"}})
        '3 moons of Mars'
    """
    if isinstance(value, Mapping):
        return {name: resolve(item, variables) for name, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        return [resolve(item, variables) for item in value]
    if not isinstance(value, str):
        return value
    whole = _REFERENCE.fullmatch(value)
    if whole:
        return _value(whole, variables)
    return _REFERENCE.sub(lambda match: _shown(_value(match, variables)), value)


def rendered(text: str, variables: Variables) -> str:
    """Return a text with every reference replaced."""
    return _shown(resolve(text, variables))


def _selector(match: re.Match[str]) -> tuple[str, str]:
    return ("start", match[3]) if match[3] else (match[1], match[2])


def _value(match: re.Match[str], variables: Variables) -> object:
    node_id, output = _selector(match)
    value: object = variables.get(node_id)
    # `sys.query` is one name among the system variables, `llm.usage.latency` a path.
    for name in output.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return "" if value is None else value


def _shown(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
