"""`DifyChatEngine`: a conversation with a Dify app."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from llama_index.core.base.llms.types import ChatMessage, ChatResponse, MessageRole
from llama_index.core.callbacks import CallbackManager, trace_method
from llama_index.core.chat_engine.types import AgentChatResponse, BaseChatEngine
from llama_index.core.memory import BaseMemory, ChatMemoryBuffer
from typing_extensions import Self

from dify_api import messages
from dify_api._calls.input_message import marks
from llama_index_dify._answers.history import chat_messages
from llama_index_dify._answers.records import Origin, source_nodes
from llama_index_dify._calls.memory_text import adds_text, with_memory_text
from llama_index_dify._chat_turn import ChatTurn
from llama_index_dify.chat_stream import DifyStreamingChatResponse, tool_outputs
from llama_index_dify.model import Dify
from llama_index_dify.open_streams import opened


class DifyChatEngine(BaseChatEngine):
    """A conversation with a chat, agent or chatflow app.

    Which conversation it is, the messages in `memory` tell; or it is named, by
    `conversation_id`. A turn enters the memory when its answer has ended or was stopped, not when
    it failed. A memory on disk (`Memory` on SQLite, say) lets another process go on with it.

    Messages may be `ChatMessage`s with image, audio, video and document blocks. Further keyword
    arguments of a turn (`user`, `inputs`, `files`) go to the model's call.

    Args:
        llm: The app.
        memory: Keeps the messages. Default: a `ChatMemoryBuffer`.
        prefix_messages: System text, which a conversation is told once, until it changes, or
            which goes into the model's `system_input` on every turn. So is the text that a
            memory adds, such as the facts of a `FactExtractionMemoryBlock`.
        conversation_id: Conversation on the server to continue.
        callback_manager: Given to the model, which reports calls and tokens. Default: the
            model's.

    Example:
        >>> engine = DifyChatEngine(Dify(api_key="app-..."))
        >>> print(engine.chat("Which planet has most moons?"))
        Saturn, with 146.
        >>> response = engine.stream_chat("And which of those is the largest?")
        >>> "".join(response.response_gen), len(response.source_nodes)
        ('Titan.', 2)
    """

    def __init__(
        self,
        llm: Dify,
        *,
        memory: BaseMemory | None = None,
        prefix_messages: Sequence[ChatMessage] = (),
        conversation_id: str | None = None,
        callback_manager: CallbackManager | None = None,
    ) -> None:
        self._llm = llm
        self._memory = memory or ChatMemoryBuffer.from_defaults(token_limit=llm.context_window)
        self._prefix_messages = list(prefix_messages)
        self._conversation_id = conversation_id
        if callback_manager is not None:
            llm.callback_manager = callback_manager
        self.callback_manager = llm.callback_manager

    @classmethod
    def from_defaults(
        cls,
        llm: Dify | None = None,
        *,
        chat_history: Sequence[ChatMessage] | None = None,
        memory: BaseMemory | None = None,
        system_prompt: str | None = None,
        prefix_messages: Sequence[ChatMessage] = (),
        conversation_id: str | None = None,
        callback_manager: CallbackManager | None = None,
        **kwargs: Any,
    ) -> Self:
        """Make an engine as LlamaIndex's others are made.

        Args:
            llm: The app; default: `Dify(**kwargs)`.
            chat_history: Messages to begin with.
            memory: Keeps the messages.
            system_prompt: One prefix message.
            prefix_messages: See the class.
            conversation_id: See the class.
            callback_manager: See the class.
            kwargs: Arguments of `Dify` where no `llm` is given.
        """
        if llm is not None and kwargs:
            raise TypeError(f"unexpected with llm: {', '.join(kwargs)}")
        if system_prompt is not None:
            prefix_messages = [
                ChatMessage(role=MessageRole.SYSTEM, content=system_prompt),
                *prefix_messages,
            ]
        engine = cls(
            llm or Dify(**kwargs),
            memory=memory,
            prefix_messages=prefix_messages,
            conversation_id=conversation_id,
            callback_manager=callback_manager,
        )
        if chat_history:
            engine._memory.set(list(chat_history))
        return engine

    # Turns --------------------------------------------------------------------------------------

    @trace_method("chat")
    def chat(
        self,
        message: str | ChatMessage,
        chat_history: list[ChatMessage] | None = None,
        **kwargs: Any,
    ) -> AgentChatResponse:
        """Say something; wait for the whole answer.

        Args:
            message: What the user says.
            chat_history: Replaces the memory, if given.
            kwargs: For the model's call.

        Raises:
            DifyError: If there is no answer, or not a whole one.
        """
        if chat_history is not None:
            self._memory.set(chat_history)
        turn = self._turn(message, kwargs)
        response = self._llm.chat(
            self._messages(turn, self._history(turn, kwargs)), **self._call(kwargs)
        )
        turn.end(response.message)
        return _agent_response(response, turn)

    @trace_method("chat")
    async def achat(
        self,
        message: str | ChatMessage,
        chat_history: list[ChatMessage] | None = None,
        **kwargs: Any,
    ) -> AgentChatResponse:
        """`chat` for asyncio."""
        if chat_history is not None:
            await self._memory.aset(chat_history)
        turn = self._turn(message, kwargs)
        history = await self._ahistory(turn, kwargs)
        response = await self._llm.achat(self._messages(turn, history), **self._call(kwargs))
        await turn.aend(response.message)
        return _agent_response(response, turn)

    @trace_method("chat")
    def stream_chat(
        self,
        message: str | ChatMessage,
        chat_history: list[ChatMessage] | None = None,
        **kwargs: Any,
    ) -> DifyStreamingChatResponse:
        """Say something; get the answer as a stream. The request goes out with its first token.

        Args:
            message: What the user says.
            chat_history: Replaces the memory, if given.
            kwargs: For the model's call.
        """
        if chat_history is not None:
            self._memory.set(chat_history)
        turn = self._turn(message, kwargs)
        history = self._history(turn, kwargs)
        with opened() as streams:
            chat_stream = self._llm.stream_chat(self._messages(turn, history), **self._call(kwargs))
        return DifyStreamingChatResponse(chat_stream=chat_stream, turn=turn, opened=streams)

    @trace_method("chat")
    async def astream_chat(
        self,
        message: str | ChatMessage,
        chat_history: list[ChatMessage] | None = None,
        **kwargs: Any,
    ) -> DifyStreamingChatResponse:
        """`stream_chat` for asyncio."""
        if chat_history is not None:
            await self._memory.aset(chat_history)
        turn = self._turn(message, kwargs)
        history = await self._ahistory(turn, kwargs)
        with opened() as streams:
            achat_stream = await self._llm.astream_chat(
                self._messages(turn, history), **self._call(kwargs)
            )
        return DifyStreamingChatResponse(achat_stream=achat_stream, turn=turn, opened=streams)

    # The conversation ---------------------------------------------------------------------------

    def reset(self) -> None:
        """Forget the conversation: the next turn begins a new one."""
        self._memory.reset()
        self._conversation_id = None

    async def areset(self) -> None:
        """`reset` for asyncio."""
        await self._memory.areset()
        self._conversation_id = None

    @property
    def chat_history(self) -> list[ChatMessage]:
        """The messages: those in memory, or the server's, where the conversation was named.

        Raises:
            DifyError: If the server cannot be asked.
        """
        user, conversation_id = self._llm.user, self._conversation_id
        if conversation_id is None:
            return self._memory.get_all()
        listed = messages.list_messages(conversation_id, user=user, limit=100)
        newest_first = list(self._llm.client.iterate(listed))
        origin = Origin(marks(self._llm.app, user), self._llm.base_url)
        return chat_messages(newest_first, origin, reasoning=self._llm.reasoning)

    async def achat_history(self) -> list[ChatMessage]:
        """`chat_history` for asyncio."""
        user, conversation_id = self._llm.user, self._conversation_id
        if conversation_id is None:
            return await self._memory.aget_all()
        listed = messages.list_messages(conversation_id, user=user, limit=100)
        newest_first = [message async for message in self._llm.async_client.iterate(listed)]
        origin = Origin(marks(self._llm.app, user), self._llm.base_url)
        return chat_messages(newest_first, origin, reasoning=self._llm.reasoning)

    # Details ------------------------------------------------------------------------------------

    def _resends(self, options: Mapping[str, Any]) -> bool:
        """Whether the history goes along each time, so that memory must fit it to the model."""
        return (options.get("memory") or self._llm.memory) != "server"

    def _history(self, turn: ChatTurn, options: Mapping[str, Any]) -> list[ChatMessage]:
        question = turn.question.content
        if self._resends(options):
            return self._memory.get(input=question)
        kept = self._memory.get_all()
        if not adds_text(self._memory):
            return kept
        return with_memory_text(self._memory.get(input=question), kept)

    async def _ahistory(self, turn: ChatTurn, options: Mapping[str, Any]) -> list[ChatMessage]:
        question = turn.question.content
        if self._resends(options):
            return await self._memory.aget(input=question)
        kept = await self._memory.aget_all()
        if not adds_text(self._memory):
            return kept
        return with_memory_text(await self._memory.aget(input=question), kept)

    def _turn(self, message: str | ChatMessage, options: Mapping[str, Any]) -> ChatTurn:
        if isinstance(message, str):
            message = ChatMessage(role=MessageRole.USER, content=message)
        user = options.get("user") or self._llm.user
        named = self._conversation_id is not None and not options.get("conversation_id")
        return ChatTurn(self._llm, self._memory, message, user, self._follow if named else None)

    def _follow(self, conversation_id: str) -> None:
        """Go on where the answer stands: in a new conversation, if the one named is gone."""
        if self._conversation_id is not None:  # not reset in the meantime
            self._conversation_id = conversation_id

    def _call(self, options: Mapping[str, Any]) -> dict[str, Any]:
        return {"conversation_id": self._conversation_id, **options}

    def _messages(self, turn: ChatTurn, history: Sequence[ChatMessage]) -> list[ChatMessage]:
        return [*self._prefix_messages, *history, turn.question]


def _agent_response(response: ChatResponse, turn: ChatTurn) -> AgentChatResponse:
    nodes = source_nodes(response)
    return AgentChatResponse(
        response=response.message.content or "",
        sources=tool_outputs(turn.question, nodes),
        source_nodes=nodes,
        metadata=response.raw,
    )
