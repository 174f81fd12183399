from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.callbacks import get_usage_metadata_callback
from langchain_core.language_models.fake_chat_models import FakeMessagesListChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, ToolMessage
from langchain_core.runnables import Runnable
from langchain_core.tools import ToolException

from dify_api._calls.app_tool import AppTool
from dify_api.endpoints.application import UserInputFormItem
from dify_local import LocalDify
from langchain_dify import DifyTool

QUESTION = "Which planet has the most moons?"
OTHER = "Which planet is the hottest?"
ASKED: Any = {"messages": [("human", QUESTION)]}


class ScriptedModel(FakeMessagesListChatModel):
    """A model that says what it is told to, whatever tools it is given."""

    def bind_tools(self, tools: Any, **kwargs: Any) -> Runnable[Any, AIMessage]:
        return self


@dataclass
class Context:
    dify_user: str | None = None
    dify_inputs: dict[str, Any] = field(default_factory=dict)


def tool_of(server: LocalDify, app: str, **settings: Any) -> DifyTool:
    return DifyTool.from_app(api_key=server.keys[app], base_url=server.base_url, **settings)


def agent_of(*tools: DifyTool, **calls: dict[str, Any]) -> Any:
    """An agent whose model calls the tools at once, then is done; calls are named by their ids."""
    made = [
        {"name": args.pop("tool", tools[0].name), "args": args, "id": name}
        for name, args in calls.items()
    ]
    model = ScriptedModel(responses=[AIMessage("", tool_calls=made), AIMessage("Done.")])
    return create_agent(model, list(tools), context_schema=Context)


def sent(server: LocalDify) -> list[Any]:
    return [request.json for request in server.requests if request.method == "POST"]


def tool_messages(state: dict[str, Any]) -> list[ToolMessage]:
    return [m for m in state["messages"] if isinstance(m, ToolMessage)]


# The run's user and inputs ---------------------------------------------------------------------


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize(
    "told",
    [
        {"config": {"configurable": {"dify_user": "bob", "dify_inputs": {"tone": "cold"}}}},
        {"context": Context("bob", {"tone": "cold"})},
        {
            "config": {"configurable": {"dify_user": "bob"}},
            "context": Context("eve", {"tone": "cold", "unknown": 1}),
        },
    ],
    ids=["configurable", "context", "both"],
)
async def test_user_and_inputs_of_the_run(server: LocalDify, told: Any, is_async: bool) -> None:
    tool = tool_of(server, "greeter", user="ann", inputs={"tone": "warm", "polite": True})
    agent = agent_of(tool, one={"query": "Hi", "name": "Ann"})
    state = await agent.ainvoke(ASKED, **told) if is_async else agent.invoke(ASKED, **told)
    assert tool_messages(state)[0].content == "Hello, Ann!"
    [request] = sent(server)
    assert (request["user"], request["inputs"]["tone"]) == ("bob", "cold")
    agent.invoke(ASKED)
    assert (sent(server)[-1]["user"], sent(server)[-1]["inputs"]["tone"]) == ("ann", "warm")


def test_inputs_of_the_run_stand_above_the_models(server: LocalDify) -> None:
    tool = tool_of(server, "greeter")
    config: Any = {"configurable": {"dify_inputs": {"tone": "cold"}}}
    tool.invoke({"query": "Hi", "name": "Ann", "tone": "warm"}, config)
    assert sent(server)[-1]["inputs"]["tone"] == "cold"


async def test_users_of_runs_side_by_side(server: LocalDify) -> None:
    tool = tool_of(server, "chat")
    configs: list[Any] = [{"configurable": {"dify_user": user}} for user in ("ann", "bob", "eve")]
    tool.batch([{"query": user} for user in ("ann", "bob", "eve")], configs)
    await tool.abatch([{"query": user} for user in ("ann", "bob", "eve")], configs)
    assert len(sent(server)) == 6
    assert all(request["user"] == request["query"] for request in sent(server))


