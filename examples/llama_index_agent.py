"""A Dify app as the model of a LlamaIndex agent, and of structured outputs.

    python -m examples.llama_index_agent

Offline against local apps; against yours with DIFY_BASE_URL and DIFY_API_KEY set.
"""

from __future__ import annotations

import asyncio
import os

from llama_index.core.agent.workflow import AgentWorkflow, ToolCallResult
from llama_index.core.prompts import PromptTemplate
from pydantic import BaseModel

from examples.app import chat_app
from llama_index_dify import Dify

QUESTION = "What is 6 times 7?"


def multiply(a: float, b: float) -> float:
    """Multiply two numbers."""
    return a * b


class Planet(BaseModel):
    """A planet."""

    name: str
    moons: int


async def agent() -> None:
    with chat_app("planner") as app:
        # Agents resend everything at each step, so Dify need not keep their conversation.
        llm = Dify(api_key=app.api_key, base_url=app.base_url, memory="client")
        run = AgentWorkflow.from_tools_or_functions([multiply], llm=llm).run(QUESTION)
        print(f"Q: {QUESTION}")
        async for event in run.stream_events():
            if isinstance(event, ToolCallResult):
                print(f"   {event.tool_name}({event.tool_kwargs}) = {event.tool_output.content}")
        print(f"A: {await run}")


async def structured_output() -> None:
    with chat_app() as app:
        llm = Dify(api_key=app.api_key, base_url=app.base_url)
        question = "Which planet has most moons?"
        if "DIFY_API_KEY" not in os.environ:  # the local app is no model: tell it what to say
            question = '/json {"name": "Saturn", "moons": 274}'
        planet = await llm.astructured_predict(Planet, PromptTemplate("{q}"), q=question)
        print(f"\n{planet!r}")


async def main() -> None:
    await agent()
    await structured_output()


if __name__ == "__main__":
    asyncio.run(main())
