"""Scripts that run in a process of their own, whose end and whose output count."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap


def run_script(
    head: str, code: str, base_url: str, *, warnings: str = "default"
) -> subprocess.CompletedProcess[str]:
    """Run a script that finds the server's address in `sys.argv[1]`.

    Args:
        head: What scripts have in common.
        code: The rest.
        base_url: The address.
        warnings: As for Python's `-W`.
    """
    script = textwrap.dedent(head) + textwrap.dedent(code)
    return subprocess.run(
        [sys.executable, "-W", warnings, "-c", script, base_url],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "DIFY_API_KEY": "app-x"},
    )