@pytest.mark.parametrize(
    ("configurable", "told"),
    [
        ({"dify_user": 7}, "dify_user must be the name"),
        ({"dify_user": " "}, "dify_user must be the name"),
        ({"dify_inputs": ["tone"]}, "dify_inputs must be a dict"),
    ],
)
def test_settings_of_the_run_that_cannot_be(
    server: LocalDify, configurable: dict[str, Any], told: str
) -> None:
    tool = tool_of(server, "greeter")
    with pytest.raises(ValueError, match=told):
        tool.invoke({"query": "Hi", "name": "Ann", "tone": "warm"}, {"configurable": configurable})
    assert sent(server) == []


@pytest.mark.parametrize("variable", ["config", "run_manager", "given", "tool_call_id"])
async def test_variables_named_like_what_langchain_passes(server: LocalDify, variable: str) -> None:
    form = (
        UserInputFormItem(type="paragraph", variable="text", required=True),
        UserInputFormItem(type="text-input", variable=variable, required=True),
    )
    described = AppTool("workflow", "report", "Reports.", form)
    tool = DifyTool(app_tool=described, api_key=server.keys["workflow"], base_url=server.base_url)
    tool.invoke({"text": QUESTION, variable: "a"})
    await tool.ainvoke({"text": QUESTION, variable: "a"})
    for request in sent(server):
        assert request["inputs"] == {"text": QUESTION, variable: "a"}


def test_direct_run_as_other_frameworks_do(server: LocalDify) -> None:
    text, answer = tool_of(server, "chat")._run(query=QUESTION)
    assert "Saturn" in str(text)
    assert answer.usage


# What streams show -----------------------------------------------------------------------------


async def both(agent: Any, mode: str) -> AsyncIterator[list[Any]]:
    """What an agent streams, sync and async."""
    yield list(agent.stream(ASKED, stream_mode=mode))
    yield [item async for item in agent.astream(ASKED, stream_mode=mode)]


@pytest.mark.parametrize("app", ["chat", "agent-chat", "advanced-chat", "workflow", "completion"])
async def test_tokens_are_in_the_messages_mode(server: LocalDify, app: str) -> None:
    tool = tool_of(server, app)
    first = next(iter(tool.args))
    agent = agent_of(tool, one={first: QUESTION})
    async for items in both(agent, "messages"):
        of_tools = [m for m, metadata in items if metadata["langgraph_node"] == "tools"]
        [result] = [m for m in of_tools if isinstance(m, ToolMessage)]
        chunks = [m for m in of_tools if isinstance(m, AIMessageChunk)]
        assert [type(m) for m in of_tools].count(AIMessage) == 0, "shown twice"
        assert len(chunks) > 2
        assert len({chunk.id for chunk in chunks}) == 1
        merged = sum(chunks[1:], chunks[0])
        assert merged.text == "".join(chunk.text for chunk in chunks)
        assert merged.text == result.artifact.text
        if app != "workflow":
            assert merged.usage_metadata
            assert merged.usage_metadata["total_tokens"] == result.artifact.usage.total_tokens


async def test_nodes_are_in_the_custom_mode(server: LocalDify) -> None:
    agent = agent_of(tool_of(server, "advanced-chat"), one={"query": QUESTION})
    async for items in both(agent, "custom"):
        assert {(i["tool_name"], i["tool_call_id"]) for i in items} == {
            ("Solar_System_Chatflow", "one")
        }
        events = [item["event"] for item in items]
        assert events.count("node_started") == events.count("node_finished") > 1
        assert all(item["data"]["node_id"] for item in items)


async def test_thoughts_are_in_the_custom_mode(server: LocalDify) -> None:
    agent = agent_of(tool_of(server, "agent-chat"), one={"query": "What is 6 * 7?"})
    async for items in both(agent, "custom"):
        assert {item["event"] for item in items} == {"agent_thought"}
        assert any(item["data"].get("tool") for item in items)


