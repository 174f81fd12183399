"""A Dify app as a query engine: it retrieves, answers and cites in one call."""

from __future__ import annotations

import weakref
from collections.abc import AsyncGenerator, Generator, Mapping, Sequence
from pathlib import Path
from typing import Any
from weakref import ReferenceType

from llama_index.core.base.base_query_engine import BaseQueryEngine
from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    CompletionResponse,
    ContentBlock,
    ImageBlock,
    MessageRole,
    TextBlock,
)
from llama_index.core.base.response.schema import RESPONSE_TYPE
from llama_index.core.callbacks.base import CallbackManager
from llama_index.core.callbacks.schema import CBEventType, EventPayload
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.prompts.mixin import PromptMixinType
from llama_index.core.schema import NodeWithScore, QueryBundle
from llama_index.core.settings import Settings
from llama_index.core.types import TokenAsyncGen, TokenGen
from pydantic import SecretStr
from typing_extensions import Unpack

from dify_api.connection import ConnectionOptions
from llama_index_dify._answers.records import source_nodes
from llama_index_dify._base import check_model, own_model
from llama_index_dify.completion import DifyCompletion
from llama_index_dify.model import Dify
from llama_index_dify.open_streams import OpenStream, aclose, close, opened
from llama_index_dify.query_responses import (
    AsyncDifyStreamingResponse,
    AsyncTokens,
    DifyResponse,
    DifyStreamingResponse,
    Tokens,
    metadata_of,
)

Answer = ChatResponse | CompletionResponse
Answers = Generator[ChatResponse, None, None] | Generator[CompletionResponse, None, None]
AsyncAnswers = AsyncGenerator[ChatResponse, None] | AsyncGenerator[CompletionResponse, None]
Streaming = DifyStreamingResponse | AsyncDifyStreamingResponse


