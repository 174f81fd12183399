"""`DifyChatEngine`: turns, sources, history; and streams without the stock engine's faults."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import threading
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from llama_index.core.base.llms.types import ImageBlock, TextBlock
from llama_index.core.callbacks import CallbackManager, TokenCountingHandler
from llama_index.core.chat_engine.types import (
    AgentChatResponse,
    BaseChatEngine,
    StreamingAgentChatResponse,
)
from llama_index.core.instrumentation.events.chat_engine import (
    StreamChatDeltaReceivedEvent,
    StreamChatEndEvent,
    StreamChatErrorEvent,
    StreamChatStartEvent,
)
from llama_index.core.instrumentation.events.exception import ExceptionEvent
from llama_index.core.instrumentation.events.llm import LLMChatEndEvent, LLMChatStartEvent
from llama_index.core.llms import ChatMessage
from llama_index.core.memory import Memory

from dify_api.errors import CompletionRequestError, DifyError
from dify_local import LocalDify
from llama_index_dify import (
    Dify,
    DifyChatEngine,
    DifyStreamingChatResponse,
    conversation_id,
    opened,
)
from tests.llama_index_dify.support import (
    message,
    message_end,
    recorded_events,
    streaming,
)
from tests.llama_index_dify.test_content import PNG

QUESTION = "Which planet has most moons?"
FOLLOW_UP = "And which of those is the largest?"


@pytest.fixture
def engine(llm: Dify) -> DifyChatEngine:
    return DifyChatEngine(llm)


async def say(engine: DifyChatEngine, way: str, text: str) -> Any:
    """A turn in one of the four ways, read to its end."""
    if way == "chat":
        return engine.chat(text)
    if way == "achat":
        return await engine.achat(text)
    if way == "stream_chat":
        response = engine.stream_chat(text)
        assert "".join(response.response_gen)
        return response
    response = await engine.astream_chat(text)
    assert [token async for token in response.async_response_gen()]
    return response


every_way = pytest.mark.parametrize("way", ["chat", "achat", "stream_chat", "astream_chat"])


@every_way
async def test_a_conversation_with_sources(way: str, engine: DifyChatEngine) -> None:
    first = await say(engine, way, QUESTION)
    second = await say(engine, way, FOLLOW_UP)
    assert "Saturn has the most moons" in first.response
    assert "Titan" in second.response
    assert first.metadata["conversation_id"] == second.metadata["conversation_id"]
    for response in (first, second):
        assert response.source_nodes
        assert response.source_nodes[0].metadata["document_name"] == "saturn.md"
        (source,) = response.sources
        assert source.raw_output == response.source_nodes
        assert source.tool_name == "dify"
        assert str(response) == response.response
    assert [m.role.value for m in engine.chat_history] == ["user", "assistant"] * 2
    assert engine.chat_history[-1].content == second.response


@every_way
async def test_reset_begins_a_new_conversation(
    way: str, engine: DifyChatEngine, local: LocalDify
) -> None:
    first = await say(engine, way, QUESTION)
    if way == "achat":
        await engine.areset()
    else:
        engine.reset()
    assert engine.chat_history == []
    local.clear()
    second = await say(engine, way, QUESTION)
    assert second.metadata["conversation_id"] != first.metadata["conversation_id"]
    sent = local.requests[0].json
    assert "conversation_id" not in sent
    assert sent["query"] == QUESTION


@every_way
async def test_it_calls_the_model(way: str, engine: DifyChatEngine, llm: Dify) -> None:
    counter = TokenCountingHandler(tokenizer=str.split)
    llm.callback_manager = CallbackManager([counter])
    with recorded_events() as recorder:
        response = await say(engine, way, QUESTION)
    assert len(recorder.of(LLMChatStartEvent)) == len(recorder.of(LLMChatEndEvent)) == 1
    assert counter.total_llm_token_count == response.metadata["usage"]["total_tokens"]


def test_a_callback_manager_of_the_engine_is_the_models(llm: Dify) -> None:
    counter = TokenCountingHandler(tokenizer=str.split)
    engine = DifyChatEngine(llm, callback_manager=CallbackManager([counter]))
    response = engine.chat(QUESTION)
    assert response.metadata is not None
    assert counter.total_llm_token_count == response.metadata["usage"]["total_tokens"]
    assert len(counter.llm_token_counts) == 1


def test_two_engines_never_share_a_conversation(llm: Dify) -> None:
    first, second = DifyChatEngine(llm), DifyChatEngine(llm)
    one, two = first.chat("/echo one").metadata, second.chat("/echo two").metadata
    assert one is not None
    assert two is not None
    assert one["conversation_id"] != two["conversation_id"]
    assert [m.content for m in second.chat_history] == ["/echo two", "two"]


def test_types_of_the_framework(engine: DifyChatEngine) -> None:
    assert isinstance(engine, BaseChatEngine)
    assert isinstance(engine.chat("/echo hi"), AgentChatResponse)
    assert isinstance(engine.stream_chat("/echo hi"), StreamingAgentChatResponse)


def test_from_defaults(local: LocalDify) -> None:
    engine = DifyChatEngine.from_defaults(
        api_key=local.keys["chat"],
        base_url=local.base_url,
        user="ann",
        system_prompt="Be brief.",
        chat_history=[ChatMessage("Hi"), ChatMessage("Hello!", role="assistant")],
    )
    engine.chat("/echo one")
    assert local.requests[-1].json["query"] == (
        "Be brief.\n\nThe conversation so far:\nUser: Hi\nAssistant: Hello!\n\n/echo one"
    )
    engine.chat("/echo two")
    assert local.requests[-1].json["query"] == "/echo two"
    with pytest.raises(TypeError, match="api_key"):
        DifyChatEngine.from_defaults(Dify(api_key="app-test"), api_key="app-other")


@every_way
async def test_it_tells_its_conversation(way: str, llm: Dify) -> None:
    """So that it can be kept, and named to an engine that is made later."""
    engine = DifyChatEngine(llm)
    assert (engine.conversation_id, await engine.aconversation_id()) == (None, None)
    named = (await say(engine, way, QUESTION)).metadata["conversation_id"]
    assert (engine.conversation_id, await engine.aconversation_id()) == (named, named)
    later = DifyChatEngine(llm, conversation_id=named)
    assert (later.conversation_id, await later.aconversation_id()) == (named, named)
    assert "Titan" in (await say(later, way, FOLLOW_UP)).response
    assert later.conversation_id == named
    for forgetful in (engine, later):
        if way == "achat":
            await forgetful.areset()
        else:
            forgetful.reset()
        assert (forgetful.conversation_id, await forgetful.aconversation_id()) == (None, None)


async def test_its_conversation_is_the_one_that_the_next_turn_goes_on_in(llm: Dify) -> None:
    memory = Memory.from_defaults(session_id="ann", token_limit=10_000)
    engine = DifyChatEngine(llm, memory=memory)
    first = (await engine.achat("/echo one")).metadata or {}
    again = DifyChatEngine(llm, memory=memory)
    assert again.conversation_id == await again.aconversation_id() == first["conversation_id"]
    other = llm.complete("/echo other").raw["conversation_id"]
    await engine.achat("/echo two", conversation_id=other)
    assert engine.conversation_id == other
    await engine.achat("/echo three", chat_history=[])
    assert engine.conversation_id not in (None, other, first["conversation_id"])
    assert DifyChatEngine(llm, user="bob", memory=memory).conversation_id is None
    llm.memory = "client"  # each turn begins one
    assert DifyChatEngine(llm, memory=memory).conversation_id is None


def test_a_history_given_for_the_turn(engine: DifyChatEngine, llm: Dify, local: LocalDify) -> None:
    history = [ChatMessage("/echo one")]
    history.append(llm.chat(history).message)
    engine.chat("/echo two", chat_history=history)
    assert local.requests[-1].json["conversation_id"] == conversation_id(history[-1])
    assert [m.content for m in engine.chat_history] == ["/echo one", "one", "/echo two", "two"]


def test_arguments_and_files_of_a_turn(engine: DifyChatEngine, local: LocalDify) -> None:
    picture = ChatMessage(blocks=[TextBlock(text="/echo hi"), ImageBlock(image=PNG)])
    engine.chat(picture, user="bob", inputs={"language": "English"})
    sent = local.requests[-1].json
    assert (sent["user"], sent["inputs"]) == ("bob", {"language": "English"})
    assert sent["files"][0]["type"] == "image"


async def test_history_read_from_the_server(llm: Dify, local: LocalDify) -> None:
    here = DifyChatEngine(llm)
    here.chat(QUESTION)
    named = here.chat(FOLLOW_UP).metadata
    assert named is not None
    there = DifyChatEngine(llm, conversation_id=named["conversation_id"])
    for history in (there.chat_history, await there.achat_history()):
        assert [m.content for m in history] == [m.content for m in here.chat_history]
        assert [conversation_id(m) for m in history] == [None, named["conversation_id"]] * 2
    there.chat("/echo hi")
    assert local.requests[-1].json["conversation_id"] == named["conversation_id"]
    assert len(there.chat_history) == 6
    there.reset()
    assert there.chat_history == []


async def test_history_read_from_the_server_without_reasoning(llm: Dify) -> None:
    llm.reasoning = True
    response = await DifyChatEngine(llm).achat("/think I wonder")
    assert response.metadata is not None
    named = DifyChatEngine(llm, conversation_id=response.metadata["conversation_id"])
    for history in (named.chat_history, await named.achat_history()):
        assert history[-1].content == response.response == "I have thought about it."
        assert history[-1].blocks[0].model_dump()["content"].strip() == "I wonder"


async def test_history_of_many_pages(llm: Dify) -> None:
    """More than one page of messages, oldest first."""
    from dify_api import messages

    first = llm.chat([ChatMessage("/echo 0")])
    named = first.raw["conversation_id"]
    llm.chat([ChatMessage("/echo 1")], conversation_id=named)
    listed = messages.list_messages(named, user="ann", limit=1)
    assert [m.query for m in llm.client.iterate(listed)] == ["/echo 1", "/echo 0"]
    engine = DifyChatEngine(llm, conversation_id=named)
    assert [m.content for m in engine.chat_history] == ["/echo 0", "0", "/echo 1", "1"]


async def test_memory_of_your_own(llm: Dify) -> None:
    memory = Memory.from_defaults(session_id="ann", token_limit=10_000)
    engine = DifyChatEngine(llm, memory=memory)
    await engine.achat("/echo one")
    response = await engine.astream_chat("/echo two")
    assert [token async for token in response.async_response_gen()] == ["two"]
    kept = await memory.aget_all()
    assert [m.content for m in kept] == ["/echo one", "one", "/echo two", "two"]
    assert conversation_id(kept[1]) == conversation_id(kept[3])


def test_memory_of_the_client(llm: Dify, local: LocalDify) -> None:
    llm.memory = "client"
    engine = DifyChatEngine(llm)
    engine.chat("/echo one")
    engine.chat("/echo two")
    assert "conversation_id" not in local.requests[-1].json
    assert local.requests[-1].json["query"].endswith("\n\n/echo two")


@every_way
async def test_a_failed_turn_leaves_the_history_as_it_was(way: str, engine: DifyChatEngine) -> None:
    await say(engine, way, "/echo one")
    with pytest.raises(CompletionRequestError):
        await say(engine, way, "/fail mid")
    assert [m.content for m in engine.chat_history] == ["/echo one", "one"]
    assert (await say(engine, way, "/echo two")).response == "two"


# The faults of the stock streaming response (facts 10 and 11) -----------------------------------


def test_tokens_come_as_they_are_and_text_is_not_stripped() -> None:
    with streaming(message("  One "), message("two\n"), message_end()) as server:
        engine = DifyChatEngine(Dify(api_key="app-test", base_url=server.base_url))
        response = engine.stream_chat("Hello")
        assert list(response.response_gen) == ["  One ", "two\n"]
    assert response.response == "  One two\n"
    assert engine.chat_history[-1].content == "  One two\n"
    assert response.is_done


def test_blocks_beside_the_text_are_kept(llm: Dify) -> None:
    llm.reasoning = llm.content_blocks = True
    engine = DifyChatEngine(llm)
    response = engine.stream_chat("/think hard")
    assert "".join(response.response_gen) == "I have thought about it."
    kept = engine.chat_history[-1]
    assert response.message == kept
    assert kept.blocks[0].block_type == "thinking"
    assert "hard" in (kept.blocks[0].content or "")
    response = engine.stream_chat(QUESTION)
    assert str(response) == response.response != ""
    assert "citation" in [block.block_type for block in engine.chat_history[-1].blocks]


def test_no_token_is_lost_when_the_run_fails(engine: DifyChatEngine) -> None:
    response = engine.stream_chat("/fail mid")
    tokens: list[str] = []
    with recorded_events() as recorder, pytest.raises(CompletionRequestError) as raised:
        tokens.extend(response.response_gen)
    assert tokens == ["one ", "two ", "three "]
    assert raised.value.answer is not None
    assert raised.value.answer.text == "one two three "
    assert response.response == "one two three "
    assert response.exception is raised.value
    (error,) = recorder.of(StreamChatErrorEvent)
    assert error.exception is raised.value
    assert not recorder.of(StreamChatEndEvent)


async def test_no_token_is_lost_in_async_streams_either(engine: DifyChatEngine) -> None:
    response = await engine.astream_chat("/fail mid")
    tokens = []
    with pytest.raises(CompletionRequestError):
        async for token in response.async_response_gen():
            tokens.append(token)  # noqa: PERF401  # a comprehension would lose them
    assert tokens == ["one ", "two ", "three "]


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_an_idle_stream_costs_no_cpu(asynchronous: bool) -> None:
    """One second of silence: the stock response burns a third of it."""
    idle: list[float] = []

    def silence() -> None:
        begin = time.process_time()
        threading.Event().wait(1.0)
        idle.append(time.process_time() - begin)

    with streaming(message("One "), silence, message("two"), message_end()) as server:
        engine = DifyChatEngine(Dify(api_key="app-test", base_url=server.base_url))
        if asynchronous:
            response = await engine.astream_chat("Hello")
            tokens = [token async for token in response.async_response_gen()]
        else:
            tokens = list(engine.stream_chat("Hello").response_gen)
    assert tokens == ["One ", "two"]
    assert idle[0] < 0.02


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_the_end_comes_at_once(asynchronous: bool) -> None:
    """The last token is out when message_end is sent, the end within 10 ms of the body's."""
    sent: list[float] = []

    def end() -> None:
        sent.append(time.perf_counter())

    with streaming(message("One "), message("two"), end, message_end()) as server:
        llm = Dify(api_key="app-test", base_url=server.base_url)
        engine = DifyChatEngine(llm)
        await llm.acomplete("warm up: imports take longer than this")
        llm.complete("warm up")
        for _ in range(50):  # the machine has other work, too
            if await seconds_to_the_end(engine, asynchronous, sent) < 0.01:
                return
    pytest.fail("no end within 10 ms")


