"""Runs scripts as `python SCRIPT` does, each in a process of its own.

Frameworks take seconds to import, and the project a second. So one process for each framework has
imported both, and a fork of that runs a script.
"""

from __future__ import annotations

import atexit
import builtins
import importlib
import json
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import threading
import warnings
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Literal

ROOT = Path(__file__).parents[2]

Framework = Literal["none", "langchain", "llama_index"]

_SERVER = ["starlette.applications", "uvicorn"]
_IMPORTED: dict[Framework, list[str]] = {
    "none": ["dify_api"],
    "langchain": [
        "langchain.agents",
        "langgraph.checkpoint.sqlite",
        "langchain_dify",
        "langchain_dify._calls.chat_running",  # which the first call imports
        *_SERVER,
    ],
    "llama_index": [
        "llama_index.core",
        "llama_index_dify",
        "llama_index_dify._calls.running",
        *_SERVER,
    ],
}
_LIMIT = 120  # seconds that a script may take


def run_forked(
    framework: Framework,
    script: Path | str,
    *arguments: str,
    warning: str = "default",
    variables: Mapping[str, str] | None = None,
    typed: str = "",
) -> subprocess.CompletedProcess[str]:
    """Run a script.

    Args:
        framework: The one that the process has imported.
        script: Its file, or its text.
        arguments: Of the command line.
        warning: As for Python's `-W`: an action, or `ACTION::CATEGORY`.
        variables: Of the environment, which otherwise names no app.
        typed: What it reads from its input.
    """
    process = _process(framework)
    assert process.stdin is not None
    assert process.stdout is not None
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "script.py") if isinstance(script, str) else script
        if isinstance(script, str):
            file.write_text(script)
        output, errors, given = (Path(folder, name) for name in ("output", "errors", "input"))
        given.write_text(typed)
        request = {
            "script": str(file),
            "arguments": arguments,
            "warning": warning,
            "variables": dict(variables or {}),
            "given": str(given),
            "output": str(output),
            "errors": str(errors),
        }
        print(json.dumps(request), file=process.stdin, flush=True)
        code = int(process.stdout.readline())
        command = [str(script), *arguments]
        return subprocess.CompletedProcess(command, code, output.read_text(), errors.read_text())


@cache
def _process(framework: Framework) -> subprocess.Popen[str]:
    environment = {name: value for name, value in os.environ.items() if "DIFY" not in name}
    process = subprocess.Popen(
        [sys.executable, "-m", __name__, *_IMPORTED[framework]],
        cwd=ROOT,
        env={**environment, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    atexit.register(process.communicate)  # closes its input, which ends it
    return process


def main() -> None:
    """Import the modules named, then run a script for each line of input; answer its exit code."""
    for name in sys.argv[1:]:
        module = importlib.import_module(name)
        for public in getattr(module, "__all__", []) if name.endswith("_dify") else []:
            getattr(module, public)  # is imported when it is asked for
    assert threading.active_count() == 1, "a process with threads cannot be forked safely"
    for line in sys.stdin:
        child = os.fork()
        if not child:
            _become(**json.loads(line))
            return  # from here on it ends as any process does
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def _become(
    script: str,
    arguments: list[str],
    warning: str,
    variables: dict[str, str],
    given: str,
    output: str,
    errors: str,
) -> None:
    signal.alarm(_LIMIT)
    for descriptor, path in enumerate([given, output, errors]):
        file = os.open(path, os.O_RDWR | os.O_CREAT)
        os.dup2(file, descriptor)
        os.close(file)
    action, _, category = warning.partition("::")
    warnings.filterwarnings(action, category=getattr(builtins, category or "Warning"))
    os.environ.update(variables)
    sys.argv = [script, *arguments]
    sys.path[0] = str(Path(script).parent)
    runpy.run_path(script, run_name="__main__")


if __name__ == "__main__":
    main()
