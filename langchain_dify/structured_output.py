"""`with_structured_output`: a schema into the prompt, the answer through a strict parser."""

from __future__ import annotations

import re
from collections.abc import Mapping
from operator import itemgetter
from typing import Any

from langchain_core.exceptions import OutputParserException
from langchain_core.output_parsers import BaseCumulativeTransformOutputParser
from langchain_core.outputs import Generation
from langchain_core.runnables import Runnable, RunnableMap, RunnablePassthrough
from langchain_core.utils.function_calling import convert_to_json_schema
from langchain_core.utils.json import parse_json_markdown
from langchain_core.utils.pydantic import is_basemodel_subclass

METHODS = ("json_schema", "function_calling", "json_mode")
_THOUGHT = re.compile(r"^\s*<think>.*?(</think>|$)", re.DOTALL)


class AnswerParser(BaseCumulativeTransformOutputParser[Any]):
    """Reads JSON, or an instance of a class, out of an answer; words around it do not matter."""

    answer_type: type[Any] | None = None
    """Pydantic class to make; None for plain dicts."""

    def parse_result(self, result: list[Generation], *, partial: bool = False) -> Any:
        """Parse an answer, or as much of it as has come.

        Returns:
            The object; None while a partial answer makes none.

        Raises:
            OutputParserException: If the whole answer holds no such object.
        """
        text = result[0].text
        try:
            value = parse_json_markdown(_json_part(text))
            return _instance(self.answer_type, value) if self.answer_type else value
        except ValueError as error:  # of JSON, and of pydantic 1 and 2
            if partial:
                return None
            raise OutputParserException(_explain(text, error), llm_output=text) from error

    def parse(self, text: str) -> Any:
        """Parse a whole answer."""
        return self.parse_result([Generation(text=text)])

    @property
    def _type(self) -> str:
        return "dify_answer_parser"


def _instance(kind: type[Any], value: object) -> Any:
    validate = getattr(kind, "model_validate", None) or kind.parse_obj
    return validate(value)


def _json_part(text: str) -> str:
    text = _THOUGHT.sub("", text)
    start = re.search(r"[{\[]", text)
    return text[start.start() :] if start else ""


def _explain(text: str, error: ValueError) -> str:
    if not _json_part(text):
        return (
            "the app did not answer in JSON: its model may not follow the instruction, or the "
            f"app's own prompt may stand against it. It said: {text.strip()[:200]!r}"
        )
    return f"the answer does not fit: {error}"


def response_format_of(schema: Any) -> dict[str, Any]:
    """A pydantic class, TypedDict or JSON Schema as what the prompt is made of.

    Raises:
        ValueError: If it is none of them.
    """
    return {"type": "json_schema", "json_schema": {"schema": convert_to_json_schema(schema)}}


def schema_of(response_format: object) -> Mapping[str, Any] | None:
    """The JSON Schema of a response format, ours or OpenAI's; None for text.

    Raises:
        ValueError: If it cannot be read.
    """
    if not isinstance(response_format, Mapping):
        return convert_to_json_schema(response_format) if response_format else None  # type: ignore[arg-type]  # it refuses what it cannot read
    if response_format.get("type") == "text":
        return None
    if response_format.get("type") == "json_object":
        return {"type": "object"}
    described = response_format.get("json_schema", response_format)
    schema = described.get("schema", described)
    return schema if isinstance(schema, Mapping) else None


def output_parser(schema: Any) -> Runnable[Any, Any]:
    """The parser of answers for a schema."""
    return AnswerParser(answer_type=schema if is_basemodel_subclass(schema) else None)


def with_raw(model: Runnable[Any, Any], parser: Runnable[Any, Any]) -> Runnable[Any, Any]:
    """The answer beside what was parsed out of it, or why it could not be."""
    assign = RunnablePassthrough.assign(
        parsed=itemgetter("raw") | parser, parsing_error=lambda _: None
    )
    failed = RunnablePassthrough.assign(parsed=lambda _: None)
    return RunnableMap(raw=model) | assign.with_fallbacks([failed], exception_key="parsing_error")
