"""Every shape is compared with what real servers have sent: the same keys, the same types."""

from __future__ import annotations

import json
from typing import Any

import pytest

from dify_local import LocalDify
from tests.dify_local.conftest import MakeCaller
from tests.dify_local.support import Caller, Event, cassette, events_of

# Their keys belong to the app, not to the protocol.
_FREE = {
    "inputs",
    "outputs",
    "process_data",
    "resolved_default_values",
    "tool_icons",
    "tool_labels",
    "user_input_form",
}


def differences(ours: Any, theirs: Any, path: str = "") -> list[str]:
    """Where two values differ in keys or types; null fits anything, ints fit floats."""
    if ours is None or theirs is None:
        return []
    if isinstance(ours, dict) and isinstance(theirs, dict):
        if path.rpartition(".")[2] in _FREE:
            return []
        missing = [f"{path}.{key} is missing" for key in theirs.keys() - ours.keys()]
        extra = [f"{path}.{key} is not Dify's" for key in ours.keys() - theirs.keys()]
        common = ours.keys() & theirs.keys()
        return [
            *missing,
            *extra,
            *(d for key in common for d in differences(ours[key], theirs[key], f"{path}.{key}")),
        ]
    if isinstance(ours, list) and isinstance(theirs, list):
        return differences(ours[0], theirs[0], f"{path}[0]") if ours and theirs else []
    if {type(ours), type(theirs)} <= {int, float}:
        return []
    return [] if type(ours) is type(theirs) else [f"{path}: {ours!r} against {theirs!r}"]


def by_kind(events: list[Event]) -> dict[str, Event]:
    """The last event of each name, and of each type of node."""
    return {_kind(event): event for event in events}


def _kind(event: Event) -> str:
    return f"{event['event']} {event.get('data', {}).get('node_type', '')}".strip()


STREAMS = [
    ("1.16.0", "chat", "chat_streaming", "Which planet has the most moons?"),
    ("1.16.0", "chat", "chat_midfail_rate_streaming", "/fail rate"),
    ("1.16.0", "completion", "completion_ping_streaming", "Which planet has the most moons?"),
    ("1.16.0", "agent-chat", "agent_kb_streaming", "Which planet has the most moons?"),
    ("1.16.0", "agent-chat", "agent_audio_file_streaming", "/files"),
    ("1.16.0", "agent", "newagent_tool_streaming", "Which planet has the most moons?"),
    ("1.16.0", "advanced-chat", "chatflow_conv", "Which planet has the most moons?"),
    ("1.16.0", "advanced-chat", "chatflow_fail_streaming", "/fail now"),
    ("1.16.0", "advanced-chat", "chatflow_file_answer", "/files"),
    ("1.16.0", "advanced-chat", "hitlfix_chatflow_pause_streaming", "/pause"),
    ("1.16.0", "workflow", "workflow_streaming", "Which planet has the most moons?"),
    ("1.16.0", "workflow", "workflow_fail_streaming", "/fail now"),
    ("1.16.0", "workflow", "hitlfix_workflow_pause_streaming", "/pause"),
    ("1.14.2", "chat", "chat_emoji_streaming", "Which planet has the most moons?"),
    ("1.14.2", "advanced-chat", "chatflow_fail_streaming", "/fail now"),
    ("1.12.1", "chat", "chat_long_streaming", "Which planet has the most moons?"),
    ("1.12.1", "chat", "chat_fail_rate_streaming", "/fail rate"),
    ("1.12.1", "agent-chat", "agent_streaming_tool", "Which planet has the most moons?"),
    ("1.12.1", "advanced-chat", "chatflow_streaming", "Which planet has the most moons?"),
    ("1.12.1", "workflow", "workflow_streaming", "Which planet has the most moons?"),
]


@pytest.fixture(scope="module")
def servers() -> Any:
    running: dict[str, LocalDify] = {}
    for version in {stream[0] for stream in STREAMS}:
        running[version] = LocalDify(version=version).start()
    yield running
    for server in running.values():
        server.stop()


@pytest.mark.parametrize(("version", "app", "recording", "query"), STREAMS)
def test_stream_events(
    servers: dict[str, LocalDify], version: str, app: str, recording: str, query: str
) -> None:
    with Caller(servers[version], app) as caller:
        ours = by_kind(caller.stream(query))
    theirs = by_kind(events_of(cassette(f"dify-{version}/{recording}")[1]))
    compared = ours.keys() & theirs.keys()
    assert {_kind_of_end(theirs)} <= compared
    assert len(compared) >= min(2, len(theirs))
    found = {kind: differences(ours[kind], theirs[kind]) for kind in compared}
    assert {kind: list_ for kind, list_ in found.items() if list_} == {}


def _kind_of_end(theirs: dict[str, Event]) -> str:
    return list(theirs)[-1]


def test_the_comparison_sees_differences() -> None:
    ours = {"a": 1, "b": {"c": "x"}, "e": [{"f": 1}]}
    theirs = {"a": "1", "b": {"d": "x"}, "e": [{"f": "1"}]}
    assert len(differences(ours, theirs)) == 4


