"""A supervisor over three Dify apps, with checkpoints in SQLite: the thread outlives the process.

The supervisor is an app, too: it says as JSON which app is to answer. Each app goes on with its own
conversation, which its answers in the thread's messages name.

Runs offline against local apps. With your own: DIFY_BASE_URL, DIFY_API_KEY (a chat app whose model
follows instructions, as the supervisor) and DIFY_TOOL_API_KEYS (keys of three apps that chat, with
commas between):

    python langchain_supervisor.py
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import Command
from pydantic import BaseModel

from dify_local import app_from_environment
from langchain_dify import ChatDify

THREAD: Any = {"configurable": {"thread_id": "ann's planets"}}
QUESTIONS = [
    "Ask the librarian: which planet has the most moons?",
    "Ask the analyst: what is 274 - 146?",
    "Ask the guide: how long is a day on Mars?",
    "Ask the librarian: and which planets have rings?",
]
App = Literal["librarian", "guide", "analyst"]


class Route(BaseModel):
    """Which app is to answer: the librarian, the guide or the analyst."""

    app: App


def graph_of(saver: SqliteSaver) -> Any:
    # Side jobs: the supervisor's answers belong to no conversation.
    supervisor = ChatDify().detached().with_structured_output(Route)
    keys = os.environ["DIFY_TOOL_API_KEYS"].split(",")
    if len(keys) != 3:
        sys.exit("DIFY_TOOL_API_KEYS: give three keys, of the librarian, the guide and the analyst")
    apps = dict(zip(("librarian", "guide", "analyst"), keys, strict=True))

    def supervise(state: MessagesState) -> Command[App]:
        route = supervisor.invoke(state["messages"][-1:])
        assert isinstance(route, Route)
        return Command(goto=route.app)

    def node(name: str, key: str) -> Any:
        app = ChatDify(api_key=key, user="ann")

        def answer(state: MessagesState) -> dict[str, list[BaseMessage]]:
            told = own(state["messages"], name)
            return {"messages": [app.invoke(told).model_copy(update={"name": name})]}

        return answer

    graph = StateGraph(MessagesState).add_node(supervise).add_edge(START, "supervise")
    for name, key in apps.items():
        graph.add_node(name, node(name, key))
    return graph.compile(saver)


def own(messages: Sequence[BaseMessage], name: str) -> list[BaseMessage]:
    """What an app answered before, and the newest question: it goes on with its conversation."""
    answers: list[BaseMessage] = [
        m for m in messages if isinstance(m, AIMessage) and m.name == name
    ]
    newest = HumanMessage(messages[-1].text.partition(": ")[2] or messages[-1].text)
    return [*answers[-1:], newest]


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        checkpoints = str(Path(folder, "checkpoints.sqlite"))
        for question in QUESTIONS:  # each as after a restart
            with SqliteSaver.from_conn_string(checkpoints) as saver:
                state = graph_of(saver).invoke({"messages": [("user", question)]}, THREAD)
            answer = state["messages"][-1]
            print(f"Q: {question}\n{answer.name}: {answer.text}")
            print(f"  conversation {answer.response_metadata['conversation_id']}\n")


if __name__ == "__main__":
    with app_from_environment("planner", tools=["chat", "advanced-chat", "agent-chat"]):
        main()
