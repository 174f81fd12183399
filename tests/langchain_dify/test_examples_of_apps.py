"""The examples of workflows, tools and retrievers, run as a user runs them."""

from __future__ import annotations

import pytest

from tests.support.cassettes import exchange
from tests.support.examples import output_of
from tests.support.recorded_app import form_of, recorded_app


def test_tools() -> None:
    output = output_of("langchain_tools")
    assert "Solar_System_Chat(query)" in output
    chat, report = output.split("\nQ: ")[1:]
    assert "calls Solar_System_Chat with {'query': " in chat
    assert "which answers from mars.md" in chat
    assert "Phobos and Deimos" in chat
    assert "calls Solar_System_Report with {'text': " in report
    assert "Venus" in report.split("\nA: ")[1]


@pytest.mark.parametrize("topic", ["The moons of Mars", "The rings of Saturn"])
def test_workflow(topic: str) -> None:
    output = output_of("langchain_workflow", f"text={topic}", "style=formal", "count=2")
    assert "style (optional): Style." in output
    assert "Refused before the request: misspelt: Extra inputs are not permitted" in output
    assert output.count("[node_started]") == output.count("[node_finished]") == 4
    assert topic.split()[-1] in output.split("The outputs:")[1]


@pytest.mark.parametrize("release", ["0.15.3", "1.16.0"])
def test_workflow_reads_the_form_of_any_app(release: str) -> None:
    recorded = exchange(f"dify-{release}/parameters_workflow")
    with recorded_app(recorded) as server:
        output = output_of(
            "langchain_workflow", DIFY_BASE_URL=server.base_url, DIFY_API_KEY="app-recorded"
        )
        inputs = server.requests[-1].json["inputs"]
    required = [c["variable"] for _, c in form_of(recorded) if c.get("required")]
    assert all(inputs[name] for name in required)
    assert "The outputs:\n  " in output


def test_retriever() -> None:
    output = output_of("langchain_retriever", "Which planets have rings?")
    assert output.startswith("Which planets have rings?\n\n  0.")
    assert "saturn.md" in output
    assert "[1] " in output
    assert "[2] " not in output


def test_ingest() -> None:
    first, _, second, _, third, last = output_of("langchain_ingest").splitlines()
    assert first == "added: 3 updated: 0 skipped: 0 deleted: 0"
    assert second == "added: 0 updated: 0 skipped: 3 deleted: 0"
    assert third == "added: 1 updated: 0 skipped: 1 deleted: 2"
    assert last.endswith("Saturn has 274 moons, since 2025. (saturn.md)")