async def seconds_to_the_end(
    engine: DifyChatEngine, asynchronous: bool, sent: list[float]
) -> float:
    engine.reset()
    if asynchronous:
        response = await engine.astream_chat("Hello")
        async for _ in response.async_response_gen():
            pass
    else:
        for _ in engine.stream_chat("Hello").response_gen:
            pass
    return time.perf_counter() - sent[-1]


# Leaving early ----------------------------------------------------------------------------------


def check_stopped(engine: DifyChatEngine, local: LocalDify, response: Any) -> None:
    """The app was stopped, and what came is in the history, with its conversation."""
    if not local.stopped:
        local.wait_for_stop()
    question, answer = engine.chat_history
    assert question.content == "/tokens 100000"
    assert answer.content == response.response == "t0xx "
    assert conversation_id(answer) is not None
    continued = engine.chat("/echo hi").metadata
    assert continued is not None
    assert continued["conversation_id"] == conversation_id(answer)


def test_break(engine: DifyChatEngine, local: LocalDify) -> None:
    response = engine.stream_chat("/tokens 100000")
    for _ in response.response_gen:
        break
    check_stopped(engine, local, response)


def test_close(engine: DifyChatEngine, local: LocalDify) -> None:
    response = engine.stream_chat("/tokens 100000")
    tokens = response.response_gen
    next(tokens)
    response.close()
    assert local.wait_for_stop() in local.stopped
    assert list(response.response_gen) == ["t0xx "]
    tokens.close()
    check_stopped(engine, local, response)


