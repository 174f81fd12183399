"""One turn of a chat engine: what it asks with, and what it leaves in memory."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.memory import BaseMemory

from dify_api import chat
from dify_api._calls.input_message import marks
from dify_api.answers.answer import Answer
from dify_api.errors import DifyError
from llama_index_dify._answers.records import Origin, conversation_id
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
        answered_in: Told the conversation in which the answer stands.
    """

    llm: Dify
    memory: BaseMemory
    question: ChatMessage
    user: str
    answered_in: Callable[[str], None] | None = None

    def end(self, answer: ChatMessage | None) -> None:
        """End the turn; one without an answer (it failed) leaves nothing in memory."""
        if answer is not None:
            self.memory.put_messages([self.question, answer])
            self._tell(answer)

    async def aend(self, answer: ChatMessage | None) -> None:
        """`end` for asyncio."""
        if answer is not None:
            await self.memory.aput_messages([self.question, answer])
            self._tell(answer)

    def _tell(self, answer: ChatMessage) -> None:
        stands_in = conversation_id(answer)
        if stands_in is not None and self.answered_in is not None:
            self.answered_in(stands_in)

    def partial(self, text: str, ids: Mapping[str, Any]) -> ChatMessage | None:
        """What came of an answer that was stopped; None where nothing did."""
        if not ids:
            return None
        known = marks(self.llm.app, self.user) if self.llm.memory != "none" else {}
        return answer_message(Answer(text=text, **ids), text, Origin(known, self.llm.base_url))

    def stop(self, task_id: str) -> None:
        """Stop the app, best effort."""
        with contextlib.suppress(DifyError):
            self.llm.client.send(chat.stop(task_id, user=self.user))

    async def astop(self, task_id: str) -> None:
        """`stop` for asyncio."""
        with contextlib.suppress(DifyError):
            await self.llm.async_client.send(chat.stop(task_id, user=self.user))