@pytest.mark.parametrize(
    ("app", "recording", "query"),
    [
        ("chat", "chat_blocking", "Which planet has the most moons?"),
        ("advanced-chat", "chatflow_blocking", "Which planet has the most moons?"),
        ("workflow", "workflow_blocking2", "Which planet has the most moons?"),
        ("workflow", "workflow_midfail_blocking", "/fail mid"),
        ("workflow", "hitlfix_workflow_pause_blocking", "/pause"),
    ],
)
def test_blocking_answers(
    servers: dict[str, LocalDify], app: str, recording: str, query: str
) -> None:
    with Caller(servers["1.16.0"], app) as caller:
        ours = caller.ask(query)
    assert differences(ours, json.loads(cassette(f"dify-1.16.0/{recording}")[1])) == []


@pytest.mark.parametrize(
    ("app", "path", "recording"),
    [
        ("chat", "/parameters", "parameters_chat"),
        ("completion", "/parameters", "parameters_completion"),
        ("greeter", "/parameters", "parameters_chat_inputs"),
        ("chat", "/info", "info_chat"),
        ("agent-chat", "/meta", "meta_agent"),
        ("chat", "/site", "site_agent"),
        ("chat", "/apps/annotations", "annotation_list"),
        ("workflow", "/workflows/logs", "workflow_logs_filter"),
        ("chat", "/conversations?user=ada", "conversations_list"),
        ("chat", "/messages?user=ada&conversation_id=CONVERSATION", "messages_list"),
        (
            "advanced-chat",
            "/messages?user=ada&conversation_id=CONVERSATION",
            "messages_list_chatflow",
        ),
        ("agent-chat", "/messages?user=ada&conversation_id=CONVERSATION", "agent_messages_list"),
        (
            "advanced-chat",
            "/conversations/CONVERSATION/variables?user=ada",
            "conversation_variables",
        ),
    ],
)
def test_documents(
    server: LocalDify, caller: MakeCaller, app: str, path: str, recording: str
) -> None:
    mine = caller(app)
    if app != "greeter":
        first = mine.stream("Which planet has the most moons?")[-1]
        path = path.replace("CONVERSATION", first.get("conversation_id") or "")
    if "annotations" in path:
        mine.client.post("/apps/annotations", json={"question": "q", "answer": "a"})
    response = mine.client.get(path)
    status, body = cassette(f"dify-1.16.0/{recording}")
    assert response.status_code == status
    assert differences(response.json(), json.loads(body)) == []


def test_controls_of_the_input_form(caller: MakeCaller) -> None:
    _, body = cassette("dify-1.16.0/parameters_workflow")
    theirs = {next(iter(control)): control for control in json.loads(body)["user_input_form"]}
    ours = caller("workflow").client.get("/parameters").json()["user_input_form"]
    kinds = [next(iter(control)) for control in ours]
    assert kinds == [
        "paragraph",
        "select",
        "number",
        "text-input",
        "checkbox",
        "json_object",
        "file",
        "file-list",
    ]
    for control in ours:
        kind = next(iter(control))
        if kind in theirs:
            assert differences(control[kind], theirs[kind][kind]) == []


def test_retrieval(server: LocalDify) -> None:
    with Caller(server, "chat") as caller:
        caller.client.headers["Authorization"] = f"Bearer {server.dataset_key}"
        path = f"/datasets/{server.dataset_id}/retrieve"
        ours = caller.client.post(path, json={"query": "moons"}).json()
        listed = caller.client.get("/datasets").json()
    assert differences(ours, json.loads(cassette("dify-1.16.0/s_retrieve")[1])) == []
    assert differences(listed, json.loads(cassette("dify-1.16.0/dataset_list")[1])) == []


