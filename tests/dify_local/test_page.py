"""The server's page, in a browser without a window.

With `DIFY_LOCAL_SCREENSHOT=docs/images/local.png` in the environment it takes the docs' picture.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from dify_local import App, Control, LocalDify, Node
from tests.support.browser import chromium

pytestmark = pytest.mark.slow

if TYPE_CHECKING:
    from selenium.webdriver.remote.webdriver import WebDriver

REPORT = App(
    "report",
    "workflow",
    title="Report desk",
    form=[
        Control("text-input", "topic", "Topic", required=True),
        Control("select", "tone", "Tone", options=["warm", "cold"]),
        Control("checkbox", "short", "Short"),
        Control("file", "paper", "Paper"),
    ],
    nodes=[Node("write", "llm", "Write", {"text": "A {{tone}} report about {{topic}}."})],
    outputs={"report": "{{#write.text#}}", "short": "{{short}}"},
)
REVIEW = App(
    "review",
    "advanced-chat",
    nodes=[
        Node("draft", "llm", "Draft"),
        Node(
            "human",
            "human-input",
            "Your word",
            form={
                "form_content": "Shall this go out?\n\n{{#draft.text#}}",
                "inputs": [
                    {
                        "output_variable_name": "risk",
                        "type": "select",
                        "option_source": {"type": "constant", "value": ["low", "high"]},
                    },
                    {"output_variable_name": "comment", "type": "paragraph"},
                ],
                "user_actions": [{"id": "send", "title": "Send it", "button_style": "primary"}],
            },
        ),
        Node("done", "llm", "Done", {"text": " Sent, risk {{#human.risk#}}: {{#human.comment#}}"}),
    ],
    answer="{{#draft.text#}}{{#done.text#}}",
)

# Notes each state of the answer's text.
WATCH = """
    window.states = [];
    new MutationObserver(() => {
        const text = document.querySelector(".answer .text")?.textContent;
        if (text && text !== window.states.at(-1)) window.states.push(text);
    }).observe(document.getElementById("log"), {childList: true, subtree: true});
