"""An agent whose conversation outlives the process: its checkpoints are in SQLite.

Dify keeps what was said; the checkpoint keeps the messages, and with them the conversation's id.
Here a second agent, made from nothing but the file, goes on where the first stopped.

Runs offline against a local app, or with DIFY_BASE_URL and DIFY_API_KEY against yours:

    python langchain_memory.py
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from langchain.agents import create_agent
from langgraph.checkpoint.sqlite import SqliteSaver

from dify_local import app_from_environment
from langchain_dify import ChatDify

THREAD = {"configurable": {"thread_id": "ann's planets"}}


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        checkpoints = str(Path(folder, "checkpoints.sqlite"))
        for question in ("Which planet has the most moons?", "And which of those is the largest?"):
            with SqliteSaver.from_conn_string(checkpoints) as saver:
                agent = create_agent(ChatDify(user="ann"), [], checkpointer=saver)
                state = agent.invoke({"messages": [("user", question)]}, THREAD)
            answer = state["messages"][-1]
            print(f"Q: {question}\nA: {answer.text}")
            print(f"   conversation {answer.response_metadata['conversation_id']}\n")


if __name__ == "__main__":
    with app_from_environment():
        main()
