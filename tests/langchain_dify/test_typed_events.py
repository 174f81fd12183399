"""`stream_events` and `astream_events` of version "v3": what typed streams tell of an answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.messages import AIMessage

from langchain_dify import ChatDify, citations
from tests.contract.exchanges import replayed
from tests.contract.expected import expected
from tests.langchain_dify.support import HAS_TYPED_EVENTS
from tests.support.cassettes import exchange
from tests.support.collectors import Trace, tokens_of_run

Models = Callable[..., ChatDify]
Typed = tuple[list[dict[str, Any]], AIMessage]

pytestmark = pytest.mark.skipif(
    not HAS_TYPED_EVENTS, reason="this langchain-core has no typed events"
)


async def typed(model: ChatDify, question: str, config: Any = None) -> list[Typed]:
    """Events and message, from the stream of each kind."""
    stream = model.stream_events(question, config, version="v3")
    events: list[Any] = list(stream)
    streamed = await model.astream_events(question, config, version="v3")
    async with streamed:  # its end is when callbacks have been told of the end
        async_events: list[Any] = [event async for event in streamed]
        message = await streamed.output
    return [(events, stream.output), (async_events, message)]


def deltas(events: list[dict[str, Any]], kind: str) -> list[str]:
    told = [event["delta"] for event in events if event["event"] == "content-block-delta"]
    return [delta[kind] for delta in told if delta["type"] == f"{kind}-delta"]


async def test_reasoning(chat: Models) -> None:
    model = chat(reasoning=True)
    for events, message in await typed(model, "/echo <think>Let me see.</think>Saturn it is."):
        assert "".join(deltas(events, "reasoning")) == "Let me see."
        assert "".join(deltas(events, "text")) == "Saturn it is."
        assert [block["type"] for block in message.content_blocks] == ["reasoning", "text"]
        assert message.additional_kwargs["reasoning_content"] == "Let me see."


async def test_citations(chat: Models) -> None:
    model, question = chat("advanced-chat"), "Which planet has the most moons?"
    wanted = [document.id for document in citations(model.invoke(question))]
    for events, message in await typed(model, question):
        assert "".join(deltas(events, "text")) == message.text
        (block,) = message.content_blocks
        assert isinstance(block, dict)
        annotations: Any = block.get("annotations")
        assert [cited["id"] for cited in annotations] == wanted
        assert [document.id for document in citations(message)] == wanted
        assert annotations[0]["title"] == "saturn.md"


@pytest.mark.parametrize(
    "name",
    [
        "dify-0.15.3/moderation_output_flagged_short_stream",
        "dify-1.16.0/newagent_diff",
        "dify-0.15.3/moderation_output_stream",
    ],
)
async def test_replacement(name: str) -> None:
    recorded = exchange(name)
    with replayed(recorded) as base_url:
        model = ChatDify(api_key="app-x", base_url=base_url, user="ann", max_retries=0)
        for events, message in await typed(model, "Hello"):
            (text,) = [e["content"] for e in events if e["event"] == "content-block-finish"]
            assert text["text"] == message.text == expected(recorded).text


async def test_usage_and_nodes_are_traced(chat: Models) -> None:
    trace = Trace()
    model, question = chat("advanced-chat"), "Which planet has the most moons?"
    for _, message in await typed(model, question, {"callbacks": [trace]}):
        assert message.usage_metadata
    assert len(trace.roots) == 2
    names = [run.name for run in trace.runs]
    assert (names.count("ChatDify"), names.count("LLM")) == (2, 2)
    for root in trace.roots:
        assert tokens_of_run(root) > 0
