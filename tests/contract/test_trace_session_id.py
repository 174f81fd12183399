"""Sessions of traces: what servers refuse is refused before the request, and by `dify_local`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from dify_api import chat
from dify_local import LocalDify
from tests.support.cassettes import Exchange, all_exchanges

SESSIONS = [exchange for exchange in all_exchanges() if "/trace_session_" in exchange.name]
HEADER = "x-trace-session-id"
APPS = {
    "/chat-messages": "chat",
    "/completion-messages": "completion",
    "/workflows/run": "workflow",
}


def header_of(exchange: Exchange) -> dict[str, str]:
    sent = exchange.recorded["request"]["headers"]
    return {name.lower(): values[0] for name, values in sent.items() if name.lower() == HEADER}


def query_of(exchange: Exchange) -> dict[str, str]:
    query = urlsplit(exchange.recorded["request"]["uri"]).query
    return {name: values[0] for name, values in parse_qs(query, keep_blank_values=True).items()}


def told(exchange: Exchange) -> Any:
    """The session that counts: that of the header, else of the query, else of the body."""
    header, name = header_of(exchange), "trace_session_id"
    query = query_of(exchange)
    return header.get(HEADER, query.get(name, exchange.request_json.get(name)))


def test_each_place_was_recorded_with_and_without_a_refusal() -> None:
    assert {exchange.status for exchange in SESSIONS if header_of(exchange)} == {200, 400}
    assert {exchange.status for exchange in SESSIONS if query_of(exchange)} == {200, 400}
    bodies = [e for e in SESSIONS if not header_of(e) and "trace_session_id" in e.request_json]
    assert {exchange.status for exchange in bodies} == {200, 400}


@pytest.mark.parametrize(
    "exchange", [e for e in SESSIONS if isinstance(told(e), str)], ids=lambda e: e.name
)
def test_what_servers_refuse_is_refused_before_the_request(exchange: Exchange) -> None:
    operation = chat.send_message("hi", user="ann")
    if exchange.status == 400:
        with pytest.raises(ValueError, match="trace_session_id"):
            operation.traced(trace_session_id=told(exchange))
    else:
        traced = operation.traced(trace_session_id=told(exchange))
        assert traced.headers == {"X-Trace-Session-Id": told(exchange).strip()}


@pytest.fixture(scope="module")
def server() -> Iterator[LocalDify]:
    with LocalDify(version="1.17.0") as server:
        yield server


@pytest.mark.parametrize("exchange", SESSIONS, ids=lambda e: e.name)
def test_the_local_server_judges_alike(exchange: Exchange, server: LocalDify) -> None:
    reply = httpx.post(
        f"{server.base_url}{exchange.path}",
        headers={
            "authorization": f"Bearer {server.keys[APPS[exchange.path]]}",
            **header_of(exchange),
        },
        params=query_of(exchange),
        json={**exchange.request_json, "inputs": {"query": "hi", "text": "hi"}},
    )
    assert reply.status_code == exchange.status
    if exchange.status == 400:
        assert reply.json() == exchange.json


def test_older_servers_take_no_notice() -> None:
    with LocalDify(version="1.15.0") as server:
        reply = httpx.post(
            f"{server.base_url}/chat-messages",
            headers={"authorization": f"Bearer {server.keys['chat']}", HEADER: "s" * 201},
            json={"inputs": {}, "query": "hi", "user": "ann"},
        )
    assert reply.status_code == 200
