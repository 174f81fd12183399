"""A connection breaks in the middle of an answer: the whole answer comes, once, in every class."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from llama_index.core.callbacks import CallbackManager
from llama_index.core.callbacks.token_counting import TokenCountingHandler
from llama_index.core.llms import ChatMessage

from dify_api.errors import StreamInterruptedError
from dify_local import LocalDify
from llama_index_dify import Dify, DifyChatEngine, DifyQueryEngine, DifyTool, DifyWorkflow
from llama_index_dify.events import DifyTextEvent

QUESTION = "/tokens 6"
TEXT = "t0xx t1xx t2xx t3xx t4xx t5xx"

Ask = Callable[[LocalDify, CallbackManager], Awaitable[str]]
"""Asks; what was streamed, or the whole answer where nothing streams."""


def _llm(local: LocalDify, callbacks: CallbackManager, **options: Any) -> Dify:
    key = local.keys["advanced-chat"]
    return Dify(api_key=key, base_url=local.base_url, callback_manager=callbacks, **options)


def _workflow(local: LocalDify, callbacks: CallbackManager) -> DifyWorkflow:
    key = local.keys["workflow"]
    return DifyWorkflow(api_key=key, base_url=local.base_url, callback_manager=callbacks)


async def _chat(local: LocalDify, callbacks: CallbackManager) -> str:
    return _llm(local, callbacks).chat([ChatMessage(QUESTION)]).message.content or ""


async def _achat(local: LocalDify, callbacks: CallbackManager) -> str:
    response = await _llm(local, callbacks).achat([ChatMessage(QUESTION)])
    return response.message.content or ""


async def _stream(local: LocalDify, callbacks: CallbackManager) -> str:
    responses = list(_llm(local, callbacks).stream_chat([ChatMessage(QUESTION)]))
    assert (responses[-1].message.content or "").strip() == TEXT
    return "".join(response.delta or "" for response in responses)


async def _astream(local: LocalDify, callbacks: CallbackManager) -> str:
    stream = await _llm(local, callbacks).astream_chat([ChatMessage(QUESTION)])
    return "".join([response.delta or "" async for response in stream])


async def _engine(local: LocalDify, callbacks: CallbackManager) -> str:
    engine = DifyChatEngine(_llm(local, callbacks))
    response = engine.stream_chat(QUESTION)
    streamed = "".join(response.response_gen)
    assert [message.content for message in engine.chat_history] == [QUESTION, streamed]
    return streamed


async def _aengine(local: LocalDify, callbacks: CallbackManager) -> str:
    engine = DifyChatEngine(_llm(local, callbacks))
    response = str(await engine.achat(QUESTION))
    assert [message.content for message in engine.chat_history] == [QUESTION, response]
    return response


async def _query(local: LocalDify, callbacks: CallbackManager) -> str:
    return str(DifyQueryEngine(_llm(local, callbacks)).query(QUESTION))


async def _aquery(local: LocalDify, callbacks: CallbackManager) -> str:
    engine = DifyQueryEngine(_llm(local, callbacks), streaming=True)
    response: Any = await engine.aquery(QUESTION)
    return "".join([token async for token in response.response_gen])


async def _run(local: LocalDify, callbacks: CallbackManager) -> str:
    return str(_workflow(local, callbacks).run({"text": QUESTION}).outputs["text"])


async def _arun(local: LocalDify, callbacks: CallbackManager) -> str:
    response = await _workflow(local, callbacks).arun({"text": QUESTION})
    return str(response.outputs["text"])


async def _events(local: LocalDify, callbacks: CallbackManager) -> str:
    events = list(_workflow(local, callbacks).stream({"text": QUESTION}))
    return "".join(event.delta for event in events if isinstance(event, DifyTextEvent))


async def _tool(local: LocalDify, callbacks: CallbackManager) -> str:
    app = {"api_key": local.keys["advanced-chat"], "base_url": local.base_url}
    tool = DifyTool.from_app(**app, callback_manager=callbacks)
    local.fault("close", after_events=5, path="/chat-messages")
    return (await tool.acall(query=QUESTION)).content


WAYS = [
    _chat,
    _achat,
    _stream,
    _astream,
    _engine,
    _aengine,
    _query,
    _aquery,
    _run,
    _arun,
    _events,
    _tool,
]


@pytest.mark.parametrize("ask", WAYS, ids=lambda ask: ask.__name__)
async def test_the_whole_answer_comes_once(ask: Ask, local: LocalDify) -> None:
    counter = TokenCountingHandler()
    path = "/workflows/run" if ask in (_run, _arun, _events) else "/chat-messages"
    if ask is not _tool:
        local.fault("close", after_events=6, path=path)
    answer = await ask(local, CallbackManager([counter]))
    assert answer.strip() == TEXT
    asked = [r for r in local.requests if r.path.endswith(path)]
    followed = [r for r in local.requests if "/events" in r.path]
    assert (len(asked), len(followed)) == (1, 1)
    assert len(counter.llm_token_counts) == 1


async def test_it_can_be_switched_off(local: LocalDify) -> None:
    local.fault("close", after_events=6, path="/chat-messages")
    engine = DifyChatEngine(_llm(local, CallbackManager(), recover=False))
    with pytest.raises(StreamInterruptedError) as interrupted:
        engine.chat(QUESTION)
    assert interrupted.value.answer is not None
    assert TEXT.startswith(interrupted.value.answer.text.strip())
    assert engine.chat_history == []