def test_context_manager(engine: DifyChatEngine, local: LocalDify) -> None:
    with engine.stream_chat("/tokens 100000") as response:
        tokens = response.response_gen
        next(tokens)
    tokens.close()
    check_stopped(engine, local, response)


def test_exception_of_the_consumer(engine: DifyChatEngine, local: LocalDify) -> None:
    response = engine.stream_chat("/tokens 100000")
    with pytest.raises(ZeroDivisionError):
        for _ in response.response_gen:
            1 / 0  # noqa: B018
    gc.collect()  # the traceback held the frame
    check_stopped(engine, local, response)


async def test_async_break(engine: DifyChatEngine, local: LocalDify) -> None:
    response = await engine.astream_chat("/tokens 100000")
    async for _ in response.async_response_gen():
        break
    gc.collect()
    await asyncio.to_thread(local.wait_for_stop)
    await eventually(lambda: len(engine.chat_history) == 2)
    await asyncio.to_thread(check_stopped, engine, local, response)


async def test_aclose(engine: DifyChatEngine, local: LocalDify) -> None:
    response = await engine.astream_chat("/tokens 100000")
    tokens = response.async_response_gen()
    await tokens.__anext__()
    await tokens.aclose()
    await asyncio.to_thread(check_stopped, engine, local, response)


