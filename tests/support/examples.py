"""Runs the examples as a user does: as scripts, in a process of their own.

The frameworks take seconds to import. So a process for each, `tests.support.forking`, has imported
it, and a fork of that runs the example; what the project is made of is imported anew each time.
"""

from __future__ import annotations

import atexit
import json
import os
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"

_FRAMEWORKS = {
    "langchain": ["langchain.agents", "langgraph.checkpoint.sqlite"],
    "llama": ["llama_index.core"],
}


def output_of(name: str, *arguments: str, **variables: str) -> str:
    """Run an example and return what it prints; it must end well and print no error.

    Args:
        name: The file, without `.py`.
        arguments: Of the command line.
        variables: Of the environment, which otherwise names no app.
    """
    forking = _forking(name.split("_")[0])
    assert forking.stdin is not None
    assert forking.stdout is not None
    with tempfile.TemporaryDirectory() as folder:
        output, errors = Path(folder, "output"), Path(folder, "errors")
        request = {
            "script": str(EXAMPLES / f"{name}.py"),
            "arguments": arguments,
            "variables": variables,
            "output": str(output),
            "errors": str(errors),
        }
        print(json.dumps(request), file=forking.stdin, flush=True)
        code = int(forking.stdout.readline())
        assert (code, errors.read_text()) == (0, "")
        return output.read_text()


@cache
def _forking(framework: str) -> subprocess.Popen[str]:
    environment = {name: value for name, value in os.environ.items() if "DIFY" not in name}
    options = ["-W", "error::ResourceWarning", "-m", "tests.support.forking"]
    process = subprocess.Popen(
        [sys.executable, *options, *_FRAMEWORKS[framework], "starlette.applications", "uvicorn"],
        cwd=ROOT,
        env={**environment, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    atexit.register(process.communicate)  # closes its input, which ends it
    return process
