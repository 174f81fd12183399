"""An agent that picks between Dify apps as tools.

    python -m examples.llama_index_tools

Offline, a local app plays the agent's model. With DIFY_BASE_URL and DIFY_API_KEY set, that app
does, and the tools are the apps of DIFY_TOOL_API_KEYS, separated by commas.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager

from llama_index.core.agent.workflow import ReActAgent, ToolCall, ToolCallResult

from llama_index_dify import Dify, DifyToolSpec

QUESTIONS = ["Which moons does Saturn have?", "What is 146 * 2?"]


@contextmanager
def model_and_tools() -> Iterator[tuple[Dify, DifyToolSpec]]:
    """Yield the agent's model and the apps that it may call."""
    # The agent resends everything at each step, so Dify need not keep its conversation.
    if os.environ.get("DIFY_API_KEY"):
        keys = os.environ["DIFY_TOOL_API_KEYS"].split(",")
        yield Dify(memory="client"), DifyToolSpec(keys)
        return
    from dify_local import LocalDify

    with LocalDify() as server:
        url, keys_of = server.base_url, server.keys
        yield (
            Dify(api_key=keys_of["planner"], base_url=url, memory="client"),
            DifyToolSpec(
                {"moons_and_planets": keys_of["chat"], "calculate": keys_of["agent-chat"]},
                base_url=url,
            ),
        )


async def main() -> None:
    with model_and_tools() as (llm, spec):
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
    asyncio.run(main())