@pytest.mark.parametrize(
    ("recording", "app", "method", "path", "body"),
    [
        ("missing_user_chat", "chat", "POST", "/chat-messages", {"inputs": {}, "query": "x"}),
        ("missing_inputs_chat", "chat", "POST", "/chat-messages", {"query": "x", "user": "ada"}),
        ("int_query_chat", "chat", "POST", "/chat-messages", {"inputs": {}, "query": 5}),
        ("empty_query_chat", "chat", "POST", "/chat-messages", {"inputs": {}, "query": ""}),
        ("json_array", "chat", "POST", "/chat-messages", []),
        ("wrongapp_completion_on_chat", "chat", "POST", "/completion-messages", {"inputs": {}}),
        ("wrongapp_workflow_on_chat", "chat", "POST", "/workflows/run", {"inputs": {}}),
        ("wrongapp_messages", "workflow", "GET", "/messages?user=ada&conversation_id=", None),
        ("agent_blocking", "agent-chat", "POST", "/chat-messages", {"inputs": {}, "query": "x"}),
        (
            "missing_required_input",
            "greeter",
            "POST",
            "/chat-messages",
            {"inputs": {}, "query": "x"},
        ),
        (
            "number_for_string",
            "greeter",
            "POST",
            "/chat-messages",
            {"inputs": {"name": 5, "tone": "warm"}, "query": "x"},
        ),
        (
            "too_long_input",
            "greeter",
            "POST",
            "/chat-messages",
            {"inputs": {"name": "B" * 30, "tone": "warm"}, "query": "x"},
        ),
        (
            "workflow_bad_select",
            "workflow",
            "POST",
            "/workflows/run",
            {"inputs": {"text": "x", "style": "zzz"}},
        ),
        ("unknown_route", "chat", "GET", "/nope", None),
        ("trailing_slash", "chat", "GET", "/parameters/", None),
        (
            "workflow_run_detail_unknown",
            "workflow",
            "GET",
            "/workflows/run/00000000-0000-0000-0000-000000000001",
            None,
        ),
        ("workflow_run_detail_nonuuid", "workflow", "GET", "/workflows/run/abc", None),
        ("conversation_delete_again", "chat", "DELETE", "/conversations/UNKNOWN", {}),
        ("feedback_otheruser", "chat", "POST", "/messages/UNKNOWN/feedbacks", {"rating": "like"}),
        ("feedback_nonuuid_message", "chat", "POST", "/messages/abc/feedbacks", {"rating": "like"}),
        ("hitl_events_nouser", "workflow", "GET", "/workflow/UNKNOWN/events", None),
        ("s_end_user_unknown", "chat", "GET", "/end-users/UNKNOWN", None),
        ("file_preview_unknown", "chat", "GET", "/files/UNKNOWN/preview?user=ada", None),
        ("tts_nothing", "chat", "POST", "/text-to-audio", {}),
        ("tts_disabled", "workflow", "POST", "/text-to-audio", {"text": "x"}),
        ("annotation_reply_bad_action", "chat", "POST", "/apps/annotation-reply/foo", "reply"),
        ("conversation_rename_missing", "chat", "POST", "/conversations/CONVERSATION/name", {}),
        (
            "workflow_by_id_nonuuid",
            "workflow",
            "POST",
            "/workflows/abc/run",
            {"inputs": {"text": "x"}},
        ),
    ],
)
def test_refusals(
    caller: MakeCaller, recording: str, app: str, method: str, path: str, body: Any
) -> None:
    mine = caller(app)
    path = path.replace("UNKNOWN", "00000000-0000-0000-0000-000000000001")
    if "CONVERSATION" in path:
        path = path.replace("CONVERSATION", mine.ask("hello")["conversation_id"])
    if body == "reply":
        names = ("score_threshold", "embedding_provider_name", "embedding_model_name")
        body = dict(zip(names, (0.9, "p", "m"), strict=True))
    if isinstance(body, dict) and recording != "missing_user_chat":
        body["user"] = "ada"
    response = mine.client.request(method, path, **({} if body is None else {"json": body}))
    status, recorded = cassette(f"dify-1.16.0/{recording}")
    assert response.status_code == status
    try:
        theirs = json.loads(recorded)
    except ValueError:
        assert response.content.strip() == recorded.strip()
        return
    ours = response.json()
    assert ours.keys() == theirs.keys()
    assert (ours["code"], ours.get("status")) == (theirs["code"], theirs.get("status"))
    # The variable of our form has another name, and pydantic another version.
    assert _plain(ours["message"]) == _plain(theirs["message"])


def _plain(message: str) -> str:
    return message.partition(" [type=")[0].partition(" You have requested")[0]


@pytest.mark.parametrize(
    ("recording", "authorization"),
    [
        ("auth_wrong_key", "Bearer app-wrong"),
        ("auth_not_bearer", "Basic xyz"),
        ("auth_empty_bearer", "Bearer"),
        ("auth_dataset_key_on_app", "Bearer dataset-local"),
    ],
)
def test_wrong_keys(caller: MakeCaller, recording: str, authorization: str) -> None:
    client = caller("chat").client
    response = client.get("/info", headers={"Authorization": authorization})
    status, theirs = cassette(f"dify-1.16.0/{recording}")
    assert (response.status_code, response.json()) == (status, json.loads(theirs))
    assert response.headers["www-authenticate"] == 'Bearer realm="api"'


def test_headers_of_every_answer(caller: MakeCaller) -> None:
    client = caller("chat").client
    for path in ("/info", "/nope"):
        headers = client.get(path).headers
        assert headers["x-version"] == "1.16.0"
        assert headers["x-env"] == "PRODUCTION"
        assert "X-Version" in headers["access-control-expose-headers"]


def test_streams_are_raw_utf8_and_documents_are_ascii(caller: MakeCaller) -> None:
    mine = caller("chat")
    query = "/echo été\u2028世界"
    body = mine.body(query, response_mode="streaming")
    streamed = mine.client.post("/chat-messages", json=body).content
    assert "été\u2028".encode() in streamed
    assert "世界".encode() in streamed
    blocking = mine.client.post("/chat-messages", json=mine.body(query))
    assert b"\\u00e9t\\u00e9\\u2028\\u4e16\\u754c" in blocking.content
    assert blocking.headers["content-type"] == "application/json; charset=utf-8"
