"""Dify apps as agents of an `AgentWorkflow`: a front desk that calculates, or hands over.

    python llama_index_agent_workflow.py

Offline against local apps; against yours with DIFY_BASE_URL set, DIFY_API_KEY for the front desk
and DIFY_TOOL_API_KEYS for the app that it hands over to.
"""

from __future__ import annotations

import asyncio
import os
import warnings
from typing import Any

from llama_index.core.agent.workflow import AgentStream, AgentWorkflow, ToolCallResult
from llama_index.core.workflow import Context

from dify_local import app_from_environment
from llama_index_dify import Dify, DifyAgent, source_nodes

QUESTIONS = [
    "What is 6 times 7?",
    "Which planet has the most moons?",
    "And which of those is the largest?",
]


def multiply(a: float, b: float) -> float:
    """Multiply two numbers."""
    return a * b


def agents() -> AgentWorkflow:
    desk = DifyAgent(
        Dify(),
        name="desk",
        description="Greets people, and multiplies numbers.",
        tools=[multiply],
    )
    astronomer = DifyAgent(
        Dify(api_key=os.environ["DIFY_TOOL_API_KEYS"].split(",")[0]),
        name="astronomer",
        description="Knows every planet and which moons it has.",
        can_handoff_to=[],
    )
    return AgentWorkflow(agents=[desk, astronomer], root_agent="desk")


async def ask(workflow: AgentWorkflow, context: Context[Any], question: str) -> None:
    print(f"Q: {question}")
    run = workflow.run(question, ctx=context)
    speaker = None
    async for event in run.stream_events():
        if isinstance(event, ToolCallResult):
            print(f"   [{event.tool_name}] {event.tool_output.content.splitlines()[0]}")
        if isinstance(event, AgentStream) and event.delta:
            if event.current_agent_name != speaker:
                speaker = event.current_agent_name
                print(f"{speaker}: ", end="")
            print(event.delta, end="", flush=True)
    titles = dict.fromkeys(node.metadata["title"] for node in source_nodes(await run))
    print(f"\n   from {', '.join(titles)}\n" if titles else "\n")


async def main() -> None:
    # With some releases of pydantic the memory is lost between runs; conversations are not.
    warnings.filterwarnings("ignore", "Skipping serialization of known unserializable key: memory")
    workflow = agents()
    context: Context[Any] = Context(workflow)  # holds a conversation with each app
    await context.store.set("dify_user", "ann")
    for question in QUESTIONS:
        await ask(workflow, context, question)


if __name__ == "__main__":
    with app_from_environment("planner", tools=["chat"]):
        asyncio.run(main())
