"""Every recorded generation through Dify and DifyCompletion, in each of their eight ways to call.

Of one recording, half of the ways are quick tests: sync, async, whole and streamed, as a chat or as
a completion. The other half is slow ones.
"""

from __future__ import annotations

import zlib
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from llama_index.core.llms import ChatMessage, ChatResponse, CompletionResponse

from dify_api.errors import DifyError
from llama_index_dify import Dify, DifyCompletion, source_nodes
from tests.contract.exchanges import generations, replayed
from tests.contract.expected import Expected, expected
from tests.support.cassettes import Exchange

pytestmark = pytest.mark.asyncio(loop_scope="module")

Response = ChatResponse | CompletionResponse
HELLO = [ChatMessage(role="user", content="Hello")]


CHAT, COMPLETE = "as a chat", "as a completion"


def ways(model: Dify | DifyCompletion, kind: str) -> list[Callable[[], Awaitable[Response]]]:
    async def chat() -> Response:
        return model.chat(HELLO)

    async def complete() -> Response:
        return model.complete("Hello")

    async def achat() -> Response:
        return await model.achat(HELLO)

    async def acomplete() -> Response:
        return await model.acomplete("Hello")

    async def stream_chat() -> Response:
        return list(model.stream_chat(HELLO))[-1]

    async def stream_complete() -> Response:
        return list(model.stream_complete("Hello"))[-1]

    async def astream_chat() -> Response:
        return [response async for response in await model.astream_chat(HELLO)][-1]

    async def astream_complete() -> Response:
        return [response async for response in await model.astream_complete("Hello")][-1]

    if kind == CHAT:
        return [chat, achat, stream_chat, astream_chat]
    return [complete, acomplete, stream_complete, astream_complete]


def check_response(response: Response, wanted: Expected) -> None:
    assert not wanted.failed
    if isinstance(response, ChatResponse):
        assert (response.message.content or "") == wanted.text
    else:
        assert response.text == wanted.text
    raw: dict[str, Any] = dict(response.raw or {})
    assert raw.get("conversation_id") == wanted.conversation_id
    assert raw["message_id"] == wanted.message_id
    usage = raw.get("usage")
    assert (usage["total_tokens"] if usage else None) == wanted.total_tokens
    if wanted.total_tokens is not None:
        assert response.additional_kwargs["total_tokens"] == wanted.total_tokens
    assert [node.node.node_id for node in source_nodes(response)] == wanted.segment_ids


def check_failure(error: DifyError, wanted: Expected) -> None:
    assert wanted.failed, error
    assert (error.code, error.status) == (wanted.code, wanted.status)
    assert (error.answer.text if error.answer else "") == wanted.text


async def check_ways(model: Dify | DifyCompletion, kind: str, wanted: Expected) -> None:
    for way in ways(model, kind):
        try:
            response = await way()
        except DifyError as error:
            check_failure(error, wanted)
        else:
            check_response(response, wanted)


def cases(path: str) -> pytest.MarkDecorator:
    """Each recording as a chat and as a completion; by its name, one of both is slow."""
    return pytest.mark.parametrize(
        ("exchange", "kind"),
        [
            pytest.param(
                exchange,
                kind,
                id=f"{exchange.name}, {kind}",
                marks=[pytest.mark.slow] if zlib.crc32(exchange.name.encode()) % 2 == slow else [],
            )
            for exchange in generations(path)
            for slow, kind in enumerate((CHAT, COMPLETE))
        ],
    )


@cases("/chat-messages")
async def test_dify(exchange: Exchange, kind: str) -> None:
    with replayed(exchange) as base_url:
        model = Dify(api_key="app-test", base_url=base_url, user="ann", max_retries=0)
        await check_ways(model, kind, expected(exchange))


@cases("/completion-messages")
async def test_dify_completion(exchange: Exchange, kind: str) -> None:
    with replayed(exchange) as base_url:
        model = DifyCompletion(api_key="app-test", base_url=base_url, user="ann", max_retries=0)
        await check_ways(model, kind, expected(exchange))
