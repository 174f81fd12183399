"""A scripted policy that answers in the JSON that a prompt asks for: extraction without a model.

Numbers of the question fill the numbers of the schema, its names (words with a capital, "quoted"
texts) the texts, in their order. That is enough to read facts out of a sentence.
"""

from __future__ import annotations

import json
import re
from typing import Any

_ASKED = re.compile(r"(?:valid by this JSON Schema|Here's a JSON schema to follow):\s*(?=\{)")
_NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?")
_NAME = re.compile(r"\"([^\"]+)\"|(?<!^)\b([A-Z]\w+)|^([A-Z]\w+)")
_COMMON = {"A", "An", "And", "Give", "Return", "Tell", "The", "This", "What", "Which"}


def asked_structure(prompt: str) -> tuple[dict[str, Any], str] | None:
    """Return the JSON Schema that the answer shall be valid by, and the prompt to fill it from.

    Understood is how `langchain_dify` asks and how LlamaIndex's `structured_predict` does: below
    the text, in doubled braces. None if no structure is asked for.
    """
    match = _ASKED.search(prompt)
    if match is None:
        return None
    asked = prompt[match.end() :]
    if asked.startswith("{{"):
        asked, prompt = asked.replace("{{", "{").replace("}}", "}"), prompt[: match.start()]
    schema, _ = json.JSONDecoder().raw_decode(asked)
    return schema, prompt


def fill(schema: dict[str, Any], text: str) -> Any:
    """Return a value that is valid by a schema, made of the words of a text.

    Example:
        >>> fill({"type": "object", "properties": {"name": {"type": "string"},
        ...       "moons": {"type": "integer"}}}, "Saturn has 274 moons.")
        {'name': 'Saturn', 'moons': 274}
    """
    return _Filler(text, schema.get("$defs") or {}).value(schema)


class _Filler:
    def __init__(self, text: str, definitions: dict[str, Any]) -> None:
        self._text = text
        self._definitions = definitions
        self._numbers = [float(n.replace(",", "")) for n in _NUMBER.findall(text)]
        names = ["".join(found) for found in _NAME.findall(text)]
        self._names = [name for name in names if name not in _COMMON]

    def value(self, schema: dict[str, Any]) -> Any:
        if "$ref" in schema:
            schema = self._definitions.get(schema["$ref"].rpartition("/")[2], {})
        choices = schema.get("anyOf") or schema.get("oneOf")
        if choices:
            return self.value(choices[0])
        if "enum" in schema or "const" in schema:
            return self._choice(schema.get("enum") or [schema["const"]])
        kind = schema.get("type", "object" if "properties" in schema else "string")
        if kind == "object":
            return {name: self.value(part) for name, part in schema.get("properties", {}).items()}
        if kind == "array":
            return [self.value(schema.get("items") or {})]
        return self._scalar(kind)

    def _choice(self, options: list[Any]) -> Any:
        said = self._text.lower()
        return next((o for o in options if str(o).lower() in said), options[0])

    def _scalar(self, kind: str) -> Any:
        if kind in {"integer", "number"}:
            number = self._numbers.pop(0) if self._numbers else 0.0
            return int(number) if kind == "integer" or number.is_integer() else number
        if kind in {"boolean", "null"}:
            return True if kind == "boolean" else None
        return self._names.pop(0) if self._names else self._text
