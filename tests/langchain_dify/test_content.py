"""Content blocks and citations: alike from invoke, streams, v1 output and stores."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from functools import reduce
from operator import add
from typing import Any

import pytest
from langchain_core.load import dumps, load
from langchain_core.messages import AIMessage, HumanMessage, messages_from_dict, messages_to_dict
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from dify_api.answers.events import AgentThoughtEvent
from langchain_dify import ChatDify, citations
from langchain_dify._answers.content_blocks import ServerTools
from tests.contract.exchanges import replayed
from tests.langchain_dify.test_chat_models import ways
from tests.support.cassettes import exchange
from tests.support.containers import BEGINNINGS
from tests.support.replay import ReplayServer, Reply

Models = Callable[..., ChatDify]
QUESTION = "Which planet has the most moons?"


def without_ids(value: Any) -> Any:
    """Blocks without what differs from run to run."""
    if isinstance(value, dict):
        return {
            key: without_ids(item)
            for key, item in value.items()
            if key not in ("id", "tool_call_id", "index", "url", "extras")
        }
    return [without_ids(item) for item in value] if isinstance(value, list) else value


def kinds(message: AIMessage) -> list[str]:
    return [block["type"] for block in message.content_blocks]


# Citations ------------------------------------------------------------------------------------


async def test_citations_are_documents_in_every_way(chat: Models) -> None:
    for way in ways(chat(), QUESTION):
        message = await way()
        documents = citations(message)
        resources = message.response_metadata["retriever_resources"]
        assert [d.id for d in documents] == [r["segment_id"] for r in resources]
        assert documents[0].metadata["source"] == "saturn.md"
        assert "274 moons" in documents[0].page_content
        (text,) = message.content_blocks
        assert text["text"] == message.content
        cited = text["annotations"]
        assert [c["id"] for c in cited] == [d.id for d in documents]
        assert (cited[0]["type"], cited[0]["title"]) == ("citation", "saturn.md")
        assert cited[0]["cited_text"] == documents[0].page_content


def test_an_answer_without_citations(chat: Models) -> None:
    message = chat().invoke("/echo hi")
    assert citations(message) == []
    assert message.content_blocks == [{"type": "text", "text": "hi"}]


STORES: dict[str, Callable[[AIMessage], Any]] = {
    "langgraph": lambda m: JsonPlusSerializer().loads_typed(JsonPlusSerializer().dumps_typed(m)),
    "dict": lambda m: messages_from_dict(json.loads(json.dumps(messages_to_dict([m]))))[0],
    "load": lambda m: load(json.loads(dumps(m))),
}


@pytest.mark.filterwarnings("ignore:The function `load` is in beta")
@pytest.mark.filterwarnings("ignore:The default value of `allowed_objects`")
@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize("app", ["chat", "agent-chat"])
def test_blocks_survive_a_store(app: str, store: str, chat: Models) -> None:
    model = chat(app)
    message = model.invoke(QUESTION)
    loaded = STORES[store](message)
    assert loaded.content_blocks == message.content_blocks
    assert citations(loaded) == citations(message)
    continued = model.invoke([HumanMessage(QUESTION), loaded, HumanMessage("/echo two")])
    place = message.response_metadata["conversation_id"]
    assert continued.response_metadata["conversation_id"] == place


# v1 output ------------------------------------------------------------------------------------


@pytest.mark.parametrize("app", ["chat", "agent-chat", "advanced-chat"])
async def test_v1_output_holds_the_blocks_as_content(app: str, chat: Models) -> None:
    plain = chat(app).invoke(QUESTION)
    for way in ways(chat(app, output_version="v1"), QUESTION):
        message = await way()
        assert isinstance(message.content, list)
        assert message.text == plain.content
        texts = [b for b in message.content if b["type"] == "text"]
        cited = [c for text in texts for c in text.get("annotations", [])]
        assert [c["id"] for c in cited] == [d.id for d in citations(plain)]
        tools = [b for b in message.content if b["type"] != "text"]
        expected = [b for b in plain.content_blocks if b["type"] != "text"]
        assert without_ids(tools) == without_ids(expected)
        assert [d.id for d in citations(message)] == [d.id for d in citations(plain)]


async def test_a_v1_history_continues(chat: Models) -> None:
    model = chat(output_version="v1")
    answer = await model.ainvoke(QUESTION)
    again = await model.ainvoke([HumanMessage(QUESTION), answer, HumanMessage("/echo two")])
    assert again.text == "two"
    place = answer.response_metadata["conversation_id"]
    assert again.response_metadata["conversation_id"] == place


async def test_a_replaced_v1_stream_is_the_replacement(chat: Models) -> None:
    for way in ways(chat(output_version="v1"), "/replace I cannot say that."):
        assert (await way()).text == "I cannot say that."


# The app's own agent --------------------------------------------------------------------------


@pytest.mark.parametrize("app", ["agent-chat", "agent"])
async def test_tools_of_the_app_are_server_tools(app: str, chat: Models) -> None:
    for way in ways(chat(app), QUESTION):
        message = await way()
        assert isinstance(message.content, str)
        call, result, text = message.content_blocks
        assert (call["type"], result["type"]) == ("server_tool_call", "server_tool_result")
        assert call["args"] == {"query": QUESTION}
        assert result["tool_call_id"] == call["id"]
        assert "274 moons" in result["output"]
        assert text["text"] == message.content
        assert message.tool_calls == []


def test_tools_show_while_the_answer_streams(chat: Models) -> None:
    seen: list[str] = []
    for chunk in chat("agent-chat").stream(QUESTION):
        seen += [b["type"] for b in chunk.content_blocks if b["type"] != "text" or b["text"]]
    assert seen.index("server_tool_call") < seen.index("server_tool_result")
    assert seen.index("server_tool_result") < len(seen) - 1 - seen[::-1].index("text")


def test_thoughts_are_upserted() -> None:
    tools = ServerTools()
    thought = AgentThoughtEvent(id="1", tool="a;b")
    assert tools.take(thought) == []
    thought.tool_input = '{"a": {"x": 1}, "b": "text"}'
    calls = tools.take(thought)
    assert [(c["name"], c["args"]) for c in calls] == [("a", {"x": 1}), ("b", {"input": "text"})]
    thought.observation = '{"a": "one", "b": "two"}'
    results = tools.take(thought)
    assert [(r["tool_call_id"], r["output"]) for r in results] == [
        (calls[0]["id"], "one"),
        (calls[1]["id"], "two"),
    ]
    assert tools.take(thought) == []


# Reasoning, files, speech ---------------------------------------------------------------------


async def test_think_text_becomes_reasoning(chat: Models) -> None:
    for way in ways(chat(reasoning=True), "/think Let me see."):
        message = await way()
        assert message.additional_kwargs["reasoning_content"].strip() == "Let me see."
        assert "think>" not in message.content
        assert kinds(message) == ["reasoning", "text"]


async def test_think_text_stays_where_it_is_not_asked_for(chat: Models) -> None:
    for way in ways(chat(), "/think Let me see."):
        message = await way()
        assert message.content.startswith("<think>")
        assert kinds(message) == ["text"]


@pytest.mark.parametrize("app", ["chat", "advanced-chat"])
async def test_files_are_blocks(app: str, chat: Models) -> None:
    for way in ways(chat(app), "/files"):
        message = await way()
        assert kinds(message) == ["text", "file"]
        file = message.content_blocks[1]
        assert file["url"].startswith("http")
        assert file["extras"]["type"] == "document"


async def test_speech_is_one_audio_block(chat: Models) -> None:
    for way in ways(chat(), "/tts Hello there"):
        message = await way()
        assert message.content == "Hello there"
        assert kinds(message) == ["text", "audio"]
        audio = message.content_blocks[1]
        pieces = message.additional_kwargs["speech"]
        whole = b"".join(base64.b64decode(piece["base64"]) for piece in pieces)
        assert base64.b64decode(audio["base64"]) == whole


@pytest.mark.parametrize("mime_type", BEGINNINGS)
async def test_speech_has_the_type_of_its_container(mime_type: str) -> None:
    audio = base64.b64encode(BEGINNINGS[mime_type]).decode()
    frames = [
        {"event": "message", **NEW_AGENT, "answer": "Rings."},
        {"event": "message_end", **NEW_AGENT, "metadata": {}},
        {"event": "tts_message", **NEW_AGENT, "audio": audio},
        {"event": "tts_message_end", **NEW_AGENT, "audio": ""},
    ]
    with streamed(frames) as server:
        for way in ways(model_of(server.base_url), "Hello"):
            (_, block) = (await way()).content_blocks
            assert (block["type"], block["mime_type"]) == ("audio", mime_type)


# What a New Agent asks --------------------------------------------------------------------------

NEW_AGENT = {"task_id": "t", "message_id": "m", "conversation_id": "c"}
ASKED = [
    {"event": "agent_message", **NEW_AGENT, "answer": "May I?"},
    {
        "event": "human_input_required",
        **NEW_AGENT,
        "data": {"form_id": "f", "form_token": "k", "actions": [{"id": "yes", "title": "Yes"}]},
    },
    {"event": "message_end", **NEW_AGENT, "metadata": {}},
]


def streamed(frames: list[dict[str, Any]]) -> ReplayServer:
    pieces = [f"data: {json.dumps(frame)}\n\n".encode() for frame in frames]
    headers = {"content-type": "text/event-stream"}
    return ReplayServer(lambda _: Reply(headers=headers, pieces=list(pieces)))


def model_of(base_url: str) -> ChatDify:
    return ChatDify(api_key="app-x", base_url=base_url, user="ann")


async def test_a_new_agent_that_asks_with_a_form() -> None:
    with streamed(ASKED) as server:
        for way in ways(model_of(server.base_url), "Hello"):
            message = await way()
            assert message.content == "May I?"
            (form,) = message.response_metadata["forms"]
            assert (form["form_token"], form["user_actions"][0]["id"]) == ("k", "yes")
            assert message.response_metadata["finish_reason"] == "stop"
            assert json.loads(dumps(message))


async def test_a_new_agent_that_asks_in_words() -> None:
    with replayed(exchange("dify-1.16.0/newagent_full_ask_human")) as base_url:
        for way in ways(model_of(base_url), "Hello"):
            message = await way()
            assert message.content == "May I proceed?\n\n**details**"
            assert "forms" not in message.response_metadata


def test_merging_one_by_one_or_at_once_is_the_same(chat: Models) -> None:
    first, *rest = chat("agent-chat").stream(QUESTION)
    assert reduce(add, rest, first) == first + rest


def events_of_reasoning() -> list[dict[str, Any]]:
    ids = {"task_id": "t", "message_id": "m", "conversation_id": "c", "workflow_run_id": "r"}
    return [
        {"event": "workflow_started", **ids, "data": {}},
        {"event": "reasoning_chunk", **ids, "data": {"reasoning": "Let "}},
        {"event": "message", **ids, "answer": "It is "},
        {"event": "reasoning_chunk", **ids, "data": {"reasoning": "me see.", "is_final": True}},
        {"event": "message", **ids, "answer": "42."},
        {"event": "message_end", **ids, "metadata": {}},
        {
            "event": "workflow_finished",
            **ids,
            "data": {"status": "succeeded", "outputs": {"answer": "It is 42."}},
        },
    ]


@pytest.mark.parametrize("reasoning", [True, False])
async def test_reasoning_chunks(reasoning: bool) -> None:
    body = b"".join(b"data: %s\n\n" % json.dumps(e).encode() for e in events_of_reasoning())
    reply = Reply(headers={"Content-Type": "text/event-stream"}, pieces=[body])
    with ReplayServer(lambda _: reply) as server:
        model = ChatDify(api_key="app-x", base_url=server.base_url, reasoning=reasoning)
        for way in ways(model, "q"):
            message = await way()
            assert message.content == "It is 42."
            kept = message.additional_kwargs.get("reasoning_content")
            assert kept == ("Let me see." if reasoning else None)