class DifyQueryEngine(BaseQueryEngine):
    """Queries a Dify app that answers from its knowledge, and returns what it cites.

    Each query is a conversation of its own, so one engine serves any number of users. The app
    is asked through its LLM class: LLM events and token counts appear as with any model.

    Args:
        llm: The app. Default: a `Dify` of the arguments below; pass a `DifyCompletion` for a
            completion app.
        api_key: Key of a chat, agent or chatflow app. Default: `DIFY_API_KEY`.
        user: The end user, as in `Dify`.
        inputs: Values of the app's variables.
        streaming: Whether `query` returns a `DifyStreamingResponse`, and `aquery` an
            `AsyncDifyStreamingResponse`, before the answer is complete.
        node_postprocessors: Applied to the sources, after the app has answered.
        conversation_id: A conversation in which all queries are asked. Default: a new one each.
        callback_manager: Receives the QUERY events, and the LLM's. Default: the LLM's own if
            it has handlers, else that of `Settings`. It is not given to the `llm` itself, which
            others may use.
        **options: Address, limits, headers and so on, as in `Dify`.

    Raises:
        TypeError: If `llm` is no Dify app.
        ValueError: If there is no key, or both an LLM and arguments for one.

    Example:
        >>> engine = DifyQueryEngine(api_key="app-...")
        >>> response = engine.query("Which planet has the most moons?")
        >>> print(response, [found.metadata["document_name"] for found in response.source_nodes])
        Saturn, with 274. ['saturn.md', 'jupiter.md']
    """

    def __init__(
        self,
        llm: Dify | DifyCompletion | None = None,
        *,
        api_key: SecretStr | str | None = None,
        user: str | None = None,
        inputs: Mapping[str, Any] | None = None,
        streaming: bool = False,
        node_postprocessors: Sequence[BaseNodePostprocessor] = (),
        conversation_id: str | None = None,
        callback_manager: CallbackManager | None = None,
        **options: Unpack[ConnectionOptions],
    ) -> None:
        given = {"api_key": api_key, "user": user, "inputs": inputs, **options}
        arguments = {name: value for name, value in given.items() if value is not None}
        if llm is not None and arguments:
            raise ValueError(f"pass {', '.join(arguments)} to the llm, or leave the llm out")
        if llm is not None:
            check_model(llm, "DifyQueryEngine", Dify, DifyCompletion)
        asked = llm if llm is not None else Dify(**arguments)
        self._streaming = streaming
        self._node_postprocessors = list(node_postprocessors)
        if conversation_id and isinstance(asked, DifyCompletion):
            raise ValueError("a completion app keeps no conversation: leave conversation_id out")
        self._call_arguments: dict[str, Any] = (
            {"conversation_id": conversation_id} if conversation_id else {}
        )
        if callback_manager is None:
            own = asked.callback_manager
            callback_manager = own if own.handlers else Settings.callback_manager
        self._llm = own_model(asked, callback_manager=callback_manager)
        for postprocessor in self._node_postprocessors:
            postprocessor.callback_manager = callback_manager
        super().__init__(callback_manager)

    @property
    def llm(self) -> Dify | DifyCompletion:
        """The app that answers."""
        return self._llm

    def _get_prompt_modules(self) -> PromptMixinType:
        return {}  # the prompts are in the app

    def _query(self, query_bundle: QueryBundle) -> RESPONSE_TYPE:
        payload: dict[str, Any] = {EventPayload.QUERY_STR: query_bundle.query_str}
        with self.callback_manager.event(CBEventType.QUERY, payload=payload) as event:
            response: RESPONSE_TYPE
            if self._streaming:
                response = self._stream(query_bundle)
            else:
                answer = self._ask(query_bundle)
                sources = self._postprocess(_sources(answer), query_bundle)
                response = _response(answer, sources)
            event.on_end(payload={EventPayload.RESPONSE: response})
        return response

    async def _aquery(self, query_bundle: QueryBundle) -> RESPONSE_TYPE:
        payload: dict[str, Any] = {EventPayload.QUERY_STR: query_bundle.query_str}
        with self.callback_manager.event(CBEventType.QUERY, payload=payload) as event:
            response: RESPONSE_TYPE
            if self._streaming:
                response = await self._astream(query_bundle)
            else:
                answer = await self._aask(query_bundle)
                sources = await self._apostprocess(_sources(answer), query_bundle)
                response = _response(answer, sources)
            event.on_end(payload={EventPayload.RESPONSE: response})
        return response

    def _ask(self, query: QueryBundle) -> Answer:
        answer: Answer
        if isinstance(self._llm, DifyCompletion):
            answer = self._llm.complete(query.query_str)
        else:
            answer = self._llm.chat(_messages(query), **self._call_arguments)
        return answer

    async def _aask(self, query: QueryBundle) -> Answer:
        answer: Answer
        if isinstance(self._llm, DifyCompletion):
            answer = await self._llm.acomplete(query.query_str)
        else:
            answer = await self._llm.achat(_messages(query), **self._call_arguments)
        return answer

    def _stream(self, query: QueryBundle) -> DifyStreamingResponse:
        with opened() as streams:
            answers: Answers
            if isinstance(self._llm, DifyCompletion):
                answers = self._llm.stream_complete(query.query_str)
            else:
                answers = self._llm.stream_chat(_messages(query), **self._call_arguments)
        response = DifyStreamingResponse(_nothing())
        tokens = self._tokens(answers, streams, query, weakref.ref(response))
        response.response_gen = Tokens(tokens)
        return response

    async def _astream(self, query: QueryBundle) -> AsyncDifyStreamingResponse:
        with opened() as streams:
            answers: AsyncAnswers
            if isinstance(self._llm, DifyCompletion):
                answers = await self._llm.astream_complete(query.query_str)
            else:
                answers = await self._llm.astream_chat(_messages(query), **self._call_arguments)
        response = AsyncDifyStreamingResponse(_no_async())
        tokens = self._atokens(answers, streams, query, weakref.ref(response))
        response.response_gen = AsyncTokens(tokens)
        return response

    # The generators know their response by a weak reference: a loop that was left early then
    # lets go of both at once, which stops the app.

    def _tokens(
        self,
        answers: Answers,
        streams: Sequence[OpenStream],
        query: QueryBundle,
        response: ReferenceType[DifyStreamingResponse],
    ) -> TokenGen:
        last: Answer | None = None
        try:
            for last in answers:
                if last.delta:
                    yield last.delta
        finally:
            close([answers, *streams])
            _end(response(), last)
        _complete(response(), last, self._postprocess(_sources(last), query))

    async def _atokens(
        self,
        answers: AsyncAnswers,
        streams: Sequence[OpenStream],
        query: QueryBundle,
        response: ReferenceType[AsyncDifyStreamingResponse],
    ) -> TokenAsyncGen:
        last: Answer | None = None
        _begin(response())
        try:
            async for last in answers:
                if last.delta:
                    yield last.delta
        finally:
            await aclose([answers, *streams])
            _end(response(), last)
        _complete(response(), last, await self._apostprocess(_sources(last), query))

    def _postprocess(self, sources: list[NodeWithScore], query: QueryBundle) -> list[NodeWithScore]:
        for postprocessor in self._node_postprocessors:
            sources = postprocessor.postprocess_nodes(sources, query_bundle=query)
        return sources

    async def _apostprocess(
        self, sources: list[NodeWithScore], query: QueryBundle
    ) -> list[NodeWithScore]:
        for postprocessor in self._node_postprocessors:
            sources = await postprocessor.apostprocess_nodes(sources, query_bundle=query)
        return sources


def _messages(query: QueryBundle) -> list[ChatMessage]:
    blocks: list[ContentBlock] = [TextBlock(text=query.query_str)]
    if query.image_path:
        blocks.append(ImageBlock(path=Path(query.image_path)))
    return [ChatMessage(role=MessageRole.USER, blocks=blocks)]


def _sources(answer: Answer | None) -> list[NodeWithScore]:
    return source_nodes(answer) if answer is not None else []


def _text(answer: Answer) -> str:
    text = answer.message.content if isinstance(answer, ChatResponse) else answer.text
    return text or ""


def _response(answer: Answer, sources: list[NodeWithScore]) -> DifyResponse:
    return DifyResponse.of(_text(answer), sources, answer.raw)


def _begin(response: AsyncDifyStreamingResponse | None) -> None:
    if response is not None:
        response.began = True


def _end(response: Streaming | None, last: Answer | None) -> None:
    """Keep what has come, however the stream ended."""
    if response is not None and last is not None:
        response.response_txt = _text(last)
    if isinstance(response, AsyncDifyStreamingResponse):
        response.ended = True


def _complete(
    response: Streaming | None, last: Answer | None, sources: list[NodeWithScore]
) -> None:
    if response is None or last is None:
        return
    response.source_nodes.extend(sources)  # in place: others may hold the list already
    response.metadata = {**(response.metadata or {}), **metadata_of(sources)}
    response.raw = last.raw


def _nothing() -> TokenGen:
    yield from ()


async def _no_async() -> TokenAsyncGen:
    for token in _nothing():
        yield token
