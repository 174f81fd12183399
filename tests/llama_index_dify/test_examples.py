"""The examples of chat, memory and agents run offline, say something, and clean up."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("llama_index_chat", ["Titan", "saturn.md", "tokens", "stopped"]),
        ("llama_index_memory", ["Titan", "same conversation: True", "What is Titan?"]),
        ("llama_index_agent", ["multiply", "= 42", "Planet(name='Saturn', moons=274)"]),
    ],
)
def test_example(name: str, shown: list[str]) -> None:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("DIFY_")}
    done = subprocess.run(
        [sys.executable, "-W", "error::ResourceWarning", "-m", f"examples.{name}"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "ResourceWarning" not in done.stderr
    for text in shown:
        assert text in done.stdout