"""


@pytest.fixture(scope="module")
def shared_server() -> Iterator[LocalDify]:
    with LocalDify(apps=[REPORT, REVIEW], token_delay=0.01) as server:
        yield server


@pytest.fixture(scope="module")
def browser() -> Iterator[WebDriver]:
    with chromium() as browser:
        yield browser


class Page:
    """The page as a person uses it."""

    def __init__(self, browser: WebDriver, server: LocalDify, app: str) -> None:
        self.browser = browser
        browser.get("about:blank")  # else only the fragment changes, and nothing is loaded anew
        browser.get(f"{server.base_url.removesuffix('v1')}#{app}")
        self.until(lambda: self.find("#about").text)

    def find(self, selector: str) -> Any:
        return self.browser.find_element("css selector", selector)

    def until(self, condition: Any) -> Any:
        from selenium.common.exceptions import (
            NoSuchElementException,
            StaleElementReferenceException,
        )
        from selenium.webdriver.support.wait import WebDriverWait

        ignored = (NoSuchElementException, StaleElementReferenceException)
        wait = WebDriverWait(self.browser, 20, 0.05, ignored_exceptions=ignored)
        return wait.until(lambda _: condition())

    def ask(self, question: str) -> None:
        self.find("#question").send_keys(question)
        self.find("#send").click()

    def ended(self) -> Any:
        return self.until(lambda: self.find(".answer[data-ended]"))

    def nodes(self) -> dict[str, str]:
        rows = self.browser.find_elements("css selector", "#trace .node")
        return {
            str(row.get_attribute("data-node")): row.find_element("css selector", ".state").text
            for row in rows
        }

    def problems(self) -> list[str]:
        return [str(entry["message"]) for entry in self.browser.get_log("browser")]  # type: ignore[attr-defined] # of Chrome alone


def test_a_question_its_streamed_answer_its_sources_and_the_nodes(
    browser: WebDriver, server: LocalDify
) -> None:
    page = Page(browser, server, "advanced-chat")
    assert "Welcome!" in page.find("#log").text
    browser.execute_script(WATCH)  # type: ignore[no-untyped-call] # selenium's
    page.ask("Which planet has the most moons?")
    page.ended()
    states = browser.execute_script("return window.states")  # type: ignore[no-untyped-call] # selenium's
    assert states == sorted(states, key=len)
    assert len(states) > 10, "the text was shown piece by piece"
    assert "Saturn has the most moons" in page.find(".answer .text").text
    source = page.find(".answer .sources details")
    assert source.text.startswith("saturn.md")
    source.click()
    assert "274" in page.until(lambda: source.find_element("css selector", "pre").text)
    assert list(page.nodes()) == ["start", "knowledge", "llm", "answer"]
    assert page.nodes()["llm"].startswith("succeeded 0.")
    if os.environ.get("DIFY_LOCAL_SCREENSHOT"):
        browser.save_screenshot(os.environ["DIFY_LOCAL_SCREENSHOT"])
    assert page.problems() == []


def test_a_form_that_is_filled_in(browser: WebDriver, server: LocalDify) -> None:
    server.answer("Write to Ada.", "Dear Ada,", app="review")
    page = Page(browser, server, "review")
    page.ask("Write to Ada.")
    page.ended()
    form = page.find("form.human")
    assert "Shall this go out?\n\nDear Ada," in form.text
    assert page.nodes()["human"] == "waits for you"
    form.find_element("css selector", "select option[value=low]").click()
    form.find_element("css selector", "textarea").send_keys("well done")
    form.find_element("xpath", ".//button[.='Send it']").click()
    said = "Dear Ada, Sent, risk low: well done"
    page.until(lambda: page.find(".answer .text").text == said)
    assert page.until(lambda: page.nodes().get("answer", "").startswith("succeeded"))
    (submitted,) = [r for r in server.requests if "/form/" in r.path]
    assert submitted.json == {
        "inputs": {"risk": "low", "comment": "well done"},
        "action": "send",
        "user": "me",
    }
    assert page.problems() == []


def test_the_inputs_of_a_workflow_with_a_file(
    browser: WebDriver, server: LocalDify, tmp_path: Any
) -> None:
    (tmp_path / "paper.txt").write_text("A paper.")
    page = Page(browser, server, "report")
    assert page.find("#about").text.startswith("Report desk (workflow)")
    page.find("#inputs [name=topic]").send_keys("Saturn's rings")
    page.find("#inputs [name=tone] option[value=warm]").click()
    page.find("#inputs [name=short]").click()
    page.find("#inputs [name=paper]").send_keys(str(tmp_path / "paper.txt"))
    page.find("#send").click()
    page.ended()
    assert page.find(".answer .text").text == "A warm report about Saturn's rings."
    page.find(".answer details").click()
    outputs = page.until(lambda: page.find(".answer details pre").text)
    assert '"short": true' in outputs
    upload, asked = [r for r in server.requests if r.method == "POST"]
    assert [file.content for file in upload.files] == [b"A paper."]
    assert asked.json is not None
    assert asked.json["inputs"]["paper"]["transfer_method"] == "local_file"
    assert page.problems() == []


def test_the_request_as_it_can_be_repeated(
    browser: WebDriver, server: LocalDify, capsys: pytest.CaptureFixture[str]
) -> None:
    page = Page(browser, server, "chat")
    page.ask('/echo It\'s "here".')
    page.ended()
    exec(page.find("#python").get_attribute("textContent"), {})
    assert capsys.readouterr().out.count("event='message'") == 2
    if shutil.which("curl"):
        code = page.find("#curl").get_attribute("textContent")
        done = subprocess.run(["bash", "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout.count('"event":"message"') == 2


def test_an_answer_that_is_stopped(browser: WebDriver, server: LocalDify) -> None:
    page = Page(browser, server, "chat")
    page.ask("/slow 60 3")
    page.until(lambda: page.find(".answer .text").text)
    page.find("#stop").click()
    page.ended()
    assert "Sorry for the delay" not in page.find(".answer .text").text
    assert len(server.stopped) == 1


def test_an_error_is_shown(browser: WebDriver, server: LocalDify) -> None:
    page = Page(browser, server, "chat")
    page.ask("/fail now")
    page.ended()
    assert "the model is down" in page.find(".answer .error").text
    server.fault("status", status=429, path="/chat-messages")
    page = Page(browser, server, "chat")
    page.ask("Hello?")
    page.ended()
    assert page.find(".answer .error").text.startswith("429 rate_limit_error: ")


def test_the_page_needs_nothing_from_elsewhere(server: LocalDify) -> None:
    address = server.base_url.removesuffix("v1")
    shown = httpx.get(address)
    assert shown.headers["content-type"] == "text/html; charset=utf-8"
    assert "http://" not in shown.text
    assert "https://" not in shown.text
    apps = httpx.get(f"{address}apps").json()
    assert [app["name"] for app in apps][:3] == ["report", "review", "chat"]
    assert {app["key"] for app in apps} == set(server.keys.values())
