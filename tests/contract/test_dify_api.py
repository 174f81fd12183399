"""Every recorded generation through the clients, over a real socket, in random pieces."""

from __future__ import annotations

import pytest

from dify_api import Answer, AsyncDifyClient, DifyClient, DifyError, chat, completion
from dify_api.operation import Operation
from tests.contract.exchanges import generations, replayed
from tests.contract.expected import Expected, expected
from tests.support.cassettes import Exchange

pytestmark = pytest.mark.asyncio(loop_scope="module")

GENERATIONS = generations("/chat-messages") + generations("/completion-messages")


def operation_for(exchange: Exchange) -> Operation[Answer]:
    if exchange.path == "/chat-messages":
        return chat.send_message("Hello", user="ann")
    return completion.send_message({"query": "Hello"}, user="ann")


def check(outcome: Answer | DifyError, wanted: Expected) -> None:
    if wanted.failed:
        assert isinstance(outcome, DifyError)
        assert outcome.code == wanted.code
        assert outcome.status == wanted.status
        assert (outcome.answer.text if outcome.answer else "") == wanted.text
        return
    assert isinstance(outcome, Answer), outcome
    assert outcome.text == wanted.text
    assert outcome.conversation_id == wanted.conversation_id
    assert outcome.message_id == wanted.message_id
    assert (outcome.usage.total_tokens if outcome.usage else None) == wanted.total_tokens
    assert [r.segment_id for r in outcome.retriever_resources] == wanted.segment_ids


@pytest.mark.parametrize("exchange", GENERATIONS, ids=lambda exchange: exchange.name)
async def test_recorded_generation(exchange: Exchange) -> None:
    wanted = expected(exchange)
    with replayed(exchange) as base_url:
        operation = operation_for(exchange)
        client = DifyClient("app-test", base_url=base_url, max_retries=0)
        async_client = AsyncDifyClient("app-test", base_url=base_url, max_retries=0)
        check(send(client, operation), wanted)
        try:
            check(await async_client.send(operation), wanted)
        except DifyError as error:
            check(error, wanted)
        check_stream(client, operation, wanted)


def send(client: DifyClient, operation: Operation[Answer]) -> Answer | DifyError:
    try:
        return client.send(operation)
    except DifyError as error:
        return error


def check_stream(client: DifyClient, operation: Operation[Answer], wanted: Expected) -> None:
    texts: list[str] = []
    try:
        with client.stream(operation) as stream:
            texts.extend(text for _, text in stream.steps())
        check(stream.answer, wanted)
    except DifyError as error:
        check(error, wanted)
    if wanted.streamed:
        assert "".join(texts) == wanted.streamed