async def test_explicit_aclose_of_the_response(engine: DifyChatEngine, local: LocalDify) -> None:
    async with await engine.astream_chat("/tokens 100000") as response:
        tokens = response.async_response_gen()
        await tokens.__anext__()
    assert await asyncio.to_thread(local.wait_for_stop) in local.stopped
    await tokens.aclose()
    await asyncio.to_thread(check_stopped, engine, local, response)


async def test_task_cancellation(engine: DifyChatEngine, local: LocalDify) -> None:
    response = await engine.astream_chat("/slow 60 1")
    first = asyncio.Event()

    async def consume() -> None:
        async for _ in response.async_response_gen():
            first.set()

    task = asyncio.create_task(consume())
    await first.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await asyncio.to_thread(local.wait_for_stop) in local.stopped
    assert len(engine.chat_history) == 2


@pytest.mark.parametrize("endpoint", ["stream_chat", "stream_complete"])
def test_break_in_a_stream_of_the_model(endpoint: str, llm: Dify, local: LocalDify) -> None:
    question: Any = [ChatMessage("/tokens 100000")]
    if endpoint == "stream_complete":
        question = "/tokens 100000"
    for _ in getattr(llm, endpoint)(question):
        break
    assert local.wait_for_stop() in local.stopped


@pytest.mark.parametrize("how", ["break", "aclose", "cancel"])
async def test_leaving_an_async_stream_of_the_model(how: str, llm: Dify, local: LocalDify) -> None:
    stream = await llm.astream_chat([ChatMessage("/slow 60 1")])
    await stream.__anext__()
    if how == "aclose":
        await stream.aclose()
    elif how == "cancel":
        waiting = asyncio.ensure_future(stream.__anext__())
        await asyncio.sleep(0)
        waiting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await waiting
    del stream
    assert await asyncio.to_thread(local.wait_for_stop) in local.stopped


