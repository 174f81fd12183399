"""An agent that picks between two Dify apps as tools, and is a Dify app itself.

Runs offline against local apps. With your own: DIFY_BASE_URL, DIFY_API_KEY (a chat app whose model
follows instructions, as the agent) and DIFY_TOOL_KEYS (keys of the apps to choose
from, with commas between):

    python -m examples.langchain_tools "How many moons has Mars?" "Write a report about Venus"
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from langchain.agents import create_agent
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage

from langchain_dify import ChatDify, DifyToolkit

QUESTIONS = ["How many moons does Mars have? Please chat about it.", "Write a report about Venus."]


@contextmanager
def model_and_tools() -> Iterator[tuple[ChatDify, DifyToolkit]]:
    """Yield your apps, or those of a local server while the block runs."""
    if "DIFY_TOOL_KEYS" in os.environ:
        yield ChatDify(), DifyToolkit.from_apps(os.environ["DIFY_TOOL_KEYS"].split(","))
        return
    from dify_local import LocalDify

    with LocalDify() as server:
        keys = [server.keys["chat"], server.keys["workflow"]]
        toolkit = DifyToolkit.from_apps(keys, base_url=server.base_url)
        yield ChatDify(base_url=server.base_url, api_key=server.keys["planner"]), toolkit


def main() -> None:
    questions = sys.argv[1:] or QUESTIONS
    with model_and_tools() as (model, toolkit):
        print("The tools:")
        for tool in toolkit.get_tools():
            print(f"  {tool.name}({', '.join(tool.args)}): {tool.description}")
        agent = create_agent(model, toolkit.get_tools())
        for question in questions:
            print(f"\nQ: {question}")
            state = agent.invoke({"messages": [HumanMessage(question)]})
            for message in state["messages"]:
                if isinstance(message, AIMessage) and message.tool_calls:
                    for call in message.tool_calls:
                        print(f"   calls {call['name']} with {call['args']}")
                elif isinstance(message, ToolMessage):
                    sources = {d.metadata["source"] for d in message.artifact.documents}
                    print(f"   which answers from {', '.join(sorted(sources)) or 'its outputs'}")
            print(f"A: {state['messages'][-1].text}")


if __name__ == "__main__":
    main()
