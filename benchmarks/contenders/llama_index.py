"""LlamaIndex models: the framework's floor, ours, and the one for OpenAI-like servers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

from llama_index.core.llms import LLM, ChatMessage, ChatResponse, CustomLLM, LLMMetadata
from llama_index.core.llms.callbacks import llm_chat_callback
from pydantic import PrivateAttr

from benchmarks.answers import DATASET, QUESTION, text, tokens


class _Model:
    """What the users of any LLM write."""

    model: LLM

    def __init__(self, base_url: str) -> None:
        self.base_url = base_url
        self.model = type(self).new(base_url)

    def stream(self) -> Iterator[str]:
        for response in self.model.stream_chat(_messages()):
            yield response.delta or ""

    async def astream(self) -> AsyncIterator[str]:
        async for response in await self.model.astream_chat(_messages()):
            yield response.delta or ""

    def invoke(self) -> str:
        return self.model.chat(_messages()).message.content or ""

    async def ainvoke(self) -> str:
        return (await self.model.achat(_messages())).message.content or ""

    def construct(self) -> Any:
        return type(self).new(self.base_url)

    @staticmethod
    def new(base_url: str) -> LLM:
        raise NotImplementedError


def _messages() -> list[ChatMessage]:
    return [ChatMessage(role="user", content=QUESTION)]


def _responses(pieces: tuple[str, ...]) -> Iterator[ChatResponse]:
    text = ""
    for piece in pieces:
        text += piece
        yield ChatResponse(message=ChatMessage(role="assistant", content=text), delta=piece)


class _FloorModel(CustomLLM):
    """The least that a streaming LLM can do: no wire, one wrapper, the framework's objects."""

    _tokens: tuple[str, ...] = PrivateAttr()
    _responses: list[ChatResponse] | None = PrivateAttr()

    def __init__(self, base_url: str, prebuilt: bool) -> None:
        super().__init__()
        self._tokens = tokens(int(base_url.split("/")[3]))
        self._responses = list(_responses(self._tokens)) if prebuilt else None

    @property
    def metadata(self) -> LLMMetadata:
        return LLMMetadata(is_chat_model=True)

    def complete(self, *_args: Any, **_kwargs: Any) -> Any:
        raise NotImplementedError

    def stream_complete(self, *_args: Any, **_kwargs: Any) -> Any:
        raise NotImplementedError

    @llm_chat_callback()
    def chat(self, messages: list[ChatMessage], **_kwargs: Any) -> ChatResponse:
        return ChatResponse(message=ChatMessage(role="assistant", content=text(len(self._tokens))))

    @llm_chat_callback()
    async def achat(self, messages: list[ChatMessage], **_kwargs: Any) -> ChatResponse:
        return ChatResponse(message=ChatMessage(role="assistant", content=text(len(self._tokens))))

    @llm_chat_callback()
    def stream_chat(self, messages: list[ChatMessage], **_kwargs: Any) -> Iterator[ChatResponse]:
        def responses() -> Iterator[ChatResponse]:
            yield from self._responses or _responses(self._tokens)

        return responses()

    @llm_chat_callback()
    async def astream_chat(
        self, messages: list[ChatMessage], **_kwargs: Any
    ) -> AsyncIterator[ChatResponse]:
        async def responses() -> AsyncIterator[ChatResponse]:
            for response in self._responses or _responses(self._tokens):
                yield response

        return responses()


class Floor(_Model):
    @staticmethod
    def new(base_url: str) -> LLM:
        return _FloorModel(base_url, prebuilt=False)


class PrebuiltFloor(_Model):
    @staticmethod
    def new(base_url: str) -> LLM:
        return _FloorModel(base_url, prebuilt=True)


class DifyModel(_Model):
    @staticmethod
    def new(base_url: str) -> LLM:
        from llama_index_dify import Dify

        return Dify(api_key="app-benchmark", base_url=base_url, user="benchmark")


class QueryEngine(DifyModel):
    def __init__(self, base_url: str) -> None:
        from llama_index_dify import DifyQueryEngine

        super().__init__(base_url)
        self._engine = DifyQueryEngine(self.model, streaming=True)

    def stream(self) -> Iterator[str]:
        yield from self._engine.query(QUESTION).response_gen


class ChatEngine(DifyModel):
    def stream(self) -> Iterator[str]:
        from llama_index_dify import DifyChatEngine

        yield from DifyChatEngine(self.model).stream_chat(QUESTION).response_gen


class Retriever:
    def __init__(self, base_url: str) -> None:
        from llama_index_dify import DifyRetriever

        self._retriever = DifyRetriever(DATASET, api_key="dataset-benchmark", base_url=base_url)

    def invoke(self) -> str:
        return "".join(found.text for found in self._retriever.retrieve(QUESTION))


class _History(DifyModel):
    """A question after a history, of which only what is new is sent."""

    turns = 0

    def __init__(self, base_url: str) -> None:
        from dify_api._transport.turns import TURNS

        super().__init__(base_url)
        TURNS.interval = 0.0  # this server has no clock that a conversation's turns must wait for
        [question] = _messages()
        answer = self.model.chat([question]).message
        self._history = [*[question, answer] * self.turns, question]

    def invoke(self) -> str:
        return self.model.chat(self._history).message.content or ""


class History10(_History):
    turns = 10


class History100(_History):
    turns = 100


class History1000(_History):
    turns = 1000


class OpenAILikeModel(_Model):
    @staticmethod
    def new(base_url: str) -> LLM:
        from llama_index.llms.openai_like import OpenAILike

        return OpenAILike(
            model="planets-1", api_key="sk-benchmark", api_base=base_url, is_chat_model=True
        )
