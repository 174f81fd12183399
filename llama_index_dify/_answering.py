"""The responses of one answer, as its events come: no I/O, the same for sync and async."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Generic, TypeVar

from llama_index.core.base.llms.types import ChatResponse, CompletionResponse
from llama_index.core.instrumentation.span import active_span_id

from dify_api.answers._thinking import ThinkSplitter
from dify_api.answers.answer import Answer
from dify_api.answers.events import Event, ReasoningChunkEvent
from llama_index_dify import _responses as responses
from llama_index_dify import events
from llama_index_dify._records import Origin
from llama_index_dify._streamed import (
    GrowingText,
    StreamedChatResponse,
    StreamedCompletionResponse,
)

ResponseT = TypeVar("ResponseT", ChatResponse, CompletionResponse)


class Answering(ABC, Generic[ResponseT]):
    """Turns the events of one answer into responses.

    Make it within the model's call: what goes on inside the app belongs to that call's span.

    Args:
        reasoning: Whether `<think>` text and reasoning events are kept out of the text.
    """

    def __init__(self, reasoning: bool) -> None:
        self._text = GrowingText()
        self._thinking: list[str] = []
        self._splitter = ThinkSplitter() if reasoning else None
        self._span_id = active_span_id.get()
        self._has_begun = False
        self._is_plain = False  # from the second response on, where text passes as it is

    def take(self, event: Event, text: str) -> ResponseT | None:
        """The response to an event that adds `text` to the answer; None where nothing shows."""
        if self._is_plain:
            self._text.pieces.append(text)
            return self._after(self._text, text)
        if self._splitter is None:
            return self._respond(event, text)
        text, thinking = self._splitter.feed(text)
        return self._respond(event, text, thinking) if text or thinking else None

    def note(self, event: Event) -> ResponseT | None:
        """Take an event without text: dispatch what it tells, respond to reasoning."""
        if not isinstance(event, ReasoningChunkEvent):
            events.dispatch(event, self._span_id)
        elif self._splitter is not None and event.data.reasoning:
            return self._respond(event, "", event.data.reasoning)
        return None

    def last(self, answer: Answer) -> ResponseT:
        """The response that ends a stream: the right text, whatever was streamed, and the rest."""
        text, thinking = self._parts(answer)
        streamed = self._text.until(len(self._text.pieces))
        delta = text[len(streamed) :] if text.startswith(streamed) else ""
        return self._whole(answer, text, thinking, delta)

    def only(self, answer: Answer) -> ResponseT:
        """The response of a call that does not stream."""
        return self._whole(answer, *self._parts(answer), None)

    def _parts(self, answer: Answer) -> tuple[str, str]:
        """Text and reasoning."""
        if self._splitter is None:
            return answer.text, ""
        text, thinking = ThinkSplitter.split(answer.text)
        return text, answer.reasoning or thinking or "".join(self._thinking)

    def _respond(self, event: Event, text: str, thinking: str = "") -> ResponseT:
        """The first response tells where the answer stands, so that it can be stopped."""
        additional_kwargs = {} if self._has_begun else responses.ids(event)
        self._has_begun = True
        self._is_plain = self._splitter is None
        if thinking:
            self._thinking.append(thinking)
            additional_kwargs["thinking_delta"] = thinking
        if text:
            self._text.pieces.append(text)
        return self._after(self._text, text, **additional_kwargs)

    @staticmethod
    @abstractmethod
    def _after(text: GrowingText, delta: str, **additional_kwargs: Any) -> ResponseT:
        """The response of a running stream."""

    @abstractmethod
    def _whole(self, answer: Answer, text: str, thinking: str, delta: str | None) -> ResponseT:
        """The response of a whole answer."""


class ChatAnswering(Answering[ChatResponse]):
    """Chat responses.

    Args:
        reasoning: Whether `<think>` text and reasoning events are kept out of the text.
        origin: Where the answer comes from.
        content_blocks: Whether citations, tool calls and files become blocks of the message.
    """

    _after = staticmethod(StreamedChatResponse.after)

    def __init__(self, reasoning: bool, origin: Origin, content_blocks: bool = False) -> None:
        super().__init__(reasoning)
        self._origin = origin
        self._content_blocks = content_blocks

    def _whole(self, answer: Answer, text: str, thinking: str, delta: str | None) -> ChatResponse:
        return responses.chat_response(
            answer,
            text,
            delta,
            self._origin,
            thinking=thinking,
            content_blocks=self._content_blocks,
        )


class CompletionAnswering(Answering[CompletionResponse]):
    """Completion responses."""

    _after = staticmethod(StreamedCompletionResponse.after)

    def _whole(
        self, answer: Answer, text: str, thinking: str, delta: str | None
    ) -> CompletionResponse:
        return responses.completion_response(answer, text, delta)
