from __future__ import annotations

import inspect
import re
import time
from typing import Any

import httpx
import pytest

from dify_local import LocalDify
from tests.dify_local.conftest import MakeCaller
from tests.dify_local.support import Caller, names

QUERY = "/tokens 8"


def raw(mine: Caller, timeout: float = 5.0) -> tuple[bytes, Exception | None]:
    """The bytes of a stream and what broke it."""
    received = b""
    body = mine.body(QUERY, response_mode="streaming")
    try:
        with mine.client.stream("POST", mine.path, json=body, timeout=timeout) as response:
            for chunk in response.iter_raw():
                received += chunk
    except httpx.HTTPError as error:
        return received, error
    return received, None


def test_status(server: LocalDify, caller: MakeCaller) -> None:
    client = caller("chat").client
    fault = server.fault("status", status=429, headers={"Retry-After": "3"}, times=2)
    for _ in range(2):
        response = client.get("/info")
        assert (response.status_code, response.json()["code"]) == (429, "rate_limit_error")
        assert response.headers["retry-after"] == "3"
    assert client.get("/info").status_code == 200
    assert (fault.happened, fault.remaining) == (2, 0)
    server.fault("status", status=502, html=True)
    response = client.get("/info")
    assert (response.status_code, response.headers["content-type"]) == (502, "text/html")
    server.fault("status", status=400, body={"code": "invalid_param", "message": "no"})
    assert client.get("/info").json() == {"code": "invalid_param", "message": "no"}


def test_the_listed_kinds_are_those_there_are(server: LocalDify) -> None:
    shown = inspect.getdoc(LocalDify.fault) or ""  # Python 3.13 strips what 3.12 leaves indented
    listed = re.findall(r"^ {4}(\w+) .*=", shown, re.MULTILINE)
    with pytest.raises(ValueError, match=f"there are {', '.join(listed)}$"):
        server.fault("nonsense")


def test_a_path_chooses_the_request(server: LocalDify, caller: MakeCaller) -> None:
    client = caller("chat").client
    server.fault("status", path="/parameters")
    assert client.get("/info").status_code == 200
    assert client.get("/parameters").status_code == 500
    assert client.get("/parameters").status_code == 200


def test_stops_are_spared_unless_named(server: LocalDify, caller: MakeCaller) -> None:
    client = caller("chat").client
    server.fault("status")
    assert client.post("/chat-messages/x/stop", json={"user": "ada"}).status_code == 200
    server.clear()
    server.fault("status", path="/stop")
    assert client.post("/chat-messages/x/stop", json={"user": "ada"}).status_code == 500


@pytest.mark.parametrize("kind", ["delay", "slow_headers"])
def test_headers_come_late(server: LocalDify, caller: MakeCaller, kind: str) -> None:
    client = caller("chat").client
    server.fault(kind, seconds=0.05)
    began = time.monotonic()
    assert client.get("/info").status_code == 200
    assert time.monotonic() - began >= 0.05
    server.fault(kind, seconds=5.0)
    with pytest.raises(httpx.ReadTimeout):
        client.get("/info", timeout=0.05)


@pytest.mark.parametrize("after_bytes", [0, 1, 400, 1000])
def test_drop_cuts_at_a_byte(server: LocalDify, caller: MakeCaller, after_bytes: int) -> None:
    server.fault("drop", after_bytes=after_bytes)
    received, error = raw(caller("chat"))
    assert len(received) <= after_bytes
    assert isinstance(error, (httpx.ReadError, httpx.RemoteProtocolError))
    assert raw(caller("chat"))[1] is None


def test_drop_delivers_what_was_sent(server: LocalDify, caller: MakeCaller) -> None:
    whole, _ = raw(caller("chat"))
    server.fault("drop", after_bytes=700)
    received, _ = raw(caller("chat"))
    assert len(received) == 700 < len(whole)


def test_close_ends_cleanly_without_a_terminal_event(server: LocalDify, caller: MakeCaller) -> None:
    server.fault("close", after_events=3)
    received, error = raw(caller("chat"))
    assert error is None
    assert received.count(b"\n\n") == 3
    assert b"message_end" not in received


def test_silence_keeps_the_connection(server: LocalDify, caller: MakeCaller) -> None:
    server.fault("silence", after_events=2)
    received, error = raw(caller("chat"), timeout=0.2)
    assert isinstance(error, httpx.ReadTimeout)
    assert received.count(b"\n\n") == 2


def test_hold_open_after_the_terminal_event(server: LocalDify, caller: MakeCaller) -> None:
    server.fault("hold_open")
    received, error = raw(caller("chat"), timeout=0.2)
    assert isinstance(error, httpx.ReadTimeout)
    assert b"message_end" in received
    server.fault("hold_open", seconds=0.05)
    received, error = raw(caller("chat"))
    assert error is None
    assert b"message_end" in received


def test_what_was_cut_on_purpose_is_told_to_nobody(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    cuts: list[dict[str, Any]] = [
        {"kind": "drop"},
        {"kind": "drop", "after_bytes": 700},
        {"kind": "close"},
        {"kind": "silence"},
        {"kind": "hold_open"},
    ]
    with LocalDify() as server, Caller(server, "chat", "ada") as mine:
        for cut in cuts:
            fault = server.fault(**cut)
            raw(mine, timeout=0.1)
            assert fault.happened
        for path in ("/info", "/parameters"):
            server.fault("drop")
            with pytest.raises(httpx.ReadError):
                mine.client.get(path)
    assert caplog.records == []
    assert capfd.readouterr() == ("", "")


def test_garbage_stands_between_whole_events(server: LocalDify, caller: MakeCaller) -> None:
    server.fault("garbage")
    received, error = raw(caller("chat"))
    assert error is None
    frames = received.split(b"\n\n")
    assert sum(b'"event":"message"' in frame for frame in frames) == 8
    assert b"data: {not json}" in frames
    assert b": a comment" in frames
    assert b"message_end" in received


def test_coalesce_and_split_change_only_the_chunks(server: LocalDify, caller: MakeCaller) -> None:
    mine = caller("chat")
    server.fault("split", size=1)
    assert names(mine.stream(QUERY)) == ["message", "message_end"]
    server.fault("coalesce", events=3)
    events = mine.stream(QUERY)
    assert len(events) == 9
    assert events[-1]["event"] == "message_end"


def test_wrong_faults_are_refused(server: LocalDify) -> None:
    with pytest.raises(ValueError, match="No fault 'explode'"):
        server.fault("explode")
    with pytest.raises(ValueError, match="no option minutes"):
        server.fault("delay", minutes=1)


def test_cleared_faults_do_not_happen(server: LocalDify, caller: MakeCaller) -> None:
    fault = server.fault("status")
    server.clear()
    assert caller("chat").client.get("/info").status_code == 200
    assert fault.happened == 0