async def test_a_handler_that_keeps_exceptions_keeps_no_stream_open(
    engine: DifyChatEngine, local: LocalDify
) -> None:
    """Fact 11: the exception's traceback holds the generator."""
    with recorded_events() as recorder:
        response = await engine.astream_chat("/tokens 100000")
        tokens = response.async_response_gen()
        await tokens.__anext__()
        await response.aclose()
        assert await asyncio.to_thread(local.wait_for_stop) in local.stopped
        assert not recorder.of(ExceptionEvent)  # leaving is no failure
        await tokens.aclose()


async def test_explicit_close_of_a_stream_of_the_model(llm: Dify, local: LocalDify) -> None:
    """Closing LlamaIndex's wrapper stops the run; closing what was opened besides is no harm."""
    with recorded_events() as recorder:
        with opened() as streams:
            responses: Any = await llm.astream_chat([ChatMessage("/slow 60 1")])
        await responses.__anext__()
        await responses.aclose()
        assert not recorder.of(ExceptionEvent)
        assert await asyncio.to_thread(local.wait_for_stop) in local.stopped
        (stream,) = streams
        await stream.aclose()  # type: ignore[union-attr]  # an async one, as it was opened
        assert len(local.stopped) == 1


def test_stop_from_another_thread(engine: DifyChatEngine, local: LocalDify) -> None:
    response = engine.stream_chat("/slow 60 3")
    tokens = []
    for token in response.response_gen:
        tokens.append(token)
        if len(tokens) == 3:
            threading.Thread(target=response.stop).start()
    assert local.wait_for_stop() in local.stopped
    assert len(tokens) == 3
    assert response.response == "".join(tokens)
    assert len(engine.chat_history) == 2


