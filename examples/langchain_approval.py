"""A workflow app that waits for a person's approval, in a graph that outlives the process.

The app's form interrupts the graph, which is kept in SQLite. A second graph, made from nothing but
the file as after a restart, shows the form and goes on with the same run of the app.

    python langchain_approval.py

Offline against a local app; against a workflow app of yours that asks a human, with DIFY_BASE_URL
and DIFY_API_KEY set.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any, TypedDict

from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import START, StateGraph
from langgraph.types import Command

from dify_local import app_from_environment
from langchain_dify import DifyWorkflow

DRAFT = "/pause Saturn has 274 moons, more than any other planet."  # "/pause": the local app asks
THREAD: Any = {"configurable": {"thread_id": "the report"}}


class Report(TypedDict):
    """A draft, and what becomes of it."""

    draft: str
    published: str


def graph_of(saver: SqliteSaver) -> Any:
    app = DifyWorkflow(user="ann", human_input="interrupt")

    def publish(state: Report) -> dict[str, str]:
        outputs = app.invoke({"text": state["draft"]})
        return {"published": outputs.get("text") or str(outputs)}

    return StateGraph(Report).add_node(publish).add_edge(START, "publish").compile(saver)


def fill(question: dict[str, Any]) -> dict[str, str]:
    """Show a form of texts and choices in the terminal; Enter takes the default."""
    print(f"\n{question['forms'][0]['form_content']}\n")
    values = {}
    for name, field in question["response_schema"]["properties"].items():
        choices = field.get("enum", [])
        default = field.get("default", choices[0] if choices else "")
        among = f" ({', '.join(choices)})" if choices else ""
        print(f"{name}{among} [{default}]: ", end="", flush=True)
        values[name] = sys.stdin.readline().strip() or default
    print()
    return values


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        checkpoints = str(Path(folder, "checkpoints.sqlite"))
        with SqliteSaver.from_conn_string(checkpoints) as saver:
            graph_of(saver).invoke({"draft": DRAFT}, THREAD)
        with SqliteSaver.from_conn_string(checkpoints) as saver:
            graph = graph_of(saver)
            while interrupts := graph.get_state(THREAD).interrupts:
                print(f"waiting for a person: {interrupts[0].value['text']}")
                graph.invoke(Command(resume=fill(interrupts[0].value)), THREAD)
            print(f"published: {graph.get_state(THREAD).values['published']}")


if __name__ == "__main__":
    with app_from_environment("workflow"):
        main()
