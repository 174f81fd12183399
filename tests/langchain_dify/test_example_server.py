"""The web server among the examples, asked as its page asks it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from dify_local import LocalDify
from tests.support.served_example import served

pytest.importorskip("fastapi", reason="of the extra `examples`")


@pytest.fixture(scope="module")
def dify() -> Iterator[LocalDify]:
    with LocalDify() as server:
        yield server


@pytest.fixture(scope="module")
def url(dify: LocalDify) -> Iterator[str]:
    with served(
        "langchain_server", DIFY_BASE_URL=dify.base_url, DIFY_API_KEY=dify.keys["chat"]
    ) as url:
        yield url


def ask(url: str, session: str, question: str) -> list[dict[str, Any]]:
    body = {"session": session, "question": question}
    text = httpx.post(f"{url}/chat", json=body, timeout=30).text
    return [json.loads(frame[6:]) for frame in text.split("\n\n") if frame]


def test_the_page_is_there(url: str) -> None:
    assert "<h1>Ask the app</h1>" in httpx.get(url).text


def test_an_answer_streams_with_its_sources_and_is_remembered(url: str, dify: LocalDify) -> None:
    events = ask(url, "one", "Which planet has the most moons?")
    pieces = [event["text"] for event in events if "text" in event]
    assert len(pieces) > 3
    assert "Saturn" in "".join(pieces)
    assert events[-1]["sources"][0]["title"] == "saturn.md"
    ask(url, "one", "And the largest of them?")
    ask(url, "two", "Hello")
    sent = [r.json for r in dify.requests if r.path.endswith("/chat-messages")][-3:]
    assert [bool(request.get("conversation_id")) for request in sent] == [False, True, False]


def test_a_failure_is_told(url: str) -> None:
    event = ask(url, "three", "/fail")[-1]
    assert "the model is down" in event["error"]


def test_leaving_stops_the_run(url: str, dify: LocalDify) -> None:
    body = {"session": "four", "question": "/hang 3"}
    with httpx.stream("POST", f"{url}/chat", json=body, timeout=30) as response:
        assert json.loads(next(response.iter_lines())[6:])["text"]
    assert dify.wait_for_stop(5)
