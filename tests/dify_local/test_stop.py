from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from dify_local import LocalDify
from tests.dify_local.support import PING, Caller, events_of, names


@pytest.fixture(scope="module")
def slow_server() -> Iterator[LocalDify]:
    with LocalDify(token_delay=0.005, ping_interval=0.03) as server:
        yield server


def first_event(lines: Iterator[str]) -> dict[str, Any]:
    return next(json.loads(line[6:]) for line in lines if line.startswith("data"))


@pytest.mark.parametrize(
    ("app", "end"),
    [
        ("chat", ["message_end"]),
        ("completion", ["message_end"]),
        ("agent-chat", ["message_end"]),
        ("agent", ["message_end"]),
        ("advanced-chat", ["workflow_finished"]),
        ("workflow", ["workflow_finished"]),
    ],
)
@pytest.mark.parametrize("query", ["/tokens 100000", "/hang 2", "/slow 60 1"])
def test_stop_ends_the_stream_regularly(
    slow_server: LocalDify, app: str, end: list[str], query: str
) -> None:
    slow_server.clear()
    with Caller(slow_server, app) as mine:
        body = mine.body(query, response_mode="streaming")
        with mine.client.stream("POST", mine.path, json=body) as response:
            lines = response.iter_lines()
            task_id = first_event(lines)["task_id"]
            stop = {
                "workflow": f"/workflows/tasks/{task_id}/stop",
                "completion": f"/completion-messages/{task_id}/stop",
            }.get(app, f"/chat-messages/{task_id}/stop")
            assert httpx.post(
                f"{slow_server.base_url}{stop}",
                json={"user": "ada"},
                headers={"Authorization": f"Bearer {slow_server.keys[app]}"},
            ).json() == {"result": "success"}
            rest = [json.loads(line[6:]) for line in lines if line.startswith("data")]
    assert [event["event"] for event in rest[-1:]] == end
    if app in {"workflow", "advanced-chat"}:
        assert rest[-1]["data"]["status"] == "stopped"
    else:
        assert rest[-1]["metadata"]["usage"]["total_tokens"] == 0
    assert slow_server.stopped == [task_id]
    assert slow_server.wait_for_stop(0) == task_id
    assert slow_server.disconnects == []


def test_another_user_does_not_stop_a_chat(slow_server: LocalDify) -> None:
    with Caller(slow_server, "chat") as mine, Caller(slow_server, "chat", "bob") as bob:
        body = mine.body("/tokens 20", response_mode="streaming")
        with mine.client.stream("POST", mine.path, json=body) as response:
            lines = response.iter_lines()
            task_id = first_event(lines)["task_id"]
            stopped = bob.client.post(f"/chat-messages/{task_id}/stop", json={"user": "bob"})
            assert stopped.json() == {"result": "success"}
            rest = [json.loads(line[6:]) for line in lines if line.startswith("data")]
    assert len(rest) == 20


def test_a_stopped_answer_is_kept(slow_server: LocalDify) -> None:
    with Caller(slow_server, "chat") as mine:
        body = mine.body("/hang 3", response_mode="streaming")
        with mine.client.stream("POST", mine.path, json=body) as response:
            lines = response.iter_lines()
            first = first_event(lines)
            path = f"{slow_server.base_url}/chat-messages/{first['task_id']}/stop"
            headers = dict(mine.client.headers)
            httpx.post(path, json={"user": "ada"}, headers=headers)
            said = [json.loads(line[6:]) for line in lines if line.startswith("data")]
        params = {"user": "ada", "conversation_id": first["conversation_id"]}
        message = mine.client.get("/messages", params=params).json()["data"][0]
    assert message["answer"] == first["answer"] + "".join(e.get("answer", "") for e in said)


