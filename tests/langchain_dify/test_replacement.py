"""Chunks add up to the answer in any order, and show those who print nothing twice."""

from __future__ import annotations

import json
import pickle
import random
from collections.abc import Callable, Sequence
from functools import reduce
from operator import add
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.chat_history import InMemoryChatMessageHistory
from langchain_core.load import dumps
from langchain_core.messages import AIMessage, AIMessageChunk, message_chunk_to_message
from langchain_core.output_parsers import StrOutputParser
from langchain_core.runnables.history import RunnableWithMessageHistory
from langgraph.graph import MessagesState, StateGraph

from dify_local import LocalDify
from langchain_dify import ChatDify, DifyLLM
from langchain_dify._answers.replacement import DifyMessageChunk
from tests.contract.exchanges import generations, replayed
from tests.contract.expected import expected
from tests.langchain_dify.support import HAS_TYPED_EVENTS, reloaded
from tests.support.cassettes import Exchange, exchange

Models = Callable[..., ChatDify]

SHOWN_ONCE = [
    "dify-0.15.3/agent_moderated_input_stream",
    "dify-0.15.3/agent_moderated_output_stream",
    "dify-0.15.3/moderation_input_stream",
    "dify-0.15.3/moderation_ok_stream",
    "dify-0.15.3/moderation_output_stream",
    "dify-0.15.3/chatflow_files_stream",
    "dify-1.12.1/chatflow_file_answer",
    "dify-1.16.0/chatflow_file_answer",
]
"""A moderator without a finding, or a workflow's output, repeats the answer."""

CORRECTED = {
    "dify-0.15.3/chatflow_parallel_stream": "",  # mixed up
    "dify-0.15.3/chatflow_retry_failmid": "",  # a blank less
    "dify-1.16.0/newagent_tool_streaming": "",  # only the end of what was said
    "dify-1.16.0/newagent_json": ', "é": [1, 2]}',
    "dify-1.16.0/newagent_diff": "The final text is not the draft.",
    "dify-1.16.0/newagent_full_ask2": "May I proceed?\n\n**details**",
    "dify-1.16.0/newagent_full_ask_human": "May I proceed?\n\n**details**",
    "dify-0.15.3/moderation_output_flagged_short_stream": "OUTPUT BLOCKED",
    "dify-1.16.1/chatflow_moderated_output_streaming": "Hidden by moderation.",
}
"""The answer is another than what was streamed; what is printed after that."""


def model_of(base_url: str, **fields: Any) -> ChatDify:
    return ChatDify(api_key="app-test", base_url=base_url, user="ann", max_retries=0, **fields)


def streamed(recorded: Exchange, **fields: Any) -> list[AIMessageChunk]:
    with replayed(recorded) as base_url:
        return list(model_of(base_url, **fields).stream("Hello"))


def printed(chunks: Sequence[AIMessageChunk]) -> str:
    return "".join(chunk.text for chunk in chunks)


def page(chunks: Sequence[AIMessageChunk]) -> str:
    """What a front end shows that does as docs/streaming.md says."""
    shown = ""
    for chunk in chunks:
        replaced = chunk.response_metadata.get("message_replace")
        shown = replaced["answer"] if replaced else shown + chunk.text
    return shown


def answered(path: str) -> list[Exchange]:
    return [e for e in generations(path) if e.is_stream and not expected(e).failed]


# Every recording ------------------------------------------------------------------------------


@pytest.mark.parametrize("recorded", answered("/chat-messages"), ids=lambda e: e.name)
def test_every_recorded_answer_is_shown_once(recorded: Exchange) -> None:
    answer = expected(recorded)
    chunks = streamed(recorded)
    assert reduce(add, chunks).content == answer.text
    assert page(chunks) == answer.text
    if recorded.name in CORRECTED:
        assert printed(chunks) == answer.streamed + CORRECTED[recorded.name]
    else:
        assert printed(chunks) == answer.text
        assert not any("message_replace" in chunk.response_metadata for chunk in chunks)


def test_the_recordings_in_question_are_there() -> None:
    names = {recorded.name for recorded in answered("/chat-messages")}
    assert names >= {*SHOWN_ONCE, *CORRECTED}


# Every way to add -----------------------------------------------------------------------------

