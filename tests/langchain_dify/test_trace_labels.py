"""Tags and metadata of a config reach the runs of an app, however the app is called."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from langchain_core.runnables import RunnableConfig, RunnableLambda
from langgraph.graph import MessagesState, StateGraph

from langchain_dify import ChatDify
from tests.support.collectors import Trace

QUESTION = "Which planet has the most moons?"
RUNS = ("ChatDify", "workflow", "Start", "Knowledge Retrieval", "LLM", "Answer")

Labels = dict[str, tuple[set[str], dict[str, Any]]]
Call = Callable[[ChatDify, RunnableConfig], Awaitable[None]]


async def invoke(model: ChatDify, config: RunnableConfig) -> None:
    model.invoke(QUESTION, config)


async def stream(model: ChatDify, config: RunnableConfig) -> None:
    list(model.stream(QUESTION, config))


async def ainvoke(model: ChatDify, config: RunnableConfig) -> None:
    await model.ainvoke(QUESTION, config)


async def astream(model: ChatDify, config: RunnableConfig) -> None:
    async for _ in model.astream(QUESTION, config):
        pass


async def chain(model: ChatDify, config: RunnableConfig) -> None:
    list((RunnableLambda(str) | model).stream(QUESTION, config))


async def async_chain(model: ChatDify, config: RunnableConfig) -> None:
    async for _ in (RunnableLambda(str) | model).astream(QUESTION, config):
        pass


def graph_of(model: ChatDify) -> Any:
    def app(state: MessagesState) -> dict[str, Any]:
        return {"messages": [model.invoke(state["messages"])]}

    return StateGraph(MessagesState).add_node("app", app).set_entry_point("app").compile()


async def graph(model: ChatDify, config: RunnableConfig) -> None:
    graph_of(model).invoke({"messages": [("user", QUESTION)]}, config)


async def graph_stream(model: ChatDify, config: RunnableConfig) -> None:
    asked: Any = {"messages": [("user", QUESTION)]}
    list(graph_of(model).stream(asked, config, stream_mode="messages"))


def labels(trace: Trace) -> Labels:
    """Tags and metadata of each run that are the caller's or the model's own."""
    found: Labels = {}
    for run in trace.runs:
        if run.name in RUNS:
            metadata = (run.extra or {}).get("metadata", {})
            kept = {name: metadata[name] for name in metadata if name in ("team", "model_is")}
            found[run.name] = ({t for t in run.tags or [] if not t.startswith("seq:")}, kept)
    return found


@pytest.mark.parametrize(
    "call",
    [invoke, stream, ainvoke, astream, chain, async_chain, graph, graph_stream],
    ids=lambda call: call.__name__,
)
async def test_tags_and_metadata(call: Call, chat: Callable[..., ChatDify]) -> None:
    trace = Trace()
    model = chat("advanced-chat", tags=["of-the-model"], metadata={"model_is": "ours"})
    await call(
        model, {"callbacks": [trace], "tags": ["of-the-call"], "metadata": {"team": "astronomy"}}
    )
    below = ({"of-the-call"}, {"team": "astronomy"})
    own = ({"of-the-call", "of-the-model"}, {"team": "astronomy", "model_is": "ours"})
    assert labels(trace) == {**dict.fromkeys(RUNS, below), "ChatDify": own}