def test_before_1_13_a_stopped_chatflow_ends_with_its_message() -> None:
    with LocalDify(version="1.12.1") as server, Caller(server, "advanced-chat") as mine:
        body = mine.body("/hang 1", response_mode="streaming")
        with mine.client.stream("POST", mine.path, json=body) as response:
            lines = response.iter_lines()
            task_id = first_event(lines)["task_id"]
            path = f"{server.base_url}/chat-messages/{task_id}/stop"
            httpx.post(path, json={"user": "ada"}, headers=dict(mine.client.headers))
            rest = [json.loads(line[6:]) for line in lines if line.startswith("data")]
    assert names(rest)[-2:] == ["workflow_finished", "message_end"]
    assert rest[-2]["data"]["error"] == "Stopped by user."


def test_leaving_is_noticed_and_leaves_an_empty_answer(slow_server: LocalDify) -> None:
    slow_server.clear()
    with Caller(slow_server, "chat") as mine:
        body = mine.body("/hang 1", response_mode="streaming")
        with mine.client.stream("POST", mine.path, json=body) as response:
            first = first_event(response.iter_lines())
        assert slow_server.wait_for_disconnect() == first["task_id"]
        params = {"user": "ada", "conversation_id": first["conversation_id"]}
        message = mine.client.get("/messages", params=params).json()["data"][0]
    assert (message["query"], message["answer"]) == ("/hang 1", "")


@pytest.mark.parametrize("app", ["chat", "workflow"])
def test_pings_fill_silence(slow_server: LocalDify, app: str) -> None:
    with Caller(slow_server, app) as mine:
        events = mine.stream("/slow 0.1 1")
    assert events.count(PING) >= 3


def test_pings_come_amid_tokens(slow_server: LocalDify) -> None:
    with Caller(slow_server, "chat") as mine:
        events = mine.stream("/tokens 40")
    assert events.count(PING) >= 2


def test_waiting_gives_up(slow_server: LocalDify) -> None:
    slow_server.clear()
    with pytest.raises(TimeoutError, match="stop"):
        slow_server.wait_for_stop(0.01)
    with pytest.raises(TimeoutError, match="left"):
        slow_server.wait_for_disconnect(0.01)
    with pytest.raises(TimeoutError, match="0 of 1 requests to /info"):
        slow_server.wait_for_requests(1, path="/info", timeout=0.01)


def test_the_server_stops_while_streams_hang() -> None:
    before = threading.active_count()
    server = LocalDify().start()
    with Caller(server, "chat") as mine:
        body = mine.body("/hang 1", response_mode="streaming")
        with mine.client.stream("POST", mine.path, json=body) as response:
            lines = response.iter_lines()
            first_event(lines)
            server.stop()
            with pytest.raises(httpx.HTTPError):
                list(lines)
    assert threading.active_count() == before
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{server.base_url}/info")


async def test_the_server_works_as_an_async_context_manager() -> None:
    async with LocalDify() as server, httpx.AsyncClient() as client:
        headers = {"Authorization": f"Bearer {server.keys['chat']}"}
        response = await client.get(f"{server.base_url}/info", headers=headers)
    assert response.json()["mode"] == "chat"


def test_a_taken_port_is_an_error() -> None:
    with LocalDify() as server:
        port = int(server.base_url.split(":")[2].partition("/")[0])
        with pytest.raises(OSError, match="in use"):
            LocalDify(port=port).start()


def test_events_are_complete_frames(slow_server: LocalDify) -> None:
    with Caller(slow_server, "chat") as mine:
        body = mine.body("/tokens 5", response_mode="streaming")
        with mine.client.stream("POST", mine.path, json=body) as response:
            chunks = [chunk for chunk in response.iter_raw() if chunk]
    events = [event for chunk in chunks for event in events_of(chunk) if event is not PING]
    assert len(events) == 6


def test_a_server_can_be_started_again() -> None:
    server = LocalDify()
    for _ in range(2):
        with server, Caller(server, "chat") as mine:
            assert mine.ask("/echo hi")["answer"] == "hi"


def test_the_index_and_the_release() -> None:
    with LocalDify(version="1.14.2") as server:
        index = httpx.get(server.base_url)
        assert index.json()["server_version"] == index.headers["x-version"] == "1.14.2"
        assert httpx.get(f"{server.base_url}/").status_code == 404
    with pytest.raises(ValueError, match="No release 'newest'"):
        LocalDify(version="newest")
