"""The examples of workflows, tools and retrievers, run as a user runs them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def output_of(example: str, *arguments: str) -> str:
    environment = {name: value for name, value in os.environ.items() if "DIFY" not in name}
    result = subprocess.run(
        [sys.executable, "-W", "error::ResourceWarning", "-m", f"examples.{example}", *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    return result.stdout


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
    output = output_of("langchain_workflow", topic)
    assert "style: Style." in output
    assert "Refused before the request: Input should be 'formal' or 'casual'" in output
    assert output.count("[node_started]") == output.count("[node_finished]") == 4
    assert topic.split()[-1] in output.splitlines()[-1]


def test_retriever() -> None:
    output = output_of("langchain_retriever", "Which planets have rings?")
    assert output.startswith("Which planets have rings?\n\n  0.")
    assert "saturn.md" in output
    assert "[1] " in output
    assert "[2] " not in output
