"""The web server among the examples, asked as its page asks it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from dify_local import LocalDify
from tests.support.browser import chromium
from tests.support.served_example import served

pytest.importorskip("fastapi", reason="of the extra `examples`")


@pytest.fixture(scope="module")
def dify() -> Iterator[LocalDify]:
    with LocalDify() as server:
        yield server


@pytest.fixture(scope="module")
def url(dify: LocalDify) -> Iterator[str]:
    with served(
        "langchain_server", DIFY_BASE_URL=dify.base_url, DIFY_API_KEY=dify.keys["advanced-chat"]
    ) as url:
        yield url


NODES = ["Start", "Knowledge Retrieval", "LLM", "Answer"]


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
    nodes = [event["node"] for event in events if "node" in event]
    assert [node["title"] for node in nodes if node["status"] == "succeeded"] == NODES
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
        assert any('"text"' in line for line in response.iter_lines())
    assert dify.wait_for_stop(5)


@pytest.mark.slow
def test_in_a_browser(url: str, dify: LocalDify) -> None:
    """With `DIFY_SERVER_SCREENSHOT=docs/images/server.png` it takes the docs' picture."""
    dify.clear()
    with chromium() as browser:
        from selenium.webdriver.support.ui import WebDriverWait

        wait = WebDriverWait(browser, 20)
        browser.get(url)

        def ask(question: str) -> None:
            browser.find_element("name", "question").send_keys(f"{question}\n")

        def texts(kind: str) -> list[str]:
            return [found.text for found in browser.find_elements("class name", kind)]

        ask("Which planet has the most moons?")
        wait.until(lambda _: "Saturn" in texts("answer")[0])
        wait.until(lambda _: texts("details"))
        card = browser.find_element("class name", "details")
        assert card.text == "saturn.md"
        ended = browser.find_elements("css selector", ".nodes .succeeded")
        assert [node.text for node in ended] == NODES
        card.click()
        assert "moons" in card.text
        if picture := os.environ.get("DIFY_SERVER_SCREENSHOT"):
            browser.save_screenshot(picture)
        ask("/hang 3")
        wait.until(lambda _: texts("answer")[1])
        browser.find_element("id", "stop").click()
        assert dify.wait_for_stop(5)
        assert texts("error") == []
        ask("/hang 3")
        wait.until(lambda _: len(texts("answer")) == 3 and texts("answer")[2])
        page = browser.current_window_handle
        browser.switch_to.new_window("tab")
        other = browser.current_window_handle
        browser.switch_to.window(page)
        browser.close()  # the page is left
        browser.switch_to.window(other)
        wait.until(lambda _: len(dify.stopped) == 2)