def test_stop_before_the_first_token(engine: DifyChatEngine, local: LocalDify) -> None:
    response = engine.stream_chat("/hang 3")
    response.stop()
    assert list(response.response_gen) == ["t0xx "]
    local.wait_for_stop()
    assert engine.chat_history[-1].content == "t0xx "


async def test_astop_before_the_first_token(engine: DifyChatEngine, local: LocalDify) -> None:
    response = await engine.astream_chat("/hang 3")
    await response.astop()
    assert [token async for token in response.async_response_gen()] == ["t0xx "]
    assert local.stopped
    assert engine.chat_history[-1].content == "t0xx "


def test_the_end_of_an_event_loop_ends_the_turn(llm: Dify, local: LocalDify) -> None:
    engine = DifyChatEngine(llm)

    async def leave() -> DifyStreamingChatResponse:
        response = await engine.astream_chat("/hang 3")
        async for _ in response.async_response_gen():
            break
        return response

    response = asyncio.run(leave())
    local.wait_for_stop()
    assert (response.is_done, response.response) == (True, "t0xx ")


async def test_stop_from_another_task(engine: DifyChatEngine, local: LocalDify) -> None:
    response = await engine.astream_chat("/slow 60 3")
    stopping: list[asyncio.Task[None]] = []
    async for _ in response.async_response_gen():
        if not stopping:
            stopping.append(asyncio.create_task(response.astop()))
    await stopping[0]
    assert response.message is not None
    assert len(engine.chat_history) == 2


async def eventually(condition: Callable[[], bool]) -> None:
    async def wait() -> None:
        while not condition():  # noqa: ASYNC110  # the engine has no event for it
            await asyncio.sleep(0.001)

    await asyncio.wait_for(wait(), 5)


