"""The fold: which text is the answer, and what is kept beside it."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import Any

import pytest

from dify_api.answers._builder import AnswerBuilder
from dify_api.answers._reader import AnswerReader
from dify_api.answers.answer import Answer
from dify_api.answers.events import parse_event
from dify_api.models import as_json
from tests.support.cassettes import exchange


def fold(*frames: dict[str, Any]) -> tuple[str, Answer]:
    """The text as streamed, and the answer."""
    builder = AnswerBuilder()
    streamed = ""
    for frame in frames:
        event = parse_event("", json.dumps(frame).encode())
        assert event is not None
        streamed += builder.add(event)
    return streamed, builder.build()


def message(text: str, event: str = "message", **fields: Any) -> dict[str, Any]:
    return {"event": event, "answer": text, "message_id": "m", "task_id": "t", **fields}


CHATFLOW = {"event": "workflow_started", "message_id": "m", "task_id": "t", "workflow_run_id": "r"}


def finished(status: str = "succeeded", **outputs: Any) -> dict[str, Any]:
    data = {"status": status, "outputs": outputs}
    return {"event": "workflow_finished", "message_id": "m", "workflow_run_id": "r", "data": data}


END = {"event": "message_end", "message_id": "m", "metadata": {}}


def test_an_answer_has_all_its_fields_in_order() -> None:
    _, answer = fold()
    assert list(vars(answer)) == list(Answer.model_fields)
    assert answer == Answer()
    assert answer.model_copy(update={"text": "Hi"}).text == "Hi"


def test_deltas_in_order() -> None:
    streamed, answer = fold(message("a"), message(" b"), END)
    assert (streamed, answer.text, answer.finish_reason) == ("a b", "a b", "stop")


def test_a_chatflows_own_outputs_stand_above_its_deltas() -> None:
    streamed, answer = fold(CHATFLOW, message("A B A"), finished(answer="A\nB"), END)
    assert (streamed, answer.text, answer.streamed_text) == ("A B A", "A\nB", "A B A")
    assert (answer.workflow_run_id, answer.outputs) == ("r", {"answer": "A\nB"})


def test_moderation_stands_above_all() -> None:
    replaced = {"event": "message_replace", "answer": "no", "reason": "output_moderation"}
    streamed, answer = fold(CHATFLOW, message("bad"), replaced, finished(answer="bad"), END)
    assert (streamed, answer.text) == ("bad", "no")
    _, answer = fold(message("bad"), {"event": "message_replace", "answer": "no"}, END)
    assert answer.text == "no"


def test_a_stored_text_replayed_on_reattaching_is_no_moderation() -> None:
    snapshot = {"event": "message_replace", "answer": "so far", "reason": ""}
    _, answer = fold(CHATFLOW, snapshot, message(" more"), finished(answer="so far more"), END)
    assert answer.text == "so far more"
    _, answer = fold(CHATFLOW, snapshot, message(" more"))
    assert answer.text == "so far more"


def test_a_new_agents_closing_message_sets_the_answer() -> None:
    streamed, answer = fold(message("I look it up. ", "agent_message"), message("Saturn."), END)
    assert (streamed, answer.text) == ("I look it up. ", "Saturn.")
    streamed, answer = fold({"event": "agent_thought", "id": "1"}, message("Saturn."), END)
    assert (streamed, answer.text) == ("", "Saturn.")


def test_text_that_travels_as_message_file() -> None:
    streamed, answer = fold(message("a picture", "message_file", id="m"), END)
    assert (streamed, answer.text, answer.files) == ("a picture", "a picture", [])


def test_files_of_the_app_but_not_of_the_user() -> None:
    made = {"event": "message_file", "id": "f1", "url": "/files/1", "belongs_to": "assistant"}
    end = {**END, "files": [{"id": "f1"}, {"id": "mine", "belongs_to": "user"}, {"id": "f2"}]}
    _, answer = fold(made, message("here"), end)
    assert [file.id for file in answer.files] == ["f1", "f2"]
    assert answer.files[0].url == "/files/1"


def test_thoughts_are_kept_once_in_their_last_state() -> None:
    first = {"event": "agent_thought", "id": "1", "tool": "search"}
    _, answer = fold(first, {**first, "observation": "found"}, {**first, "id": "2"}, END)
    assert [(t.id, t.observation) for t in answer.agent_thoughts] == [("1", "found"), ("2", None)]


def test_citations_of_0_3_stand_at_the_top_of_message_end() -> None:
    _, answer = fold(
        {"event": "message", "id": "m", "answer": "a"},
        {"event": "message_end", "id": "m", "retriever_resources": [{"segment_id": "s"}]},
    )
    assert [r.segment_id for r in answer.retriever_resources] == ["s"]
    assert answer.message_id == "m"


def test_a_stopped_run_keeps_what_was_streamed() -> None:
    _, answer = fold(CHATFLOW, message("half"), finished("stopped"))
    assert (answer.text, answer.finish_reason) == ("half", "stopped")


def test_the_text_of_a_workflow() -> None:
    chunk = {"event": "text_chunk", "workflow_run_id": "r", "data": {"text": "hel"}}
    run = {**finished(text="hello"), "message_id": None}
    streamed, answer = fold(chunk, run)
    assert (streamed, answer.text, answer.outputs) == ("hel", "hello", {"text": "hello"})


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("dify-0.15.3/chatflow_parallel_stream", "A: s0 s1 s2 s3\nB: s0 s1 s2 s3"),
        ("dify-1.16.0/chatflow_moderation_input_streaming", "Input blocked été."),
    ],
)
def test_recorded_oddities(name: str, text: str) -> None:
    reader = AnswerReader("POST /chat-messages", None)
    reader.feed(exchange(name).body)
    assert reader.finish().text == text


def test_outputs_nested_deeper_than_pydantic_writes_are_plain_json() -> None:
    nested: object = "deep"
    for _ in range(400):
        nested = {"a": nested}
    answer = Answer(outputs={"x": nested}, created_at=datetime(2026, 1, 1, tzinfo=timezone.utc))
    written = as_json(answer, exclude={"text"}, exclude_none=True)
    assert written["outputs"] == {"x": nested}
    assert written["created_at"] == "2026-01-01T00:00:00+00:00"
    assert "text" not in written
