"""Turns of one `DifyChatEngine` that overlap: in threads, in tasks, in streams that are kept."""

from __future__ import annotations

import asyncio
import gc
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from llama_index.core.llms import ChatMessage
from llama_index.core.memory import ChatMemoryBuffer, Memory

from dify_api.errors import CompletionRequestError, ConversationBusyError
from dify_local import LocalDify
from llama_index_dify import Dify, DifyChatEngine, conversation_id
from tests.llama_index_dify.support import message, message_end, streaming
from tests.llama_index_dify.test_chat_engine import every_way, say


@pytest.fixture
def engine(llm: Dify) -> DifyChatEngine:
    return DifyChatEngine(llm)


def check_one_conversation(engine: DifyChatEngine, local: LocalDify, said: set[str]) -> None:
    """All turns are in one conversation: on the server, and in memory, each with its answer."""
    sent = [r.json for r in local.requests if r.path.endswith("/chat-messages")]
    assert {body["query"] for body in sent} == said
    assert ["conversation_id" in body for body in sent] == [False] + [True] * (len(said) - 1)
    history = engine.chat_history
    assert [m.role.value for m in history] == ["user", "assistant"] * len(said)
    assert {f"/echo {m.content}" for m in history[1::2]} == said
    for question, answer in zip(history[::2], history[1::2], strict=True):
        assert question.content == f"/echo {answer.content}"
    assert len({conversation_id(m) for m in history[1::2]}) == 1


@pytest.mark.parametrize("way", ["achat", "astream_chat"])
async def test_first_turns_of_tasks_that_overlap(
    way: str, engine: DifyChatEngine, local: LocalDify
) -> None:
    said = {"/echo one", "/echo two", "/echo three"}
    await asyncio.gather(*(say(engine, way, text) for text in sorted(said)))
    check_one_conversation(engine, local, said)


@pytest.mark.parametrize("way", ["chat", "stream_chat"])
def test_first_turns_of_threads_that_overlap(
    way: str, engine: DifyChatEngine, local: LocalDify
) -> None:
    said = {"/echo one", "/echo two", "/echo three"}
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda text: asyncio.run(say(engine, way, text)), sorted(said)))
    check_one_conversation(engine, local, said)


async def test_threads_and_tasks_together(engine: DifyChatEngine, local: LocalDify) -> None:
    await asyncio.gather(
        asyncio.to_thread(engine.chat, "/echo one"),
        engine.achat("/echo two"),
        asyncio.to_thread(lambda: list(engine.stream_chat("/echo three").response_gen)),
    )
    check_one_conversation(engine, local, {"/echo one", "/echo two", "/echo three"})


async def test_streams_made_before_either_is_read(engine: DifyChatEngine, local: LocalDify) -> None:
    first = await engine.astream_chat("/echo one")
    second = await engine.astream_chat("/echo two")

    async def read(response: Any) -> str:
        return "".join([token async for token in response.async_response_gen()])

    assert await asyncio.gather(read(first), read(second)) == ["one", "two"]
    check_one_conversation(engine, local, {"/echo one", "/echo two"})


async def test_the_second_waits_for_the_end_of_the_first(engine: DifyChatEngine) -> None:
    """Not only for its first frame, which names the conversation."""
    began, go_on = threading.Event(), threading.Event()

    def wait() -> None:
        began.set()
        assert go_on.wait(5)

    with streaming(message("One "), wait, message("two"), message_end()) as server:
        engine = DifyChatEngine(Dify(api_key="app-test", base_url=server.base_url))
        first = asyncio.create_task(engine.achat("first"))
        await asyncio.to_thread(began.wait, 5)
        second = asyncio.create_task(engine.achat("second"))
        done, _ = await asyncio.wait([second], timeout=0.2)
        assert (done, len(server.requests)) == (set(), 1)
        go_on.set()
        assert [str(r) for r in await asyncio.gather(first, second)] == ["One two"] * 2
        assert server.requests[1].json["conversation_id"]


@every_way
async def test_a_turn_that_fails_lets_the_next_one_on(
    way: str, engine: DifyChatEngine, local: LocalDify
) -> None:
    failing = asyncio.create_task(say(engine, way, "/fail mid"))
    following = asyncio.create_task(engine.achat("/echo one"))
    with pytest.raises(CompletionRequestError):
        await failing
    assert (await following).response == "one"
    assert [m.content for m in engine.chat_history] == ["/echo one", "one"]


