"""What a release has, and what it does not have yet; events that only some answers bring."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from dify_api import DifyClient, chat
from dify_local import LocalDify
from tests.dify_local.conftest import MakeCaller
from tests.dify_local.support import Caller, Event, events_of, last, names, text


@pytest.fixture(scope="module")
def old_server() -> Iterator[LocalDify]:
    with LocalDify(version="1.2.0") as server:
        yield server


def data_of(events: list[Event], name: str) -> list[Any]:
    return [event["data"] for event in events if event["event"] == name]


def test_iterations_loops_and_retries(caller: MakeCaller) -> None:
    events = caller("workflow").stream("/graph iteration 3 loop 2 retry 2")
    assert [next_["index"] for next_ in data_of(events, "iteration_next")] == [0, 1, 2]
    assert [next_["index"] for next_ in data_of(events, "loop_next")] == [1]
    assert [retry["retry_index"] for retry in data_of(events, "node_retry")] == [1, 2]
    inner = [node for node in data_of(events, "node_started") if node["iteration_id"]]
    assert len(inner) == 3
    assert data_of(events, "iteration_completed")[0]["steps"] == 3
    assert data_of(events, "workflow_finished")[0]["status"] == "succeeded"


def test_an_agent_node_logs_its_rounds(caller: MakeCaller) -> None:
    events = caller("advanced-chat").stream("/graph agent 1")
    logs = data_of(events, "agent_log")
    assert [log["status"] for log in logs] == ["start", "start", "success", "success"]
    rounds, call = logs[:2]
    assert (rounds["parent_id"], call["parent_id"]) == (None, rounds["id"])
    started = next(n for n in data_of(events, "node_started") if n["node_type"] == "agent")
    assert started["agent_strategy"]["name"] == "function_calling"
    assert rounds["node_execution_id"] == started["id"]


def test_branches_were_announced_before_1_9(caller: MakeCaller, old_server: LocalDify) -> None:
    announced = "parallel_branch_started"
    new = caller("advanced-chat").stream("/graph branches 2")
    old = caller("advanced-chat", server=old_server).stream("/graph branches 2")
    assert not data_of(new, announced)
    ids = [branch["parallel_branch_id"] for branch in data_of(old, announced)]
    assert ids == ["branch_1", "branch_2"]
    assert len(data_of(old, "parallel_branch_finished")) == 2


@pytest.mark.parametrize("query", ["/graph", "/graph nothing", "/graph loop 0", "/graph 3"])
def test_a_graph_has_parts_that_exist(caller: MakeCaller, query: str) -> None:
    mine = caller("workflow")
    response = mine.client.post("/workflows/run", json=mine.body(query))
    refused = response.status_code == 400 and "/graph PART [N]" in response.json()["message"]
    assert refused or (query == "/graph" and response.status_code == 200)


def test_reasoning_is_apart_where_the_release_can(
    caller: MakeCaller, old_server: LocalDify
) -> None:
    events = caller("advanced-chat").stream("/reason One two.")
    thoughts = data_of(events, "reasoning_chunk")
    assert "".join(thought["reasoning"] for thought in thoughts) == "One two."
    assert [thought["is_final"] for thought in thoughts] == [False, False, True]
    assert text(events) == "I have thought about it."
    assert last(events, "message_end")["metadata"]["reasoning"] == {"llm": "One two."}
    inline = "<think>\nOne two.\n</think>\n\nI have thought about it."
    assert text(caller("advanced-chat", server=old_server).stream("/reason One two.")) == inline
    assert caller("chat").ask("/reason One two.")["answer"] == inline
    agent = caller("agent").stream("/reason One two.")
    thought = [event["thought"] for event in agent if event["event"] == "agent_thought"]
    assert thought == ["One ", "One two.", ""]


def test_moderation_of_the_question_answers_instead_of_the_model(caller: MakeCaller) -> None:
    chat = caller("chat").stream("/block No.")
    assert (names(chat), text(chat)) == (["message", "message_end"], "No.")
    assert chat[-1]["metadata"]["usage"]["total_tokens"] == 0
    chatflow = caller("advanced-chat").stream("/block No.")
    shortcut = ["ping", "message", "message_end", "workflow_started", "workflow_finished"]
    assert names(chatflow) == shortcut
    assert chatflow[-1]["data"]["error"] == "Workflow stream ended without a terminal event"
    with LocalDify(version="1.12.1") as server, Caller(server, "advanced-chat") as mine:
        assert names(mine.stream("/block No.")) == ["message", "message_end"]


@pytest.mark.parametrize("version", ["1.14.2", "1.16.0"])
def test_a_form_expires_and_the_run_goes_on(version: str) -> None:
    with LocalDify(version=version) as server, Caller(server, "workflow") as mine:
        paused = mine.stream("/timeout 1 Draft.")
        required = last(paused, "human_input_required")
        path = f"/workflow/{required['workflow_run_id']}/events"
        query = {"user": "ada", "include_state_snapshot": "true", "continue_on_pause": "true"}
        events = events_of(mine.client.get(path, params=query).content)
        form = mine.client.get(f"/form/human_input/{required['data']['form_token']}")
    assert len(data_of(events, "human_input_form_timeout")) == (version == "1.14.2")
    finished = data_of(events, "workflow_finished")[0]
    assert finished["outputs"]["text"] == "Draft.\nNobody has answered in time."
    assert (form.status_code, form.json()["code"]) == (412, "human_input_form_expired")


@pytest.mark.parametrize(
    ("stop", "comment", "status"), [(True, "fine", "stopped"), (False, "/fail now", "failed")]
)
def test_how_a_run_can_end_after_its_form(
    caller: MakeCaller, stop: bool, comment: str, status: str
) -> None:
    mine = caller("workflow")
    required = last(mine.stream("/pause"), "human_input_required")
    if stop:
        mine.client.post(f"/workflows/tasks/{required['task_id']}/stop", json={"user": "ada"})
    body = {"user": "ada", "inputs": {"comment": comment}, "action": "approve"}
    form = f"/form/human_input/{required['data']['form_token']}"
    assert mine.client.post(form, json=body).status_code == 200
    path = f"/workflow/{required['workflow_run_id']}/events"
    events = events_of(mine.client.get(path, params={"user": "ada"}).content)
    assert events[-1]["data"]["status"] == status


def test_annotations_answer_for_chatflows_and_agents(caller: MakeCaller) -> None:
    settings = {
        "score_threshold": 0.9,
        "embedding_provider_name": "p",
        "embedding_model_name": "m",
    }
    for app in ("advanced-chat", "agent-chat"):
        mine = caller(app)
        mine.client.post("/apps/annotations", json={"question": "Who?", "answer": "Me."})
        mine.client.post("/apps/annotation-reply/enable", json=settings)
        events = mine.stream("Who?")
        assert text(events) == "Me."
        assert "node_started" not in names(events)
        listed = mine.client.get(
            "/messages", params={"user": "ada", "conversation_id": events[1]["conversation_id"]}
        )
        assert listed.json()["data"][0]["answer"] == "Me."
        mine.client.post("/apps/annotation-reply/disable", json=settings)


def test_what_a_release_does_not_have_is_an_unknown_address(old_server: LocalDify) -> None:
    with Caller(old_server, "chat") as mine:
        for path in ("/site", "/app/feedbacks", "/end-users/x", "/form/human_input/x"):
            response = mine.client.get(path)
            assert response.status_code == 404
            assert response.headers["content-type"].startswith("text/html")
        assert mine.client.get("/apps/annotations").status_code == 200
        assert "mode" not in mine.client.get("/info").json()
        refused = mine.client.post("/chat-messages", json={"user": "ada", "query": "x"})
        assert refused.json() == {
            "code": "invalid_param",
            "message": "Missing required parameter in the JSON body",
            "params": "inputs",
        }
        body = mine.body("/echo été", response_mode="streaming")
        stream = mine.client.post("/chat-messages", json=body).content
        assert b'"answer": "\\u00e9t\\u00e9"' in stream


def test_a_failing_agent_has_not_thought(caller: MakeCaller) -> None:
    for app in ("agent-chat", "agent"):
        assert names(caller(app).stream("/fail now")) == ["error"]


def test_events_of_a_run_are_not_cached(caller: MakeCaller) -> None:
    mine = caller("workflow")
    run_id = last(mine.stream("/echo x"), "workflow_finished")["workflow_run_id"]
    finished = mine.client.get(f"/workflow/{run_id}/events", params={"user": "ada"})
    assert finished.headers["cache-control"] == "no-cache"


@pytest.mark.parametrize(("version", "told"), [("1.16.1", "audio/mpeg"), ("1.17.0", "audio/wav")])
def test_the_type_of_speech(version: str, told: str) -> None:
    with LocalDify(version=version) as server:
        reply = httpx.post(
            f"{server.base_url}/text-to-audio",
            headers={"authorization": f"Bearer {server.keys['chat']}"},
            json={"text": "Saturn", "user": "ann"},
        )
    assert reply.headers["content-type"] == told


@pytest.mark.parametrize(("version", "forms"), [("1.16.1", 0), ("1.17.0", 1)])
def test_a_new_agent_ends_its_turn_with_a_form(version: str, forms: int) -> None:
    with LocalDify(version=version) as server:
        client = DifyClient(server.keys["agent"], base_url=server.base_url)
        answer = client.send(chat.send_message("/pause May I?", user="ann"))
    assert answer.text.strip() == "May I?"
    assert len(answer.forms) == forms
    assert answer.finish_reason == "stop"
    assert answer.usage is not None
