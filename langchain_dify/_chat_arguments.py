"""What `ChatDify` is made with, and how it takes part in conversations."""

from __future__ import annotations

from collections.abc import Coroutine, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from langchain_core.caches import BaseCache
from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.globals import get_llm_cache
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult, Generation
from pydantic import Field, model_validator
from typing_extensions import Self

from dify_api._calls.chat_settings import Memory, OnFork, Transcript, name_of
from dify_api._calls.trace_session import trace_session_of
from dify_api._lazy import LazyModule
from dify_api.endpoints.response_mode import ResponseMode
from langchain_dify._arguments import DifyArguments, with_user_hidden
from langchain_dify._names import HumanInput

if TYPE_CHECKING:
    from langchain_core.language_models import ModelProfile

    from dify_api._calls.chat_call import ChatOptions
    from langchain_dify._calls import chat_running as running
else:
    running = LazyModule("langchain_dify._calls.chat_running")  # imported at the first call

CALL_ARGUMENTS = frozenset(
    {
        "conversation_id",
        "memory",
        "on_fork",
        "reasoning",
        "workflow_id",
        "tools",
        "tool_choice",
        "parallel_tool_calls",
        "response_format",
        "strict",
    }
)
"""What `ChatDify` takes for a call, beside what every model takes."""

_PROFILE: ModelProfile = {"text_inputs": True, "text_outputs": True, "tool_calling": True}


