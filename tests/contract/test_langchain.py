"""Every recorded generation through ChatDify and DifyLLM, in each of the four ways to call."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import reduce
from operator import add

import pytest
from langchain_core.messages import AIMessage
from langchain_core.outputs import Generation, GenerationChunk

from dify_api.errors import DifyError
from langchain_dify import ChatDify, DifyLLM, citations
from tests.contract.exchanges import generations, replayed
from tests.contract.expected import Expected, expected
from tests.support.cassettes import Exchange

pytestmark = pytest.mark.asyncio(loop_scope="module")


def check_failure(error: DifyError, wanted: Expected) -> None:
    assert wanted.failed, error
    assert (error.code, error.status) == (wanted.code, wanted.status)
    assert (error.answer.text if error.answer else "") == wanted.text


def check_message(message: AIMessage, wanted: Expected) -> None:
    assert not wanted.failed
    assert message.content == wanted.text
    assert message.id == wanted.message_id
    assert message.response_metadata.get("conversation_id") == wanted.conversation_id
    usage = message.usage_metadata
    assert (usage["total_tokens"] if usage else None) == wanted.total_tokens
    documents = citations(message)
    assert [document.id for document in documents] == wanted.segment_ids


def ways_of_chat(model: ChatDify) -> list[Callable[[], Awaitable[AIMessage]]]:
    async def invoke() -> AIMessage:
        return model.invoke("Hello")

    async def stream() -> AIMessage:
        return reduce(add, model.stream("Hello"))

    async def ainvoke() -> AIMessage:
        return await model.ainvoke("Hello")

    async def astream() -> AIMessage:
        return reduce(add, [chunk async for chunk in model.astream("Hello")])

    return [invoke, stream, ainvoke, astream]


@pytest.mark.parametrize("exchange", generations("/chat-messages"), ids=lambda e: e.name)
async def test_chat_dify(exchange: Exchange) -> None:
    wanted = expected(exchange)
    with replayed(exchange) as base_url:
        model = ChatDify(api_key="app-test", base_url=base_url, user="ann", max_retries=0)
        for way in ways_of_chat(model):
            try:
                message = await way()
            except DifyError as error:
                check_failure(error, wanted)
            else:
                check_message(message, wanted)


def check_generation(generation: Generation, wanted: Expected) -> None:
    assert not wanted.failed
    assert generation.text == wanted.text
    facts = generation.generation_info or {}
    assert facts.get("conversation_id") == wanted.conversation_id
    assert facts["message_id"] == wanted.message_id
    usage = facts.get("usage")
    assert (usage["total_tokens"] if usage else None) == wanted.total_tokens
    segments = [resource["segment_id"] for resource in facts.get("retriever_resources") or []]
    assert segments == wanted.segment_ids


def ways_of_completion(model: DifyLLM) -> list[Callable[[], Awaitable[Generation]]]:
    async def generate() -> Generation:
        return model.generate(["Hello"]).generations[0][0]

    async def agenerate() -> Generation:
        return (await model.agenerate(["Hello"])).generations[0][0]

    async def stream() -> Generation:
        chunks: list[GenerationChunk] = list(model._stream("Hello"))
        return reduce(add, chunks)

    async def astream() -> Generation:
        return reduce(add, [chunk async for chunk in model._astream("Hello")])

    return [generate, stream, agenerate, astream]


@pytest.mark.parametrize("exchange", generations("/completion-messages"), ids=lambda e: e.name)
async def test_dify_llm(exchange: Exchange) -> None:
    wanted = expected(exchange)
    with replayed(exchange) as base_url:
        model = DifyLLM(api_key="app-test", base_url=base_url, user="ann", max_retries=0)
        for way in ways_of_completion(model):
            try:
                generation = await way()
            except DifyError as error:
                check_failure(error, wanted)
            else:
                check_generation(generation, wanted)
        if not wanted.failed:
            assert model.invoke("Hello") == wanted.text
            assert "".join(model.stream("Hello")) == (wanted.streamed or wanted.text)
