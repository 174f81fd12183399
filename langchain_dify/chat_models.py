"""`ChatDify`: a chat, agent or chatflow app as a LangChain chat model."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from langchain_core.callbacks import (
    AsyncCallbackManager,
    AsyncCallbackManagerForLLMRun,
    BaseRunManager,
    CallbackManager,
    CallbackManagerForLLMRun,
)
from langchain_core.language_models.base import LangSmithParams, LanguageModelInput
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage
from langchain_core.messages.utils import count_tokens_approximately
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import BaseModel

import langchain_dify._answers.block_translator  # noqa: F401  # registers it
from dify_api._calls.signatures import kept_signature
from dify_api._lazy import LazyModule
from langchain_dify._answers.current_run import (
    ANOBODYS_RUN,
    NOBODYS_RUN,
    current_run,
    is_untold,
    known_run,
)
from langchain_dify._arguments import check_call_arguments
from langchain_dify._calls.ownership import owned, owning
from langchain_dify._chat_arguments import CALL_ARGUMENTS, ChatArguments
from langchain_dify._names import MODEL_PROVIDER

if TYPE_CHECKING:
    from langchain_core.tools import BaseTool

    from langchain_dify._calls import chat_running as running
    from langchain_dify._calls.chat_call import ChatCall
else:
    running = LazyModule("langchain_dify._calls.chat_running")  # imported at the first call


class ChatDify(ChatArguments, defer_build=False):
    """A Dify chat, agent, chatflow or New Agent app as a chat model.

    The object holds no conversation: where one goes on is read from the messages given. An
    answer carries its `conversation_id`, so a history that ends with it continues it, whoever
    stored the history; only what is new is sent.

    Example:
        >>> model = ChatDify(api_key="app-...", user="ann")
        >>> question = HumanMessage("Which planet has most moons?")
        >>> answer = model.invoke([question])
        >>> answer.content, answer.response_metadata["conversation_id"]
        ('Saturn ...', '7719ddd9-...')
        >>> model.invoke([question, answer, HumanMessage("And the second most?")]).content
        'Jupiter ...'
    """

    @property
    def _llm_type(self) -> str:
        return "chat-dify"

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        model = kwargs.get("model")
        params = LangSmithParams(
            ls_provider=MODEL_PROVIDER,
            ls_model_type="chat",
            ls_model_name=model if isinstance(model, str) else self.model_name,
        )
        if stop:
            params["ls_stop"] = stop
        return params

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        call = self._call_of(messages, stop, kwargs)
        with (
            running.model_errors,
            call.tracer(run_manager) as tracer,
            call.answering(self.client, self.human_input, self.app) as stream,
        ):
            chunks, before = call.begin(stream)
            token = chunks.pass_on if self._keeps_no_chunk(run_manager) else chunks.token
            yield from before
            while not chunks.is_cut and (steps := stream.next_steps()):
                for event, text in steps:
                    if text and chunks.is_plain:
                        yield token(text)
                        continue
                    tracer.take(event)
                    for chunk in chunks.take(event, text):
                        tracer.tell(chunk)
                        yield chunk
                    if chunks.is_cut:
                        break
            tracer.finish(stream)
            for chunk in chunks.finish():
                tracer.tell(chunk)
                yield chunk

    def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        return owned(self._achunks(self._call_of(messages, stop, kwargs), run_manager), "_astream")

    async def _achunks(
        self, call: ChatCall, run_manager: AsyncCallbackManagerForLLMRun | None
    ) -> AsyncGenerator[ChatGenerationChunk, None]:
        with running.model_errors:
            async with (
                call.atracer(run_manager) as tracer,
                await call.aanswering(self.async_client, self.human_input, self.app) as stream,
            ):
                chunks, before = call.begin(stream)
                token = chunks.pass_on if self._keeps_no_chunk(run_manager) else chunks.token
                for chunk in before:
                    yield chunk
                while not chunks.is_cut and (steps := await stream.next_steps()):
                    for event, text in steps:
                        if text and chunks.is_plain:
                            yield token(text)
                            continue
                        await tracer.atake(event)
                        for chunk in chunks.take(event, text):
                            await tracer.atell(chunk)
                            yield chunk
                        if chunks.is_cut:
                            break
                await tracer.afinish(stream)
                for chunk in chunks.finish():
                    await tracer.atell(chunk)
                    yield chunk

    def _keeps_no_chunk(self, run_manager: BaseRunManager | None) -> bool:
        """Whether `stream` alone takes the chunks, and takes no more of them than the messages.

        langchain-core keeps the chunks until the end, to tell of them then. Where nobody is told,
        one does, and neither memory nor garbage collections grow with the answer.
        """
        is_nobodys = run_manager is NOBODYS_RUN or run_manager is ANOBODYS_RUN
        return is_nobodys and (type(self)._stream, type(self)._astream) == _CHUNKS

    @kept_signature
    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        call = self._call_of(messages, stop, kwargs)
        with (
            running.model_errors,
            call.tracer(run_manager) as tracer,
            call.answering(self.client, self.human_input, self.app) as stream,
        ):
            chunks, _ = call.begin(stream)
            while not chunks.is_cut and (steps := stream.next_steps()):
                tracer.take(*chunks.watch(steps))
            tracer.finish(stream)
        return ChatResult(generations=[ChatGeneration(message=chunks.message())])

    @kept_signature
    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        call = self._call_of(messages, stop, kwargs)
        with running.model_errors:
            async with (
                call.atracer(run_manager) as tracer,
                await call.aanswering(self.async_client, self.human_input, self.app) as stream,
            ):
                chunks, _ = call.begin(stream)
                while not chunks.is_cut and (steps := await stream.next_steps()):
                    await tracer.atake(*chunks.watch(steps))
                await tracer.afinish(stream)
        return ChatResult(generations=[ChatGeneration(message=chunks.message())])

    # langchain-core does not tell `_stream` the model's run, below which nodes are traced. So
    # the run of `stream` gets its id here, and that of `invoke` is left where `_stream` looks.

    def stream(
        self,
        input: LanguageModelInput,  # noqa: A002  # langchain-core's name
        config: RunnableConfig | None = None,
        *,
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> Iterator[AIMessageChunk]:
        """Stream an answer. See `BaseChatModel.stream`; `kwargs` are arguments of the call."""
        if self._should_stream(async_api=False, **{**kwargs, "stream": True}):
            config, told = known_run(self, CallbackManager, NOBODYS_RUN, config)
            kwargs |= told
        yield from super().stream(input, config, stop=stop, **kwargs)

    def astream(
        self,
        input: LanguageModelInput,  # noqa: A002  # langchain-core's name
        config: RunnableConfig | None = None,
        *,
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[AIMessageChunk]:
        """Stream an answer, for asyncio. See `BaseChatModel.astream`."""
        astream = super().astream

        def begin() -> AsyncIterator[AIMessageChunk]:
            if not self._should_stream(async_api=True, **{**kwargs, "stream": True}):
                return astream(input, config, stop=stop, **kwargs)
            known, told = known_run(self, AsyncCallbackManager, ANOBODYS_RUN, config)
            return astream(input, known, stop=stop, **{**kwargs, **told})

        return owned(owning(begin, "_astream"), "astream")

    def atransform(
        self,
        input: AsyncIterator[LanguageModelInput],  # noqa: A002  # langchain-core's name
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[AIMessage]:
        """Stream an answer inside a chain, for asyncio. See `Runnable.atransform`."""
        return owning(partial(super().atransform, input, config, **kwargs), "astream")

    def _generate_with_cache(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        if is_untold(run_manager):
            return super()._generate_with_cache(messages, stop, run_manager, **kwargs)
        with current_run(run_manager):
            return super()._generate_with_cache(messages, stop, run_manager, **kwargs)

    def _agenerate_with_cache(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Coroutine[Any, Any, ChatResult]:
        if is_untold(run_manager):  # no coroutine between those of langchain-core
            return super()._agenerate_with_cache(messages, stop, run_manager, **kwargs)
        return self._agenerate_as_current(messages, stop, run_manager, kwargs)

    async def _agenerate_as_current(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None,
        run_manager: AsyncCallbackManagerForLLMRun | None,
        kwargs: dict[str, Any],
    ) -> ChatResult:
        with current_run(run_manager):
            return await super()._agenerate_with_cache(messages, stop, run_manager, **kwargs)

    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool],
        *,
        tool_choice: str | bool | dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Offer tools to the app's model, by prompt: see `dify_api._calls.tool_calling`.

        An answer that is nothing else than calls becomes `tool_calls`, and `invalid_tool_calls`
        where they cannot be made. A model can be talked into calls by what it reads: give tools
        no more rights than that deserves.

        Args:
            tools: Functions, pydantic classes, tools, or schemas in OpenAI's format.
            tool_choice: "auto" (default), "none", "any" or "required" (a call is asked for), or
                the name of the tool to call. Asked for, not enforced: Dify cannot.
            **kwargs: Further arguments of a call.

        Raises:
            ValueError: If `tool_choice` names no tool.
        """
        from dify_api._calls.tool_calling import tool_choice_of

        formatted = [convert_to_openai_tool(tool) for tool in tools]
        if tool_choice is not None:
            kwargs["tool_choice"] = tool_choice_of(tool_choice, formatted)
        return self.bind(tools=formatted, **kwargs)

    def with_structured_output(
        self,
        schema: dict[str, Any] | type,
        *,
        include_raw: bool = False,
        method: Literal["json_schema", "function_calling", "json_mode"] = "json_schema",
        strict: bool | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, dict[str, Any] | BaseModel]:
        """Have answers as instances of a schema, by prompt and strict parsing.

        Args:
            schema: A pydantic class, a TypedDict or a JSON Schema.
            include_raw: Whether to return `{"raw", "parsed", "parsing_error"}` and not to raise.
            method: For other models' sake; all three do the same here.
            strict: Likewise.
            **kwargs: Further arguments of a call.

        Returns:
            A runnable that asks the app once. Streamed, it yields the object as it grows.

        Raises:
            OutputParserException: When called, if the app does not answer in such JSON.
            ValueError: If `schema` or `method` is unknown.

        Example:
            >>> class Planet(BaseModel):
            ...     name: str
            ...     moons: int
            >>> model.with_structured_output(Planet).invoke("The planet with most moons")
            Planet(name='Saturn', moons=274)
        """
        from langchain_dify._calls.structured_output import (
            METHODS,
            output_parser,
            response_format_of,
            with_raw,
        )

        if method not in METHODS:
            raise ValueError(f"method must be one of {', '.join(METHODS)}, not {method!r}")
        model = self.bind(
            response_format=response_format_of(schema),
            ls_structured_output_format={
                "kwargs": {"method": method, "strict": strict},
                "schema": schema,
            },
            **kwargs,
        )
        parser = output_parser(schema)
        return with_raw(model, parser) if include_raw else model | parser

    def get_num_tokens_from_messages(
        self, messages: list[BaseMessage], tools: Sequence[Any] | None = None
    ) -> int:
        """About how many tokens messages have: the model behind the app is not known."""
        return count_tokens_approximately(messages)

    def get_token_ids(self, text: str) -> list[int]:
        """Not to be had: the model behind the app is not known.

        Raises:
            NotImplementedError: Always.
        """
        raise NotImplementedError("the model behind a Dify app, and so its tokens, are not known")

    def get_num_tokens(self, text: str) -> int:
        """About how many tokens a text has."""
        return count_tokens_approximately([HumanMessage(text)])

    def _call_of(
        self, messages: Sequence[BaseMessage], stop: Sequence[str] | None, kwargs: dict[str, Any]
    ) -> ChatCall:
        check_call_arguments(kwargs, type(self), CALL_ARGUMENTS)
        options = self._chat_options(kwargs)
        reasoning = kwargs.get("reasoning")
        reasoning = self.reasoning if reasoning is None else reasoning
        stop = stop or self.stop or ()
        return running.plan_call(messages, options, kwargs, stop, reasoning, self.model_name)


_CHUNKS = ChatDify._stream, ChatDify._astream
"""What makes the chunks, where no subclass does."""
