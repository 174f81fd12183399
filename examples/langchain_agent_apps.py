"""An agent that picks between Dify apps, each of which remembers what it was asked in the thread.

The apps are tools. With conversation="thread" the calls of one thread go on with one conversation
of the app, each end user's with their own; the tools' own messages keep it.

Runs offline against local apps. With your own: DIFY_BASE_URL, DIFY_API_KEY (a chat app whose model
follows instructions, as the agent) and DIFY_TOOL_API_KEYS (keys of the apps to choose from, with
commas between):

    python langchain_agent_apps.py
"""

from __future__ import annotations

import os
from typing import Any

from langchain.agents import create_agent
from langchain_core.messages import HumanMessage, ToolMessage
from langgraph.checkpoint.memory import InMemorySaver

from dify_local import app_from_environment
from langchain_dify import ChatDify, DifyToolkit

QUESTIONS = [
    "Please chat about the moons of Mars.",
    "Write a report about Venus.",
    "Please chat about the rings of Saturn.",
]


def main() -> None:
    keys = os.environ["DIFY_TOOL_API_KEYS"].split(",")
    tools = DifyToolkit.from_apps(keys, conversation="thread").get_tools()
    # The agent's own conversation is resent each time, so that only the apps remember.
    agent = create_agent(ChatDify(memory="client"), tools, checkpointer=InMemorySaver())
    for user in ("ann", "bob"):
        thread: Any = {"configurable": {"thread_id": user, "dify_user": user}}
        for question in QUESTIONS:
            state = agent.invoke({"messages": [HumanMessage(question)]}, thread)
            result = [m for m in state["messages"] if isinstance(m, ToolMessage)][-1]
            print(f"{user}: {question}")
            print(f"  asked {result.name}")
            if conversation := result.response_metadata.get("conversation_id"):
                print(f"  in conversation {conversation}")
            print(f"  {state['messages'][-1].text}\n")


if __name__ == "__main__":
    with app_from_environment("planner", tools=["chat", "workflow"]):
        main()
