"""Runs scripts as `python SCRIPT` does, in forks of a process that has imported modules already.

`python -m tests.support.forking MODULES...` reads a request a line, `_become`'s arguments as JSON,
and answers it with the script's exit code.
"""

from __future__ import annotations

import importlib
import json
import os
import runpy
import signal
import sys
import threading
from pathlib import Path

_LIMIT = 120  # seconds that a script may take


def main() -> None:
    for name in sys.argv[1:]:
        importlib.import_module(name)
    assert threading.active_count() == 1, "a process with threads cannot be forked safely"
    for line in sys.stdin:
        child = os.fork()
        if not child:
            _become(**json.loads(line))
            return  # from here on it ends as any process does
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def _become(
    script: str, arguments: list[str], variables: dict[str, str], output: str, errors: str
) -> None:
    signal.alarm(_LIMIT)
    for descriptor, path in enumerate([os.devnull, output, errors]):
        file = os.open(path, os.O_RDWR | os.O_CREAT)
        os.dup2(file, descriptor)
        os.close(file)
    os.environ.update(variables)
    sys.argv = [script, *arguments]
    sys.path[0] = str(Path(script).parent)
    runpy.run_path(script, run_name="__main__")


if __name__ == "__main__":
    main()
