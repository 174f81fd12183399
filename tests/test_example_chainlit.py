"""The example with Chainlit, used in a browser: `make chainlit`, which makes its environment.

With `DIFY_CHAINLIT_SCREENSHOT=docs/images/chainlit.png` it takes the docs' picture.
"""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from dify_local import LocalDify
from tests.support.browser import chromium
from tests.support.examples import EXAMPLES
from tests.support.forking import ROOT

if TYPE_CHECKING:
    from selenium.webdriver.remote.webdriver import WebDriver
    from selenium.webdriver.remote.webelement import WebElement

pytestmark = pytest.mark.chainlit

PYTHON = ROOT / ".venv-chainlit" / "bin" / "python"  # Chainlit holds other packages back
PICTURE = os.environ.get("DIFY_CHAINLIT_SCREENSHOT")


@pytest.fixture(scope="module")
def dify() -> Iterator[LocalDify]:
    with LocalDify(token_delay=0.01) as server:
        yield server


@pytest.fixture(scope="module")
def url(dify: LocalDify, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if not PYTHON.exists():
        pytest.skip("`make chainlit` makes the environment that this test needs")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [PYTHON, EXAMPLES / "chainlit_chat.py", str(port)],
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "DIFY_BASE_URL": dify.base_url,
            "DIFY_API_KEY": dify.keys["advanced-chat"],
        },
        cwd=tmp_path_factory.mktemp("chainlit"),  # where it writes its settings
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout
        for line in process.stdout:
            if "available at" in line:
                break
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.communicate()


class Page:
    """The chat, as its user sees it."""

    def __init__(self, browser: WebDriver, url: str) -> None:
        from selenium.webdriver.support.ui import WebDriverWait

        self.browser = browser
        self._wait = WebDriverWait(browser, 30)
        browser.get(url)

    def find(self, selector: str) -> WebElement:
        """An element that can be used, as soon as there is one."""
        return self.until(lambda: self._seen("css selector", selector))

    def _seen(self, by: str, value: str) -> WebElement | None:
        found = self.browser.find_elements(by, value)
        return next((f for f in found if f.is_displayed() and f.is_enabled()), None)

    def say(self, text: str) -> None:
        self.find("#chat-input").send_keys(text)
        self.find("#chat-submit").click()  # enabled once the page is connected

    def click(self, text: str) -> None:
        self.until(lambda: self._seen("xpath", f"//*[normalize-space(text())='{text}']")).click()

    @property
    def text(self) -> str:
        return self.browser.find_element("tag name", "body").text

    def until(self, condition: Callable[[], object]) -> WebElement:
        from selenium.common.exceptions import StaleElementReferenceException, TimeoutException

        def met(_: object) -> object:
            try:
                return condition()
            except StaleElementReferenceException:  # React has drawn it anew
                return None

        try:
            return self._wait.until(met)  # type: ignore[return-value]  # what the condition finds
        except TimeoutException:
            raise AssertionError(f"still not so:\n{self.text}") from None


@pytest.fixture
def page(url: str, dify: LocalDify) -> Iterator[Page]:
    dify.clear()
    with chromium() as browser:
        yield Page(browser, url)


def test_an_answer_streams_with_its_nodes_and_sources(page: Page, dify: LocalDify) -> None:
    page.say("Which planet has the most moons?")
    page.until(lambda: "Saturn has the most moons" in page.text)
    page.until(lambda: "Used\nAnswer" in page.text)
    for node in ("Start", "Knowledge Retrieval", "LLM", "Answer"):
        assert f"Used\n{node}" in page.text
    page.click("[1] saturn.md")
    page.until(lambda: "In March 2025 alone" in page.text)
    assert "earth.md · Solar System" not in page.text
    if PICTURE:
        page.browser.save_screenshot(PICTURE)
    page.find("[id='step-Knowledge Retrieval']").click()
    page.until(lambda: '"query": "Which planet has the most moons?"' in page.text)
    page.say("And the largest of them?")
    page.until(lambda: page.text.count("Used\nAnswer") == 2)
    first, second = (r.json for r in dify.requests if r.path.endswith("/chat-messages"))
    assert not first.get("conversation_id")
    assert second["conversation_id"]


def test_a_form_is_filled_and_the_same_run_goes_on(page: Page, dify: LocalDify) -> None:
    page.say("/pause Saturn has 274 moons.")
    page.until(lambda: "Please review" in page.text)
    page.browser.execute_script("dispatchEvent(new Event('offline'))")  # the connection breaks
    page.say("Which planets have rings?")  # the form comes first, then this is answered
    page.until(lambda: page.text.count("Please review") == 2)
    page.say("Fine.")
    page.click("Approve")
    page.until(lambda: "Approve: Fine." in page.text)
    page.until(lambda: "Sources:" in page.text)
    assert [r.json["query"] for r in dify.requests if r.path.endswith("/chat-messages")] == [
        "/pause Saturn has 274 moons.",
        "Which planets have rings?",
    ]
    assert dify.stopped == []


def test_the_stop_button_and_leaving_stop_the_run(page: Page, dify: LocalDify) -> None:
    page.say("/hang 3")
    page.until(lambda: "t2xx" in page.text)
    page.find("#stop-button").click()
    assert dify.wait_for_stop(10)
    page.say("/hang 3")
    page.until(lambda: page.text.count("t2xx") == 2)
    chat = page.browser.current_window_handle
    page.browser.switch_to.new_window("tab")
    other = page.browser.current_window_handle
    page.browser.switch_to.window(chat)
    page.browser.close()  # the page is left
    page.browser.switch_to.window(other)
    page.until(lambda: len(dify.stopped) == 2)


def test_a_file_goes_along(page: Page, dify: LocalDify, tmp_path: Path) -> None:
    note = tmp_path / "note.md"
    note.write_text("Titan")
    page.find("#upload-button")
    page.browser.find_element("id", "upload-button-input").send_keys(str(note))
    page.until(lambda: "note.md" in page.text)
    page.say("What is this?")
    [asked] = dify.wait_for_requests(1, path="/chat-messages")
    assert [file["type"] for file in asked.json["files"]] == ["document"]


def test_a_failure_is_told(page: Page) -> None:
    page.say("/fail")
    page.until(lambda: "the model is down" in page.text)
