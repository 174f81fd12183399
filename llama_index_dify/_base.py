"""What both models share: the eight endpoints of a LlamaIndex LLM over one stream of events."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Generator, Mapping, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    ChatResponseAsyncGen,
    ChatResponseGen,
    CompletionResponse,
    CompletionResponseAsyncGen,
    CompletionResponseGen,
    LLMMetadata,
)
from llama_index.core.callbacks.base import CallbackManager
from llama_index.core.llms.callbacks import llm_chat_callback, llm_completion_callback
from pydantic import ConfigDict, Field

from dify_api._lazy import LazyModule
from dify_api.endpoints.response_mode import ResponseMode
from llama_index_dify._connection import LlamaIndexConnection
from llama_index_dify._structured import StructuredLLM, refuse_function_agent
from llama_index_dify._traced import traced, traced_stream, user_of
from llama_index_dify.open_streams import remember

if TYPE_CHECKING:
    from dify_api._runs.flows import Flow
    from llama_index_dify._answers.responses import (
        ChatResponses,
        CompletionResponses,
        Responses,
        ResponseT,
    )
    from llama_index_dify._calls import running
    from llama_index_dify._calls.resumed_call import ReadyCall
else:
    running = LazyModule("llama_index_dify._calls.running")  # imported at the first call

CALL_ARGUMENTS = frozenset(
    {"user", "inputs", "files", "reasoning", "stop", "trace_id", "trace_session_id"}
)
_OF_CONVERSATIONS = frozenset({"conversation_id", "memory", "on_fork"})


def default_user() -> str:
    """The end user where none is named."""
    return os.environ.get("DIFY_USER") or "llama-index"


class DifyModel(LlamaIndexConnection, StructuredLLM):
    """A Dify app as an LLM. Holds no conversation: one object serves any number of users.

    Every call streams inside, so that no proxy's timeout cuts a long answer, and stops the app
    when its caller leaves early. Usage, callbacks and spans are reported once for each call.
    """

    model_config = ConfigDict(extra="forbid")

    user: str = Field(default_factory=default_user)
    """Stable identifier of the end user, to whom conversations and files belong. Default:
    `DIFY_USER`, else "llama-index". Name your own users where you have several."""
    model_name: str = Field(default="dify", min_length=1)
    """What traces call the app, such as its own name. Default: "dify"."""
    inputs: dict[str, Any] = Field(default_factory=dict)
    """Values of the app's variables; those of a call are laid over them."""
    response_mode: ResponseMode = "streaming"
    """How `chat` and `complete` ask: "blocking" only for servers behind a buffering proxy."""
    reasoning: bool = False
    """Whether the model's reasoning is kept out of the text: in a `ThinkingBlock`, and while
    streaming in `additional_kwargs["thinking_delta"]`."""
    stop: list[str] | None = None
    """Sequences at which an answer ends. Dify knows none: the answer is cut here, and the app
    stopped."""
    trace_session_id: str | None = None
    """The session of your trace, 1 to 200 characters (servers since 1.16.0)."""
    trace_id: str | None = None
    """Your trace id, for Dify's own tracing: letters, digits, "_" and "-" (servers since 1.7.0)."""
    context_window: int = 32_768
    """Tokens that fit the app's model, by which LlamaIndex packs prompts and trims memories."""
    num_output: int = 1_024
    """Tokens that LlamaIndex leaves free for an answer when it packs prompts."""

    _is_chat_model: ClassVar[bool] = False

    @property
    def metadata(self) -> LLMMetadata:
        """What LlamaIndex packs prompts by: a model without function calling."""
        refuse_function_agent()
        return LLMMetadata(
            context_window=self.context_window,
            num_output=self.num_output,
            is_chat_model=self._is_chat_model,
            is_function_calling_model=False,
            model_name=self.model_name,
        )

    # What the two models do differently. Not abstract: LlamaIndex wraps implementations of
    # abstract methods in spans.

    def _chat_call(
        self, messages: Sequence[ChatMessage], options: Mapping[str, Any]
    ) -> Flow[ReadyCall]:
        """What must be asked to answer messages."""
        raise NotImplementedError

    def _completion_call(self, prompt: str, options: Mapping[str, Any]) -> Flow[ReadyCall]:
        """What must be asked to answer a prompt."""
        raise NotImplementedError

    def _chat_responses(self, options: Mapping[str, Any]) -> ChatResponses:
        """What turns the answer's events into chat responses."""
        return running.ChatResponses(
            self._reasons(options),
            self.base_url,
            stop=self._stops(options),
            user=self._user(options),
        )

    def _completion_responses(self, options: Mapping[str, Any]) -> CompletionResponses:
        """What turns the answer's events into completion responses."""
        return running.CompletionResponses(
            self._reasons(options), self._stops(options), user=self._user(options)
        )

    # The eight endpoints ---------------------------------------------------------------------
    # Each is native and decorated once: the defaults of CustomLLM call each other, so that
    # usage counts double, and block the event loop.

    @traced
    @llm_chat_callback()
    def chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        """Answer messages.

        Args:
            messages: The history, and what to answer.
            kwargs: For this call; see the class.

        Raises:
            DifyError: If there is no answer, or not a whole one; `answer` is what there is.
            ValueError: If there is nothing to send, or no API key.
        """
        return self._ask(self._chat_call(messages, kwargs), self._chat_responses(kwargs))

    @traced
    @llm_chat_callback()
    async def achat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        """`chat` for asyncio."""
        return await self._aask(self._chat_call(messages, kwargs), self._chat_responses(kwargs))

    @traced_stream
    @llm_chat_callback()
    def stream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseGen:
        """Answer messages as a stream; the request goes out with the first `next`.

        `delta` is what is new, `message.content` the text so far. The last response has the
        usage and everything else; its text is the answer even where a server streamed another.
        """
        responses = self._chat_responses(kwargs)
        return remember(self._stream(self._chat_call(messages, kwargs), responses))

    @traced_stream
    @llm_chat_callback()
    async def astream_chat(
        self, messages: Sequence[ChatMessage], **kwargs: Any
    ) -> ChatResponseAsyncGen:
        """`stream_chat` for asyncio."""
        responses = self._chat_responses(kwargs)
        return remember(self._astream(self._chat_call(messages, kwargs), responses))

    @traced
    @llm_completion_callback()
    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        """Answer a prompt; `chat` tells what it raises."""
        call = self._completion_call(self._formatted(prompt, formatted), kwargs)
        return self._ask(call, self._completion_responses(kwargs))

    @traced
    @llm_completion_callback()
    async def acomplete(
        self, prompt: str, formatted: bool = False, **kwargs: Any
    ) -> CompletionResponse:
        """`complete` for asyncio."""
        call = self._completion_call(self._formatted(prompt, formatted), kwargs)
        return await self._aask(call, self._completion_responses(kwargs))

    @traced_stream
    @llm_completion_callback()
    def stream_complete(
        self, prompt: str, formatted: bool = False, **kwargs: Any
    ) -> CompletionResponseGen:
        """Answer a prompt as a stream; see `stream_chat`."""
        call = self._completion_call(self._formatted(prompt, formatted), kwargs)
        return remember(self._stream(call, self._completion_responses(kwargs)))

    @traced_stream
    @llm_completion_callback()
    async def astream_complete(
        self, prompt: str, formatted: bool = False, **kwargs: Any
    ) -> CompletionResponseAsyncGen:
        """`stream_complete` for asyncio."""
        call = self._completion_call(self._formatted(prompt, formatted), kwargs)
        return remember(self._astream(call, self._completion_responses(kwargs)))

    # The edge: one loop, sync and async, to read a whole answer or to stream it ----------------

    def _ask(self, flow: Flow[ReadyCall], responses: Responses[ResponseT]) -> ResponseT:
        client = self.client
        call = running.run(client, flow)
        _begin(responses, call)
        with responses.spans, running.open_stream(client, call) as stream:
            while not responses.is_cut and (steps := stream.next_steps()):
                responses.watch(steps)
        return responses.only(stream.answer)

    async def _aask(self, flow: Flow[ReadyCall], responses: Responses[ResponseT]) -> ResponseT:
        client = self.async_client
        call = await running.arun(client, flow)
        _begin(responses, call)
        with responses.spans:
            async with running.open_async_stream(client, call) as stream:
                while not responses.is_cut and (steps := await stream.next_steps()):
                    responses.watch(steps)
        return responses.only(stream.answer)

    def _stream(
        self, flow: Flow[ReadyCall], responses: Responses[ResponseT]
    ) -> Generator[ResponseT, None, None]:
        client = self.client
        call = running.run(client, flow)
        _begin(responses, call)
        with responses.spans, running.open_stream(client, call) as stream:
            for event, text in stream.steps():
                response = responses.take(event, text) if text else responses.note(event)
                if response is not None:
                    yield response
                if responses.is_cut:
                    break
        yield responses.last(stream.answer)

    async def _astream(
        self, flow: Flow[ReadyCall], responses: Responses[ResponseT]
    ) -> AsyncGenerator[ResponseT, None]:
        client = self.async_client
        call = await running.arun(client, flow)
        _begin(responses, call)
        with responses.spans:
            async with (
                running.open_async_stream(client, call) as stream,
                aclosing(stream.steps()) as steps,
            ):
                async for event, text in steps:
                    response = responses.take(event, text) if text else responses.note(event)
                    if response is not None:
                        yield response
                    if responses.is_cut:
                        break
        yield responses.last(stream.answer)

    # Details ------------------------------------------------------------------------------------

    def _formatted(self, prompt: str, formatted: bool) -> str:
        if formatted or self.completion_to_prompt is None:
            return prompt
        return self.completion_to_prompt(prompt)

    def _user(self, options: Mapping[str, Any]) -> str:
        return user_of(options, self.user)

    def _reasons(self, options: Mapping[str, Any]) -> bool:
        given: bool | None = options.get("reasoning")
        return self.reasoning if given is None else given

    def _stops(self, options: Mapping[str, Any]) -> Sequence[str]:
        stop: str | Sequence[str] = options.get("stop") or self.stop or ()
        return [stop] if isinstance(stop, str) else stop

    def _trace_id(self, options: Mapping[str, Any]) -> str | None:
        return options.get("trace_id") or self.trace_id

    def _merged_inputs(self, options: Mapping[str, Any]) -> dict[str, Any]:
        return {**self.inputs, **(options.get("inputs") or {})}

    def to_payload(self) -> dict[str, Any]:
        """What callbacks and traces are told about this model: no key, no headers."""
        metadata = self.metadata
        return {
            "class_name": self.class_name(),
            **vars(metadata),
            "model": metadata.model_name,
            "base_url": self.base_url,
            "app": self.app,
        }


