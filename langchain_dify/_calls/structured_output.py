"""`with_structured_output`: a schema into the prompt, the answer through a strict parser."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Iterator, Mapping
from operator import itemgetter
from typing import Any

from langchain_core.exceptions import OutputParserException
from langchain_core.messages import AIMessageChunk, BaseMessage
from langchain_core.output_parsers import BaseCumulativeTransformOutputParser
from langchain_core.outputs import Generation
from langchain_core.runnables import Runnable, RunnableMap, RunnablePassthrough
from langchain_core.utils.function_calling import convert_to_json_schema
from langchain_core.utils.json import parse_partial_json
from langchain_core.utils.pydantic import is_basemodel_subclass

METHODS = ("json_schema", "function_calling", "json_mode")
_THOUGHT = re.compile(r"^\s*<think>.*?(</think>|$)", re.DOTALL)
_START = re.compile(r'\{\s*["}]|\[\s*[\[{"]')
"""How JSON begins that is no "[1]" or "{name}" of the words before it."""

_decoder = json.JSONDecoder(strict=False)


class AnswerParser(BaseCumulativeTransformOutputParser[Any]):
    """Reads JSON, or an instance of a class, out of an answer; words around it do not matter."""

    answer_type: type[Any] | None = None
    """Pydantic class to make; None for plain dicts."""
    raises_at_end: bool = True
    """Whether a stream whose text makes no object ends in an error, as `invoke` does."""

    def parse_result(self, result: list[Generation], *, partial: bool = False) -> Any:
        """Parse an answer, or as much of it as has come.

        Returns:
            The object; None while a partial answer makes none.

        Raises:
            OutputParserException: If the whole answer holds no such object.
        """
        text = result[0].text
        try:
            value = _partial_json(text) if partial else _whole_json(text)
            return _instance(self.answer_type, value) if self.answer_type else value
        except (ValueError, RecursionError) as error:  # of JSON, and of pydantic 1 and 2
            if partial:
                return None
            raise OutputParserException(_explain(text, error), llm_output=text) from error

    def _transform(self, input: Iterator[str | BaseMessage]) -> Iterator[Any]:  # noqa: A002  # langchain-core's name
        chunks: list[str | BaseMessage] = []
        shown = None
        for shown in super()._transform(_kept(chunk, chunks) for chunk in input):
            yield shown
        yield from self._whole(chunks, shown)

    async def _atransform(
        self,
        input: AsyncIterator[str | BaseMessage],  # noqa: A002  # langchain-core's name
    ) -> AsyncIterator[Any]:
        chunks: list[str | BaseMessage] = []
        shown = None
        async for shown in super()._atransform(_kept(chunk, chunks) async for chunk in input):
            yield shown
        for whole in self._whole(chunks, shown):
            yield whole

    def _whole(self, chunks: list[str | BaseMessage], shown: Any) -> Iterator[Any]:
        """The whole object, where the last one shown is another: what broke off is no object."""
        try:
            whole = self.parse(_merged_text(chunks))
        except OutputParserException:
            if self.raises_at_end:
                raise
        else:
            if whole != shown:
                yield whole

    def parse(self, text: str) -> Any:
        """Parse a whole answer."""
        return self.parse_result([Generation(text=text)])

    @property
    def _type(self) -> str:
        return "dify_answer_parser"


def _instance(kind: type[Any], value: object) -> Any:
    validate = getattr(kind, "model_validate", None) or kind.parse_obj
    return validate(value)


def _kept(chunk: str | BaseMessage, chunks: list[str | BaseMessage]) -> str | BaseMessage:
    chunks.append(chunk)
    return chunk


def _merged_text(chunks: list[str | BaseMessage]) -> str:
    first, *rest = chunks or [""]
    if isinstance(first, AIMessageChunk) and rest:
        first += rest  # all at once: one by one takes ten times as long
    return first.text if isinstance(first, BaseMessage) else "".join(map(str, chunks))


def _whole_json(text: str) -> Any:
    """The JSON in a text, whatever words stand around it."""
    start = re.search(r"[{\[]", text)
    part = _json_part(text) or (text[start.start() :] if start else "")
    return _decoder.raw_decode(part)[0]


def _partial_json(text: str) -> Any:
    """As much of the JSON as has come."""
    part = _json_part(text)
    try:
        return _decoder.raw_decode(part)[0]
    except ValueError:
        return parse_partial_json(part)


def _json_part(text: str) -> str:
    text = _THOUGHT.sub("", text)
    start = _START.search(text)
    return text[start.start() :] if start else ""


def _explain(text: str, error: Exception) -> str:
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


def output_parser(schema: Any) -> AnswerParser:
    """The parser of answers for a schema."""
    return AnswerParser(answer_type=schema if is_basemodel_subclass(schema) else None)


def with_raw(model: Runnable[Any, Any], parser: AnswerParser) -> Runnable[Any, Any]:
    """The answer beside what was parsed out of it, or why it could not be."""
    # A stream whose first chunks are out cannot fall back any more.
    lenient = parser.model_copy(update={"raises_at_end": False})
    assign = RunnablePassthrough.assign(
        parsed=itemgetter("raw") | lenient, parsing_error=lambda _: None
    )
    failed = RunnablePassthrough.assign(parsed=lambda _: None)
    return RunnableMap(raw=model) | assign.with_fallbacks([failed], exception_key="parsing_error")