AS_JSON: dict[str, Callable[[AIMessageChunk], AIMessageChunk]] = {
    "dumpd": reloaded,
    "dumps": lambda chunk: reloaded(chunk, json.loads(dumps(chunk))),
    "model_dump": lambda chunk: AIMessageChunk.model_validate(chunk.model_dump()),
    "json": lambda chunk: AIMessageChunk.model_validate_json(chunk.model_dump_json()),
    "own class": lambda chunk: type(chunk).model_validate_json(chunk.model_dump_json()),
    "pickle": lambda chunk: pickle.loads(pickle.dumps(chunk)),
}


@pytest.fixture(scope="module", params=[None, "v1"])
def streams(request: pytest.FixtureRequest) -> dict[str, list[AIMessageChunk]]:
    fields = {"output_version": request.param} if request.param else {}
    return {n: streamed(exchange(n), **fields) for n in [*SHOWN_ONCE, *CORRECTED]}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(name=st.sampled_from([*SHOWN_ONCE, *CORRECTED]), chance=st.randoms(use_true_random=False))
def test_chunks_add_up_to_the_answer_in_any_order(
    name: str, chance: random.Random, streams: dict[str, list[AIMessageChunk]]
) -> None:
    chunks = list(streams[name])
    while len(chunks) > 1:
        at = chance.randrange(len(chunks) - 1)
        if chance.random() < 0.5:
            merged, end = chunks[at] + chunks[at + 1], at + 2
        else:
            end = chance.randint(at + 1, len(chunks))
            merged = chunks[at] + chunks[at + 1 : end]
        chunks = [*chunks[:at], merged, *chunks[end:]]
    assert chunks[0].text == expected(exchange(name)).text
    assert type(chunks[0]) is AIMessageChunk
    assert type(message_chunk_to_message(chunks[0])) is AIMessage
    assert "message_replace" not in chunks[0].response_metadata


@pytest.mark.parametrize("way", AS_JSON)
def test_chunks_that_went_through_json(way: str, streams: dict[str, list[AIMessageChunk]]) -> None:
    for name, chunks in streams.items():
        answer = expected(exchange(name)).text
        loaded = [AS_JSON[way](chunk) for chunk in chunks]
        assert (page(loaded), printed(loaded)) == (answer, printed(chunks))
        merged = [reduce(add, loaded), loaded[0] + loaded[1:]]
        if name in SHOWN_ONCE or way in ("own class", "pickle"):
            assert {chunk.text for chunk in merged} == {answer}
        else:
            # langchain-core's own chunks know of no replacement; the mark still tells it.
            assert {page([chunk]) for chunk in merged} == {answer}


def test_one_loaded_chunk_among_others() -> None:
    chunks = streamed(exchange("dify-0.15.3/moderation_output_flagged_short_stream"))
    for place in range(len(chunks)):
        mixed = [*chunks]
        mixed[place] = AS_JSON["dumps"](mixed[place])
        if "message_replace" not in mixed[place].response_metadata:
            assert reduce(add, mixed).content == "OUTPUT BLOCKED"


def test_a_part_of_a_stream_is_a_message_too() -> None:
    chunks = streamed(exchange("dify-1.16.0/newagent_diff"))
    part = reduce(add, chunks[:-2])
    assert isinstance(part, DifyMessageChunk)
    message = message_chunk_to_message(part)
    assert (type(message), message.content) == (AIMessage, "draft text that differs")


# Through LangChain ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*SHOWN_ONCE, *CORRECTED])
async def test_parsers_histories_and_callbacks(name: str) -> None:
    class Ends(BaseCallbackHandler):
        def __init__(self) -> None:
            self.tokens: list[str] = []
            self.end = ""

        def on_llm_new_token(self, token: Any, **_: Any) -> None:
            self.tokens.append(token)

        def on_llm_end(self, response: Any, **_: Any) -> None:
            self.end = response.generations[0][0].text

    recorded = exchange(name)
    answer = expected(recorded)
    wanted = answer.text if name in SHOWN_ONCE else answer.streamed + CORRECTED[name]
    with replayed(recorded) as base_url:
        model = model_of(base_url)
        chain = model | StrOutputParser()
        pieces = list(chain.stream("Hello"))
        assert "".join(pieces) == wanted
        assert reduce(add, pieces) == answer.text
        assert reduce(add, [p async for p in chain.astream("Hello")]) == answer.text
        assert chain.invoke("Hello") == answer.text
        for runnable in (model, chain):
            handler, history = Ends(), InMemoryChatMessageHistory()
            told = RunnableWithMessageHistory(runnable, lambda _, history=history: history)
            config: Any = {"callbacks": [handler], "configurable": {"session_id": "1"}}
            list(told.stream("Hello", config))
            assert [m.content for m in history.messages] == ["Hello", answer.text]
            assert type(history.messages[1].content) is str
            assert ("".join(handler.tokens), handler.end) == (wanted, answer.text)
        events = [e async for e in model.astream_events("Hello", version="v2")]
        assert events[-1]["data"]["output"].content == answer.text
        if HAS_TYPED_EVENTS:
            typed = model.stream_events("Hello", version="v3")
            assert typed.output.text == answer.text