def _begin(responses: Responses[Any], call: ReadyCall) -> None:
    """Tell responses what is known once the call is prepared."""
    responses.marks = call.marks
    if call.streamed_text:
        responses.go_on_after(call.streamed_text)


def check_call_arguments(
    options: Mapping[str, object], allowed: frozenset[str], kind: type[DifyModel]
) -> None:
    """Refuse what would otherwise be ignored in silence.

    Raises:
        TypeError: For a keyword argument that a call does not have.
    """
    model = kind.__name__
    for name in options:
        if name in allowed:
            continue
        if name in _OF_CONVERSATIONS:
            raise TypeError(f"{model} takes no {name}: a completion app keeps no conversation")
        if name in kind.model_fields:
            raise TypeError(
                f"{name} cannot be set for a call: give it to the constructor, {model}({name}=...)"
            )
        raise TypeError(
            f"{model} knows no call argument {name!r}; it knows {', '.join(sorted(allowed))}. "
            "Temperature, model and the like are set in the Dify app."
        )


ModelT = TypeVar("ModelT", bound=DifyModel)


def check_model(llm: object, engine: str, *kinds: type[DifyModel]) -> None:
    """Refuse what is no app.

    Raises:
        TypeError: If `llm` is no model of the classes given.
    """
    if isinstance(llm, kinds):
        return
    wanted = " or ".join(kind.__name__ for kind in kinds)
    raise TypeError(
        f"{engine} wants a {wanted} as its llm, not {type(llm).__name__}: the answers are a Dify "
        "app's; other models go into LlamaIndex's own engines"
    )


def own_model(
    llm: ModelT, user: str | None = None, callback_manager: CallbackManager | None = None
) -> ModelT:
    """The model of an engine: a copy where it differs, since others may use the one given."""
    given = {"user": user or llm.user, "callback_manager": callback_manager or llm.callback_manager}
    changed = {name: value for name, value in given.items() if value != getattr(llm, name)}
    return llm.model_copy(update=changed) if changed else llm
