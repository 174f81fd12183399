from __future__ import annotations

from datetime import datetime, timezone
from decimal import Decimal

import pytest

from dify_api import events
from dify_api.answers.events import parse_event


def parse(text: str, name: str = "") -> events.Event:
    event = parse_event(name, text.encode())
    assert event is not None
    return event


NAMES = [
    "message",
    "agent_message",
    "agent_thought",
    "message_file",
    "message_end",
    "message_replace",
    "tts_message",
    "tts_message_end",
    "annotation",
    "error",
    "ping",
    "warning",
    "reasoning_chunk",
    "workflow_started",
    "node_started",
    "node_finished",
    "node_retry",
    "iteration_started",
    "iteration_next",
    "iteration_completed",
    "loop_started",
    "loop_next",
    "loop_completed",
    "parallel_branch_started",
    "parallel_branch_finished",
    "agent_log",
    "text_chunk",
    "text_replace",
    "workflow_finished",
    "workflow_paused",
    "human_input_required",
    "human_input_form_filled",
    "human_input_form_timeout",
]


@pytest.mark.parametrize("name", NAMES)
def test_every_event_of_the_contract_has_a_class(name: str) -> None:
    event = parse(f'{{"event": "{name}", "task_id": "t", "new_field": [1]}}')
    assert type(event) is not events.UnknownEvent
    assert (event.event, event.task_id) == (name, "t")
    assert event.model_extra == {"new_field": [1]}


def test_what_a_form_was_filled_with() -> None:
    event = parse(
        '{"event": "human_input_form_filled", "workflow_run_id": "r", "data": {"node_id": "n", '
        '"action_id": "ok", "submitted_data": {"risk": "low", "docs": [{"type": "document"}]}}}'
    )
    assert isinstance(event, events.HumanInputFormFilledEvent)
    assert event.data.submitted_data == {"risk": "low", "docs": [{"type": "document"}]}


def test_unknown_events_survive_with_their_fields() -> None:
    event = parse('{"event": "brand_new", "task_id": "t", "data": {"x": 1}}')
    assert isinstance(event, events.UnknownEvent)
    assert (event.event, event.task_id, event.model_extra) == (
        "brand_new",
        "t",
        {"data": {"x": 1}},
    )


def test_frames_of_2023() -> None:
    message = parse('{"id": "m1", "answer": " I", "created_at": 1679586595}')
    assert isinstance(message, events.MessageEvent)
    assert (message.id, message.answer) == ("m1", " I")
    assert message.created_at == datetime(2023, 3, 23, 15, 49, 55, tzinfo=timezone.utc)
    error = parse('{"code": "provider_quota_exceeded", "message": "no", "status": 400}')
    assert isinstance(error, events.ErrorEvent)
    assert (error.code, error.status) == ("provider_quota_exceeded", 400)


def test_a_name_on_the_event_line_counts() -> None:
    assert isinstance(parse('{"answer": "x"}', "agent_message"), events.AgentMessageEvent)
    assert isinstance(parse_event("ping", b""), events.PingEvent)


@pytest.mark.parametrize("debris", [b"", b"[DONE]", b"[1]", b"null", b"<html>", b"\xff"])
def test_debris_is_no_event(debris: bytes) -> None:
    assert parse_event("", debris) is None


@pytest.mark.parametrize(
    "torn",
    [
        b'{"event": "message", "answer": "hal',
        b'{"event": "message", "answer": 7}',
        b'{"event": "agent_message", "answer": {"a": "b"}}',
        b'{"event": "text_chunk", "data": {"text": ["a"]}}',
        b'{"event": "text_chunk", "data": "a"}',
        b'"event": "message", "answer": "a"}',
    ],
)
def test_an_event_that_cannot_be_read_is_an_error(torn: bytes) -> None:
    with pytest.raises(events.UnreadableEventError):
        parse_event("", torn)


@pytest.mark.parametrize("odd", ["\t", "\x00", "\x1f"])
def test_control_characters_inside_text_are_read(odd: str) -> None:
    event = parse('{"event": "message", "answer": "a' + odd + 'b"}')
    assert isinstance(event, events.MessageEvent)
    assert event.answer == f"a{odd}b"


def test_a_number_longer_than_python_reads_costs_its_field_alone() -> None:
    event = parse('{"event": "message", "answer": "a", "created_at": ' + "9" * 5_000 + "}")
    assert isinstance(event, events.MessageEvent)
    assert (event.answer, event.created_at) == ("a", None)


def test_fields_of_unexpected_types_fall_back_to_their_defaults() -> None:
    event = parse(
        '{"event": "message_end", "created_at": "soon", "message_id": 7, "files": {"a": 1},'
        ' "metadata": {"usage": {"total_tokens": "178", "total_price": "0E-7", "latency": null},'
        ' "retriever_resources": [{"segment_id": "s1", "score": "high"}, null]}}'
    )
    assert isinstance(event, events.MessageEndEvent)
    assert (event.created_at, event.files) == (None, None)
    assert event.metadata is not None
    assert event.metadata.usage is not None
    assert event.metadata.usage.total_tokens == 178
    assert event.metadata.usage.total_price == Decimal("0E-7")
    assert event.metadata.retriever_resources is not None
    assert event.metadata.retriever_resources[0].segment_id == "s1"
    assert event.metadata.retriever_resources[0].score is None


def test_invalid_utf8_and_nan_are_survived() -> None:
    event = parse_event("", b'{"event": "message", "answer": "a\xffb"}')
    assert isinstance(event, events.MessageEvent)
    assert event.answer == "a\ufffdb"
    finished = parse('{"event": "workflow_finished", "data": {"outputs": {"x": NaN}}}')
    assert isinstance(finished, events.WorkflowFinishedEvent)
    assert finished.data.outputs is not None
    assert finished.data.outputs["x"] != finished.data.outputs["x"]


def test_total_tokens_of_zero_beside_its_parts() -> None:
    event = parse(
        '{"event": "message_end", "metadata": {"usage":'
        ' {"prompt_tokens": 12, "completion_tokens": 8, "total_tokens": 0}}}'
    )
    assert isinstance(event, events.MessageEndEvent)
    assert event.metadata is not None
    assert event.metadata.usage is not None
    assert event.metadata.usage.total_tokens == 20
