"""LangChain models: the framework's floor, ours, and two partner packages."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from pydantic import PrivateAttr

from benchmarks.answers import DATASET, QUESTION, pieces

_MESSAGE_ID = "20f9145f-05e3-41a3-a2b1-8e2b1d15ca7d"


class _ChatModel:
    """What the users of any chat model write."""

    model: BaseChatModel

    def stream(self) -> Iterator[str]:
        for chunk in self.model.stream(QUESTION):
            yield chunk.content

    async def astream(self) -> AsyncIterator[str]:
        async for chunk in self.model.astream(QUESTION):
            yield chunk.content

    def invoke(self) -> str:
        return str(self.model.invoke(QUESTION).content)

    async def ainvoke(self) -> str:
        return str((await self.model.ainvoke(QUESTION)).content)

    def construct(self) -> Any:
        return type(self).new(self.base_url)

    def __init__(self, base_url: str) -> None:
        self.base_url = base_url
        self.model = type(self).new(base_url)

    @staticmethod
    def new(base_url: str) -> BaseChatModel:
        raise NotImplementedError


def _chunk(piece: str) -> ChatGenerationChunk:
    return ChatGenerationChunk(message=AIMessageChunk(content=piece, id=_MESSAGE_ID))


class _FloorModel(BaseChatModel):
    """The least that a streaming model can do: no wire, only the framework's objects."""

    _pieces: tuple[str, ...] = PrivateAttr()
    _chunks: list[ChatGenerationChunk] | None = PrivateAttr()

    def __init__(self, base_url: str, prebuilt: bool) -> None:
        super().__init__()
        *_, count, delivery, _ = base_url.split("/")
        self._pieces = pieces(int(count), by_letter=delivery == "letters")
        self._chunks = [_chunk(piece) for piece in self._pieces] if prebuilt else None

    @property
    def _llm_type(self) -> str:
        return "floor"

    def bind_tools(self, *_args: Any, **_kwargs: Any) -> Any:
        return self

    def _generate(self, *_args: Any, **_kwargs: Any) -> ChatResult:
        message = AIMessage(content="".join(self._pieces))
        return ChatResult(generations=[ChatGeneration(message=message)])

    async def _agenerate(self, *_args: Any, **_kwargs: Any) -> ChatResult:
        return self._generate()

    def _stream(self, *_args: Any, **_kwargs: Any) -> Iterator[ChatGenerationChunk]:
        if self._chunks is not None:
            yield from self._chunks
            return
        for piece in self._pieces:
            yield _chunk(piece)

    async def _astream(self, *_args: Any, **_kwargs: Any) -> AsyncIterator[ChatGenerationChunk]:
        for chunk in self._stream():
            yield chunk


class Floor(_ChatModel):
    @staticmethod
    def new(base_url: str) -> BaseChatModel:
        return _FloorModel(base_url, prebuilt=False)


class PrebuiltFloor(_ChatModel):
    @staticmethod
    def new(base_url: str) -> BaseChatModel:
        return _FloorModel(base_url, prebuilt=True)


class Dify(_ChatModel):
    @staticmethod
    def new(base_url: str) -> BaseChatModel:
        from langchain_dify import ChatDify

        return ChatDify(api_key="app-benchmark", base_url=base_url, user="benchmark")


class _Agent(_ChatModel):
    """An agent with one tool, which this answer does not call."""

    def __init__(self, base_url: str) -> None:
        from langchain.agents import create_agent

        super().__init__(base_url)
        self._agent = create_agent(self.model, tools=[_moons_of])

    def invoke(self) -> str:
        state = self._agent.invoke({"messages": [HumanMessage(QUESTION)]})
        return str(state["messages"][-1].content)


def _moons_of(planet: str) -> int:
    """How many moons a planet has."""
    return len(planet)


class FloorAgent(_Agent, Floor):
    pass


class DifyAgent(_Agent, Dify):
    pass


class _History(Dify):
    """A question after a history, of which only what is new is sent."""

    turns = 0

    def __init__(self, base_url: str) -> None:
        from dify_api._transport.turns import TURNS

        super().__init__(base_url)
        TURNS.interval = 0.0  # this server has no clock that a conversation's turns must wait for
        question = HumanMessage(QUESTION)
        answer = self.model.invoke([question])
        self._messages = [*[question, answer] * self.turns, question]

    def invoke(self) -> str:
        return str(self.model.invoke(self._messages).content)


class History10(_History):
    turns = 10


class History100(_History):
    turns = 100


class History1000(_History):
    turns = 1000


class Retriever:
    def __init__(self, base_url: str) -> None:
        from langchain_dify import DifyRetriever

        self._retriever = DifyRetriever(
            api_key="dataset-benchmark", base_url=base_url, dataset_id=DATASET
        )

    def invoke(self) -> str:
        return "".join(found.page_content for found in self._retriever.invoke(QUESTION))


class OpenAI(_ChatModel):
    @staticmethod
    def new(base_url: str) -> BaseChatModel:
        from langchain_openai import ChatOpenAI

        return ChatOpenAI(model="planets-1", api_key="sk-benchmark", base_url=base_url)


class Mistral(_ChatModel):
    @staticmethod
    def new(base_url: str) -> BaseChatModel:
        from langchain_mistralai import ChatMistralAI

        return ChatMistralAI(model_name="planets-1", api_key="sk-benchmark", endpoint=base_url)
