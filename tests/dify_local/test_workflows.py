from __future__ import annotations

import json
import time
from collections.abc import Callable

import pytest

from dify_local import LocalDify
from tests.dify_local.conftest import MakeCaller
from tests.dify_local.support import PING, Caller, events_of, last, names, text

NODES = ["node_started", "node_finished"]


def test_a_workflow_from_inputs_to_outputs(caller: MakeCaller) -> None:
    inputs = {"count": "1", "style": "formal", "title": "Moons", "shout": "yes", "settings": {}}
    events = caller("workflow").stream("Which planet has the most moons?", inputs=inputs)
    assert events[0] is PING
    assert names(events[1:]) == [
        "workflow_started",
        *NODES * 2,
        "node_started",
        "text_chunk",
        *NODES[::-1],
        "node_finished",
        "workflow_finished",
    ]
    finished = events[-1]["data"]
    outputs = finished["outputs"]
    assert outputs["text"] == text(events, "text_chunk")
    assert outputs["text"].startswith("MOONS\n\nACCORDING TO")
    assert (outputs["count"], outputs["style"]) == (1, "formal")
    assert outputs["sources"][0] == "saturn.md"
    assert (finished["status"], finished["total_steps"]) == ("succeeded", 4)
    types = [e["data"]["node_type"] for e in events if e["event"] == "node_finished"]
    assert types == ["start", "knowledge-retrieval", "llm", "end"]


def test_a_chatflow_ends_in_the_order_of_its_release(caller: MakeCaller) -> None:
    new = names(caller("advanced-chat").stream("hello"))
    assert new[0] == "ping"
    assert new[-2:] == ["message_end", "workflow_finished"]
    with LocalDify(version="1.12.1") as server, Caller(server, "advanced-chat") as mine:
        old = names(mine.stream("hello"))
        failed = names(mine.stream("/fail mid"))
    assert old[0] == "workflow_started"
    assert old[-2:] == ["workflow_finished", "message_end"]
    assert failed[-2:] == ["workflow_finished", "error"]


def test_failures(caller: MakeCaller) -> None:
    run = caller("workflow").ask("/fail mid")
    assert run["data"]["status"] == "failed"
    assert "Server Unavailable" in run["data"]["error"]
    flow = caller("advanced-chat")
    refused = flow.client.post(flow.path, json=flow.body("/fail mid"))
    assert refused.status_code == 400
    assert refused.json()["message"].startswith("Run failed: ")
    events = flow.stream("/fail mid")
    assert events[-1]["data"]["status"] == "failed"
    assert "message_end" not in names(events)


def test_inputs_are_checked_in_the_stream_from_1_13_on(caller: MakeCaller) -> None:
    body = {"inputs": {}, "user": "ada", "response_mode": "streaming"}
    events = events_of(caller("workflow").client.post("/workflows/run", json=body).content)
    assert names(events) == ["ping", "workflow_started", "workflow_finished"]
    assert events[-1]["data"]["error"] == "text is required in input form"
    with LocalDify(version="1.14.2") as server, Caller(server, "workflow") as mine:
        assert events_of(mine.client.post("/workflows/run", json=body).content) == [PING]
    with LocalDify(version="1.12.1") as server, Caller(server, "workflow") as mine:
        assert mine.client.post("/workflows/run", json=body).status_code == 400


def test_a_run_is_found_afterwards(caller: MakeCaller) -> None:
    mine = caller("workflow", "erin")
    run = mine.ask("Which planet is the smallest?")
    path = f"/workflows/run/{run['workflow_run_id']}"
    detail = mine.client.get(path).json()
    assert detail["outputs"]["text"] == run["data"]["outputs"]["text"]
    assert json.loads(detail["inputs"])["text"] == "Which planet is the smallest?"
    assert caller("advanced-chat").client.get(path).status_code == 404
    mine.ask("/fail now")
    logs = mine.client.get("/workflows/logs", params={"status": "failed", "limit": 1}).json()
    assert logs["data"][0]["workflow_run"]["status"] == "failed"
    params = {"created_by_end_user_session_id": "erin", "keyword": "smallest"}
    found = mine.client.get("/workflows/logs", params=params).json()
    assert [entry["workflow_run"]["id"] for entry in found["data"]] == [run["workflow_run_id"]]
    user_id = found["data"][0]["created_by_end_user"]["id"]
    assert mine.client.get(f"/end-users/{user_id}").json()["session_id"] == "erin"


def test_a_version_can_be_pinned(caller: MakeCaller) -> None:
    mine = caller("workflow")
    workflow_id = mine.ask("hello")["data"]["workflow_id"]
    body = mine.body("hello")
    pinned = mine.client.post(f"/workflows/{workflow_id}/run", json=body)
    assert pinned.json()["data"]["workflow_id"] == workflow_id
    unknown = mine.client.post(f"/workflows/{pinned.json()['task_id']}/run", json=body)
    assert unknown.status_code == 404
    flow = caller("advanced-chat")
    refused = flow.client.post(flow.path, json=flow.body("x", workflow_id=workflow_id))
    assert refused.status_code == 404


