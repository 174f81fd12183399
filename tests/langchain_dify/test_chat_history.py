from __future__ import annotations

import json
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage

from dify_api import DifyClient, chat
from dify_api.errors import ConversationNotFoundError
from dify_local import LocalDify
from langchain_dify import ChatDify, DifyChatMessageHistory
from tests.support.cassettes import Exchange, exchange
from tests.support.replay import Received, ReplayServer, Reply

QUESTIONS = ["How many moons has Mars?", "/echo the second", "/echo the third"]


def converse(server: LocalDify, *queries: str, user: str = "ann") -> str:
    client = DifyClient(server.keys["chat"], base_url=server.base_url)
    conversation_id: str | None = None
    for query in queries:
        message = chat.send_message(query, user=user, conversation_id=conversation_id)
        conversation_id = client.send(message).conversation_id
    assert conversation_id
    return conversation_id


def history_of(
    server: LocalDify, conversation_id: str, user: str = "ann"
) -> DifyChatMessageHistory:
    return DifyChatMessageHistory(
        conversation_id, api_key=server.keys["chat"], base_url=server.base_url, user=user
    )


async def test_oldest_first(server: LocalDify) -> None:
    history = history_of(server, converse(server, *QUESTIONS))
    messages = history.messages
    assert [m.type for m in messages] == ["human", "ai"] * 3
    assert [m.content for m in messages[::2]] == QUESTIONS
    assert "Phobos" in str(messages[1].content)
    assert [m.content for m in messages[3::2]] == ["the second", "the third"]
    assert await history.aget_messages() == messages


def test_answers_carry_ids_usage_and_sources(server: LocalDify) -> None:
    conversation_id = converse(server, *QUESTIONS[:1])
    question, answer = history_of(server, conversation_id).messages
    assert isinstance(question, HumanMessage)
    assert isinstance(answer, AIMessage)
    assert answer.response_metadata["conversation_id"] == conversation_id
    assert answer.usage_metadata is not None
    assert answer.usage_metadata["total_tokens"] > 0
    assert answer.response_metadata["retriever_resources"][0]["document_name"] == "mars.md"
    assert question.id != answer.id
    assert history_of(server, conversation_id).messages[0].id == question.id


async def test_chat_dify_continues_the_conversation(server: LocalDify) -> None:
    conversation_id = converse(server, *QUESTIONS)
    model = ChatDify(api_key=server.keys["chat"], base_url=server.base_url, user="ann")
    history = history_of(server, conversation_id)
    answer = model.invoke([*history.messages, HumanMessage("/echo the fourth")])
    assert answer.content == "the fourth"
    sent = server.requests[-1].json
    assert (sent["query"], sent["conversation_id"]) == ("/echo the fourth", conversation_id)
    assert [m.content for m in await history.aget_messages()][-2:] == [
        "/echo the fourth",
        "the fourth",
    ]


def test_many_pages() -> None:
    """251 messages are read 100 at a time, from the newest back, and come oldest first."""
    stored = [{"id": f"m{n:03}", "query": f"q{n}", "answer": f"a{n}"} for n in range(251)]

    def reply(request: Received) -> Reply:
        query = dict(part.split("=") for part in request.path.split("?")[1].split("&"))
        end = next(
            (n for n, m in enumerate(stored) if m["id"] == query.get("first_id")), len(stored)
        )
        start = max(0, end - int(query["limit"]))
        page = {"data": stored[start:end], "limit": 100, "has_more": start > 0}
        body = json.dumps(page).encode()
        return Reply(headers={"content-type": "application/json"}, pieces=[body])

    with ReplayServer(reply) as server:
        history = DifyChatMessageHistory(
            "c1", api_key="app-test", base_url=server.base_url, user="ann"
        )
        texts = [message.content for message in history.messages]
        assert texts == [text for n in range(251) for text in (f"q{n}", f"a{n}")]
        assert len(server.requests) == 3


@pytest.mark.parametrize(
    "recorded",
    [
        exchange("dify-0.15.3/messages_agent"),
        exchange("dify-0.15.3/messages_with_file"),
        exchange("dify-1.16.0/agent_messages_list"),
        exchange("dify-1.16.0/messages_list"),
        exchange("dify-1.16.0/messages_list_chatflow"),
        exchange("dify-1.16.0/newagent_messages_tool"),
        exchange("dify-1.16.0/hitl_chatflow_messages_paused"),
        exchange("dify-1.16.0/messages_with_remote_file"),
    ],
    ids=lambda e: e.name,
)
def test_recorded_conversation(recorded: Exchange) -> None:
    page: dict[str, Any] = json.loads(recorded.body)
    last = {**page, "has_more": False}
    body = json.dumps(last).encode()
    reply = Reply(headers={"content-type": "application/json"}, pieces=[body])
    with ReplayServer(lambda _: reply) as server:
        messages = DifyChatMessageHistory(
            "c1", api_key="app-test", base_url=server.base_url, user="ann"
        ).messages
    assert len(messages) == 2 * len(page["data"])
    for stored, question, answer in zip(page["data"], messages[::2], messages[1::2], strict=True):
        assert question.content == stored["query"]
        thoughts = "".join(thought.get("answer") or "" for thought in stored["agent_thoughts"])
        assert answer.content == (stored["answer"] or thoughts)
        assert answer.id == stored["id"]
        assert answer.response_metadata["conversation_id"] == stored["conversation_id"]
        resources = answer.response_metadata.get("retriever_resources", [])
        assert [r.get("segment_id") for r in resources] == [
            r.get("segment_id") for r in stored["retriever_resources"]
        ]
        files = stored.get("message_files") or []
        of_user = [f["id"] for f in files if f["belongs_to"] == "user"]
        assert [f["id"] for f in question.additional_kwargs.get("files", [])] == of_user


async def test_it_cannot_be_written(server: LocalDify) -> None:
    history = history_of(server, converse(server, *QUESTIONS[:1]))
    with pytest.raises(NotImplementedError, match="written by the server"):
        history.add_user_message("Hi")
    with pytest.raises(NotImplementedError, match="written by the server"):
        await history.aadd_messages([AIMessage("Hi")])
    with pytest.raises(NotImplementedError, match="deletes a conversation"):
        history.clear()
    assert len(history.messages) == 2


async def test_unknown_conversation(server: LocalDify) -> None:
    history = history_of(server, converse(server, "/echo a"), user="bob")
    with pytest.raises(ConversationNotFoundError):
        _ = history.messages
    with pytest.raises(ConversationNotFoundError):
        await history.aget_messages()


def test_environment(server: LocalDify, monkeypatch: pytest.MonkeyPatch) -> None:
    conversation_id = converse(server, "/echo a")
    monkeypatch.setenv("DIFY_API_KEY", server.keys["chat"])
    monkeypatch.setenv("DIFY_BASE_URL", server.base_url)
    monkeypatch.setenv("DIFY_USER", "ann")
    assert len(DifyChatMessageHistory(conversation_id).messages) == 2
    assert server.keys["chat"] not in repr(vars(DifyChatMessageHistory(conversation_id)))
