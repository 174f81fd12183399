"""The commands of docs/batches.md, run against the local server; and the examples."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from dify_batch._command import main
from tests.batch.server import FaultyDify
from tests.support.examples import output_of
from tests.support.forking import ROOT, run_forked

pytestmark = pytest.mark.slow

DOCS = (ROOT / "docs/batches.md").read_text()


@pytest.fixture(autouse=True)
def environment(server: FaultyDify, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DIFY_BASE_URL", server.base_url)
    monkeypatch.setenv("DIFY_API_KEY", server.keys["chat"])
    Path("questions.csv").write_text("question\nWhich planet is the largest?\n/echo two\n")


def test_the_commands_run() -> None:
    commands = re.findall(r"^\$ dify-batch (.*)$", DOCS, re.M)
    assert len(commands) == 3
    for command in commands:
        assert main(shlex.split(command)) == 0


def test_batch_questions() -> None:
    output = output_of("batch_questions")
    assert re.search(r"^[1-6] of 7 rows done, 0 of them before; .*stopped by: price", output)
    assert re.search(r"^7 of 7 rows done, [1-6] of them before", output, re.M)
    assert "Mars has two moons" in output


def test_langchain_evaluation() -> None:
    done = run_forked("langchain", ROOT / "examples/langchain_evaluation.py")
    assert done.returncode == 0, done.stderr  # where LangSmith shows its own progress
    assert done.stdout.count("'correct': True") == 3
    assert done.stdout.count("'grounded': 0.") == 3


def test_llama_index_evaluation() -> None:
    output = output_of("llama_index_evaluation")
    assert output.count("correct 1.0, grounded 0.") == 3