def test_files_of_a_workflow(caller: MakeCaller) -> None:
    mine = caller("workflow")
    remote = {"type": "document", "transfer_method": "remote_url", "url": "http://x.test/a.pdf"}
    outputs = mine.ask("/files", inputs={"document": remote, "attachments": [remote]})["data"][
        "outputs"
    ]
    assert outputs["document"]["filename"] == "a.pdf"
    assert outputs["document"]["dify_model_identity"] == "__dify__file__"
    made = outputs["files"][0]
    assert made["filename"] == "answer.txt"
    assert mine.client.get(made["url"]).status_code == 200


def pause(mine: Caller) -> tuple[str, str]:
    """Pause a run; return its id and the token of its form."""
    events = mine.stream("/pause The draft.")
    assert names(events)[-2:] == ["human_input_required", "workflow_paused"]
    paused = events[-1]["data"]
    assert paused["status"] == "paused"
    return paused["workflow_run_id"], paused["reasons"][0]["form_token"]


@pytest.mark.parametrize("app", ["workflow", "advanced-chat"])
def test_a_paused_run_goes_on_after_its_form(caller: MakeCaller, app: str) -> None:
    mine = caller(app)
    run_id, token = pause(mine)
    assert mine.client.get(f"/workflows/run/{run_id}").json()["status"] == "paused"
    form = mine.client.get(f"/form/human_input/{token}").json()
    assert [action["id"] for action in form["user_actions"]] == ["approve", "reject"]
    assert "The draft." in form["form_content"]

    form_path = f"/form/human_input/{token}"
    missing = {"inputs": {}, "action": "approve", "user": "ada"}
    assert mine.client.post(form_path, json=missing).json()["code"] == "invalid_form_data"
    wrong = {"inputs": {"comment": "x"}, "action": "zzz", "user": "ada"}
    assert mine.client.post(form_path, json=wrong).json()["message"] == "Invalid action: zzz"
    answer = {"inputs": {"comment": "Very good."}, "action": "approve", "user": "ada"}
    assert mine.client.post(form_path, json=answer).json() == {}

    events = events_of(
        mine.client.get(f"/workflow/{run_id}/events", params={"user": "ada"}).content
    )
    assert events[0] is PING
    started = events[1]["data"]
    assert (started["reason"], started["id"]) == ("resumption", run_id)
    human = next(e for e in events if e["event"] == "node_finished")["data"]
    assert human["outputs"]["__action_id"] == "approve"
    outputs = last(events, "workflow_finished")["data"]["outputs"]
    assert "The draft.\nApprove: Very good." in (outputs.get("answer") or outputs["text"])

    again = mine.client.post(form_path, json=answer)
    assert (again.status_code, again.json()["code"]) == (412, "human_input_form_submitted")
    closing = events_of(
        mine.client.get(f"/workflow/{run_id}/events", params={"user": "ada"}).content
    )
    assert [event["event"] for event in closing] == ["workflow_finished"]
    assert closing[0]["task_id"] == run_id


def test_a_snapshot_shows_where_a_paused_run_is(caller: MakeCaller) -> None:
    mine = caller("advanced-chat")
    run_id, token = pause(mine)
    params = {"user": "ada", "include_state_snapshot": "true"}
    events = events_of(mine.client.get(f"/workflow/{run_id}/events", params=params).content)
    assert names(events)[:3] == ["ping", "workflow_started", "message_replace"]
    assert names(events)[-2:] == ["human_input_required", "workflow_paused"]
    assert last(events, "message_replace")["answer"].strip() == "The draft."
    assert last(events, "human_input_required")["data"]["form_token"] == token


def test_a_run_is_hidden_from_others(caller: MakeCaller) -> None:
    run_id, token = pause(caller("workflow"))
    bob = caller("workflow", "bob")
    assert bob.client.get(f"/workflow/{run_id}/events", params={"user": "bob"}).status_code == 404
    other = caller("advanced-chat").client.get(f"/form/human_input/{token}")
    assert (other.status_code, other.json()["code"]) == (404, "not_found")


def test_a_lost_pause_is_found_in_the_messages(caller: MakeCaller) -> None:
    mine = caller("advanced-chat", "fred")
    run_id, token = pause(mine)
    conversation = mine.client.get("/conversations", params={"user": "fred"}).json()["data"][0]
    params = {"user": "fred", "conversation_id": conversation["id"]}
    message = mine.client.get("/messages", params=params).json()["data"][0]
    assert message["status"] == "paused"
    content = message["extra_contents"][0]
    assert (content["workflow_run_id"], content["submitted"]) == (run_id, False)
    assert content["form_definition"]["form_token"] == token


