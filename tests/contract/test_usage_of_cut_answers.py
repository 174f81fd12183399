"""Answers cut by a stop sequence: the usage that Dify had told by then, once; else none."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from langchain_core.callbacks import get_usage_metadata_callback
from langchain_core.messages import AIMessage
from llama_index.core.llms import ChatMessage

from langchain_dify import ChatDify
from llama_index_dify import Dify
from tests.support.collectors import Trace, openinference_llama_index, tokens_of_run
from tests.support.replay import Received, ReplayServer, Reply

IDS = {"task_id": "t", "conversation_id": "c", "message_id": "m", "workflow_run_id": "w"}
USAGE = {
    "prompt_tokens": 20,
    "completion_tokens": 10,
    "total_tokens": 30,
    "total_price": "0.003",
    "currency": "USD",
}
TEXT = {"event": "message", **IDS, "answer": "one two END three"}


def node(event: str, name: str, **facts: Any) -> dict[str, Any]:
    data = {"id": f"run of {name}", "node_id": name, "node_type": "llm", "title": name, **facts}
    return {"event": event, **IDS, "data": data}


CHATFLOW = [
    {"event": "workflow_started", **IDS, "data": {"id": "w", "inputs": {}}},
    node("node_started", "Draft"),
    node(
        "node_finished",
        "Draft",
        status="succeeded",
        process_data={"usage": USAGE},
        execution_metadata={"total_tokens": 30, "total_price": "0.003", "currency": "USD"},
    ),
    node("node_started", "Answering"),
    TEXT,
]
CASES = pytest.mark.parametrize(("events", "total"), [(CHATFLOW, 30), ([TEXT], 0)])


def served(events: list[dict[str, Any]]) -> ReplayServer:
    """A server whose answer goes on until the client leaves."""
    body = b"".join(b"data: %s\n\n" % json.dumps(event).encode() for event in events)

    def reply(_: Received) -> Reply:
        return Reply(headers={"content-type": "text/event-stream"}, pieces=[body], ending="open")

    return ReplayServer(reply)


@CASES
def test_langchain(events: list[dict[str, Any]], total: int) -> None:
    with served(events) as server:
        model = ChatDify(api_key="app-x", base_url=server.base_url, user="ann", stop=["END"])

        def invoked(config: Any) -> AIMessage:
            return model.invoke("Hi", config)

        def streamed(config: Any) -> AIMessage:
            first, *rest = model.stream("Hi", config)
            return sum(rest, first)

        for way in (invoked, streamed):
            trace = Trace()
            with get_usage_metadata_callback() as counted:
                message = way({"callbacks": [trace]})
            assert message.content == "one two "
            usage = message.usage_metadata
            assert (usage["total_tokens"] if usage else 0) == total
            assert sum(use["total_tokens"] for use in counted.usage_metadata.values()) == total
            assert sum(tokens_of_run(run) for run in trace.runs) == total
            assert not [run.error for run in trace.runs if run.error]


@CASES
def test_llama_index(events: list[dict[str, Any]], total: int) -> None:
    pytest.importorskip("openinference", reason="takes no old frameworks")
    with served(events) as server, openinference_llama_index() as spans:
        llm = Dify(api_key="app-x", base_url=server.base_url, user="ann")

        def chatted() -> Any:
            return llm.chat([ChatMessage("Hi")], stop=["END"])

        def streamed() -> Any:
            responses: Iterator[Any] = llm.stream_chat([ChatMessage("Hi")], stop=["END"])
            return [*responses][-1]

        for way in (chatted, streamed):
            spans.clear()
            response = way()
            assert response.message.content == "one two "
            assert (response.raw.get("usage") or {}).get("total_tokens", 0) == total
            assert spans.tokens == total
            costs = [(span.attributes or {}).get("llm.cost.total") for span in spans.all]
            assert [cost for cost in costs if cost] == ([0.003] if total else [])
