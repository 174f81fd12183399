from __future__ import annotations

import asyncio
import copy
import pickle
from collections.abc import Callable
from decimal import Decimal
from functools import reduce
from operator import add
from typing import Any

import pytest
from langchain_core.callbacks import AsyncCallbackHandler, BaseCallbackHandler
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import PromptTemplate

from dify_api.errors import DifyError, NotChatAppError
from dify_local import LocalDify
from langchain_dify import ChatDify, DifyLLM, citations

QUESTION = "Which planet has the most moons?"


@pytest.fixture
def llm(server: LocalDify) -> Callable[..., DifyLLM]:
    def make(**fields: Any) -> DifyLLM:
        given = {
            "api_key": server.keys["completion"],
            "base_url": server.base_url,
            "user": "ann",
        }
        return DifyLLM(**{**given, **fields})

    return make


Models = Callable[..., DifyLLM]


async def test_four_ways_one_text(llm: Models) -> None:
    model = llm()
    text = model.invoke(QUESTION)
    assert "274 moons" in text
    assert "".join(model.stream(QUESTION)) == text
    assert await model.ainvoke(QUESTION) == text
    assert "".join([piece async for piece in model.astream(QUESTION)]) == text


def test_the_prompt_is_an_input_and_the_query(llm: Models, server: LocalDify) -> None:
    llm(inputs={"tone": "dry"}).invoke("/echo a", inputs={"tone": "warm"}, user="bob")
    sent = server.requests[-1].json
    assert sent["inputs"] == {"tone": "warm", "query": "/echo a"}
    assert (sent["query"], sent["user"]) == ("/echo a", "bob")


def test_another_input_can_take_the_prompt(llm: Models, server: LocalDify) -> None:
    llm(prompt_input="text").invoke("/echo b", inputs={"query": "x"})
    assert server.requests[-1].json["inputs"] == {"query": "x", "text": "/echo b"}


async def test_generation_info(llm: Models) -> None:
    model = llm()
    (generated,) = model.generate([QUESTION]).generations[0]
    (agenerated,) = (await model.agenerate([QUESTION])).generations[0]
    streamed = reduce(add, list(model._stream(QUESTION)))
    for generation in (generated, agenerated, streamed):
        info = generation.generation_info
        assert info["message_id"]
        assert info["task_id"]
        assert info["finish_reason"] == "stop"
        assert info["usage"]["total_tokens"] > 0
        assert Decimal(info["total_price"]) > 0
        assert citations(generation)[0].metadata["source"] == "saturn.md"
    assert "conversation_id" not in generated.generation_info


async def test_tokens_reach_callbacks_once(llm: Models) -> None:
    class Tokens(BaseCallbackHandler):
        def __init__(self) -> None:
            self.tokens: list[str] = []

        def on_llm_new_token(self, token: str, **_: Any) -> None:
            self.tokens.append(token)

    class AsyncTokens(AsyncCallbackHandler):
        def __init__(self) -> None:
            self.tokens: list[str] = []

        async def on_llm_new_token(self, token: str, **_: Any) -> None:
            self.tokens.append(token)

    handler, other = Tokens(), AsyncTokens()
    text = "".join(llm().stream(QUESTION, {"callbacks": [handler]}))
    async for _ in llm().astream(QUESTION, {"callbacks": [other]}):
        pass
    assert "".join(handler.tokens) == "".join(other.tokens) == text
    assert len(handler.tokens) > 5


def test_in_a_chain(llm: Models) -> None:
    chain = PromptTemplate.from_template("/echo {word}") | llm() | StrOutputParser()
    assert chain.invoke({"word": "hello"}) == "hello"


async def test_batches(llm: Models) -> None:
    prompts = [f"/echo number {n}" for n in range(5)]
    texts = [f"number {n}" for n in range(5)]
    assert llm().batch(prompts) == texts
    assert await llm().abatch(prompts, {"max_concurrency": 2}) == texts


async def test_stop(llm: Models, server: LocalDify) -> None:
    text = "/echo one two three " + "and so on " * 15_000
    assert llm().invoke(text, stop=["wo th"]) == "one t"
    assert server.wait_for_stop()
    assert "".join(llm(stop=["wo th"]).stream(text)) == "one t"
    assert server.wait_for_stop()
    assert await llm().ainvoke(text, stop=["wo th"]) == "one t"
    assert await asyncio.to_thread(server.wait_for_stop)


def test_leaving_a_stream_stops_the_run(llm: Models, server: LocalDify) -> None:
    stream = llm().stream("/tokens 100000")
    next(stream)
    stream.close()
    assert server.wait_for_stop()


async def test_a_replaced_text(llm: Models) -> None:
    model = llm()
    prompt = "/replace I cannot say that."
    assert model.invoke(prompt) == "I cannot say that."
    assert reduce(add, list(model._stream(prompt))).text == "I cannot say that."


def test_failures(llm: Models, server: LocalDify) -> None:
    with pytest.raises(DifyError) as caught:
        llm().invoke("/fail mid")
    assert caught.value.answer
    with pytest.raises(ValueError, match="prompt must not be empty"):
        llm().invoke(" ")
    with pytest.raises(TypeError, match="knows no call argument 'temprature'"):
        llm().invoke("hi", temprature=1)
    with pytest.warns(UserWarning, match="temperature is ignored: the Dify app decides"):
        assert llm().invoke("/echo hi", temperature=1) == "hi"
    wrong = llm(api_key=server.keys["chat"])
    with pytest.raises(DifyError, match="ChatDify"):
        wrong.invoke("hi")
    chat = ChatDify(api_key=server.keys["completion"], base_url=server.base_url)
    with pytest.raises(NotChatAppError, match="DifyLLM"):
        chat.invoke("hi")


def test_copies_and_pickles(llm: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    model = llm()
    monkeypatch.setenv("DIFY_API_KEY", model.api_key.get_secret_value())
    for copied in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert copied.invoke("/echo hi") == "hi"
    assert b"app-completion" not in pickle.dumps(model)
    assert "app-completion" not in repr(model)