@pytest.mark.parametrize("way", ["achat", "astream_chat"])
async def test_a_turn_that_is_cancelled_lets_the_next_one_on(
    way: str, engine: DifyChatEngine, local: LocalDify
) -> None:
    running = asyncio.create_task(say(engine, way, "/hang 0"))
    await asyncio.to_thread(local.wait_for_requests, 1)
    waiting = asyncio.create_task(say(engine, way, "/echo never"))
    following = asyncio.create_task(engine.achat("/echo one"))
    await asyncio.sleep(0)  # both are in the queue now
    waiting.cancel()
    running.cancel()
    assert (await following).response == "one"
    await asyncio.wait([running, waiting])
    assert "/echo never" not in [r.json.get("query") for r in local.requests]


async def test_a_stream_that_was_read_but_is_kept_holds_nothing(engine: DifyChatEngine) -> None:
    response = engine.stream_chat("/echo one")
    tokens = response.response_gen
    assert "".join(tokens) == "one"
    assert engine.chat("/echo two").response == "two"
    stream = await engine.astream_chat("/echo three")
    async_tokens = stream.async_response_gen()
    assert [token async for token in async_tokens] == ["three"]
    assert (await engine.achat("/echo four")).response == "four"
    assert len({id(kept) for kept in (response, tokens, stream, async_tokens)}) == 4


def test_a_stream_that_is_never_read_holds_nothing(engine: DifyChatEngine) -> None:
    kept = engine.stream_chat("/echo one")
    assert engine.chat("/echo two").response == "two"
    assert str(kept) == "one"
    assert [m.content for m in engine.chat_history] == ["/echo two", "two", "/echo one", "one"]


async def test_a_stream_kept_halfway_is_an_error_at_once(engine: DifyChatEngine) -> None:
    """Nobody else could read it on: the wait would never end."""
    response = engine.stream_chat("/tokens 100000")
    tokens = response.response_gen
    next(tokens)
    with pytest.raises(ConversationBusyError, match="Read its stream to the end, or close it"):
        engine.chat("/echo no")
    with pytest.raises(ConversationBusyError):
        await engine.achat("/echo no")
    with pytest.raises(ConversationBusyError):
        list(engine.stream_chat("/echo no").response_gen)
    response.close()
    assert engine.chat("/echo yes").response == "yes"
    tokens.close()


async def test_a_stream_left_halfway_holds_nothing(engine: DifyChatEngine) -> None:
    for _ in engine.stream_chat("/tokens 100000").response_gen:
        break
    assert engine.chat("/echo one").response == "one"
    async for _ in (await engine.astream_chat("/tokens 100000")).async_response_gen():
        break
    gc.collect()
    assert (await engine.achat("/echo two")).response == "two"


def test_closing_a_stream_that_waits_for_its_turn(llm: Dify, local: LocalDify) -> None:
    engine = DifyChatEngine(llm)
    first = engine.stream_chat("/tokens 100000")
    tokens = first.response_gen
    next(tokens)
    second = engine.stream_chat("/echo never")
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(lambda: list(second.response_gen))
        second.close()
        first.close()
        assert reading.result(5) in ([], [""])
    tokens.close()
    assert engine.chat("/echo one").response == "one"
    assert "/echo never" not in [r.json.get("query") for r in local.requests if r.json]


@every_way
async def test_a_reset_while_a_turn_goes_on(way: str, llm: Dify) -> None:
    """Its answer does not bring the conversation back."""
    began, go_on = threading.Event(), threading.Event()

    def wait() -> None:
        began.set()
        assert go_on.wait(5)

    with streaming(message("One "), wait, message("two"), message_end()) as server:
        model = Dify(api_key="app-test", base_url=server.base_url)
        engine = DifyChatEngine(model)
        turn = asyncio.create_task(asyncio.to_thread(asyncio.run, say(engine, way, "first")))
        await asyncio.to_thread(began.wait, 5)
        engine.reset()
        go_on.set()
        assert (await turn).response == "One two"
        assert engine.chat_history == []


