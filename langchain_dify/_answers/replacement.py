"""Chunks that can take the place of those before them: what a moderator or a server rewrites.

A chunk that replaces says so in its metadata, which survives every serialiser:
`message.response_metadata["message_replace"]`, or `generation_info["message_replace"]` of a
completion, is `{"answer": ..., "reason": ...}` as in Dify's event. Its content is what those are
to see who only print. Chunks of these classes end at the answer, in whatever order they are added;
once all are, they are a chunk of langchain-core's own class.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any, Literal

from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.messages.base import TextAccessor
from langchain_core.outputs import GenerationChunk
from pydantic import model_validator
from typing_extensions import Self

from langchain_dify._answers.text import StreamedText
from langchain_dify._names import MODEL_PROVIDER

MESSAGE_REPLACE = "message_replace"
"""Name of the mark, of Dify's event and of the custom event."""

TEXT_INDEX = "lc_dify_text_answer"
"""Index of the block into which all text of a stream merges."""


def replacement(text: str, reason: str | None = None) -> dict[str, Any]:
    """The mark of a chunk that replaces.

    Args:
        text: What stands in place of all text so far, and of the chunk's own.
        reason: Why, where the server says so.
    """
    return {"answer": text, **({"reason": reason} if reason else {})}


def replacement_of(chunk: AIMessageChunk | GenerationChunk) -> Mapping[str, Any] | None:
    """The mark of a chunk; None where it replaces nothing."""
    facts = chunk.generation_info if isinstance(chunk, GenerationChunk) else chunk.response_metadata
    return (facts or {}).get(MESSAGE_REPLACE)


def streamed_text(chunk: AIMessageChunk, shown: str) -> StreamedText:
    """The text that a chunk shows, which replaces what it is added to where the chunk does."""
    mark = replacement_of(chunk)
    if mark is None:
        return StreamedText(shown)
    return StreamedText(mark["answer"], replaces=True, shown=str(shown))


class _WholeMessage(AIMessage):
    """What langchain-core makes of a chunk that is a message: it calls the first parent class."""

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        """Make a plain `AIMessage`, which loads where this package is absent."""
        return AIMessage(*args, **kwargs) if cls is _WholeMessage else super().__new__(cls)


class DifyMessageChunk(_WholeMessage, AIMessageChunk):
    """A chunk of an answer, which adds up to the answer though later chunks may replace it."""

    type: Literal["AIMessageChunk"] = "AIMessageChunk"  # type: ignore[assignment]  # as in langchain-core

    @classmethod
    def lc_id(cls) -> list[str]:
        """The id of langchain-core's class, as which it is loaded again."""
        return AIMessageChunk.lc_id()

    @model_validator(mode="after")
    def _let_content_replace(self) -> Self:
        if replacement_of(self) and isinstance(self.content, str):
            self.content = streamed_text(self, self.content)
        return self

    @property
    def text(self) -> TextAccessor:
        """The text that the chunk shows; it replaces what it is added to, where the chunk does."""
        shown = super().text
        return streamed_text(self, shown) if replacement_of(self) else shown

    def __add__(self, other: Any) -> AIMessageChunk:  # type: ignore[override]  # narrower
        others = other if isinstance(other, list | tuple) else [other]
        if all(isinstance(chunk, AIMessageChunk) for chunk in others):
            return _merged([self, *others])
        return NotImplemented

    def __radd__(self, other: Any) -> AIMessageChunk:
        # Asked before langchain-core's `__add__`, for it is of a class derived from that one's.
        return _merged([other, self]) if isinstance(other, AIMessageChunk) else NotImplemented


class SummedChunk(DifyMessageChunk):
    """Pieces of text that were one chunk after another of the same name: it counts once."""

    @classmethod
    def of(cls, last: AIMessageChunk, text: str) -> Self:
        """The sum of pieces.

        Args:
            last: The last of them, whose id and metadata all have.
            text: Their text.
        """
        return cls(content=text, id=last.id, response_metadata=last.response_metadata)


class DifyGenerationChunk(GenerationChunk):
    """A chunk of a completion, likewise."""

    @classmethod
    def lc_id(cls) -> list[str]:
        """The id of langchain-core's class, as which it is loaded again."""
        return GenerationChunk.lc_id()

    @classmethod
    def of(cls, text: str, generation_info: dict[str, Any] | None = None) -> Self:
        """A chunk whose text replaces what it is added to, where its mark says so."""
        chunk = cls(text=text, generation_info=generation_info)
        if mark := replacement_of(chunk):
            chunk.text = StreamedText(mark["answer"], replaces=True, shown=text)
        return chunk

    def __add__(self, other: GenerationChunk) -> GenerationChunk:
        if isinstance(other, GenerationChunk):
            return _merged_generation(self, other)
        return NotImplemented

    def __radd__(self, other: Any) -> GenerationChunk:
        return (
            _merged_generation(other, self)
            if isinstance(other, GenerationChunk)
            else NotImplemented
        )


