"""Responses whose accumulated text is made when it is looked at: indistinguishable from others."""

from __future__ import annotations

import copy
import json
import pickle
from typing import Any

import pytest
from llama_index.core.instrumentation.events.llm import (
    LLMChatInProgressEvent,
    LLMCompletionInProgressEvent,
)
from llama_index.core.llms import ChatMessage, ChatResponse, CompletionResponse

from llama_index_dify._answers.streamed import (
    GrowingText,
    StreamedChatResponse,
    StreamedCompletionResponse,
)


def chat_responses(*pieces: str) -> list[StreamedChatResponse]:
    text = GrowingText()
    responses = []
    for piece in pieces:
        text.pieces.append(piece)
        responses.append(StreamedChatResponse.after(text, piece))
    return responses


def completion_responses(*pieces: str) -> list[StreamedCompletionResponse]:
    text = GrowingText()
    responses = []
    for piece in pieces:
        text.pieces.append(piece)
        responses.append(StreamedCompletionResponse.after(text, piece))
    return responses


def test_growing_text_in_any_order() -> None:
    text = GrowingText()
    text.pieces += ["a", "b", "c"]
    assert [text.until(n) for n in (2, 1, 3, 0, 2, 3)] == ["ab", "a", "abc", "", "ab", "abc"]
    text.pieces.append("d")
    assert text.until(4) == "abcd"


def test_each_response_has_its_own_text_however_late_it_is_read() -> None:
    responses = chat_responses("One ", "two ", "three")
    assert [r.message.content for r in reversed(responses)] == ["One two three", "One two ", "One "]
    completions = completion_responses("One ", "two")
    assert [r.text for r in completions] == ["One ", "One two"]


def test_message_is_made_once() -> None:
    (response,) = chat_responses("Hi")
    assert response.message is response.message
    response.message = ChatMessage("other")
    assert response.message.content == "other"


PLAIN = ChatResponse(message=ChatMessage("Hi", role="assistant"), delta="Hi")
LOOKS: list[Any] = [
    lambda r: r.model_dump(),
    lambda r: json.loads(r.model_dump_json()),
    lambda r: str(r),
    lambda r: r.model_copy().message,
    lambda r: copy.copy(r).message,
    lambda r: copy.deepcopy(r).message,
    lambda r: pickle.loads(pickle.dumps(r)).message,
    lambda r: dict(r)["message"],
    lambda r: vars(r)["message"],
    lambda r: LLMChatInProgressEvent(messages=[], response=r).model_dump()["response"],
    lambda r: ChatResponse.model_validate(r).message,
]


@pytest.mark.parametrize("look", LOOKS)
def test_every_look_shows_what_a_plain_response_shows(look: Any) -> None:
    """Each look is the first: nothing else has made the message before."""
    (response,) = chat_responses("Hi")
    assert look(response) == look(PLAIN)


def test_repr_shows_the_text() -> None:
    (response,) = chat_responses("Hi")
    assert "TextBlock(block_type='text', text='Hi')" in repr(response)
    (completion,) = completion_responses("Hi")
    assert "text='Hi'" in repr(completion)


def test_completions_in_events_and_copies() -> None:
    plain = CompletionResponse(text="Hi", delta="Hi")
    (response,) = completion_responses("Hi")
    assert response.model_dump() == plain.model_dump()
    (response,) = completion_responses("Hi")
    event = LLMCompletionInProgressEvent(prompt="", response=response)
    assert '"text":"Hi"' in event.model_dump_json()
    (response,) = completion_responses("Hi")
    assert pickle.loads(pickle.dumps(response)).text == "Hi"


def test_unknown_attributes_are_errors() -> None:
    (response,) = chat_responses("Hi")
    with pytest.raises(AttributeError, match="nonsense"):
        _ = response.nonsense  # type: ignore[attr-defined]  # the mistake under test


def test_memory_of_kept_responses_does_not_grow_with_the_answer() -> None:
    import tracemalloc

    text = GrowingText()
    tracemalloc.start()
    kept = []
    for _ in range(5_000):
        text.pieces.append("eight by")
        kept.append(StreamedChatResponse.after(text, "eight by"))
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size < 10_000_000  # 5,000 accumulated texts would be 100 MB
    assert kept[-1].message.content == "eight by" * 5_000
