"""Dify apps behind OpenAI's API, asked by OpenAI's own client."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import pytest

from dify_local import LocalDify
from tests.support.served_example import served

openai = pytest.importorskip("openai", reason="OpenAI's client is what is tested against")
pytest.importorskip("fastapi", reason="of the extra `examples`")

MODEL = "solar-system-chat"


@pytest.fixture(scope="module")
def dify() -> Iterator[LocalDify]:
    with LocalDify() as server:
        yield server


@pytest.fixture(scope="module")
def client(dify: LocalDify) -> Iterator[Any]:
    keys = f"{dify.keys['chat']}, {dify.keys['planner']}"
    with served("openai_endpoint", DIFY_BASE_URL=dify.base_url, DIFY_API_KEY=keys) as url:
        with openai.OpenAI(api_key="any", base_url=f"{url}/v1", max_retries=0) as client:
            yield client


def asked(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def sent(dify: LocalDify) -> list[Any]:
    return [r.json for r in dify.requests if r.path.endswith("/chat-messages")]


def test_the_apps_are_models(client: Any) -> None:
    assert [model.id for model in client.models.list()] == [MODEL, "tool-planner"]


def test_a_whole_answer(client: Any) -> None:
    messages = [asked("Which planet has the most moons?")]
    answer = client.chat.completions.create(model=MODEL, messages=messages, user="ann")
    assert "Saturn" in answer.choices[0].message.content
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    assert answer.usage.total_tokens > 0
    assert answer.model_extra["sources"][0]["title"] == "saturn.md"


def test_a_history_goes_on_with_its_conversation(client: Any, dify: LocalDify) -> None:
    messages: list[dict[str, str]] = []
    for question in ("Which planet has the most moons?", "And which of those is the largest?"):
        messages.append(asked(question))
        stream = client.chat.completions.create(
            model=MODEL,
            messages=messages,
            user="bob",
            stream=True,
            stream_options={"include_usage": True},
        )
        chunks = list(stream)
        texts = [c.choices[0].delta.content or "" for c in chunks if c.choices]
        assert len(texts) > 3
        assert chunks[-1].usage.total_tokens > 0
        messages.append({"role": "assistant", "content": "".join(texts)})
    first, second = sent(dify)[-2:]
    assert not first.get("conversation_id")
    assert second["conversation_id"]
    assert second["query"] == "And which of those is the largest?"
    # Another user's history of the same words is not that user's conversation.
    client.chat.completions.create(model=MODEL, messages=[*messages, asked("Hi")], user="eve")
    assert not sent(dify)[-1].get("conversation_id")


def test_a_header_names_the_conversation(client: Any, dify: LocalDify) -> None:
    create = client.chat.completions.with_raw_response.create
    reply = create(model=MODEL, messages=[asked("Hello")], user="cy")
    named = {"X-Conversation-Id": reply.headers["x-conversation-id"]}
    create(model=MODEL, messages=[asked("Go on")], user="cy", extra_headers=named)
    assert sent(dify)[-1]["conversation_id"] == named["X-Conversation-Id"]


def test_a_picture_is_uploaded(client: Any, dify: LocalDify) -> None:
    picture = "data:image/png;base64," + base64.b64encode(b"\x89PNG\r\n\x1a\n").decode()
    content = [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": picture}},
    ]
    message = {"role": "user", "content": content}
    client.chat.completions.create(model=MODEL, messages=[message], user="ann")
    (file,) = sent(dify)[-1]["files"]
    assert (file["type"], file["transfer_method"]) == ("image", "local_file")


def test_failures_are_openais(client: Any) -> None:
    with pytest.raises(openai.NotFoundError, match="there is no model 'gpt'"):
        client.chat.completions.create(model="gpt", messages=[asked("Hello")])
    with pytest.raises(openai.BadRequestError, match="no message to send"):
        client.chat.completions.create(model=MODEL, messages=[])
    with pytest.raises(openai.APIError, match="the model is down"):
        list(client.chat.completions.create(model=MODEL, messages=[asked("/fail")], stream=True))


def test_leaving_stops_the_run(client: Any, dify: LocalDify) -> None:
    with client.chat.completions.create(
        model=MODEL, messages=[asked("/hang 3")], stream=True
    ) as stream:
        assert next(iter(stream)).choices
    assert dify.wait_for_stop(5)
