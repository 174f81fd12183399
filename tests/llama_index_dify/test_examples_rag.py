"""The examples of query engine, retriever, router and tools run offline and clean up."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]


def _run(name: str) -> str:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("DIFY_")}
    done = subprocess.run(
        [sys.executable, "-W", "error::ResourceWarning", "-m", f"examples.{name}"],
        cwd=_ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "llama_index_query_engine",
            ["A: According to the document on Saturn", "0.66  saturn.md", "tokens"],
        ),
        (
            "llama_index_retriever",
            ["Full text\n  0.63  earth.md", "Keywords\n     -  earth.md", "fused by rank\n  0.03"],
        ),
        (
            "llama_index_router",
            ["-> planets", "274 moons", "from saturn.md", "-> notes", "at 20:00", "from notes"],
        ),
        (
            "llama_index_tools",
            ["calls moons_and_planets(", "which cites saturn.md", "calls calculate(", "= 292"],
        ),
    ],
)
def test_example(name: str, expected: list[str]) -> None:
    output = _run(name)
    for text in expected:
        assert text in output
