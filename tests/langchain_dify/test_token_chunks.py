"""The chunks of text, which pydantic has not built."""

from __future__ import annotations

import pickle
import subprocess
import sys
from functools import reduce
from operator import add
from typing import Any

from langchain_core.outputs import ChatGenerationChunk

from langchain_dify._answers.replacement import DifyMessageChunk
from langchain_dify._answers.token_chunks import TokenChunks


def _checked(text: str) -> ChatGenerationChunk:
    metadata = {"model_provider": "dify"}
    message = DifyMessageChunk(content=text, id="m-1", response_metadata=metadata)
    return ChatGenerationChunk(message=message)


def _tokens() -> TokenChunks:
    message = _checked("").message
    assert isinstance(message, DifyMessageChunk)
    return TokenChunks(message)


def test_a_chunk_is_as_pydantic_makes_it() -> None:
    made, checked = _tokens().make("Saturn"), _checked("Saturn")
    assert made == checked
    assert made.model_dump() == checked.model_dump()
    assert repr(made) == repr(checked)
    assert made.message.model_dump_json() == checked.message.model_dump_json()
    assert made.message.model_fields_set == checked.message.model_fields_set
    assert pickle.loads(pickle.dumps(made)) == checked
    assert made.model_copy(deep=True) == checked


def test_what_a_consumer_changes_is_that_chunks_own() -> None:
    tokens = _tokens()
    first, second = tokens.make("Saturn"), tokens.make("Saturn")
    message = first.message
    assert isinstance(message, DifyMessageChunk)
    message.additional_kwargs["mine"] = message.response_metadata["mine"] = 1
    for calls in (message.tool_calls, message.invalid_tool_calls, message.tool_call_chunks):
        calls.append({})  # type: ignore[attr-defined]  # each list has its own type
    message.name = "ann"
    assert second == _checked("Saturn") == tokens.make("Saturn")


def test_many_pieces_are_added_at_once_as_one_by_one() -> None:
    tokens = _tokens()
    metadata = {"model_provider": "dify"}
    first = DifyMessageChunk(content="", id="m-1", response_metadata={**metadata, "task_id": "t"})
    thought = DifyMessageChunk(
        content="",
        id="m-1",
        response_metadata=metadata,
        additional_kwargs={"reasoning_content": "?"},
    )
    last = DifyMessageChunk(
        content="",
        id="m-1",
        response_metadata={**metadata, "model_name": "dify"},
        usage_metadata={"input_tokens": 1, "output_tokens": 40, "total_tokens": 41},
        chunk_position="last",
    )
    pieces = [tokens.make(f"{number} ").message for number in range(40)]
    rest: list[Any] = [*pieces[:20], thought, *pieces[20:], last]
    assert first + rest == reduce(add, rest, first)
    assert (first + rest).content == "".join(f"{number} " for number in range(40))
    assert [piece.content for piece in pieces] == [f"{number} " for number in range(40)]


def test_a_chat_model_is_imported_without_the_knowledge_bases() -> None:
    code = (
        "import sys; from langchain_dify import ChatDify; "
        "print([m for m in ('dify_api.endpoints.knowledge', 'dify_api.endpoints.segments',"
        " 'langchain_core.tools.base') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