# Users ------------------------------------------------------------------------------------------


@every_way
async def test_the_memory_of_another_user_is_refused(
    way: str, engine: DifyChatEngine, local: LocalDify
) -> None:
    await engine.achat("/echo my secret", user="ann")
    local.clear_requests()
    with pytest.raises(ValueError, match="another user") as raised:
        if "stream" in way:
            response = getattr(engine, way)("/echo hi", user="bob")
            if way == "astream_chat":
                _ = [token async for token in (await response).async_response_gen()]
            else:
                list(response.response_gen)
        elif way == "achat":
            await engine.achat("/echo hi", user="bob")
        else:
            engine.chat("/echo hi", user="bob")
    assert "ann" not in str(raised.value)
    assert "bob" not in str(raised.value)
    assert local.requests == []
    assert engine.chat("/echo more", user="ann").response == "more"
    engine.reset()
    assert engine.chat("/echo hi", user="bob").response == "hi"


def test_the_memory_of_another_user_is_refused_wherever_it_comes_from(llm: Dify) -> None:
    memory = Memory.from_defaults(session_id="shared")
    DifyChatEngine(llm, user="ann", memory=memory).chat("/echo my secret")
    with pytest.raises(ValueError, match="another user"):
        DifyChatEngine(llm, user="bob", memory=memory).chat("/echo hi")
    history = memory.get_all()
    with pytest.raises(ValueError, match="another user"):
        DifyChatEngine(llm, user="bob").chat("/echo hi", chat_history=history)
    llm.memory = "client"
    with pytest.raises(ValueError, match="another user"):
        DifyChatEngine(llm, user="bob", memory=memory).chat("/echo hi")


def test_a_history_without_a_user_is_anybodys(llm: Dify, local: LocalDify) -> None:
    memory = ChatMemoryBuffer.from_defaults(
        chat_history=[ChatMessage("Hi"), ChatMessage("Hello!", role="assistant")], llm=llm
    )
    DifyChatEngine(llm, user="bob", memory=memory).chat("/echo hi")
    assert "Hello!" in local.requests[-1].json["query"]


async def test_the_user_of_the_engine(llm: Dify, local: LocalDify) -> None:
    engine = DifyChatEngine(llm, user="bob")
    engine.chat("/echo one")
    assert (local.requests[-1].json["user"], llm.user) == ("bob", "ann")
    engine.reset()
    engine.chat("/echo two", user="cid")
    assert local.requests[-1].json["user"] == "cid"
    made = DifyChatEngine.from_defaults(
        api_key=local.keys["chat"], base_url=local.base_url, user="dan"
    )
    made.chat("/echo three")
    assert local.requests[-1].json["user"] == "dan"


@pytest.mark.parametrize("named", ["engine", "call"])
async def test_history_and_reset_know_the_user(named: str, llm: Dify, local: LocalDify) -> None:
    """A conversation on the server can be read by its own user only."""
    of_engine: dict[str, Any] = {"user": "bob"} if named == "engine" else {}
    of_call: dict[str, Any] = {"user": "bob"} if named == "call" else {}
    first = DifyChatEngine(llm, **of_engine).chat("/echo one", **of_call).metadata
    assert first is not None
    engine = DifyChatEngine(llm, conversation_id=first["conversation_id"], **of_engine)
    engine.chat("/echo two", **of_call)
    expected = ["/echo one", "one", "/echo two", "two"]
    assert [m.content for m in engine.chat_history] == expected
    assert [m.content for m in await engine.achat_history()] == expected
    for reset in (engine.reset, engine.areset):
        done = reset()
        if done is not None:
            await done
        assert engine.chat_history == await engine.achat_history() == []
        engine.chat("/echo one", **of_call)
        assert [m.content for m in engine.chat_history] == ["/echo one", "one"]


async def test_a_turn_is_over_though_its_leaving_is_cancelled(engine: DifyChatEngine) -> None:
    response = await engine.astream_chat("/tokens 100000")
    tokens = response.async_response_gen()
    await anext(tokens)
    leaving = asyncio.ensure_future(response.aclose())
    await asyncio.sleep(0)
    leaving.cancel()
    await asyncio.wait([leaving])
    assert (await engine.achat("/echo next")).response == "next"
