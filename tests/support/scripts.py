"""Scripts that run in a process of their own, whose end and whose output count."""

from __future__ import annotations

import subprocess
import textwrap

from tests.support.forking import Framework, run_forked


def run_script(
    head: str,
    code: str,
    base_url: str,
    *,
    warnings: str = "default",
    framework: Framework = "none",
) -> subprocess.CompletedProcess[str]:
    """Run a script that finds the server's address in `sys.argv[1]`.

    Args:
        head: What scripts have in common.
        code: The rest.
        base_url: The address.
        warnings: As for Python's `-W`.
        framework: One that the script uses, imported beforehand.
    """
    script = textwrap.dedent(head) + textwrap.dedent(code)
    variables = {"DIFY_API_KEY": "app-x"}
    return run_forked(framework, script, base_url, warning=warnings, variables=variables)
