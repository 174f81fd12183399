"""`DifyChatEngine`: a conversation with a Dify app."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llama_index.core.base.llms.types import ChatMessage, MessageRole
from llama_index.core.callbacks import CallbackManager, trace_method
from llama_index.core.chat_engine.types import AgentChatResponse, BaseChatEngine
from llama_index.core.memory import BaseMemory, ChatMemoryBuffer
from typing_extensions import Self

from dify_api import messages
from dify_api._calls.input_message import marks
from dify_api._runs.resumption import FormValues
from dify_api.endpoints.messages import Message
from dify_api.errors import WorkflowPausedError
from llama_index_dify._answers.history import chat_messages
from llama_index_dify._answers.records import Origin, paused_run
from llama_index_dify._base import check_call_arguments, check_model, own_model
from llama_index_dify._calls.resumed_call import Resumption
from llama_index_dify._chat_turn import ChatTurn, continued_conversation
from llama_index_dify._traced import traced, user_of
from llama_index_dify._whole_turn import achat, chat
from llama_index_dify.chat_stream import DifyStreamingChatResponse
from llama_index_dify.model import CHAT_ARGUMENTS, Dify


class DifyChatEngine(BaseChatEngine):
    """A conversation with a chat, agent or chatflow app.

    Which conversation it is, the messages in `memory` tell; or it is named, by
    `conversation_id`. A turn enters the memory when its answer has ended or was stopped, not when
    it failed. A memory on disk (`Memory` on SQLite, say) lets another process go on with it.
    Turns of one memory come one after the other: one that is begun in the meantime, by another
    thread or task, waits for the answer before it.

    An engine is one user's: a turn of another user is refused where the memory holds answers to
    the first.

    Messages may be `ChatMessage`s with image, audio, video and document blocks. Further keyword
    arguments of a turn (`user`, `inputs`, `files`) go to the model's call.

    Where a chatflow waits for a person, a turn raises `WorkflowPausedError`, and the question and
    the answer so far enter the memory: `resume(values)` goes on, in another process too.

    Args:
        llm: The app.
        user: The end user. Default: the model's.
        memory: Keeps the messages. Default: a `ChatMemoryBuffer`.
        prefix_messages: System text, which a conversation is told once, until it changes, or
            which goes into the model's `system_input` on every turn. So is the text that a
            memory adds, such as the facts of a `FactExtractionMemoryBlock`.
        conversation_id: Conversation on the server to continue.
        callback_manager: Where the model's calls and tokens are reported. Default: the model's;
            another one is not given to the model itself, which others may use.

    Raises:
        TypeError: If `llm` is no `Dify`.

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
        user: str | None = None,
        memory: BaseMemory | None = None,
        prefix_messages: Sequence[ChatMessage] = (),
        conversation_id: str | None = None,
        callback_manager: CallbackManager | None = None,
    ) -> None:
        check_model(llm, "DifyChatEngine", Dify)
        self._llm = own_model(llm, user, callback_manager)
        self._memory = memory or ChatMemoryBuffer.from_defaults(token_limit=llm.context_window)
        self._prefix_messages = list(prefix_messages)
        self._conversation_id = conversation_id
        self._user = self._llm.user  # of the newest turn
        self._newest: ChatTurn | None = None
        self._paused: WorkflowPausedError | None = None
        self.callback_manager = self._llm.callback_manager

    @classmethod
    def from_defaults(
        cls,
        llm: Dify | None = None,
        *,
        user: str | None = None,
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
            user: See the class.
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
            llm if llm is not None else Dify(**kwargs),
            user=user,
            memory=memory,
            prefix_messages=prefix_messages,
            conversation_id=conversation_id,
            callback_manager=callback_manager,
        )
        if chat_history:
            engine._memory.set(list(chat_history))
        return engine

    # Turns --------------------------------------------------------------------------------------

    @traced
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
            WorkflowPausedError: If the app waits for a person: `resume` goes on. Question and
                answer so far are in the memory.
            DifyError: If there is no answer, or not a whole one.
        """
        return chat(self._turn(message, chat_history, kwargs))

    @traced
    @trace_method("chat")
    async def achat(
        self,
        message: str | ChatMessage,
        chat_history: list[ChatMessage] | None = None,
        **kwargs: Any,
    ) -> AgentChatResponse:
        """`chat` for asyncio."""
        return await achat(self._turn(message, chat_history, kwargs))

    @traced
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
        return DifyStreamingChatResponse(turn=self._turn(message, chat_history, kwargs))

    @traced
    @trace_method("chat")
    async def astream_chat(
        self,
        message: str | ChatMessage,
        chat_history: list[ChatMessage] | None = None,
        **kwargs: Any,
    ) -> DifyStreamingChatResponse:
        """`stream_chat` for asyncio."""
        turn = self._turn(message, chat_history, kwargs)
        return DifyStreamingChatResponse(turn=turn, is_async=True)

    # Turns that wait for a person -----------------------------------------------------------------

    @property
    def paused(self) -> WorkflowPausedError | None:
        """The pause of the newest turn, whose `forms` are to be filled; None where none waits."""
        return self._paused

    @traced
    @trace_method("chat")
    def resume(self, values: FormValues, **kwargs: Any) -> AgentChatResponse:
        """Fill the forms of the newest turn that waits, and go on with its answer.

        The memory tells which turn it is, so another process may go on.

        Args:
            values: `{form: {...}}`, each form by its `node_id`, its `node_title` or its
                `form_token`; or the values of the only form: those of its inputs by their names,
                and the id of the chosen button under "action".
            kwargs: For the model's call.

        Raises:
            ValueError: If no turn waits, or a form is unknown or filled wrongly.
            WorkflowPausedError: If the app waits for a person again.
            DifyError: If there is no answer, or not a whole one.

        Example:
            >>> try:
            ...     response = engine.chat("Write the report.")
            ... except WorkflowPausedError as paused:
            ...     print(paused.forms[0].form_content)
            ...     response = engine.resume({"comment": "Fine", "action": "approve"})
        """
        return chat(self._resumed(self._memory.get_all(), values, kwargs))

    @traced
    @trace_method("chat")
    async def aresume(self, values: FormValues, **kwargs: Any) -> AgentChatResponse:
        """`resume` for asyncio."""
        return await achat(self._resumed(await self._memory.aget_all(), values, kwargs))

    @traced
    @trace_method("chat")
    def stream_resume(self, values: FormValues, **kwargs: Any) -> DifyStreamingChatResponse:
        """`resume`, to get what follows as a stream."""
        turn = self._resumed(self._memory.get_all(), values, kwargs)
        return DifyStreamingChatResponse(turn=turn)

    @traced
    @trace_method("chat")
    async def astream_resume(self, values: FormValues, **kwargs: Any) -> DifyStreamingChatResponse:
        """`stream_resume` for asyncio."""
        turn = self._resumed(await self._memory.aget_all(), values, kwargs)
        return DifyStreamingChatResponse(turn=turn, is_async=True)

    # The conversation ---------------------------------------------------------------------------

    def reset(self) -> None:
        """Forget the conversation: the next turn begins a new one."""
        self._forget()
        self._memory.reset()

    async def areset(self) -> None:
        """`reset` for asyncio."""
        self._forget()
        await self._memory.areset()

    @property
    def conversation_id(self) -> str | None:
        """The conversation on the server that the next turn goes on in, to be kept and named later.

        None before the first answer, after `reset`, and where each turn begins one
        (`memory="client"`).

        Example:
            >>> session["conversation_id"] = engine.conversation_id
            >>> engine = DifyChatEngine(llm, conversation_id=session["conversation_id"])
        """
        return self._conversation_id or self._continued(self._memory.get_all())

    async def aconversation_id(self) -> str | None:
        """`conversation_id` for asyncio, where the memory is read in the running loop."""
        return self._conversation_id or self._continued(await self._memory.aget_all())

    @property
    def chat_history(self) -> list[ChatMessage]:
        """The messages: those in memory, or the server's, where the conversation was named.

        They are those of the engine's user, or of the user whom the newest turn named.

        Raises:
            DifyError: If the server cannot be asked.
        """
        conversation_id = self._conversation_id
        if conversation_id is None:
            return self._memory.get_all()
        listed = messages.list_messages(conversation_id, user=self._user, limit=100)
        return self._chat_messages(list(self._llm.client.iterate(listed)))

    async def achat_history(self) -> list[ChatMessage]:
        """`chat_history` for asyncio."""
        conversation_id = self._conversation_id
        if conversation_id is None:
            return await self._memory.aget_all()
        listed = messages.list_messages(conversation_id, user=self._user, limit=100)
        return self._chat_messages([m async for m in self._llm.async_client.iterate(listed)])

    # Details ------------------------------------------------------------------------------------

    def _turn(
        self,
        message: str | ChatMessage,
        chat_history: list[ChatMessage] | None,
        options: dict[str, Any],
    ) -> ChatTurn:
        check_call_arguments(options, CHAT_ARGUMENTS, type(self._llm))
        if isinstance(message, str):
            message = ChatMessage(role=MessageRole.USER, content=message)
        self._user = user_of(options, self._llm.user)
        named = self._conversation_id is not None and not options.get("conversation_id")
        return ChatTurn(
            self._llm,
            self._memory,
            message,
            self._user,
            options,
            self._prefix_messages,
            lambda: self._conversation_id,
            chat_history,
            self._note,
            self._follow if named else lambda conversation_id: None,
            self._wait,
        )

    def _resumed(
        self, history: Sequence[ChatMessage], values: FormValues, options: dict[str, Any]
    ) -> ChatTurn:
        runs = [run for message in history if (run := paused_run(message))]
        paused = self._paused
        if paused is None or paused.workflow_run_id not in runs:
            if not runs:
                raise ValueError("no turn of this conversation waits for a person")
            paused = None
        turn = self._turn("", None, options)
        turn.resumption = Resumption(paused or runs[-1], values)
        return turn

    def _continued(self, history: Sequence[ChatMessage]) -> str | None:
        return continued_conversation(self._llm, self._user, history)

    def _wait(self, paused: WorkflowPausedError) -> None:
        self._paused = paused

    def _follow(self, conversation_id: str) -> None:
        """Go on where the answer stands: in a new conversation, if the one named is gone."""
        if self._conversation_id is not None:  # not reset in the meantime
            self._conversation_id = conversation_id

    def _note(self, turn: ChatTurn) -> None:
        self._newest = turn
        self._paused = None

    def _forget(self) -> None:
        """Forget the conversation that was named, and that of a turn which is going on."""
        self._conversation_id = None
        self._paused = None
        self._user = self._llm.user
        if self._newest is not None:
            self._newest.is_forgotten = True

    def _chat_messages(self, newest_first: Sequence[Message]) -> list[ChatMessage]:
        origin = Origin(marks(self._llm.app, self._user), self._llm.base_url)
        return chat_messages(newest_first, origin, reasoning=self._llm.reasoning)
