"""What differs between releases 0.3.0 and 1.16.0, one test each."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from decimal import Decimal
from typing import Any

import pytest

from dify_api import (
    DifyError,
    annotations,
    application,
    audio,
    chat,
    completion,
    conversations,
    errors,
    feedback,
    files,
    messages,
    workflows,
)
from dify_api.answers.events import NodeFinishedEvent, NodeStartedEvent
from dify_api.errors import StreamInterruptedError, UnexpectedReplyError, WorkflowPausedError
from dify_api.models import Usage
from tests.dify_api.operations.serving import (
    ID,
    answer_of,
    json_reply,
    receive,
    request_of,
    send,
    stream_reply,
)
from tests.support.replay import Received, Reply

MOMENT = datetime(2026, 11, 21, 12, 0, tzinfo=timezone.utc)
SECONDS = int(MOMENT.timestamp())


def message(text: str, **fields: Any) -> dict[str, Any]:
    return {"event": "message", "answer": text, "message_id": "m", "task_id": "t", **fields}


def end(**fields: Any) -> dict[str, Any]:
    return {"event": "message_end", "message_id": "m", "task_id": "t", **fields}


def run_event(name: str, **data: Any) -> dict[str, Any]:
    return {"event": name, "message_id": "m", "task_id": "t", "workflow_run_id": "r", "data": data}


# Streams -------------------------------------------------------------------------------------


def test_frames_without_an_event_are_messages_or_errors() -> None:
    answer = answer_of({"id": "m", "answer": "Hi"}, {"id": "m", "answer": " you"})
    assert (answer.text, answer.message_id) == ("Hi you", "m")
    with pytest.raises(errors.ProviderQuotaExceededError):
        answer_of({"code": "provider_quota_exceeded", "message": "used up", "status": 400})


def test_message_id_is_not_the_id_of_a_thought_or_a_file() -> None:
    thought = {"event": "agent_thought", "id": "thought", "thought": "hm"}
    file = {"event": "message_file", "id": "file", "url": "/f.png", "belongs_to": "assistant"}
    old = {"event": "message", "id": "m", "answer": "Hi", "task_id": "t"}
    assert answer_of(thought, file, old, {"event": "message_end", "id": "m"}).message_id == "m"


def test_a_stream_may_end_in_several_ways() -> None:
    finished = run_event("workflow_finished", status="succeeded", outputs={"answer": "Hi"})
    started = run_event("workflow_started")
    for tail in ([finished, end()], [end(), finished], [finished]):  # <= 1.12.1, later, 1.13.0
        answer = answer_of(started, message("Hi"), *tail)
        assert (answer.text, answer.finish_reason) == ("Hi", "stop")
    assert answer_of({"event": "message", "id": "m", "answer": "Hi"}).text == "Hi"  # 0.3.0
    with pytest.raises(WorkflowPausedError):
        answer_of(started, run_event("workflow_paused", paused_nodes=["human"]))


def test_completions_have_no_conversation_id() -> None:
    operation = completion.send_message({"query": "Hello"}, user="ann")
    answer = send(operation, stream_reply(message("Hi"), end()))
    assert (answer.text, answer.conversation_id) == ("Hi", None)


@pytest.mark.parametrize("carrier", ["message", "agent_message", "message_file", "annotation"])
def test_text_comes_under_several_names(carrier: str) -> None:
    assert answer_of({**message("Hi"), "event": carrier}, end()).text == "Hi"


def test_a_new_agents_closing_message_sets_the_answer() -> None:
    deltas = [{**message(text), "event": "agent_message"} for text in ("Let me see", ". 146.")]
    assert answer_of(*deltas, message("146."), end()).text == "146."


def test_a_workflow_without_text_has_its_answer_in_outputs() -> None:
    finished = run_event("workflow_finished", status="succeeded", outputs={"moons": 146})
    operation = workflows.run({}, user="ann")
    answer = send(operation, stream_reply(run_event("workflow_started"), finished))
    assert (answer.streamed_text, answer.outputs) == ("", {"moons": 146})


def test_metadata_may_be_absent_sparse_or_null() -> None:
    for metadata in ({}, {"usage": {"total_tokens": 3}}, None):
        answer = answer_of(message("Hi"), end(metadata=metadata))
        assert answer.retriever_resources == []
        assert (answer.usage.total_tokens if answer.usage else None) == (3 if metadata else None)
    assert answer_of(message("Hi"), end()).usage is None


def test_retriever_resources_at_the_top_or_in_metadata() -> None:
    resource = {"position": 1, "segment_id": None, "content": "Saturn", "score": None}
    for fields in (
        {"retriever_resources": [resource]},
        {"metadata": {"retriever_resources": [resource]}},
    ):
        (found,) = answer_of(message("Hi"), end(**fields)).retriever_resources
        assert (found.content, found.segment_id, found.score) == ("Saturn", None, None)


@pytest.mark.parametrize("usage", [None, {}, {"prompt_tokens": 0, "total_tokens": 0}])
def test_usage_may_be_null_or_zero(usage: Any) -> None:
    answer = answer_of(message("Hi"), end(metadata={"usage": usage}))
    assert answer.usage == (None if usage is None else Usage())


@pytest.mark.parametrize("price", ["0.0010330", "0E-7", "1.5E-6", 0.25])
def test_prices_are_exact_decimals(price: str | float) -> None:
    usage = answer_of(message("Hi"), end(metadata={"usage": {"total_price": price}})).usage
    assert usage is not None
    assert usage.total_price == Decimal(str(price))


def test_files_of_the_end_may_be_absent_null_or_a_list() -> None:
    assert answer_of(message("Hi"), end()).files == []
    assert answer_of(message("Hi"), end(files=None)).files == []
    file = {"id": "f", "url": "/f.png", "belongs_to": "assistant"}
    assert [f.id for f in answer_of(message("Hi"), end(files=[file])).files] == ["f"]


def test_details_of_a_thought_may_be_null_empty_or_missing() -> None:
    full = {"thought": "hm", "observation": "", "tool_labels": {}}
    for fields in (full, {"thought": None, "observation": None, "tool_labels": None}, {}):
        thought = {"event": "agent_thought", "id": "a", "message_id": "m", **fields}
        (kept,) = answer_of(thought, end()).agent_thoughts
        assert (kept.thought or "") == (fields.get("thought") or "")


def test_removed_and_unknown_fields_of_nodes_do_no_harm() -> None:
    old = run_event(
        "node_started",
        id="1",
        sequence_number=1,
        parallel_id="p",
        predecessor_node_id="start",
        inputs={"a": 1},
    )
    new = run_event("node_started", id="1", predecessor_node_id=None, inputs=None)
    finished = run_event("workflow_finished", status="succeeded", outputs={"answer": "Hi"})
    for frame in (old, new):
        assert answer_of(frame, end(), finished).text == "Hi"
        assert NodeStartedEvent.model_validate(frame).data.inputs == frame["data"]["inputs"]


@pytest.mark.parametrize("price", ["0.002", 0.002])
def test_the_price_of_a_node_is_text_or_a_number(price: str | float) -> None:
    frame = run_event("node_finished", id="1", execution_metadata={"total_price": price})
    metadata = NodeFinishedEvent.model_validate(frame).data.execution_metadata
    assert metadata is not None
    assert Decimal(str(metadata["total_price"])) == Decimal("0.002")


def test_an_iteration_and_its_node_have_different_ids() -> None:
    frames = [
        run_event("iteration_started", id="node", node_id="node"),
        run_event("node_started", id="execution", node_id="node"),
        run_event("iteration_completed", id="node", node_id="node"),
        run_event("workflow_finished", status="succeeded", outputs={"answer": "Hi"}),
    ]
    assert answer_of(*frames, end()).text == "Hi"


def test_json_of_streams_is_ascii_or_raw_with_odd_line_separators() -> None:
    text = "a\u2028b\u0085c\u2029d"
    raw = json.dumps(message(text), ensure_ascii=False)
    assert answer_of(f"data: {raw}\n\n", end()).text == text
    assert answer_of(message(text), end()).text == text


@pytest.mark.parametrize(
    "first", ["event: ping\n\n", "id: 7-0\n", 'data: {"event":"warning","warning":"old"}\n\n']
)
def test_the_first_frame_may_be_a_ping_a_warning_or_have_an_id(first: str) -> None:
    assert answer_of(first, message("Hi"), end()).text == "Hi"


def test_a_blocking_request_may_be_answered_by_a_stream() -> None:  # 1.13.0
    operation = chat.send_message("Hello", user="ann", response_mode="blocking")
    assert send(operation, stream_reply(message("Hi"), end())).text == "Hi"


def test_a_streaming_request_may_be_answered_by_json() -> None:
    operation = chat.send_message("Hello", user="ann")
    assert receive(operation, {"answer": "Hi", "message_id": "m"}).text == "Hi"
    with pytest.raises(errors.NotChatAppError):
        receive(operation, {"code": "not_chat_app", "message": "no", "status": 400}, 400)


def test_a_blocking_request_may_be_put_off() -> None:  # of tomorrow: 202
    body = {"event": "workflow_maintenance_paused", "workflow_run_id": "r"}
    operation = chat.send_message("Hello", user="ann", response_mode="blocking")
    with pytest.raises(DifyError, match="no answer"):
        receive(operation, body, 202)


def test_agents_refuse_to_block() -> None:
    body = {
        "code": "invalid_param",
        "message": "Agent Chat App does not support blocking mode",
        "status": 400,
    }
    operation = chat.send_message("Hello", user="ann", response_mode="blocking")
    with pytest.raises(errors.InvalidParamError, match='Use response_mode="streaming"'):
        receive(operation, body, 400)


def test_no_end_is_an_interruption() -> None:
    with pytest.raises(StreamInterruptedError):
        answer_of("event: ping\n\n")


# Requests ------------------------------------------------------------------------------------


def test_a_completions_query_goes_where_the_server_reads_it() -> None:
    sent = request_of(
        completion.send_message({"query": "Hello"}, query="Hello", user="ann"), {"answer": "Hi"}
    ).json
    assert (sent["query"], sent["inputs"]) == ("Hello", {"query": "Hello"})


def test_inputs_are_always_sent() -> None:
    for operation in (
        chat.send_message("Hello", user="ann"),
        completion.send_message({}, user="ann"),
    ):
        assert request_of(operation, {"answer": "Hi"}).json["inputs"] == {}
    assert request_of(workflows.run({}, user="ann"), {"data": {}}).json["inputs"] == {}


@pytest.mark.parametrize("stop", [chat.stop, completion.stop, workflows.stop])
def test_a_stop_names_the_user(stop: Any) -> None:
    assert request_of(stop("t", user="ann")).json == {"user": "ann"}


def test_an_annotation_is_updated_by_post_where_put_is_refused() -> None:
    received: list[Received] = []
    refused = json_reply({"code": "method_not_allowed", "message": "no", "status": 405}, 405)
    updated = json_reply({"id": ID, "question": "q", "answer": "a"})
    operation = annotations.update(ID, "q", "a")
    assert send(operation, refused, updated, requests=received).id == ID
    assert [request.method for request in received] == ["PUT", "POST"]
    assert received[0].path == received[1].path
    assert received[0].json == received[1].json == {"question": "q", "answer": "a"}
    with pytest.raises(errors.MethodNotAllowedError):
        send(operation, refused, refused)


@pytest.mark.parametrize("name", ["speech.mp3", "speech.m4a", "speech.wav", "speech.amr"])
def test_audio_goes_under_the_types_that_servers_take(name: str) -> None:
    part = audio.to_text(b"sound", user="ann", name=name, mime_type=None).file
    assert part is not None
    if name.endswith("amr"):  # not every system knows it
        part = audio.to_text(b"sound", user="ann", name=name, mime_type="audio/amr").file
        assert part is not None
    assert (
        part.mime_type
        == {
            "mp3": "audio/mp3",
            "m4a": "audio/m4a",
            "wav": "audio/wav",
            "amr": "audio/amr",
        }[name.split(".")[1]]
    )


# Replies -------------------------------------------------------------------------------------


@pytest.mark.parametrize("reply", [[{"id": 1, "username": "ann"}], {"result": "success"}, {}])
def test_what_a_feedback_replies_does_not_matter(reply: Any) -> None:
    assert receive(feedback.create(ID, "like", user="ann"), reply) is None


@pytest.mark.parametrize("extra", [{"result": "success"}, {}])
def test_suggested_questions_with_and_without_a_result(extra: dict[str, str]) -> None:
    operation = chat.suggested_questions(ID, user="ann")
    assert receive(operation, {**extra, "data": ["And Jupiter?"]}).data == ["And Jupiter?"]


@pytest.mark.parametrize("reply", [Reply(204), json_reply({"result": "success"})])
@pytest.mark.parametrize(
    "operation", [conversations.delete(ID, user="ann"), annotations.delete(ID)]
)
def test_a_deletion_is_204_or_200(operation: Any, reply: Reply) -> None:
    assert send(operation, reply) is None


@pytest.mark.parametrize("status", [200, 201])
def test_a_creation_is_200_or_201(status: int) -> None:
    assert receive(annotations.create("q", "a"), {"id": ID}, status).id == ID
    assert receive(files.upload(b"x", user="ann"), {"id": ID}, status).id == ID


def test_the_form_of_2023_is_the_form_of_today() -> None:
    old = {
        "introduction": "Hello",
        "variables": [
            {"key": "planet", "name": "Planet", "type": "string", "description": "Which one"},
            {"key": "style", "name": "Style", "type": "select", "options": ["short", "long"]},
        ],
    }
    new = {
        "opening_statement": "Hello",
        "user_input_form": [
            {"text-input": {"variable": "planet", "label": "Planet", "description": "Which one"}},
            {"select": {"variable": "style", "label": "Style", "options": ["short", "long"]}},
        ],
    }
    for body in (old, new):
        parameters = receive(application.parameters(), body)
        assert parameters.opening_statement == "Hello"
        assert [
            (item.type, item.variable, item.label, item.description, item.options)
            for item in parameters.user_input_form
        ] == [
            ("text-input", "planet", "Planet", "Which one", []),
            ("select", "style", "Style", None, ["short", "long"]),
        ]


@pytest.mark.parametrize("feature", [None, {}, {"enabled": False}, []])
def test_a_feature_that_says_nothing_is_off(feature: Any) -> None:
    names = ["speech_to_text", "text_to_speech", "retriever_resource", "file_upload"]
    parameters = receive(application.parameters(), dict.fromkeys(names, feature))
    assert not any(getattr(parameters, name).enabled for name in names)


@pytest.mark.parametrize("limit", ["10", 10])
def test_the_limit_of_images_is_text_or_a_number(limit: str | int) -> None:
    body = {"system_parameters": {"image_file_size_limit": limit}}
    parameters = receive(application.parameters(), body)
    assert parameters.system_parameters.image_file_size_limit == 10


def test_system_parameters_may_be_missing() -> None:
    assert receive(application.parameters(), {}).system_parameters.file_size_limit is None


@pytest.mark.parametrize("latency", [0, 1.25, None])
def test_latency_may_be_zero_or_null(latency: float | None) -> None:
    body = {"data": [{"id": "m", "provider_response_latency": latency}]}
    (only,) = receive(messages.list_messages("c", user="ann"), body).data
    assert only.provider_response_latency == latency


@pytest.mark.parametrize(
    "created_at",
    [
        SECONDS,
        float(SECONDS),
        SECONDS * 1000,
        str(SECONDS),
        "2026-11-21T12:00:00",
        "2026-11-21T12:00:00+00:00",
        "2026-11-21T13:00:00+01:00",
        "Sat, 21 Nov 2026 12:00:00 GMT",
        "Sat, 21 Nov 2026 12:00:00 -0000",
    ],
)
def test_dates_of_all_kinds_are_aware(created_at: Any) -> None:
    run = receive(workflows.run_detail(ID), {"id": ID, "created_at": created_at})
    assert run.created_at == MOMENT
    assert run.created_at is not None
    assert run.created_at.tzinfo is not None


def test_inputs_and_outputs_of_a_run_are_objects_or_text() -> None:
    for body in (
        {"inputs": '{"planet": "Saturn"}', "outputs": '{"moons": 146}'},
        {"inputs": '{"planet": "Saturn"}', "outputs": {"moons": 146}},
    ):
        run = receive(workflows.run_detail(ID), body)
        assert (run.inputs, run.outputs) == ({"planet": "Saturn"}, {"moons": 146})
    run = receive(workflows.run_detail(ID), {"id": ID, "inputs": "not JSON", "outputs": "null"})
    assert (run.id, run.inputs, run.outputs) == (ID, None, None)


def test_an_unknown_run_is_nulls_or_404() -> None:
    assert receive(workflows.run_detail(ID), {"id": None, "status": None}).id is None
    with pytest.raises(errors.NotFoundError):
        receive(workflows.run_detail(ID), {"code": "not_found", "message": "no"}, 404)


@pytest.mark.parametrize(
    ("value_type", "value", "parsed"),
    [
        ("object", "{'k': 1, 'ok': True}", {"k": 1, "ok": True}),
        ("object", '{"k": 1}', {"k": 1}),
        ("array[string]", "['a', 'été']", ["a", "été"]),
        ("number", "2", 2),
        ("boolean", "True", True),
        ("string", "2", "2"),
        ("object", "{broken", "{broken"),
        ("object", None, None),
    ],
)
def test_a_variables_value_stays_text_and_is_parsed_beside(
    value_type: str, value: str | None, parsed: Any
) -> None:
    body = {"data": [{"id": ID, "value_type": value_type, "value": value}]}
    (variable,) = receive(conversations.variables(ID, user="ann"), body).data
    assert (variable.value, variable.parsed_value) == (value, parsed)


def test_files_of_a_message_have_four_keys_or_nine() -> None:
    few = {"id": "f", "type": "image", "url": "/f.png", "belongs_to": "user"}
    many = {**few, "filename": "f.png", "mime_type": "image/png", "size": 7, "url": None}
    body = {"data": [{"id": "m", "message_files": [few, many]}]}
    (only,) = receive(messages.list_messages("c", user="ann"), body).data
    assert [(f.url, f.filename, f.size) for f in only.message_files] == [
        ("/f.png", None, None),
        (None, "f.png", 7),
    ]


@pytest.mark.parametrize(
    "thought",
    [{"files": ["f"]}, {"message_files": ["f"]}, {"message_files": [{"id": "f"}]}],
)
def test_files_of_a_thought_go_by_two_names(thought: dict[str, Any]) -> None:
    body = {"data": [{"id": "m", "agent_thoughts": [{"id": "a", **thought}]}]}
    (only,) = receive(messages.list_messages("c", user="ann"), body).data
    assert [file.id for file in only.agent_thoughts[0].files] == ["f"]


@pytest.mark.parametrize("mode", ["chat", "advanced-chat", "agent", "of-tomorrow"])
def test_the_mode_is_any_text(mode: str) -> None:
    assert receive(application.info(), {"name": "Planets", "mode": mode}).mode == mode


@pytest.mark.parametrize("content_type", ["audio/mpeg", "audio/wav"])
def test_speech_is_whatever_the_server_sends(content_type: str) -> None:
    spoken = Reply(200, {"content-type": content_type}, [b"sou", b"nd"])
    assert send(audio.to_speech("Hello", user="ann"), spoken) == b"sound"


def test_speech_of_an_unknown_message_is_null_and_an_error() -> None:
    with pytest.raises(UnexpectedReplyError, match="no file"):
        receive(audio.to_speech(user="ann", message_id=ID), None)


def test_a_file_may_itself_be_json() -> None:
    assert receive(files.preview(ID, user="ann"), '{"a": null}') == b'{"a": null}'


# Errors --------------------------------------------------------------------------------------

HTML = "<!doctype html><html><title>{}</title></html>"


@pytest.mark.parametrize(
    ("status", "content_type", "body", "kind", "code", "message"),
    [
        (400, "application/json", '{"code": "app_unavailable", "message": "m", "status": 400}',
         errors.AppUnavailableError, "app_unavailable", "m"),
        (400, "application/json", '{"code": "invalid_param", "message": "m", "params": "user"}',
         errors.InvalidParamError, "invalid_param", "m"),
        (400, "application/json",
         '{"errors": {"user": "missing"}, "message": "Input payload validation failed"}',
         errors.BadRequestError, "bad_request",
         "Input payload validation failed (user: missing)"),
        (400, "application/json", '{"code": "invalid_param", "message": "1 error\\nuser"}',
         errors.InvalidParamError, "invalid_param", "1 error\nuser"),
        (500, "application/json", '{"message": "Internal Server Error", "code": "unknown"}',
         errors.InternalServerError, "unknown", "Internal Server Error"),
        (500, "application/json",
         '{"message": "Internal Server Error", "code": "unknown", "status": 500}',
         errors.InternalServerError, "unknown", "Internal Server Error"),
        (500, "application/json", '{"code": "internal_server_error", "message": "", "status": 500}',
         errors.InternalServerError, "internal_server_error", ""),
        (404, "text/html", HTML.format("404 Not Found"),
         errors.NotFoundError, "not_found", "an HTML page: 404 Not Found"),
        (413, "text/html", HTML.format("413 Too Large"),
         errors.PayloadTooLargeError, None, "an HTML page: 413 Too Large"),
        (502, "text/html", HTML.format("502 Bad Gateway"),
         errors.ServerError, "bad_gateway", "an HTML page: 502 Bad Gateway"),
        (524, "text/html", HTML.format("A timeout occurred"),
         errors.ServerError, "http_524", "an HTML page: A timeout occurred"),
        (429, "text/html", HTML.format("Rate limited"),
         errors.RateLimitError, "too_many_requests", "an HTML page: Rate limited"),
        (405, "application/json", '{"code": "method_not_allowed", "message": "m", "status": 405}',
         errors.MethodNotAllowedError, "method_not_allowed", "m"),
        (400, "application/json", '{"message": "m"}', errors.BadRequestError, "bad_request", "m"),
        (500, "text/plain", "Internal Server Error",
         errors.ServerError, "internal_server_error", "Internal Server Error"),
        (400, "application/json", "", errors.BadRequestError, "bad_request", ""),
    ],
)  # fmt: skip
def test_every_shape_of_an_error(
    status: int,
    content_type: str,
    body: str,
    kind: type[DifyError],
    code: str | None,
    message: str,
) -> None:
    reply = Reply(status, {"content-type": content_type}, [body.encode()])
    with pytest.raises(kind) as raised:
        send(application.info(), reply)
    assert raised.value.status == status
    assert raised.value.message == message
    if code is not None:
        assert raised.value.code == code


def test_a_file_that_is_too_large_is_refused_by_the_server_or_a_proxy() -> None:
    for body in ({"code": "file_too_large", "message": "File size exceeded."}, "<html></html>"):
        with pytest.raises(errors.PayloadTooLargeError):
            receive(files.upload(b"x", user="ann"), body, 413)


@pytest.mark.parametrize("status", [403, 404])
def test_an_app_that_is_gone_is_403_or_404(status: int) -> None:
    code = {403: "forbidden", 404: "not_found"}[status]
    with pytest.raises((errors.ForbiddenError, errors.NotFoundError)) as raised:
        receive(application.info(), {"code": code, "message": "gone", "status": status}, status)
    assert (raised.value.code, raised.value.retryable) == (code, False)


def test_conversations_that_are_gone_have_their_own_class_whatever_follows_the_message() -> None:
    message = "Conversation Not Exists. You have requested this URI [/v1/messages] but did you"
    body = {"code": "not_found", "message": message, "status": 404}
    with pytest.raises(errors.ConversationNotFoundError, match="start a new conversation"):
        receive(messages.list_messages("c", user="ann"), body, 404)


def test_too_many_requests_comes_as_400() -> None:
    body = {
        "code": "invalid_param",
        "message": "Too many requests. Please try again later. The current maximum ...",
        "status": 400,
    }
    with pytest.raises(errors.TooManyRequestsError) as raised:
        receive(chat.send_message("Hello", user="ann"), body, 400)
    assert raised.value.retryable
