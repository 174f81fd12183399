"""One turn of a chat engine: what it asks with, and what it leaves in memory."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.memory import BaseMemory

from dify_api import chat
from dify_api.answers.answer import Answer
from dify_api.errors import DifyError
from llama_index_dify._answers.records import Origin
from llama_index_dify._answers.responses import answer_message
from llama_index_dify.model import Dify


@dataclass
class ChatTurn:
    """A turn that has begun.

    Attributes:
        llm: The model that answers.
        memory: Where question and answer go once the answer has ended or was stopped.
        question: What the user says.
        user: The end user.
    """

    llm: Dify
    memory: BaseMemory
    question: ChatMessage
    user: str

    def end(self, answer: ChatMessage | None) -> None:
        """End the turn; one without an answer (it failed) leaves nothing in memory."""
        if answer is not None:
            self.memory.put_messages([self.question, answer])

    async def aend(self, answer: ChatMessage | None) -> None:
        """`end` for asyncio."""
        if answer is not None:
            await self.memory.aput_messages([self.question, answer])

    def partial(self, text: str, ids: Mapping[str, Any]) -> ChatMessage | None:
        """What came of an answer that was stopped; None where nothing did."""
        if not ids:
            return None
        origin = Origin(self.llm.app, self.user, self.llm.base_url)
        return answer_message(Answer(text=text, **ids), text, origin)

    def stop(self, task_id: str) -> None:
        """Stop the app, best effort."""
        with contextlib.suppress(DifyError):
            self.llm.client.send(chat.stop(task_id, user=self.user))

    async def astop(self, task_id: str) -> None:
        """`stop` for asyncio."""
        with contextlib.suppress(DifyError):
            await self.llm.async_client.send(chat.stop(task_id, user=self.user))
