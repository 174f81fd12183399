"""`DifyLLM`: a completion app as a LangChain LLM."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing
from functools import partial
from typing import Any

from langchain_core.caches import BaseCache
from langchain_core.callbacks import (
    AsyncCallbackManagerForLLMRun,
    BaseRunManager,
    CallbackManagerForLLMRun,
)
from langchain_core.language_models.base import LangSmithParams, LanguageModelInput
from langchain_core.language_models.llms import LLM
from langchain_core.outputs import Generation, GenerationChunk, LLMResult
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import ContextThreadPoolExecutor
from pydantic import Field

from dify_api import completion
from dify_api._calls.input_message import marks
from dify_api._calls.signatures import kept_signature
from dify_api._calls.trace_session import trace_session_of
from dify_api.answers._reader import Step
from dify_api.answers.answer import Answer
from dify_api.endpoints.response_mode import ResponseMode
from dify_api.operation import Operation
from langchain_dify._answers.chunks import AnswerSource, GenerationChunks
from langchain_dify._answers.run_facts import add_run_facts
from langchain_dify._answers.text import TextFilter
from langchain_dify._answers.tracing import anode_tracer, node_tracer
from langchain_dify._arguments import DifyArguments, check_call_arguments
from langchain_dify._calls.ownership import owned, owning
from langchain_dify._names import MODEL_PROVIDER
from langchain_dify.errors import model_errors


class DifyLLM(DifyArguments, LLM, defer_build=False):
    """A Dify completion app as an LLM: a prompt in, a text out.

    The prompt becomes the input `prompt_input` of the app; citations, usage and price are in
    the generation's `generation_info`.

    Example:
        >>> llm = DifyLLM(api_key="app-...", user="ann", inputs={"tone": "dry"})
        >>> llm.invoke("A sentence about Saturn")
        'Saturn has rings of ice and dust.'
    """

    prompt_input: str = "query"
    """Name of the app's input that takes the prompt."""
    response_mode: ResponseMode = "streaming"
    """How the server is asked. "streaming" serves `invoke` too: proxies cut what is silent."""
    cache: BaseCache | bool | None = Field(default=False, exclude=True)
    """Off by default."""

    @property
    def _llm_type(self) -> str:
        return "dify"

    @property
    def _identifying_params(self) -> Mapping[str, Any]:
        return {**self._app_params(), "prompt_input": self.prompt_input}

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        params = LangSmithParams(
            ls_provider=MODEL_PROVIDER, ls_model_type="llm", ls_model_name=self.model_name
        )
        if stop:
            params["ls_stop"] = stop
        return params

    def _call(
        self,
        prompt: str,
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> str:
        return self._complete(prompt, stop, kwargs).text

    async def _acall(
        self,
        prompt: str,
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> str:
        return (await self._acomplete(prompt, stop, kwargs)).text

    @kept_signature
    def _generate(
        self,
        prompts: list[str],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> LLMResult:
        if len(prompts) == 1:
            return LLMResult(generations=[[self._complete(prompts[0], stop, kwargs, run_manager)]])
        with ContextThreadPoolExecutor() as executor:
            done = executor.map(lambda prompt: self._complete(prompt, stop, kwargs), prompts)
            return LLMResult(generations=[[generation] for generation in done])

    @kept_signature
    async def _agenerate(
        self,
        prompts: list[str],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> LLMResult:
        above = run_manager if len(prompts) == 1 else None  # the run manager is the first one's
        calls = (self._acomplete(prompt, stop, kwargs, above) for prompt in prompts)
        return LLMResult(generations=[[done] for done in await asyncio.gather(*calls)])

    def _stream(
        self,
        prompt: str,
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[GenerationChunk]:
        operation, make_chunks = self._completion_call(prompt, stop, kwargs)
        with (
            model_errors,
            node_tracer(run_manager, self.model_name, kwargs.get("user") or self.user) as tracer,
            self.client.stream(operation) as stream,
        ):
            for chunk in _chunks_of(stream.steps(), make_chunks(stream)):
                tracer.tell(chunk)
                if chunk.generation_info and "model_name" in chunk.generation_info:
                    tracer.finish(stream)
                if run_manager:
                    run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                yield chunk

    def _astream(
        self,
        prompt: str,
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[GenerationChunk]:
        return owned(self._achunks(prompt, stop, run_manager, kwargs), "_astream")

    async def _achunks(
        self,
        prompt: str,
        stop: Sequence[str] | None,
        run_manager: AsyncCallbackManagerForLLMRun | None,
        kwargs: dict[str, Any],
    ) -> AsyncGenerator[GenerationChunk, None]:
        operation, make_chunks = self._completion_call(prompt, stop, kwargs)
        with model_errors:
            async with (
                anode_tracer(
                    run_manager, self.model_name, kwargs.get("user") or self.user
                ) as tracer,
                self.async_client.stream(operation) as stream,
                aclosing(_achunks_of(stream.steps(), make_chunks(stream))) as chunks,
            ):
                async for chunk in chunks:
                    await tracer.atell(chunk)
                    if chunk.generation_info and "model_name" in chunk.generation_info:
                        await tracer.afinish(stream)
                    if run_manager:
                        await run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                    yield chunk

    def astream(
        self,
        input: LanguageModelInput,  # noqa: A002  # langchain-core's name
        config: RunnableConfig | None = None,
        *,
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[str]:
        """Stream a text, for asyncio. See `BaseLLM.astream`."""
        begin = partial(super().astream, input, config, stop=stop, **kwargs)
        return owned(owning(begin, "_astream"), "astream")

    def atransform(
        self,
        input: AsyncIterator[LanguageModelInput],  # noqa: A002  # langchain-core's name
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[str]:
        """Stream an answer inside a chain, for asyncio. See `Runnable.atransform`."""
        return owning(partial(super().atransform, input, config, **kwargs), "astream")

    def _complete(
        self,
        prompt: str,
        stop: Sequence[str] | None,
        kwargs: dict[str, Any],
        run_manager: BaseRunManager | None = None,
    ) -> Generation:
        operation, make_chunks = self._completion_call(prompt, stop, kwargs)
        with model_errors, self.client.stream(operation) as stream:
            chunks = make_chunks(stream)
            while not chunks.is_cut and (steps := stream.next_steps()):
                chunks.watch(steps)
        if run_manager:
            add_run_facts(run_manager, stream.answer)
        return chunks.generation()

    async def _acomplete(
        self,
        prompt: str,
        stop: Sequence[str] | None,
        kwargs: dict[str, Any],
        run_manager: BaseRunManager | None = None,
    ) -> Generation:
        operation, make_chunks = self._completion_call(prompt, stop, kwargs)
        with model_errors:
            async with self.async_client.stream(operation) as stream:
                chunks = make_chunks(stream)
                while not chunks.is_cut and (steps := await stream.next_steps()):
                    chunks.watch(steps)
        if run_manager:
            add_run_facts(run_manager, stream.answer)
        return chunks.generation()

    def _completion_call(
        self, prompt: str, stop: Sequence[str] | None, kwargs: dict[str, Any]
    ) -> tuple[Operation[Answer], Callable[[AnswerSource], GenerationChunks]]:
        """What is sent, and what makes the chunks of its answer."""
        check_call_arguments(kwargs, type(self))
        if not prompt.strip():
            raise ValueError("the prompt must not be empty: say what the app shall write")
        user = kwargs.get("user") or self.user
        operation = completion.send_message(
            {**self.inputs, **(kwargs.get("inputs") or {}), self.prompt_input: prompt},
            user=user,
            query=prompt,
            files=kwargs.get("files") or self.files,
            response_mode=self.response_mode,
        ).traced(
            kwargs.get("trace_id") or self.trace_id,
            trace_session_of(kwargs, self.trace_session_id),
        )
        chunks = partial(
            GenerationChunks,
            marks=marks(self.app, user),
            text_filter=TextFilter(stop=stop or self.stop or ()),
            model=self.model_name,
        )
        return operation, chunks


def _chunks_of(steps: Iterator[Step], chunks: GenerationChunks) -> Iterator[GenerationChunk]:
    for event, text in steps:
        yield from chunks.take(event, text)
        if chunks.is_cut:
            break
    yield from chunks.finish()


async def _achunks_of(
    steps: AsyncGenerator[Step, None], chunks: GenerationChunks
) -> AsyncGenerator[GenerationChunk, None]:
    async with aclosing(steps):
        async for event, text in steps:
            for chunk in chunks.take(event, text):
                yield chunk
            if chunks.is_cut:
                break
    for chunk in chunks.finish():
        yield chunk