async def test_replaced_answers_end_at_what_replaces_them(server: LocalDify) -> None:
    agent = agent_of(tool_of(server, "chat"), one={"query": "/replace"})
    async for items in both(agent, "messages"):
        of_tools = [m for m, metadata in items if metadata["langgraph_node"] == "tools"]
        [result] = [m for m in of_tools if isinstance(m, ToolMessage)]
        chunks = [m for m in of_tools if isinstance(m, AIMessageChunk)]
        assert sum(chunks[1:], chunks[0]).text == result.content
    async for items in both(agent, "custom"):
        assert "message_replace" in {item["event"] for item in items}


async def test_usage_is_counted_once(server: LocalDify) -> None:
    for app in ("chat", "advanced-chat", "completion"):
        tool = tool_of(server, app)
        agent = agent_of(tool, one={next(iter(tool.args)): QUESTION})
        for is_async in (False, True):
            with get_usage_metadata_callback() as counted:
                state = await agent.ainvoke(ASKED) if is_async else agent.invoke(ASKED)
            [message] = tool_messages(state)
            total = message.artifact.usage.total_tokens
            assert sum(u["total_tokens"] for u in counted.usage_metadata.values()) == total > 0
            assert message.response_metadata["usage"]["total_tokens"] == total


async def test_calls_side_by_side(server: LocalDify) -> None:
    chat, flow = tool_of(server, "chat"), tool_of(server, "advanced-chat")
    agent = agent_of(
        chat,
        flow,
        one={"query": QUESTION},
        two={"query": OTHER},
        three={"tool": flow.name, "query": QUESTION},
    )
    async for items in both(agent, "messages"):
        texts: dict[Any, str] = defaultdict(str)
        results: list[ToolMessage] = []
        for message, metadata in items:
            if isinstance(message, ToolMessage):
                results.append(message)
            elif metadata["langgraph_node"] == "tools":
                texts[message.id] += message.text
        assert sorted(texts.values()) == sorted(m.artifact.text for m in results)
        assert len(results) == 3


async def test_events_show_a_model_below_the_tool(server: LocalDify) -> None:
    tool = tool_of(server, "chat")
    events: list[Any] = [e async for e in tool.astream_events({"query": QUESTION}, version="v2")]
    tool_run = events[0]["run_id"]
    names = [e["event"] for e in events]
    assert names[0] == "on_tool_start"
    assert names[-1] == "on_tool_end"
    assert names.count("on_chat_model_start") == names.count("on_chat_model_end") == 1
    text = "".join(e["data"]["chunk"].text for e in events if e["event"] == "on_chat_model_stream")
    assert text == events[-1]["data"]["output"]
    assert all(e["parent_ids"] == [tool_run] for e in events if "chat_model" in e["event"])


# Failures --------------------------------------------------------------------------------------


async def test_failure_midway(server: LocalDify) -> None:
    tool = tool_of(server, "chat", handle_tool_error=True)
    agent = agent_of(tool, one={"query": "/fail mid"}, two={"query": QUESTION})
    async for items in both(agent, "messages"):
        results = {m.tool_call_id: m for m, _ in items if isinstance(m, ToolMessage)}
        assert results["one"].status == "error"
        assert "model is down" in results["one"].content
        assert "Saturn" in results["two"].content
    with pytest.raises(ToolException, match="model is down"):
        agent_of(tool_of(server, "chat"), one={"query": "/fail mid"}).invoke(ASKED)


async def test_leaving_the_stream_stops_the_app(server: LocalDify) -> None:
    agent = agent_of(tool_of(server, "chat"), one={"query": "/hang 3"})
    async with aclosing(agent.astream(ASKED, stream_mode="messages")) as messages:
        async for message, metadata in messages:
            if metadata["langgraph_node"] == "tools" and message.text:
                break
    assert await asyncio.to_thread(server.wait_for_stop)
