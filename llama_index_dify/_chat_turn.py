"""One turn of a chat engine: when it may begin, what it asks with, and what it leaves behind."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from typing import Any

from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    ChatResponseAsyncGen,
    ChatResponseGen,
)
from llama_index.core.memory import BaseMemory

from dify_api import chat
from dify_api._calls.chat_settings import Memory
from dify_api._calls.conversation import find_anchor
from dify_api._calls.fingerprints import user_fingerprint
from dify_api._calls.input_message import marks
from dify_api._transport.turns import Turn, Turns
from dify_api.answers.answer import Answer
from dify_api.errors import DifyError, WorkflowPausedError
from llama_index_dify._answers.records import Origin, anchor, conversation_id, paused_run
from llama_index_dify._answers.responses import answer_message, raw
from llama_index_dify._calls.input_messages import input_messages
from llama_index_dify._calls.memory_text import adds_text, with_memory_text
from llama_index_dify._calls.resumed_call import Resumption
from llama_index_dify.model import Dify
from llama_index_dify.open_streams import OpenStream, opened

_QUEUES = Turns(interval=0.0, what="this chat engine")
"""Turns of one memory, which come one after the other."""


def continued_conversation(llm: Dify, user: str, history: Sequence[ChatMessage]) -> str | None:
    """The conversation that a turn after these messages goes on in; None where it begins one."""
    _, found = find_anchor(input_messages(history), llm.app_names, user, memory=llm.memory)
    return found.conversation_id if found else None


@dataclass
class ChatTurn:
    """A turn, from its place in the engine's queue to its messages in memory.

    The turns of a memory come one after the other: each needs the answer before it, which says
    in which conversation it goes on. A turn that streams begins with its first token.

    Attributes:
        llm: The model that answers.
        memory: Where question and answer go once the answer has ended or was stopped.
        question: What the user says.
        user: The end user.
        options: Further arguments of the model's call.
        prefix_messages: System text.
        named: The conversation, where it was named.
        chat_history: Replaces the memory; None to leave it.
        on_begin: Called when the turn begins.
        answered_in: Told the conversation in which the answer stands.
        on_pause: Called where the app waits for a person.
        resumption: How a turn that paused goes on; its question and what it had to say are in
            the memory then.
        is_forgotten: Whether the engine was reset while the turn went on.
    """

    llm: Dify
    memory: BaseMemory
    question: ChatMessage
    user: str = field(repr=False)
    options: Mapping[str, Any] = field(default_factory=dict)
    prefix_messages: Sequence[ChatMessage] = ()
    named: Callable[[], str | None] = lambda: None
    chat_history: list[ChatMessage] | None = None
    on_begin: Callable[[ChatTurn], None] = lambda turn: None
    answered_in: Callable[[str], None] = lambda conversation_id: None
    on_pause: Callable[[WorkflowPausedError], None] = lambda paused: None
    resumption: Resumption | None = None
    is_forgotten: bool = False
    opened: list[OpenStream] = field(default_factory=list)
    _messages: list[ChatMessage] = field(default_factory=list)
    _arguments: dict[str, Any] = field(default_factory=dict)
    _place: Turn | None = None
    _context: Context = field(default_factory=copy_context)
    """That of the engine's method: the model's call belongs to its span."""

    # The call ---------------------------------------------------------------------------------

    def chat(self) -> ChatResponse:
        """The whole answer."""
        response: ChatResponse = self.llm.chat(self._messages, **self._arguments)
        return response

    async def achat(self) -> ChatResponse:
        """`chat` for asyncio."""
        response: ChatResponse = await self.llm.achat(self._messages, **self._arguments)
        return response

    def stream(self) -> ChatResponseGen:
        """The answer as a stream."""
        return self._context.run(self._open)

    async def astream(self) -> ChatResponseAsyncGen:
        """`stream` for asyncio."""
        return await self._context.run(asyncio.ensure_future, self._aopen())

    def _open(self) -> ChatResponseGen:
        with opened() as self.opened:
            stream: ChatResponseGen = self.llm.stream_chat(self._messages, **self._arguments)
        return stream

    async def _aopen(self) -> ChatResponseAsyncGen:
        with opened() as self.opened:
            stream: ChatResponseAsyncGen = await self.llm.astream_chat(
                self._messages, **self._arguments
            )
        return stream

    # Its beginning ----------------------------------------------------------------------------

    def begin(self) -> None:
        """Wait for the turns before, then find the conversation and what to ask it."""
        self._place = _QUEUES.take(self._key, self.llm.turn_timeout)
        self.on_begin(self)
        if self.chat_history is not None:
            self._check_owner(self.chat_history)
            self.memory.set(self.chat_history)
        self._prepare(self._history())

    async def abegin(self) -> None:
        """`begin` for asyncio."""
        self._place = await _QUEUES.atake(self._key, self.llm.turn_timeout)
        self.on_begin(self)
        if self.chat_history is not None:
            self._check_owner(self.chat_history)
            await self.memory.aset(self.chat_history)
        self._prepare(await self._ahistory())

    @property
    def _key(self) -> tuple[str, str]:
        """Engines of one memory have one queue."""
        return (self.llm.app, str(id(self.memory)))

    @property
    def _keeper(self) -> Memory:
        """Who keeps the history: the server, or the client, who resends it."""
        keeper: Memory = self.options.get("memory") or self.llm.memory
        return keeper

    def _history(self) -> list[ChatMessage]:
        """What a memory holds: fitted to the model, where it goes along each time."""
        question = self.question.content
        if self._keeper != "server":
            return self.memory.get(input=question)
        kept = self.memory.get_all()
        if not adds_text(self.memory):
            return kept
        return with_memory_text(self.memory.get(input=question), kept)

    async def _ahistory(self) -> list[ChatMessage]:
        question = self.question.content
        if self._keeper != "server":
            return await self.memory.aget(input=question)
        kept = await self.memory.aget_all()
        if not adds_text(self.memory):
            return kept
        return with_memory_text(await self.memory.aget(input=question), kept)

    def _check_owner(self, history: Sequence[ChatMessage]) -> None:
        """Refuse to write one user's words into another's query.

        Raises:
            ValueError: If the memory holds answers to another user.
        """
        own = user_fingerprint(self.user)
        if any(found.user != own for message in history if (found := anchor(message))):
            raise ValueError(
                "the memory of this engine holds the conversation of another user: give each "
                "user a DifyChatEngine (or a memory) of their own, or reset() it first"
            )

    def _prepare(self, history: Sequence[ChatMessage]) -> None:
        self._check_owner(history)
        asked = [*history, self.question]
        going_on: dict[str, Any] = {}
        if self.resumption is not None:
            going_on = {"paused": self.resumption.paused, "values": self.resumption.values}
            place = self._place_of_pause(history)
            if place:  # the question stands before it
                asked, self.question = list(history[:place]), history[place - 1]
        self._messages = [*self.prefix_messages, *asked]
        self._arguments = {"conversation_id": self.named(), **self.options, **going_on}

    def _place_of_pause(self, history: Sequence[ChatMessage]) -> int | None:
        """Where the answer that is not whole yet stands, if it is still there."""
        run = self.resumption.run_id if self.resumption else None
        places = [at for at, message in enumerate(history) if run and paused_run(message) == run]
        return places[-1] if places else None

    # Its end ----------------------------------------------------------------------------------

    def end(self, answer: ChatMessage | None) -> None:
        """End the turn; one without an answer (it failed) leaves nothing in memory."""
        try:
            if answer is not None and not self.is_forgotten:
                if self.resumption is None:
                    self.memory.put_messages([self.question, answer])
                else:
                    self.memory.set(self._with_answer(self.memory.get_all(), answer))
                self._tell(answer)
        finally:
            self._leave()

    async def aend(self, answer: ChatMessage | None) -> None:
        """`end` for asyncio."""
        try:
            if answer is not None and not self.is_forgotten:
                if self.resumption is None:
                    await self.memory.aput_messages([self.question, answer])
                else:
                    messages = await self.memory.aget_all()
                    await self.memory.aset(self._with_answer(messages, answer))
                self._tell(answer)
        finally:
            self._leave()

    def paused_message(self, paused: WorkflowPausedError) -> ChatMessage | None:
        """What an answer that waits for a person has come to, and where to go on with it."""
        self.on_pause(paused)
        if paused.answer is None:
            return None
        response, _ = self.llm.respond(self._messages, paused.answer, self._arguments)
        return response.message

    def _with_answer(
        self, messages: Sequence[ChatMessage], answer: ChatMessage
    ) -> list[ChatMessage]:
        """The messages with the answer in the place of what it had come to at the pause."""
        place = self._place_of_pause(messages)
        if place is None:
            return [*messages, answer]
        return [*messages[:place], answer, *messages[place + 1 :]]

    def _tell(self, answer: ChatMessage) -> None:
        stands_in = conversation_id(answer)
        if stands_in is not None:
            self.answered_in(stands_in)

    def note_end(self) -> None:
        """Let those who wait know that the turn will end by itself."""
        if self._place is not None:
            self._place.is_ending = True

    def _leave(self) -> None:
        if self._place is not None:
            self._place.leave()

    def partial(self, text: str, ids: Mapping[str, Any]) -> ChatMessage | None:
        """What came of an answer that was stopped; None where nothing did."""
        if not ids:
            return None
        if self.resumption is not None:
            text = self.resumption.streamed_text + text
        known = marks(self.llm.app, self.user) if self._keeper != "none" else {}
        answer = Answer(text=text, **ids)
        return answer_message(answer, text, Origin(known, self.llm.base_url), raw(answer))

    def stop(self, task_id: str) -> None:
        """Stop the app, best effort."""
        with contextlib.suppress(DifyError):
            self.llm.client.send(chat.stop(task_id, user=self.user))

    async def astop(self, task_id: str) -> None:
        """`stop` for asyncio."""
        with contextlib.suppress(DifyError):
            await self.llm.async_client.send(chat.stop(task_id, user=self.user))
