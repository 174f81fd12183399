"""A workflow whose context holds the conversation, also when it is stored as JSON.

    python llama_index_memory.py

Offline against a local app; against yours with DIFY_BASE_URL and DIFY_API_KEY set.
"""

from __future__ import annotations

import asyncio
import json

from llama_index.core.llms import ChatMessage
from llama_index.core.workflow import (
    Context,
    JsonSerializer,
    StartEvent,
    StopEvent,
    Workflow,
    step,
)

from dify_local import app_from_environment
from llama_index_dify import Dify, conversation_id

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


async def main() -> None:
    chat = Chat(Dify(user="ann"))
    context = Context(chat)
    first = await chat.run(start_event=Question(text=QUESTION), ctx=context)
    stored = json.dumps(context.to_dict(serializer=JsonSerializer()))
    print(f"Q: {QUESTION}\nA: {first.content}\n   the context is {len(stored)} bytes of JSON")

    restored = Context.from_dict(chat, json.loads(stored), serializer=JsonSerializer())
    second = await chat.run(start_event=Question(text=FOLLOW_UP), ctx=restored)
    print(f"Q: {FOLLOW_UP}\nA: {second.content}")
    print(f"   the same conversation: {conversation_id(first) == conversation_id(second)}")


if __name__ == "__main__":
    with app_from_environment():
        asyncio.run(main())
