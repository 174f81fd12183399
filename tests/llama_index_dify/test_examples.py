"""The examples of chat, memory and agents run offline, say something, and clean up."""

from __future__ import annotations

import pytest

from dify_local import LocalDify
from tests.support.examples import output_of

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("llama_index_chat", ["Titan", "saturn.md", "tokens", "stopped"]),
        ("llama_index_memory", ["Titan", "same conversation: True"]),
        (
            "llama_index_agent_workflow",
            ["[multiply] 42", "[handoff] Agent astronomer", "274 moons", "Titan", "saturn.md"],
        ),
        ("llama_index_agent", ["multiply", "= 42", "Planet(name='Saturn', moons=274)"]),
    ],
)
def test_example(name: str, shown: list[str]) -> None:
    output = output_of(name)
    for text in shown:
        assert text in output


def test_an_approval_across_processes(local: LocalDify) -> None:
    output = output_of(
        "llama_index_approval", DIFY_BASE_URL=local.base_url, DIFY_API_KEY=local.keys["workflow"]
    )
    asked, published = output.split("\npublished: ")
    assert asked.startswith("waiting for a person: Saturn has 274 moons")
    assert "action (approve, reject) [approve]: " in asked
    assert "comment [Looks good.]: " in asked
    assert "Saturn has 274 moons" in published
    assert "Looks good." in published
    assert [r.path.endswith("/workflows/run") for r in local.requests].count(True) == 1


def test_a_session_goes_on_in_another_process(local: LocalDify) -> None:
    output = output_of(
        "llama_index_sessions", DIFY_BASE_URL=local.base_url, DIFY_API_KEY=local.keys["chat"]
    )
    first, second = output.strip().split("\n\n")
    assert "the session has 2 messages" in first
    assert "the session has 4 messages" in second
    conversations = [r.json.get("conversation_id") for r in local.requests if r.json]
    assert conversations[0] is None
    assert conversations[1:] == [first.split()[-1]] == [second.split()[-1]]