def test_close_while_another_thread_waits(engine: DifyChatEngine, local: LocalDify) -> None:
    response = engine.stream_chat("/slow 60 1")
    closer = threading.Thread(target=response.close)
    for _ in response.response_gen:
        # The generator is at rest here: close from a thread once it waits for the next token.
        threading.Timer(0.2, closer.start).start()
    closer.join(5)
    assert local.stopped
    assert response.is_done
    assert len(engine.chat_history) == 2


async def test_aclose_while_another_task_waits(engine: DifyChatEngine, local: LocalDify) -> None:
    response = await engine.astream_chat("/slow 60 1")
    closing: list[asyncio.Task[None]] = []
    async for _ in response.async_response_gen():
        closing.append(asyncio.create_task(response.aclose()))  # noqa: PERF401  # while it runs
    await closing[0]
    assert local.stopped
    assert response.is_done
    assert len(engine.chat_history) == 2


# Reading in other ways --------------------------------------------------------------------------


def test_str_reads_the_stream_or_shows_what_has_come(engine: DifyChatEngine) -> None:
    assert str(engine.stream_chat("/echo one two")) == "one two"
    response = engine.stream_chat("/echo one two")
    seen = [str(response) for _ in response.response_gen]
    assert seen == ["one ", "one two"]


async def test_reading_again_gives_the_answer(engine: DifyChatEngine) -> None:
    response = engine.stream_chat("/echo one two")
    assert list(response.response_gen) == ["one ", "two"]
    assert list(response.response_gen) == ["one two"]
    response = await engine.astream_chat("/echo one two")
    assert [token async for token in response.async_response_gen()] == ["one ", "two"]
    assert [token async for token in response.async_response_gen()] == ["one two"]
    assert str(response) == "one two"


async def test_printing(engine: DifyChatEngine, capsys: pytest.CaptureFixture[str]) -> None:
    engine.stream_chat("/echo one two").print_response_stream()
    await (await engine.astream_chat("/echo three")).aprint_response_stream()
    assert capsys.readouterr().out == "one twothree"


def test_events_of_a_stream(engine: DifyChatEngine) -> None:
    with recorded_events() as recorder:
        response = engine.stream_chat("/echo one two")
        assert recorder.of(StreamChatStartEvent) == []
        list(response.response_gen)
    (start,) = recorder.of(StreamChatStartEvent)
    (end,) = recorder.of(StreamChatEndEvent)
    deltas = recorder.of(StreamChatDeltaReceivedEvent)
    assert [event.delta for event in deltas] == ["one ", "two"]
    spans = {event.span_id for event in [start, end, *deltas]}
    assert len(spans) == 1
    assert spans.pop().startswith("DifyChatEngine.stream_chat")


def test_a_replacement_reaches_the_history(engine: DifyChatEngine) -> None:
    response = engine.stream_chat("/replace I cannot say that.")
    streamed = "".join(response.response_gen)
    assert streamed != "I cannot say that."
    assert response.response == "I cannot say that."
    assert engine.chat_history[-1].content == "I cannot say that."


async def test_a_thousand_turns_in_flight_share_nothing(llm: Dify) -> None:
    async def turn(number: int) -> tuple[int, str]:
        engine = DifyChatEngine(llm)
        response = await engine.astream_chat(f"/echo n{number}")
        return number, "".join([token async for token in response.async_response_gen()])

    answers = await asyncio.gather(*(turn(number) for number in range(100)))
    assert all(text == f"n{number}" for number, text in answers)


async def tokens_of(response: DifyStreamingChatResponse) -> AsyncIterator[str]:
    async for token in response.async_response_gen():
        yield token


async def test_errors_before_the_first_token(local: LocalDify) -> None:
    engine = DifyChatEngine(Dify(api_key="app-wrong", base_url=local.base_url))
    with pytest.raises(DifyError, match="api_key"):
        list(engine.stream_chat("Hello").response_gen)
    with pytest.raises(DifyError, match="api_key"):
        [token async for token in tokens_of(await engine.astream_chat("Hello"))]
    assert engine.chat_history == []
