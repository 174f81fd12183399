"""A chatflow's answer as LangSmith gets it.

Runs offline: LangSmith's client sends to a local collector. Against LangSmith itself all that is
needed is LANGSMITH_TRACING=true and LANGSMITH_API_KEY.
"""

from __future__ import annotations

import sys
from typing import Any

from langchain_core.tracers.langchain import LangChainTracer
from langsmith import Client

from dify_local import app_from_environment
from langchain_dify import ChatDify


class Collector(Client):
    """Keeps what would be sent."""

    received: dict[str, dict[str, Any]]

    def __init__(self) -> None:
        super().__init__(api_url="http://127.0.0.1:9", api_key="local", auto_batch_tracing=False)
        self.received = {}

    def create_run(self, name: str, inputs: dict[str, Any], run_type: Any, **fields: Any) -> None:
        """A run begins."""
        self.received[str(fields["id"])] = {"name": name, "run_type": run_type, **fields}

    def update_run(self, run_id: Any, **fields: Any) -> None:
        """A run ends."""
        self.received[str(run_id)].update(fields)


def main() -> None:
    question = " ".join(sys.argv[1:]) or "Which planet has the most moons?"
    collector = Collector()
    model = ChatDify(user="example", model_name="planets")
    config: Any = {"callbacks": [LangChainTracer(client=collector)]}
    print(model.invoke(question, config).text)
    print(f"\n{'run':<22} {'type':<10} {'tokens':>6} {'USD':>10}  thread")
    for run in collector.received.values():
        told = (run.get("extra") or {}).get("metadata") or {}
        usage = told.get("usage_metadata") or {}
        tokens, cost = usage.get("total_tokens", ""), usage.get("total_cost", "")
        thread = told.get("conversation_id") or ""
        print(f"{run['name']:<22} {run['run_type']:<10} {tokens!s:>6} {cost!s:>10}  {thread}")


if __name__ == "__main__":
    with app_from_environment("advanced-chat"):
        main()