class ChatArguments(DifyArguments, BaseChatModel):
    """The arguments of a chat model, and what its conversations mean for copies and caches."""

    conversation_id: str | None = None
    """Conversation to continue, whatever the messages say. Meant for one call: pass it to
    `invoke`, `bind` it, or set it through `configurable_fields`."""
    memory: Memory = "server"
    """Who keeps the history: Dify ("server"), or the caller ("client"), for graphs that edit or
    rewind it: each call then starts a new conversation with everything written out. "none" is the
    same, and nothing is continued from its answers: see `detached`."""
    on_fork: OnFork = "ignore"
    """What to do when the conversation on the server went on without the history given, or was
    deleted: "ignore", "new" (start a new one with the history written out) or "error"."""
    transcript: Transcript | None = Field(default=None, exclude=True, repr=False)
    """Writes out a history, instead of "The conversation so far: ..." in English: takes the
    messages (`role`, `text`, `name`) that stand before the new ones, without the system text, and
    returns a text. A function of a module can be pickled with the model, a lambda cannot."""
    delete_conversation: bool = False
    """Whether each answer's conversation is deleted after it, with `memory="none"`."""
    system_input: str | None = None
    """Input of the app that takes the system text. Default: it stands before the query."""
    reasoning: bool = False
    """Whether `<think>` text becomes reasoning blocks instead of a part of the answer."""
    response_mode: ResponseMode = "streaming"
    """How the server is asked. "streaming" serves `invoke` too: proxies cut what is silent."""
    auto_generate_name: bool = False
    """Whether the server names a new conversation (up to 1.12.1 that takes it a second)."""
    workflow_id: str | None = None
    """Published version of a chatflow to run; by default the newest."""
    human_input: HumanInput = "error"
    """What becomes of a chatflow that asks a human: a `WorkflowPausedError` with the forms, or, in
    a node of a LangGraph graph with a checkpointer, an "interrupt" with them."""
    streaming: bool | None = None
    """Whether `invoke` streams to callbacks; False also makes `stream` yield one chunk."""
    cache: BaseCache | bool | None = Field(default=False, exclude=True)
    """Off by default. Answers that begin a conversation are cached, without the conversation: it is
    the first caller's. A turn that continues one is always asked."""

    def _resolve_model_profile(self) -> ModelProfile:
        """What is true of any app; `profile={"max_input_tokens": ...}` tells more."""
        return {**_PROFILE}

    @model_validator(mode="after")
    def _check_profile_keys(self) -> Self:
        """As langchain-core checks a profile, which takes it 80 us; ours needs no check."""
        check = getattr(super(), "_check_profile_keys", None)  # langchain-core 1.3 and later
        if check is not None and self.profile != _PROFILE:
            check()
        return self

    @property
    def _identifying_params(self) -> Mapping[str, Any]:
        return {
            **self._app_params(),
            "conversation_id": self.conversation_id,
            "memory": self.memory,
            "system_input": self.system_input,
            "reasoning": self.reasoning,
            "workflow_id": self.workflow_id,
            "transcript": name_of(self.transcript),
        }

    def _get_invocation_params(
        self, stop: list[str] | None = None, **kwargs: Any
    ) -> dict[str, Any]:
        kwargs.pop("run_manager", None)
        # As langchain-core has them, whose own way there silences its warnings on each call.
        params = {**self._identifying_params, "_type": self._llm_type, "stop": stop}
        return {**params, **with_user_hidden(kwargs)}

    def detached(self, *, delete_conversation: bool = False) -> Self:
        """The same app for side jobs: titles, summaries, facts, rows of a batch, steps of an agent.

        A side job must not write into a user's conversation, and its own conversation is nobody's.
        The copy continues no conversation, whatever the messages say: each call begins a new one
        with everything written out, and nothing is continued from its answers.

        Args:
            delete_conversation: Whether the conversation is deleted on the server after each
                answer, also one that failed or was left. Best effort: a failure is logged.

        Example:
            >>> side = model.detached(delete_conversation=True)
            >>> title = side.invoke([*history, HumanMessage("A title for this, in four words")])
            >>> labels = side.batch([f"Positive or negative? {row}" for row in rows])
        """
        update = {
            "memory": "none",
            "conversation_id": None,
            "delete_conversation": delete_conversation,
        }
        return self.model_copy(update=update)

    # A turn that goes on with a conversation is not repeated, and an answer out of a cache belongs
    # to the conversation of whoever asked first.

    def _generate_with_cache(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        model = self._cached_where_new(messages, kwargs)
        return super(ChatArguments, model)._generate_with_cache(
            messages, stop, run_manager, **kwargs
        )

    def _agenerate_with_cache(  # pyright: ignore[reportIncompatibleMethodOverride]  # a coroutine too
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Coroutine[Any, Any, ChatResult]:
        if self._is_uncached:
            return super()._agenerate_with_cache(messages, stop, run_manager, **kwargs)
        return self._agenerate_where_new(messages, stop, run_manager, kwargs)

    async def _agenerate_where_new(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None,
        run_manager: AsyncCallbackManagerForLLMRun | None,
        kwargs: dict[str, Any],
    ) -> ChatResult:
        model = self._cached_where_new(messages, kwargs)
        return await super(ChatArguments, model)._agenerate_with_cache(
            messages, stop, run_manager, **kwargs
        )

    @property
    def _is_uncached(self) -> bool:
        return self.cache is False or (self.cache is None and get_llm_cache() is None)

    def _cached_where_new(self, messages: Sequence[BaseMessage], kwargs: Mapping[str, Any]) -> Self:
        """This model, without its cache where a conversation goes on: a turn is not repeated."""
        if self._is_uncached:
            return self
        if not self._chat_options(kwargs).continues(running.input_messages(messages)):
            return self
        return self.model_copy(update={"cache": False})

    def _convert_cached_generations(self, cache_val: list[Generation]) -> list[ChatGeneration]:
        """What the cache holds, without its conversation: that is another caller's."""
        return [
            generation.model_copy(update={"message": running.without_anchor(generation.message)})
            for generation in super()._convert_cached_generations(cache_val)
        ]

    def _chat_options(self, kwargs: Mapping[str, Any]) -> ChatOptions:
        return running.ChatOptions(
            apps=self.app_names,
            user=kwargs.get("user") or self.user,
            conversation_id=kwargs.get("conversation_id") or self.conversation_id,
            inputs={**self.inputs, **(kwargs.get("inputs") or {})},
            system_input=self.system_input,
            memory=kwargs.get("memory") or self.memory,
            on_fork=kwargs.get("on_fork") or self.on_fork,
            transcript=self.transcript,
            delete_conversation=self.delete_conversation,
            files=kwargs.get("files") or self.files,
            response_mode=self.response_mode,
            auto_generate_name=self.auto_generate_name,
            workflow_id=kwargs.get("workflow_id") or self.workflow_id,
            trace_id=kwargs.get("trace_id") or self.trace_id,
            trace_session_id=trace_session_of(kwargs, self.trace_session_id),
        )
