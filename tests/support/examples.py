"""Runs the examples as a user does: as scripts, in a process of their own."""

from __future__ import annotations

from tests.support.forking import ROOT, run_forked

EXAMPLES = ROOT / "examples"


def output_of(name: str, *arguments: str, typed: str = "", **variables: str) -> str:
    """Run an example and return what it prints; it must end well and print no error.

    Args:
        name: The file, without `.py`.
        arguments: Of the command line.
        typed: What it reads from its input.
        variables: Of the environment, which otherwise names no app.
    """
    done = run_forked(
        "langchain" if name.startswith("langchain") else "llama_index",
        EXAMPLES / f"{name}.py",
        *arguments,
        warning="error::ResourceWarning",
        variables=variables,
        typed=typed,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout
