"""What must not break the server, and what it says of it."""

from __future__ import annotations

import logging
import re
import threading

import httpx
import pytest

from dify_local import LocalDify
from dify_local.__main__ import main
from dify_local._runs.service import Service
from tests.dify_local.conftest import MakeCaller


def test_a_crash_is_answered_and_logged_and_the_connection_lives_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with LocalDify() as server, httpx.Client(base_url=server.base_url) as client:
        client.headers["Authorization"] = f"Bearer {server.keys['workflow']}"
        for _ in range(3):
            assert client.get("/workflows/run/abc").status_code == 500
            response = client.get("/info")
            assert response.status_code == 200
    assert "GET /v1/workflows/run/abc: Dify crashes here." in caplog.text


def test_an_error_of_this_server_is_logged_with_its_traceback(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    with LocalDify() as server, httpx.Client(base_url=server.base_url) as client:
        client.headers["Authorization"] = f"Bearer {server.keys['chat']}"
        with monkeypatch.context() as patch:
            patch.setattr(Service, "stop", broken)
            path = "/chat-messages/x/stop"
            assert client.post(path, json={"user": "ada"}).json()["code"] == "unknown"
        assert client.get("/info").status_code == 200
    record = next(record for record in caplog.records if record.exc_info)
    assert record.levelno == logging.ERROR
    assert record.getMessage() == "POST /v1/chat-messages/x/stop has crashed"


def test_starting_twice_is_starting_once() -> None:
    before = threading.active_count()
    server = LocalDify().start()
    address = server.base_url
    assert server.start() is server
    assert server.base_url == address
    server.stop()
    assert threading.active_count() == before


def test_a_fault_that_never_happens_is_refused(server: LocalDify) -> None:
    with pytest.raises(ValueError, match="at least one request, not to 0"):
        server.fault("status", times=0)


def test_half_of_a_surrogate_pair_is_no_json(caller: MakeCaller) -> None:
    mine = caller("chat")
    body = '{"inputs": {}, "query": "x\\ud83d y", "user": "ada"}'
    headers = {"content-type": "application/json"}
    response = mine.client.post("/chat-messages", content=body, headers=headers)
    assert (response.status_code, response.json()["code"]) == (400, "bad_request")
    whole = body.replace("\\ud83d", "\\ud83d\\ude00")
    assert mine.client.post("/chat-messages", content=whole, headers=headers).status_code == 200


@pytest.mark.parametrize(
    "query", ["/tokens abc", "/slow x", "/hang y", "/tokens -1", "/slow nan", "/tokens 1 2 3"]
)
def test_a_directive_with_a_wrong_number_says_how_it_is_written(
    caller: MakeCaller, query: str
) -> None:
    mine = caller("chat")
    response = mine.client.post("/chat-messages", json=mine.body(query))
    assert response.status_code == 400
    assert f"The directive is {query.split()[0]}" in response.json()["message"]


def test_browsers_may_ask_what_they_may_send(caller: MakeCaller) -> None:
    client = caller("chat").client
    asking = {
        "Origin": "http://x",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization, content-type",
    }
    response = client.options("/chat-messages", headers=asking)
    assert (response.status_code, response.content) == (200, b"")
    assert response.headers["access-control-allow-origin"] == "http://x"
    assert "POST" in response.headers["access-control-allow-methods"]
    assert response.headers["access-control-allow-headers"] == "authorization, content-type"
    assert response.headers["vary"] == "Origin, Cookie"
    assert response.headers["allow"] == "OPTIONS, POST"
    assert client.get("/info", headers=asking).headers["access-control-allow-origin"] == "http://x"
    assert client.options("/nope", headers=asking).status_code == 404


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--version", "foo"], "No release 'foo': this server behaves as Dify 0.15, or 1.0 to"),
        (["--version", "0.16.0"], "No release '0.16.0'"),
        (["--version", "1.18"], "No release '1.18'"),
        (["--version", "1.16.x"], "No release '1.16.x'"),
        (["--token-delay", "-1"], "The delay of a token is 0 seconds or more, not -1.0"),
        (["--token-delay", "nan"], "The delay of a token is 0 seconds or more, not nan"),
        (["--upstream", "localhost"], "The upstream 'localhost' is no URL such as http://"),
        (["--upstream", "ftp://x"], "The upstream 'ftp://x' is no URL"),
    ],
)
def test_wrong_options_are_told_in_one_line(options: list[str], message: str) -> None:
    with pytest.raises(SystemExit, match=re.escape(message)) as ended:
        main(["--port", "0", *options])
    assert "\n" not in str(ended.value)


def test_time_runs_forwards(server: LocalDify) -> None:
    with pytest.raises(ValueError, match="Pings come more than 0 seconds apart"):
        LocalDify(ping_interval=0)
    with pytest.raises(ValueError, match="seconds is 0 or more, not -1"):
        server.fault("delay", seconds=-1)
    with pytest.raises(ValueError, match="size is 1 or more, not 0"):
        server.fault("split", size=0)
