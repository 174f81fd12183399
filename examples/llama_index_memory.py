"""Conversations that outlive a process, and a session that several machines serve.

    python -m examples.llama_index_memory

Offline against a local app; against yours with DIFY_BASE_URL and DIFY_API_KEY set.
"""

from __future__ import annotations

import asyncio
import json

from llama_index.core.llms import ChatMessage
from llama_index.core.storage.kvstore import SimpleKVStore
from llama_index.core.workflow import (
    Context,
    JsonSerializer,
    StartEvent,
    StopEvent,
    Workflow,
    step,
)

from examples.app import chat_app
from llama_index_dify import Dify, DifyChatEngine, DifySessions, conversation_id

QUESTION = "Which planet has most moons?"
FOLLOW_UP = "And which of those is the largest?"


class Question(StartEvent):
    """What the user says."""

    text: str


class Chat(Workflow):
    """A workflow whose context holds the messages, and with them the conversation."""

    def __init__(self, llm: Dify) -> None:
        super().__init__()
        self.llm = llm

    @step
    async def answer(self, context: Context, question: Question) -> StopEvent:
        """Answer, and keep both in the context."""
        history: list[ChatMessage] = await context.store.get("history", default=[])
        history.append(ChatMessage(question.text))
        response = await self.llm.achat(history)
        await context.store.set("history", [*history, response.message])
        return StopEvent(result=response.message)


async def in_a_context(llm: Dify) -> None:
    chat = Chat(llm)
    context = Context(chat)
    first = await chat.run(start_event=Question(text=QUESTION), ctx=context)
    stored = json.dumps(context.to_dict(serializer=JsonSerializer()))
    print(f"Q: {QUESTION}\nA: {first.content}\n   the context is {len(stored)} bytes of JSON")

    restored = Context.from_dict(chat, json.loads(stored), serializer=JsonSerializer())
    second = await chat.run(start_event=Question(text=FOLLOW_UP), ctx=restored)
    print(f"Q: {FOLLOW_UP}\nA: {second.content}")
    print(f"   the same conversation: {conversation_id(first) == conversation_id(second)}")


async def on_two_machines(llm: Dify) -> None:
    """Two first turns at once: one of them begins the conversation, the other goes on with it."""
    store = SimpleKVStore()  # RedisKVStore, PostgresKVStore, ... in earnest
    here = DifyChatEngine(llm, sessions=DifySessions(store), session_id="ann/42")
    there = DifyChatEngine(llm, sessions=DifySessions(store), session_id="ann/42")
    await asyncio.gather(here.achat("What is Titan?"), there.achat("What is Europa?"))
    history = await here.achat_history()
    questions = [message.content for message in history if message.role == "user"]
    print(f"\nOne session, two machines, one conversation: {', '.join(map(str, questions))}")


async def main() -> None:
    with chat_app() as app:
        llm = Dify(api_key=app.api_key, base_url=app.base_url, user="ann")
        await in_a_context(llm)
        await on_two_machines(llm)


if __name__ == "__main__":
    asyncio.run(main())
