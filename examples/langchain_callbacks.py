"""Watch a chatflow work: its nodes are runs below the model's run, in any tracer.

Runs offline against a local chatflow, or with DIFY_BASE_URL and DIFY_API_KEY against yours:

    python langchain_callbacks.py "Which planet has the most moons?"
"""

from __future__ import annotations

import sys

from langchain_core.tracers.base import BaseTracer
from langchain_core.tracers.schemas import Run

from dify_local import app_from_environment
from langchain_dify import ChatDify


class TreePrinter(BaseTracer):
    """Prints a tree of runs once its root has ended."""

    def _persist_run(self, run: Run) -> None:
        self.show(run)

    def show(self, run: Run, depth: int = 0) -> None:
        """Print a run and those below it."""
        end = run.end_time or run.start_time
        milliseconds = (end - run.start_time).total_seconds() * 1000
        print(f"{'  ' * depth}{run.run_type:<9} {run.name} ({milliseconds:.0f} ms){detail(run)}")
        for child in run.child_runs:
            self.show(child, depth + 1)


def detail(run: Run) -> str:
    """What is worth reading about a run."""
    outputs = run.outputs or {}
    if run.run_type == "retriever":
        sources = [document.metadata.get("document_name") for document in outputs["documents"]]
        return f" found {', '.join(str(source) for source in sources)}"
    usage = (outputs.get("llm_output") or {}).get("node_usage")
    return f" used {usage['total_tokens']} tokens" if usage else ""


def main() -> None:
    question = " ".join(sys.argv[1:]) or "Which planet has the most moons?"
    answer = ChatDify(user="example").invoke(question, {"callbacks": [TreePrinter()]})
    print(f"\n{answer.text}")


if __name__ == "__main__":
    with app_from_environment("advanced-chat"):
        main()
