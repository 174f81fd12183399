"""The examples of workflows, tools and retrievers, run as a user runs them."""

from __future__ import annotations

import pytest

from tests.langchain_dify.support import needs_interrupts
from tests.support.cassettes import exchange
from tests.support.examples import output_of
from tests.support.recorded_app import form_of, recorded_app

pytestmark = pytest.mark.slow


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


@needs_interrupts
@pytest.mark.parametrize(("button", "said"), [("", "Approve"), ("reject", "Reject")])
def test_approval(button: str, said: str) -> None:
    output = output_of("langchain_approval", typed=f"Well done.\n{button}\n")
    assert "waiting for a person: Saturn has 274 moons" in output
    assert "Please review: Saturn has 274 moons" in output
    assert "action (approve, reject) [approve]: " in output
    assert output.endswith(f"more than any other planet.\n{said}: Well done.\n")


def test_agent_apps() -> None:
    ann, bob = output_of("langchain_agent_apps").split("bob: ", 1)
    conversations = [
        [line for line in told.splitlines() if "in conversation" in line] for told in (ann, bob)
    ]
    assert [len(lines) for lines in conversations] == [2, 2]
    assert [len(set(lines)) for lines in conversations] == [1, 1]
    assert conversations[0][0] != conversations[1][0]
    assert ann.count("asked Solar_System_Chat") == 2
    assert ann.count("asked Solar_System_Report") == 1
    assert "Mars has two moons, Phobos and Deimos." in ann


def test_supervisor() -> None:
    turns = output_of("langchain_supervisor").strip().split("\n\n")
    names = [turn.splitlines()[1].partition(":")[0] for turn in turns]
    assert names == ["librarian", "analyst", "guide", "librarian"]
    first, second, third, fourth = [turn.rpartition(" ")[2] for turn in turns]
    assert first == fourth
    assert len({first, second, third}) == 3
    assert "274 - 146 = 128" in turns[1]


def test_rag_chain() -> None:
    passages, answer = output_of("langchain_rag_chain").split("\nA: ")
    assert "[1] saturn.md: Saturn" in passages
    assert "rings" in answer


def test_parallel() -> None:
    output = output_of("langchain_parallel", "the rings of Saturn")
    assert "in pieces: chat, chatflow, report\n" in output
    for name in ("chat:     ", "chatflow: ", "report:   "):
        assert f"\n{name}According to the document on Saturn" in output
    assert "the day of Venus: According to the document on Venus" in output
