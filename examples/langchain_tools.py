"""An agent that picks between two Dify apps as tools, and is a Dify app itself.

Runs offline against local apps. With your own: DIFY_BASE_URL, DIFY_API_KEY (a chat app whose model
follows instructions, as the agent) and DIFY_TOOL_API_KEYS (keys of the apps to choose from, with
commas between):

    python langchain_tools.py "How many moons has Mars?" "Write a report about Venus"
"""

from __future__ import annotations

import os
import sys

from langchain.agents import create_agent
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage

from dify_local import app_from_environment
from langchain_dify import ChatDify, DifyToolkit

QUESTIONS = ["How many moons does Mars have? Please chat about it.", "Write a report about Venus."]


def main() -> None:
    questions = sys.argv[1:] or QUESTIONS
    tools = DifyToolkit.from_apps(os.environ["DIFY_TOOL_API_KEYS"].split(",")).get_tools()
    print("The tools:")
    for tool in tools:
        print(f"  {tool.name}({', '.join(tool.args)}): {tool.description}")
    agent = create_agent(ChatDify(), tools)
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
    with app_from_environment("planner", tools=["chat", "workflow"]):
        main()
