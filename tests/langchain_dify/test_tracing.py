"""A run of the app as traces below the model's run."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from itertools import groupby
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.callbacks import AsyncCallbackHandler, BaseCallbackHandler
from langchain_core.runnables import RunnableLambda
from langchain_core.tracers.base import BaseTracer
from langchain_core.tracers.schemas import Run
from langgraph.config import get_stream_writer

from dify_api.errors import DifyError
from langchain_dify import ChatDify
from tests.support.replay import ReplayServer, Reply

Models = Callable[..., ChatDify]
QUESTION = "Which planet has the most moons?"


class Trace(BaseTracer):
    """Keeps finished trees of runs."""

    def __init__(self) -> None:
        super().__init__()
        self.roots: list[Run] = []

    def _persist_run(self, run: Run) -> None:
        self.roots.append(run)


def shape(run: Run) -> Any:
    below = [shape(child) for child in run.child_runs]
    return (run.run_type, run.name, below) if below else (run.run_type, run.name)


def found(run: Run, name: str) -> Run:
    runs = [run]
    for each in runs:
        runs += each.child_runs
    return next(each for each in runs if each.name == name)


def traced(model: Any, question: str) -> list[Callable[[], Awaitable[Run]]]:
    async def invoke() -> Run:
        trace = Trace()
        model.invoke(question, {"callbacks": [trace]})
        return trace.roots[-1]

    async def stream() -> Run:
        trace = Trace()
        list(model.stream(question, {"callbacks": [trace]}))
        return trace.roots[-1]

    async def ainvoke() -> Run:
        trace = Trace()
        await model.ainvoke(question, {"callbacks": [trace]})
        return trace.roots[-1]

    async def astream() -> Run:
        trace = Trace()
        async for _ in model.astream(question, {"callbacks": [trace]}):
            pass
        return trace.roots[-1]

    return [invoke, stream, ainvoke, astream]


CHATFLOW = (
    "llm",
    "ChatDify",
    [
        (
            "chain",
            "workflow",
            [
                ("chain", "Start"),
                ("retriever", "Knowledge Retrieval"),
                ("llm", "LLM"),
                ("chain", "Answer"),
            ],
        )
    ],
)


async def test_nodes_of_a_chatflow_are_runs_below_the_model(chat: Models) -> None:
    for way in traced(chat("advanced-chat"), QUESTION):
        run = await way()
        assert shape(run) == CHATFLOW
        retrieval = found(run, "Knowledge Retrieval")
        assert retrieval.inputs == {"query": QUESTION}
        first = retrieval.outputs["documents"][0]
        assert first.id
        assert "274 moons" in first.page_content
        model = found(run, "LLM")
        share = model.outputs["llm_output"]["node_usage"]
        answer = run.outputs["generations"][0][0]["message"]["kwargs"]
        assert share["total_tokens"] == answer["usage_metadata"]["total_tokens"] > 0
        assert "274 moons" in model.outputs["generations"][0][0]["text"]
        assert found(run, "Answer").outputs["answer"]
        assert not any(found(run, name).error for name in ("workflow", "LLM", "Answer"))


async def test_below_a_chain_and_while_invoke_streams(chat: Models) -> None:
    chain = RunnableLambda(lambda text: text) | chat("advanced-chat", streaming=True)
    for way in traced(chain, QUESTION):
        root = await way()
        assert shape(root) == ("chain", "RunnableSequence", [("chain", "RunnableLambda"), CHATFLOW])


async def test_tools_of_an_agent_are_runs(chat: Models) -> None:
    for way in traced(chat("agent-chat"), QUESTION):
        run = await way()
        (tool,) = run.child_runs
        assert tool.run_type == "tool"
        assert QUESTION in str(tool.inputs)
        assert "274 moons" in tool.outputs["output"]


async def test_a_failed_node_is_a_failed_run(chat: Models) -> None:
    trace = Trace()
    with pytest.raises(DifyError):
        chat("advanced-chat").invoke("/fail mid", {"callbacks": [trace]})
    (run,) = trace.roots
    assert run.error
    assert found(run, "workflow").error
    with pytest.raises(DifyError):
        await chat("advanced-chat").ainvoke("/fail mid", {"callbacks": [trace]})
    assert found(trace.roots[-1], "workflow").error


def test_leaving_early_ends_every_run(chat: Models) -> None:
    trace = Trace()
    stream = chat("advanced-chat").stream("/tokens 100000", {"callbacks": [trace]})
    next(stream)
    while next(stream).content == "":
        pass
    stream.close()
    (run,) = trace.roots
    assert all(each.end_time for each in [run, *run.child_runs, *run.child_runs[0].child_runs])


async def test_node_events_are_custom_events(chat: Models) -> None:
    class Events(BaseCallbackHandler):
        def __init__(self) -> None:
            self.names: list[str] = []

        def on_custom_event(self, name: str, data: Any, **_: Any) -> None:
            self.names.append(f"{name} {data.get('title', '')}".strip())

    class AsyncEvents(AsyncCallbackHandler):
        def __init__(self) -> None:
            self.names: list[str] = []

        async def on_custom_event(self, name: str, data: Any, **_: Any) -> None:
            self.names.append(f"{name} {data.get('title', '')}".strip())

    handler, other = Events(), AsyncEvents()
    list(chat("advanced-chat").stream(QUESTION, {"callbacks": [handler]}))
    assert handler.names[:3] == ["workflow_started", "node_started Start", "node_finished Start"]
    assert handler.names[-1] == "workflow_finished"
    await chat("advanced-chat").ainvoke(QUESTION, {"callbacks": [other]})
    assert other.names == handler.names


async def test_a_handler_puts_node_events_into_the_custom_stream_of_a_graph(chat: Models) -> None:
    """As docs/streaming.md shows."""

    class ShowNodes(BaseCallbackHandler):
        def on_custom_event(self, name: str, data: Any, **_: Any) -> None:
            if name in ("node_started", "node_finished"):
                get_stream_writer()(f"{name} {data['title']}")

    graph = create_agent(chat("advanced-chat"), [])
    asked: Any = {"messages": QUESTION}
    config: Any = {"callbacks": [ShowNodes()]}
    ways = [list(graph.stream(asked, config, stream_mode=["messages", "custom"]))]
    if sys.version_info >= (3, 11):  # before, LangGraph's writer is not known in tasks
        stream = graph.astream(asked, config, stream_mode=["messages", "custom"])
        ways.append([step async for step in stream])
    for steps in ways:
        shown = [item for mode, item in steps if mode == "custom"]
        assert shown[:2] == ["node_started Start", "node_finished Start"]
        assert shown[-1] == "node_finished Answer"
        order = [mode for mode, _ in groupby(mode for mode, _ in steps)]
        assert order == ["custom", "messages", "custom", "messages"], "each when it happens"


async def test_runs_show_in_astream_events(chat: Models) -> None:
    names = [
        (event["event"], event["name"])
        async for event in chat("advanced-chat").astream_events(QUESTION, version="v2")
    ]
    assert ("on_retriever_end", "Knowledge Retrieval") in names
    assert ("on_custom_event", "node_finished") in names
    assert names[-1] == ("on_chat_model_end", "ChatDify")


def events_of_iteration() -> list[dict[str, Any]]:
    ids = {"task_id": "t", "message_id": "m", "conversation_id": "c", "workflow_run_id": "r"}

    def event(name: str, **data: Any) -> dict[str, Any]:
        return {"event": name, **ids, "data": data}

    inner = {"id": "e2", "node_id": "code", "node_type": "code", "iteration_id": "each"}
    outer = {"id": "e1", "node_id": "each", "node_type": "iteration", "title": "Each"}
    return [
        event("workflow_started", inputs={"sys.query": "q"}),
        event("node_started", **outer),
        event("iteration_started", id="each", node_id="each", title="Each one"),
        event("node_started", title="Code", **inner),
        event("node_finished", title="Code", status="failed", error="no such name", **inner),
        event("iteration_completed", id="each", node_id="each", outputs={"output": []}),
        event("node_finished", status="succeeded", **outer),
        {"event": "message", **ids, "answer": "done"},
        {"event": "message_end", **ids, "metadata": {}},
        event("workflow_finished", status="succeeded", outputs={"answer": "done"}),
    ]


def test_nodes_of_an_iteration_are_below_it() -> None:
    body = b"".join(b"data: %s\n\n" % json.dumps(e).encode() for e in events_of_iteration())
    reply = Reply(headers={"Content-Type": "text/event-stream"}, pieces=[body])
    trace = Trace()
    with ReplayServer(lambda _: reply) as server:
        model = ChatDify(api_key="app-x", base_url=server.base_url)
        assert model.invoke("q", {"callbacks": [trace]}).content == "done"
    workflow = trace.roots[0].child_runs[0]
    assert shape(workflow) == (
        "chain",
        "workflow",
        [("chain", "Each"), ("chain", "Each one", [("chain", "Code")])],
    )
    assert "no such name" in found(workflow, "Code").error


def test_nothing_is_traced_where_nobody_listens(chat: Models) -> None:
    class Deaf(BaseCallbackHandler):
        pass

    assert chat("advanced-chat").invoke("/echo hi").content == "hi"
    assert chat("advanced-chat").invoke("/echo hi", {"callbacks": [Deaf()]}).content == "hi"


async def test_what_a_handler_asks_another_app_is_not_in_the_trace_of_its_run(
    chat: Models,
) -> None:
    other = chat("advanced-chat")

    class Asks(BaseCallbackHandler):
        run_inline = True

        def on_llm_new_token(self, token: str, **kwargs: Any) -> None:
            "".join(str(chunk.content) for chunk in other.stream("/echo beside"))

    class AsksInTask(AsyncCallbackHandler):
        async def on_llm_new_token(self, token: str, **kwargs: Any) -> None:
            await asyncio.create_task(self._ask())

        async def _ask(self) -> None:
            assert [chunk async for chunk in other.astream("/echo beside")]

    model, trace = chat("advanced-chat", streaming=True), Trace()
    model.invoke("/echo hi", {"callbacks": [Asks(), trace]})
    await model.ainvoke("/echo hi", {"callbacks": [AsksInTask(), trace]})
    assert [len(run.child_runs) for run in trace.roots] == [1, 1]