def test_blocking_on_a_pause(caller: MakeCaller) -> None:
    run = caller("workflow").ask("/pause")["data"]
    assert (run["status"], run["finished_at"]) == ("paused", None)
    assert run["reasons"][0]["TYPE"] == "human_input_required"
    flow = caller("advanced-chat").ask("/pause")
    assert (flow["event"], flow["data"]["status"]) == ("workflow_paused", "paused")


def test_1_14_tells_how_the_form_was_filled() -> None:
    with LocalDify(version="1.14.2") as server, Caller(server, "workflow") as mine:
        run_id, token = pause(mine)
        answer = {"inputs": {"comment": "no"}, "action": "reject", "user": "ada"}
        mine.client.post(f"/form/human_input/{token}", json=answer)
        body = mine.client.get(f"/workflow/{run_id}/events", params={"user": "ada"}).content
    filled = last(events_of(body), "human_input_form_filled")["data"]
    assert (filled["action_id"], filled["action_text"]) == ("reject", "Reject")


def test_a_run_outlives_its_client(server: LocalDify, caller: MakeCaller) -> None:
    with LocalDify(token_delay=0.005) as slow, Caller(slow, "workflow") as mine:
        body = mine.body("/tokens 40", response_mode="streaming")
        with mine.client.stream("POST", "/workflows/run", json=body) as response:
            lines = response.iter_lines()
            run_id = next(
                json.loads(line[6:])["workflow_run_id"] for line in lines if "data" in line
            )
        slow.wait_for_disconnect()
        wait_until(
            lambda: mine.client.get(f"/workflows/run/{run_id}").json()["status"] != "running"
        )
        detail = mine.client.get(f"/workflows/run/{run_id}").json()
    assert detail["status"] == "succeeded"
    assert len(detail["outputs"]["text"].split()) == 40


def wait_until(condition: Callable[[], bool]) -> None:
    """Poll the server, the only place that knows."""
    end = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < end


def test_forms_in_parallel_branches_wait_for_each_other(caller: MakeCaller) -> None:
    mine = caller("advanced-chat")
    started = mine.stream("/pause One || Two")
    forms = [e["data"] for e in started if e["event"] == "human_input_required"]
    paused = last(started, "workflow_paused")
    assert paused["data"]["paused_nodes"] == [form["node_id"] for form in forms]
    run_id = paused["workflow_run_id"]
    for number, form in enumerate(forms):
        answer = {"inputs": {"comment": f"c{number}"}, "action": "approve", "user": "ada"}
        mine.client.post(f"/form/human_input/{form['form_token']}", json=answer)
        body = mine.client.get(f"/workflow/{run_id}/events", params={"user": "ada"}).content
        events = events_of(body)
        if number == 0:
            again = last(events, "human_input_required")["data"]
            assert again["form_token"] == forms[1]["form_token"]
            assert names(events)[-1] == "workflow_paused"
    outputs = last(events, "workflow_finished")["data"]["outputs"]
    assert outputs["answer"].endswith("Approve: c0\nApprove: c1")


def test_forms_that_are_posted_back_to_back_lose_the_run(caller: MakeCaller) -> None:
    mine = caller("workflow")
    started = mine.stream("/pause One || Two")
    run_id = last(started, "workflow_paused")["workflow_run_id"]
    for event in started:
        if event["event"] == "human_input_required":
            answer = {"inputs": {"comment": "c"}, "action": "approve", "user": "ada"}
            path = f"/form/human_input/{event['data']['form_token']}"
            assert mine.client.post(path, json=answer).status_code == 200
    mine.client.get(f"/workflow/{run_id}/events", params={"user": "ada"})  # up to the pause
    assert mine.client.get(f"/workflows/run/{run_id}").json()["status"] == "paused"


def test_a_snapshot_right_after_the_answer_still_shows_the_pause(caller: MakeCaller) -> None:
    mine = caller("workflow")
    run_id, token = pause(mine)
    answer = {"inputs": {"comment": "c"}, "action": "approve", "user": "ada"}
    mine.client.post(f"/form/human_input/{token}", json=answer)
    params = {"user": "ada", "include_state_snapshot": "true"}
    events = events_of(mine.client.get(f"/workflow/{run_id}/events", params=params).content)
    assert names(events)[-1] == "workflow_paused"
    assert last(events, "human_input_required")["data"]["form_token"] == token


def test_continue_on_pause_alone_never_closes() -> None:
    with LocalDify(ping_interval=0.02) as server, Caller(server, "workflow") as mine:
        run_id, token = pause(mine)
        params = {"user": "ada", "continue_on_pause": "true"}
        answer = {"inputs": {"comment": "c"}, "action": "approve", "user": "ada"}
        with mine.client.stream("GET", f"/workflow/{run_id}/events", params=params) as response:
            lines = response.iter_lines()
            mine.client.post(f"/form/human_input/{token}", json=answer)
            assert any('"workflow_finished"' in line for line in lines)
            assert [next(lines) for _ in range(4)].count("event: ping") == 2
