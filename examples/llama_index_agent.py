"""A Dify app as the model of a LlamaIndex agent, and of structured outputs.

    python llama_index_agent.py

Offline against local apps; against yours with DIFY_BASE_URL and DIFY_API_KEY set.
"""

from __future__ import annotations

import asyncio

from llama_index.core.agent.workflow import AgentWorkflow, ToolCallResult
from llama_index.core.prompts import PromptTemplate
from pydantic import BaseModel

from dify_local import app_from_environment
from llama_index_dify import Dify

QUESTION = "What is 6 times 7?"
TEXT = "Saturn has 274 moons and is a gas giant."


def multiply(a: float, b: float) -> float:
    """Multiply two numbers."""
    return a * b


class Planet(BaseModel):
    """A planet."""

    name: str
    moons: int


async def agent() -> None:
    # Agents resend everything at each step, so Dify need not keep their conversation.
    llm = Dify().detached(delete_conversation=True)
    run = AgentWorkflow.from_tools_or_functions([multiply], llm=llm).run(QUESTION)
    print(f"Q: {QUESTION}")
    async for event in run.stream_events():
        if isinstance(event, ToolCallResult):
            print(f"   {event.tool_name}({event.tool_kwargs}) = {event.tool_output.content}")
    print(f"A: {await run}")


async def structured_output() -> None:
    planet = await Dify().astructured_predict(Planet, PromptTemplate("{text}"), text=TEXT)
    print(f"\n{TEXT}\n   {planet!r}")


async def main() -> None:
    await agent()
    await structured_output()


if __name__ == "__main__":
    with app_from_environment("planner"):
        asyncio.run(main())
