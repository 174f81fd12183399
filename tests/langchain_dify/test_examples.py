"""The examples of the chat model, run as a user runs them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.examples import output_of

pytestmark = pytest.mark.slow


def test_chat() -> None:
    output = output_of("langchain_chat")
    first, second = output.strip().split("\n\n")
    assert "274 moons" in first
    assert "[1] saturn.md: Saturn has the most moons" in first
    conversations = re.findall(r"conversation (\S+)", output)
    assert len(conversations) == 2
    assert conversations[0] == conversations[1]
    assert re.search(r"\d+ tokens, 0\.\d+ USD", second)


def test_memory() -> None:
    output = output_of("langchain_memory")
    conversations = re.findall(r"conversation (\S+)", output)
    assert len(conversations) == 2
    assert conversations[0] == conversations[1]


def test_structured_output() -> None:
    output = output_of("langchain_structured_output")
    assert "Planet(name='Saturn', moons=274, kind='gas giant')" in output
    assert "Planet(name='Mars', moons=2, kind='rocky')" in output


def test_files(tmp_path: Path) -> None:
    assert "(with 3 files)" in output_of("langchain_files")
    note = tmp_path / "note.md"
    note.write_text("Titan")
    assert "(with 1 files)" in output_of("langchain_files", str(note))


def test_callbacks() -> None:
    output = output_of("langchain_callbacks")
    assert re.search(r"^llm +ChatDify \(\d+ ms\)\n  chain +workflow", output)
    assert re.search(r"\n    retriever Knowledge Retrieval .* found saturn.md", output)
    assert re.search(r"\n    llm +LLM .* used \d+ tokens", output)