@pytest.mark.parametrize("name", [*SHOWN_ONCE, *CORRECTED])
def test_a_graph(name: str) -> None:
    recorded = exchange(name)
    with replayed(recorded) as base_url:
        model = model_of(base_url)
        graph = (
            StateGraph(MessagesState)
            .add_node("app", lambda state: {"messages": [model.invoke(state["messages"])]})
            .set_entry_point("app")
            .compile()
        )
        steps = list(
            graph.stream(
                {"messages": [("user", "Hello")]}, stream_mode=["messages", "custom", "values"]
            )
        )
    chunks = [step[0] for mode, step in steps if mode == "messages"]
    custom = [step for mode, step in steps if mode == "custom"]
    answer = expected(recorded).text
    assert page(chunks) == answer
    assert [step["answer"] for step in custom] == ([] if name in SHOWN_ONCE else [answer])
    stored = steps[-1][1]["messages"][-1]
    assert (stored.type, stored.content) == ("ai", answer)


# A real replacement ---------------------------------------------------------------------------


class Listener(BaseCallbackHandler):
    def __init__(self) -> None:
        self.events: list[tuple[str, Any]] = []

    def on_custom_event(self, name: str, data: Any, **_: Any) -> None:
        self.events.append((name, data))


async def test_a_replacement_is_marked_and_told(chat: Models) -> None:
    question, wanted = "/replace I cannot say that.", "I cannot say that."
    handler = Listener()
    chunks = list(chat().stream(question, {"callbacks": [handler]}))
    marks = [
        c.response_metadata["message_replace"]
        for c in chunks
        if "message_replace" in c.response_metadata
    ]
    assert [mark["answer"] for mark in marks] == [wanted]
    assert handler.events == [("message_replace", marks[0])]
    assert printed(chunks).endswith(wanted)
    assert page(chunks) == wanted
    handler.events.clear()
    astreamed = [c async for c in chat().astream(question, {"callbacks": [handler]})]
    assert page(astreamed) == wanted
    assert handler.events == [("message_replace", marks[0])]
    events = [e async for e in chat().astream_events(question, version="v2")]
    told = [e["data"] for e in events if e["event"] == "on_custom_event"]
    assert told == [marks[0]]


@pytest.mark.parametrize("question", ["/echo hi", "/replace I cannot say that."])
def test_a_whole_answer_is_of_langchain_cores_own_class(question: str, chat: Models) -> None:
    for model in (chat(), chat().detached()):
        merged = reduce(add, list(model.stream(question)))
        assert type(merged) is AIMessageChunk
        assert "message_replace" not in merged.response_metadata


async def test_a_replaced_completion(server: LocalDify) -> None:
    model = DifyLLM(api_key=server.keys["completion"], base_url=server.base_url, user="ann")
    handler = Listener()
    config: Any = {"callbacks": [handler]}
    question, wanted = "/replace I cannot say that.", "I cannot say that."
    pieces = list(model.stream(question, config))
    assert "".join(pieces).endswith(wanted)
    assert len("".join(pieces)) > len(wanted)
    assert reduce(add, pieces) == wanted
    assert [getattr(piece, "replacement", None) for piece in pieces if piece][-1] == wanted
    assert reduce(add, [p async for p in model.astream(question, config)]) == wanted
    assert [data["answer"] for _, data in handler.events] == [wanted] * 2
    chunks = list(model._stream(question))
    assert [
        c.generation_info["message_replace"]["answer"]
        for c in chunks
        if "message_replace" in (c.generation_info or {})
    ] == [wanted]
    first, *rest = chunks
    assert (
        reduce(add, chunks).text == wanted == (first + reduce(lambda x, y: y + x, rest[::-1])).text
    )
