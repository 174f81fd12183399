"""A session that outlives its process: LlamaIndex's `Memory` keeps the messages in SQLite.

    python llama_index_sessions.py

One process asks, a second one follows up. The messages tell which conversation they belong to, so
it goes on where the first one stopped. Any database of SQLAlchemy's will do.

Offline against a local app; against yours with DIFY_BASE_URL and DIFY_API_KEY set.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
from pathlib import Path

from llama_index.core.memory import Memory
from sqlalchemy.ext.asyncio import create_async_engine

from dify_local import app_from_environment
from llama_index_dify import Dify, DifyChatEngine

SESSION = "ann/42"
QUESTIONS = ["Which planet has most moons?", "And which of those is the largest?"]


async def ask(database: str, question: str) -> None:
    """Take one turn of the session."""
    connections = create_async_engine(f"sqlite+aiosqlite:///{database}")
    memory = Memory.from_defaults(session_id=SESSION, async_engine=connections)
    engine = DifyChatEngine(Dify(user="ann"), memory=memory)
    response = await engine.achat(question)
    print(f"Q: {question}\nA: {response}")
    print(f"   the session has {len(await engine.achat_history())} messages", end=", ")
    print(f"conversation {(response.metadata or {})['conversation_id']}\n")
    await connections.dispose()


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        database = str(Path(folder, "sessions.sqlite"))
        asyncio.run(ask(database, QUESTIONS[0]))
        another_process = [sys.executable, __file__, database, QUESTIONS[1]]
        print(subprocess.check_output(another_process, text=True), end="")


if __name__ == "__main__":
    if len(sys.argv) > 1:  # the other process
        asyncio.run(ask(*sys.argv[1:]))
    else:
        with app_from_environment():
            main()