def _merged(chunks: Sequence[AIMessageChunk]) -> AIMessageChunk:
    chunks = _with_joined_text(chunks)
    marks = [i for i, chunk in enumerate(chunks) if chunk.response_metadata.get(MESSAGE_REPLACE)]
    mark = replacement_of(chunks[marks[-1]]) if marks else None
    chunks = [_with_plain_blocks(chunk) for chunk in chunks]
    if mark:
        last = marks[-1]
        chunks = [
            *(_with_text(chunk, "") for chunk in chunks[:last]),
            _with_text(chunks[last], mark["answer"]),
            *chunks[last + 1 :],
        ]
    merged = AIMessageChunk.__add__(chunks[0], chunks[1:])
    kind = AIMessageChunk if _is_whole(merged.response_metadata) else DifyMessageChunk
    if type(merged) is not kind:
        merged = kind(**dict(merged))
    if mark and kind is DifyMessageChunk:
        text = str(merged.text)
        merged.response_metadata[MESSAGE_REPLACE] = {**mark, "answer": text}
    return merged


def _with_joined_text(chunks: Sequence[AIMessageChunk]) -> list[AIMessageChunk]:
    """The chunks, each long run of pieces of text as one: langchain-core merges every field."""
    joined: list[AIMessageChunk] = []
    for text_id, same in groupby(chunks, _text_id):
        run = list(same)
        if isinstance(text_id, SummedChunk):
            run = [text_id]
        elif text_id is not None and len(run) > _FEW:
            text = "".join(str(chunk.content) for chunk in run)
            run = [run[0].model_copy(update={"content": text})]
        joined += run
    return joined


def _text_id(chunk: AIMessageChunk) -> str | SummedChunk | None:
    """The id of a chunk that is a piece of text and nothing else; None of others.

    Of a sum of pieces itself.
    """
    if type(chunk) is SummedChunk:
        return chunk
    is_text = (
        type(chunk) is DifyMessageChunk
        and type(chunk.content) is str
        and not (chunk.additional_kwargs or chunk.tool_call_chunks or chunk.usage_metadata)
        and chunk.chunk_position is None
        and chunk.response_metadata == _OF_TEXT
    )
    return chunk.id or "" if is_text else None


_FEW = 8
"""Pieces of text that langchain-core merges as quickly."""

_OF_TEXT = {"model_provider": MODEL_PROVIDER}
"""All that a piece of text has as metadata."""


def _with_plain_blocks(chunk: AIMessageChunk) -> AIMessageChunk:
    """A chunk whose blocks hold plain text, of the type of blocks that were JSON."""
    if isinstance(chunk.content, str):
        return chunk
    blocks = [
        {**block, "text": str(block["text"])}
        if isinstance(block, dict) and isinstance(block.get("text"), StreamedText)
        else block
        for block in chunk.content
    ]
    return chunk.model_copy(update={"content": blocks})


def _with_text(chunk: AIMessageChunk, text: str) -> AIMessageChunk:
    """A copy of a chunk without its mark and with other text."""
    content: str | list[Any] = text
    if isinstance(chunk.content, list):
        content = [b for b in chunk.content if isinstance(b, dict) and b.get("type") != "text"]
        if text:
            content.append({"type": "text", "text": text, "index": TEXT_INDEX})
    return chunk.model_copy(
        update={"content": content, "response_metadata": _unmarked(chunk.response_metadata)}
    )


def _merged_generation(first: GenerationChunk, second: GenerationChunk) -> GenerationChunk:
    marked = replacement_of(second) or replacement_of(first)
    text = _text(first) + _text(second)
    plain = [
        GenerationChunk(text="", generation_info=_unmarked(chunk.generation_info or {}))
        for chunk in (first, second)
    ]
    info = GenerationChunk.__add__(*plain).generation_info
    if _is_whole(info or {}):
        return GenerationChunk(text=text, generation_info=info)
    mark = {MESSAGE_REPLACE: {**marked, "answer": str(text)}} if marked else {}
    return DifyGenerationChunk.of(text, {**(info or {}), **mark} or None)


def _text(chunk: GenerationChunk) -> str:
    mark = replacement_of(chunk)
    return StreamedText(mark["answer"], replaces=True) if mark else chunk.text


def _unmarked(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in facts.items() if name != MESSAGE_REPLACE}


def _is_whole(facts: Mapping[str, Any]) -> bool:
    """Whether both the first and the last chunk are in it, so that it replaces nothing more."""
    return ("task_id" in facts or "app" in facts) and "model_name" in facts
