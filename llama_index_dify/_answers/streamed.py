"""The responses of a running stream, whose accumulated text is put together when it is read.

Every response of a stream holds the whole text so far. Written out for each token that is work
and memory that grow with the square of the answer, for a text that few consumers read before
the end. So a response here remembers how many pieces of the shared, growing text are its own
and joins them at the first look: at `message` or `text`, or at the fields as a whole (`repr`,
`model_dump`, comparison, pickle, copy), which all begin with `__dict__`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    CompletionResponse,
    MessageRole,
    TextBlock,
)
from pydantic import BaseModel
from typing_extensions import Self

_new = object.__new__
_set = object.__setattr__
_set_fields = BaseModel.__dict__["__dict__"].__set__
_get_fields = BaseModel.__dict__["__dict__"].__get__


class GrowingText:
    """The pieces of a text that grows at its end.

    Attributes:
        pieces: The pieces so far, in order.
    """

    __slots__ = ("_joined", "pieces")

    def __init__(self) -> None:
        self.pieces: list[str] = []
        self._joined = (0, "")  # a prefix that was asked for: how many pieces, and their text

    def until(self, count: int) -> str:
        """The text of the first `count` pieces."""
        known, text = self._joined
        if count < known:
            return "".join(self.pieces[:count])
        if count > known:
            text += "".join(self.pieces[known:count])
            self._joined = (count, text)
        return text


class _Streamed:
    """A response of a running stream: the field that accumulates is made at the first look."""

    __slots__ = ()
    _late: ClassVar[str]
    _place: tuple[GrowingText, int]

    def _accumulated(self) -> object:
        """The value of the field that accumulates."""
        raise NotImplementedError

    if not TYPE_CHECKING:

        @property
        def __dict__(self) -> dict[str, Any]:
            fields = _get_fields(self)
            if self._late not in fields:
                fields[self._late] = self._accumulated()
            return fields

        @__dict__.setter
        def __dict__(self, fields: dict[str, Any]) -> None:
            _set_fields(self, fields)

        def __getattr__(self, name: str) -> Any:
            if name == self._late:
                return self.__dict__[name]
            return super().__getattr__(name)

    @classmethod
    def after(cls, text: GrowingText, delta: str, **additional_kwargs: Any) -> Self:
        """The response that follows the pieces so far.

        Args:
            text: The text; its last piece is `delta`, unless that is empty.
            delta: What is new.
            additional_kwargs: Of the response.
        """
        # As pydantic makes a model of checked values, without the checks.
        response = _new(cls)
        _set_fields(
            response,
            {"additional_kwargs": additional_kwargs, "raw": None, "logprobs": None, "delta": delta},
        )
        _set(response, "__pydantic_fields_set__", {cls._late, "delta", "additional_kwargs"})
        _set(response, "__pydantic_extra__", None)
        _set(response, "__pydantic_private__", None)
        _set(response, "_place", (text, len(text.pieces)))
        return response


class StreamedChatResponse(_Streamed, ChatResponse):
    """A `ChatResponse` of a running stream: `message` is made when it is first looked at."""

    __slots__ = ("_place",)
    _late = "message"

    def _accumulated(self) -> ChatMessage:
        text, count = self._place
        block = TextBlock(text=text.until(count))
        return ChatMessage(role=MessageRole.ASSISTANT, blocks=[block])


class StreamedCompletionResponse(_Streamed, CompletionResponse):
    """A `CompletionResponse` of a running stream: `text` is joined when it is first looked at."""

    __slots__ = ("_place",)
    _late = "text"

    def _accumulated(self) -> str:
        text, count = self._place
        return text.until(count)
