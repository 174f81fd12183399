"""An agent that picks between Dify apps as tools.

    python llama_index_tools.py

Offline, a local app plays the agent's model. With DIFY_BASE_URL and DIFY_API_KEY set, that app
does, and the tools are the apps of DIFY_TOOL_API_KEYS, separated by commas.
"""

from __future__ import annotations

import asyncio
import os

from llama_index.core.agent.workflow import ReActAgent, ToolCall, ToolCallResult

from dify_local import app_from_environment
from llama_index_dify import Dify, DifyToolSpec

QUESTIONS = ["Chat with me about the moons of Saturn.", "Have the agent calculate 146 * 2."]


async def main() -> None:
    spec = DifyToolSpec(os.environ["DIFY_TOOL_API_KEYS"].split(","))
    # The agent resends everything at each step, so Dify need not keep its conversation.
    llm = Dify(memory="client")
    tools = await spec.to_tool_list_async()
    for tool in tools:
        arguments = ", ".join(tool.metadata.get_parameters_dict()["properties"])
        print(f"{tool.metadata.name}({arguments}): {tool.metadata.description}")
    agent = ReActAgent(tools=list(tools), llm=llm)
    for question in QUESTIONS:
        print(f"\nQ: {question}")
        run = agent.run(question)
        async for event in run.stream_events():
            if isinstance(event, ToolCallResult):
                sources = event.tool_output.raw_output.source_nodes
                titles = dict.fromkeys(node.metadata["title"] for node in sources)
                print(f"   which cites {', '.join(titles) or 'nothing'}")
            elif isinstance(event, ToolCall):
                print(f"   calls {event.tool_name}({event.tool_kwargs})")
        print(f"A: {await run}")


if __name__ == "__main__":
    with app_from_environment("planner", tools=["chat", "agent-chat"]):
        asyncio.run(main())
