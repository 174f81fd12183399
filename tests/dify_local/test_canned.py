"""Answers that a test tells the server to give, and what it can ask it afterwards."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

import httpx
import pytest

from dify_local import App, LocalDify, Node
from tests.dify_local.conftest import MakeCaller
from tests.dify_local.support import PING, Caller, last, names, text

REPORT = App("report", "workflow", nodes=[Node("llm", "llm")], outputs={"text": "{{#llm.text#}}"})


@pytest.fixture(scope="module")
def shared_server() -> Iterator[LocalDify]:
    with LocalDify(apps=[REPORT], ping_interval=0.05) as server:
        yield server


@pytest.mark.parametrize(
    ("question", "asked", "answered"),
    [
        ("What is 2+2?", "What is 2+2?", True),
        ("What is 2+2?", "What is 22?", False),
        (r"Where is (order )?\d+\?", "Where is order 12?", True),
        (r"order \d+", "Where is order 12?", False),
        (re.compile(r"order \d+"), "Where is order 12?", True),
        ("(", "(", True),
        (None, "Anything at all", True),
    ],
)
@pytest.mark.parametrize("mode", ["chat", "completion", "agent-chat", "agent"])
def test_a_question_and_its_answer(
    server: LocalDify,
    caller: MakeCaller,
    question: str | re.Pattern[str] | None,
    asked: str,
    answered: bool,
    mode: str,
) -> None:
    canned = server.answer(question, "Here it is.")
    events = caller(mode).stream(asked)
    name = "agent_message" if mode.startswith("agent") else "message"
    assert (text(events, name) == "Here it is.") is answered
    assert canned.given == answered


def test_answers_in_order_and_always(server: LocalDify, caller: MakeCaller) -> None:
    server.answer("Next?", ["one", "two"])
    server.answer("Next?", "the rest")
    chat = caller("chat")
    said = [chat.ask("Next?")["answer"] for _ in range(4)]
    assert said == ["one", "two", "the rest", "the rest"]
    server.answer("Twice?", "again", times=2)
    said = [chat.ask("Twice?")["answer"] for _ in range(3)]
    assert said[:2] == ["again", "again"]
    assert said[2] != "again"


def test_only_one_app_or_only_some_inputs(server: LocalDify, caller: MakeCaller) -> None:
    server.answer(text="only here", app="completion", inputs={"style": "casual"})
    assert caller("chat").ask("Hm?")["answer"] != "only here"
    assert caller("completion").ask("Hm?")["answer"] != "only here"
    casual = caller("completion").ask("Hm?", inputs={"style": "casual"})
    assert casual["answer"] == "only here"


def test_the_outputs_of_a_workflow(server: LocalDify, caller: MakeCaller) -> None:
    server.answer("planets", "All is well.", outputs={"count": 8}, app="workflow")
    server.answer(outputs={"text": "told"}, app="report")
    data = caller("workflow").ask("planets")["data"]
    assert data["outputs"] == {"count": 8}
    events = caller("workflow").stream("planets")
    assert text(events, "text_chunk") == "All is well."
    assert last(events, "workflow_finished")["data"]["outputs"] == {"count": 8}
    report = caller("report").client.post("/workflows/run", json={"inputs": {}, "user": "a"})
    assert report.json()["data"]["outputs"] == {"text": "told"}


def test_a_chatflow_and_a_workflow_with_the_text_alone(
    server: LocalDify, caller: MakeCaller
) -> None:
    server.answer("Hm?", "Told.")
    assert caller("advanced-chat").ask("Hm?")["answer"] == "Told."
    assert caller("workflow").ask("Hm?")["data"]["outputs"]["text"] == "Told."


@pytest.mark.parametrize("mode", ["chat", "advanced-chat"])
def test_a_model_that_fails_after_some_text(
    server: LocalDify, caller: MakeCaller, mode: str
) -> None:
    server.answer("Hm?", "Half an", error="No credit", code="provider_quota_exceeded", status=402)
    events = caller(mode).stream("Hm?")
    assert text(events) == "Half an"
    if mode == "chat":
        error = last(events, "error")
        assert (error["code"], error["status"], error["message"]) == (
            "provider_quota_exceeded",
            402,
            "No credit",
        )
    else:
        assert last(events, "workflow_finished")["data"]["error"] == "No credit"


@pytest.mark.parametrize("mode", ["chat", "advanced-chat"])
def test_what_is_cited(server: LocalDify, caller: MakeCaller, mode: str) -> None:
    server.answer("Hm?", "Five days.", sources={"refunds.md": "Refunds take five days."})
    asked = caller(mode).ask("Hm?", response_mode="blocking")
    (resource,) = asked["metadata"]["retriever_resources"]
    assert (resource["document_name"], resource["content"]) == (
        "refunds.md",
        "Refunds take five days.",
    )


def test_pieces_and_a_delay(server: LocalDify, caller: MakeCaller) -> None:
    chat = caller("chat")
    server.answer("list", "abc", tokens=["a", "bc"])
    server.answer("number", "abcdefg", tokens=3)
    server.answer("slow", "late", delay=0.12)
    pieces = [e["answer"] for e in chat.stream("list") if e["event"] == "message"]
    assert pieces == ["a", "bc"]
    pieces = [e["answer"] for e in chat.stream("number") if e["event"] == "message"]
    assert pieces == ["abc", "def", "g"]
    began = time.monotonic()
    assert chat.stream("slow")[0] == PING
    assert time.monotonic() - began >= 0.12


@pytest.mark.parametrize("mode", ["chat", "advanced-chat", "workflow"])
def test_the_stream_itself(server: LocalDify, caller: MakeCaller, mode: str) -> None:
    server.answer("Hm?", events=[PING, {"event": "message", "answer": "x"}, {"event": "odd"}])
    events = caller(mode).stream("Hm?")
    assert [event["event"] for event in events] == ["ping", "message", "odd"]
    ids = {"workflow": "workflow_run_id"}.get(mode, "conversation_id")
    assert events[1]["task_id"]
    assert events[1][ids] == events[2][ids]
    refused = caller(mode).client.post(caller(mode).path, json=caller(mode).body("Hm?"))
    assert refused.status_code == 400
    assert "streaming" in refused.json()["message"]


def test_a_stream_of_ones_own_can_be_left(server: LocalDify, caller: MakeCaller) -> None:
    server.answer("Hm?", events=[{"event": "message", "answer": "x"}], delay=30)
    chat = caller("chat")
    body = chat.body("Hm?", response_mode="streaming")
    with chat.client.stream("POST", "/chat-messages", json=body) as response:
        assert next(response.iter_raw()) == b"event: ping\n\n"
    assert server.wait_for_disconnect()


def test_nothing_to_answer(server: LocalDify) -> None:
    with pytest.raises(ValueError, match="Nothing to answer"):
        server.answer("Hm?")
    with pytest.raises(ValueError, match="No app 'rocket'; there are chat, "):
        server.answer("Hm?", "x", app="rocket")


def test_requests_with_their_bodies_and_statuses(server: LocalDify, caller: MakeCaller) -> None:
    chat = caller("chat")
    content = b"\x00\xff\r\n--x\r\n\n\r"
    chat.client.post(
        "/files/upload", files={"file": ("a b.png", content, "image/png")}, data={"user": "ada"}
    )
    chat.client.post("/chat-messages", json={"inputs": {}, "user": "ada"})
    chat.client.post("/files/upload", content=b"x", headers={"content-type": "multipart/form-data"})
    upload, refused, broken = server.requests
    (file,) = upload.files
    assert (file.name, file.filename, file.content_type) == ("file", "a b.png", "image/png")
    assert file.content == content
    assert upload.form == {"user": "ada"}
    assert [upload.status, refused.status] == [201, 400]
    assert upload.seconds is not None
    assert refused.form is None
    assert (broken.form, broken.files) == (None, [])


def test_clear_forgets_everything(server: LocalDify, caller: MakeCaller) -> None:
    server.answer("Hm?", "Told.")
    server.fault("status", status=500)
    chat = caller("chat")
    server.clear()
    conversation_id = chat.ask("Hm?")["conversation_id"]
    assert chat.client.get("/conversations?user=ada").json()["data"]
    paused = caller("workflow").stream("/pause")
    token = last(paused, "human_input_required")["data"]["form_token"]
    server.clear()
    assert server.requests == []
    assert chat.client.get("/conversations?user=ada").json()["data"] == []
    query = {"user": "ada", "conversation_id": conversation_id}
    assert chat.client.get("/messages", params=query).status_code == 404
    assert caller("workflow").client.get(f"/form/human_input/{token}").status_code == 404
    assert chat.ask("Hm?")["answer"] != "Told."


def test_clear_forgets_what_was_written_into_knowledge_bases(server: LocalDify) -> None:
    headers = {"Authorization": f"Bearer {server.dataset_key}"}
    with httpx.Client(base_url=server.base_url, headers=headers) as client:
        before = client.get("/datasets?limit=100").json()["total"]
        for _ in range(2):
            made = client.post("/datasets", json={"name": "Mine", "permission": "only_me"})
            assert made.status_code == 200, made.text
            text = {"name": "a.txt", "text": "The wombat eats.", "indexing_technique": "economy"}
            path = f"/datasets/{server.dataset_id}/document/create-by-text"
            assert client.post(path, json=text).status_code == 200
            server.clear()
        assert client.get("/datasets?limit=100").json()["total"] == before
        documents = client.get(f"/datasets/{server.dataset_id}/documents?keyword=a.txt").json()
        assert documents["data"] == []


def test_ids_and_times_that_are_the_same_in_every_run() -> None:
    streams = []
    for seed in (7, 7, 8):
        with LocalDify(seed=seed) as server, Caller(server, "advanced-chat") as chatflow:
            streams.append(chatflow.stream("/pause A draft."))
            again = chatflow.stream("/pause A draft.")
            assert again != streams[-1]
            server.clear()
            assert chatflow.stream("/pause A draft.") == streams[-1]
    assert streams[0] == streams[1]
    assert streams[0] != streams[2]
    assert names(streams[0])[-1] == "workflow_paused"
    assert last(streams[0], "message")["created_at"] == 1767225600
