"""Runs the examples as a user does: as scripts, in a process of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"


def output_of(name: str, *arguments: str, **variables: str) -> str:
    """Run an example and return what it prints; it must end well and print no error.

    Args:
        name: The file, without `.py`.
        arguments: Of the command line.
        variables: Of the environment, which otherwise names no app.
    """
    environment = {name: value for name, value in os.environ.items() if "DIFY" not in name}
    done = subprocess.run(
        [sys.executable, "-W", "error::ResourceWarning", EXAMPLES / f"{name}.py", *arguments],
        env={**environment, **variables, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout
