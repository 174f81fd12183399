"""What tracers are told of each recorded answer: all nodes, the app's usage once, no secrets."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from langchain_core.callbacks import get_usage_metadata_callback
from pydantic import SecretStr

from dify_api.errors import DifyError
from langchain_dify import ChatDify, DifyWorkflow
from tests.contract.exchanges import generations, replayed
from tests.support.cassettes import Exchange
from tests.support.collectors import (
    Spans,
    Trace,
    langfuse,
    langfuse_tokens,
    openinference_langchain,
    payload,
    tokens_of_run,
)
from tests.support.replay import Received, ReplayServer, Reply, through_proxy

pytestmark = pytest.mark.slow

USER, KEY, HEADER, PASSWORD = "canary-user", "app-canarykey", "canary-header", "canary-password"
CANARIES = (USER, KEY, HEADER, PASSWORD)

CHATS = [e for e in generations("/chat-messages") if e.is_stream and e.status == 200]
WORKFLOWS = [e for e in generations("/workflows/run") if e.is_stream and e.status == 200]


@pytest.fixture(scope="module")
def spans() -> Iterator[Spans]:
    with openinference_langchain() as spans:
        yield spans


def events_of(exchange: Exchange) -> list[dict[str, Any]]:
    lines = exchange.body.decode(errors="replace").split("\n")  # texts hold other line ends
    events = []
    for line in lines:
        if line.startswith("data:"):
            try:
                events.append(json.loads(line[5:]))
            except ValueError:
                continue
    return events


def nodes_of(exchange: Exchange) -> list[str]:
    """The executions of nodes that the stream tells of."""
    return [
        event["data"]["id"]
        for event in events_of(exchange)
        if event.get("event") in ("node_started", "iteration_started", "loop_started")
    ]


def tokens_told(exchange: Exchange) -> int:
    """Those of a workflow's run; of one that paused or broke off, those of nodes that ended."""
    events = events_of(exchange)
    for event in events:
        if event.get("event") == "workflow_finished":
            return event["data"].get("total_tokens") or 0
    spent = [
        e["data"].get("execution_metadata") for e in events if e.get("event") == "node_finished"
    ]
    return sum((each or {}).get("total_tokens") or 0 for each in spent)


def options(base_url: str) -> dict[str, Any]:
    return {
        "api_key": SecretStr(KEY),
        "base_url": base_url,
        "user": USER,
        "default_headers": {"X-Gateway": HEADER},
        "proxy": through_proxy(base_url, PASSWORD),
        "max_retries": 0,
    }


def runs_of_nodes(trace: Trace) -> list[Any]:
    return [run for run in trace.runs if (run.extra or {}).get("metadata", {}).get("dify_node_id")]


@pytest.mark.parametrize("exchange", CHATS, ids=lambda e: e.name)
def test_a_recorded_chat(exchange: Exchange, spans: Spans) -> None:
    trace = Trace()
    spans.clear()
    usage: Any = None
    with replayed(exchange) as base_url, langfuse() as (handler, collected):
        model = ChatDify(**options(base_url))
        with get_usage_metadata_callback() as counted:
            try:
                message = model.invoke("Hi?", {"callbacks": [trace, handler]})
                usage = message.usage_metadata
            except DifyError:
                pass
    total = usage["total_tokens"] if usage else 0
    assert sum(tokens_of_run(run) for run in trace.runs) == total
    assert spans.tokens == total
    assert langfuse_tokens(collected) == total
    assert sum(use["total_tokens"] for use in counted.usage_metadata.values()) == total
    started = nodes_of(exchange)
    assert len(runs_of_nodes(trace)) == len(started)
    assert all(run.end_time for run in trace.runs)
    assert len(trace.runs) == len(spans.all) == len(collected.all)
    for text in (payload(trace), spans.text, collected.text):
        assert not [canary for canary in CANARIES if canary in text]


@pytest.mark.parametrize("exchange", WORKFLOWS, ids=lambda e: e.name)
def test_a_recorded_workflow(exchange: Exchange, spans: Spans) -> None:
    trace = Trace()
    spans.clear()
    total = tokens_told(exchange)
    failed = False
    form = Reply(headers={"content-type": "application/json"}, pieces=[b'{"user_input_form": []}'])

    def reply(request: Received) -> Reply:
        return form if request.path.endswith("/parameters") else exchange.reply(longest=400)

    with ReplayServer(reply) as server, langfuse() as (handler, collected):
        workflow = DifyWorkflow(**options(server.base_url))
        try:
            workflow.invoke({}, {"callbacks": [trace, handler]})
        except DifyError:
            failed = True
    assert sum(tokens_of_run(run) for run in trace.runs) == total
    assert spans.tokens == total
    assert langfuse_tokens(collected) == (
        0 if failed else total
    )  # its handler drops that of errors
    assert len(runs_of_nodes(trace)) == len(nodes_of(exchange))
    assert all(run.end_time for run in trace.runs)
    assert len(trace.runs) == len(spans.all) == len(collected.all)
    for text in (payload(trace), spans.text, collected.text):
        assert not [canary for canary in CANARIES if canary in text]
