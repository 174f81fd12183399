"""Conversations that a tool keeps in the thread of the agent that uses it."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.utils.function_calling import convert_to_openai_tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.sqlite import SqliteSaver
from pydantic import BaseModel

from dify_api import DifyClient, chat
from dify_api import conversations as conversations_endpoint
from dify_local import LocalDify
from langchain_dify import DifyTool, DifyToolkit
from tests.langchain_dify.test_tools_in_agents import ScriptedModel


def tool_of(server: LocalDify, app: str = "chat", **fields: Any) -> DifyTool:
    given = {"api_key": server.keys[app], "base_url": server.base_url, "user": "ann"}
    return DifyTool.from_app(**{**given, "name": "ask", "conversation": "thread", **fields})


def agent_of(tool: DifyTool, saver: Any, turns: int = 3, at_once: int = 1) -> Any:
    """An agent that asks the tool at each turn."""
    responses: list[Any] = []
    for turn in range(turns):
        calls: list[Any] = [
            {"name": "ask", "args": {"query": f"/echo {turn}-{n}"}, "id": f"{turn}-{n}"}
            for n in range(at_once)
        ]
        responses += [AIMessage("", tool_calls=calls), AIMessage("Done.")]
    return create_agent(ScriptedModel(responses=responses), [tool], checkpointer=saver)


def thread(thread_id: str, user: str | None = None) -> Any:
    named = {"dify_user": user} if user else {}
    return {"configurable": {"thread_id": thread_id, **named}}


def asked(server: LocalDify) -> list[Any]:
    return [r.json for r in server.requests if r.path.endswith("/chat-messages")]


def conversations(server: LocalDify) -> list[str | None]:
    """The conversation that each call went on with."""
    return [request.get("conversation_id") for request in asked(server)]


def last_result(state: Any) -> ToolMessage:
    return [m for m in state["messages"] if isinstance(m, ToolMessage)][-1]


GO: Any = {"messages": [("human", "Go.")]}


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("app", ["chat", "advanced-chat", "agent-chat"])
async def test_calls_of_a_thread_go_on_with_one_conversation(
    server: LocalDify, app: str, is_async: bool
) -> None:
    agent = agent_of(tool_of(server, app), InMemorySaver())
    for turn in range(3):
        config = thread("1")
        state = await agent.ainvoke(GO, config) if is_async else agent.invoke(GO, config)
        assert last_result(state).content == f"{turn}-0"
    first, *later = conversations(server)
    assert first is None
    assert set(later) == {last_result(state).response_metadata["conversation_id"]}


def test_threads_and_users_share_none(server: LocalDify) -> None:
    agent = agent_of(tool_of(server), InMemorySaver(), turns=10)
    for config in (
        thread("1", "ann@x"),
        thread("2", "ann@x"),
        thread("2", "bob@x"),
        thread("1", "ann@x"),
    ):
        agent.invoke(GO, config)
    first, second, third, fourth = conversations(server)
    assert (first, second, third) == (None, None, None)
    history = agent.get_state(thread("1")).values["messages"]
    assert fourth == last_result({"messages": history[:3]}).response_metadata["conversation_id"]
    agent.invoke(GO, thread("2", "ann@x"))
    messages = agent.get_state(thread("2")).values["messages"]
    assert conversations(server)[-1] == messages[2].response_metadata["conversation_id"]
    assert [request["user"] for request in asked(server)] == [
        "ann@x",
        "ann@x",
        "bob@x",
        "ann@x",
        "ann@x",
    ]
    assert "ann@x" not in str(messages)


def test_a_conversation_outlives_the_process(server: LocalDify, tmp_path: Path) -> None:
    for _ in range(2):
        with SqliteSaver.from_conn_string(str(tmp_path / "graph.db")) as saver:
            agent_of(tool_of(server), saver).invoke(GO, thread("1"))
    first, second = conversations(server)
    assert first is None
    assert second is not None


@pytest.mark.parametrize("is_async", [False, True])
async def test_calls_at_once(server: LocalDify, is_async: bool) -> None:
    saver = InMemorySaver()
    agent_of(tool_of(server), saver).invoke(GO, thread("1"))
    agent = agent_of(tool_of(server), saver, at_once=2)
    config = thread("1")
    state = await agent.ainvoke(GO, config) if is_async else agent.invoke(GO, config)
    results = [m for m in state["messages"] if isinstance(m, ToolMessage)]
    assert [result.content for result in results] == ["0-0", "0-0", "0-1"]
    agent_of(tool_of(server), saver).invoke(GO, thread("1"))
    first, *later = conversations(server)
    assert (first, len(later), len(set(later))) == (None, 3, 1)


def test_a_fork_of_the_thread_is_a_conversation_of_its_own(server: LocalDify) -> None:
    agent = agent_of(tool_of(server), InMemorySaver(), turns=5)
    agent.invoke(GO, thread("1"))
    then = agent.get_state(thread("1")).config
    agent.invoke(GO, thread("1"))
    agent.invoke(GO, then)
    forked = asked(server)[-1]
    assert forked.get("conversation_id") is None
    assert "/echo 0-0" in forked["query"]
    assert "/echo 1-0" not in forked["query"]
    state = agent.invoke(GO, thread("1"))
    newest = last_result({"messages": state["messages"][:-2]})
    assert last_result(state).response_metadata["conversation_id"] in (
        newest.response_metadata["conversation_id"],
        conversations(server)[-1],
    )


def test_a_deleted_conversation_is_begun_anew(server: LocalDify) -> None:
    agent = agent_of(tool_of(server), InMemorySaver())
    state = agent.invoke(GO, thread("1"))
    old = last_result(state).response_metadata["conversation_id"]
    client = DifyClient(server.keys["chat"], base_url=server.base_url)
    client.send(conversations_endpoint.delete(old, user="ann"))
    state = agent.invoke(GO, thread("1"))
    assert last_result(state).response_metadata["conversation_id"] not in (None, old)


def test_a_turn_of_somebody_else_is_a_fork(server: LocalDify) -> None:
    agent = agent_of(tool_of(server), InMemorySaver())
    state = agent.invoke(GO, thread("1"))
    old = last_result(state).response_metadata["conversation_id"]
    client = DifyClient(server.keys["chat"], base_url=server.base_url)
    client.send(chat.send_message("/echo Hi", user="ann", conversation_id=old))
    agent.invoke(GO, thread("1"))
    assert conversations(server)[-1] is None


def test_the_model_and_traces_see_no_state(server: LocalDify) -> None:
    tool = tool_of(server)
    assert list(convert_to_openai_tool(tool)["function"]["parameters"]["properties"]) == ["query"]
    assert "ann" not in repr(tool)


def test_outside_of_a_graph_each_call_is_a_conversation(server: LocalDify) -> None:
    tool = tool_of(server)
    tool.invoke({"query": "/echo 1"})
    tool.invoke({"name": "ask", "args": {"query": "/echo 2"}, "id": "1", "type": "tool_call"})
    assert conversations(server) == [None, None]


def test_by_default_each_call_is_a_conversation(server: LocalDify) -> None:
    agent = agent_of(tool_of(server, conversation="call"), InMemorySaver())
    for _ in range(2):
        agent.invoke(GO, thread("1"))
    assert conversations(server) == [None, None]


def test_apps_that_do_not_chat_keep_none(server: LocalDify) -> None:
    keys = [server.keys[app] for app in ("workflow", "completion", "chat")]
    toolkit = DifyToolkit.from_apps(keys, base_url=server.base_url, conversation="thread")
    kept = [tool for tool in toolkit.tools if "dify_state" in str(tool.args_schema.model_fields)]
    assert [tool.app_tool.mode for tool in kept] == ["chat"]


def test_a_pickled_tool_keeps_its_thread(server: LocalDify) -> None:
    tool = pickle.loads(pickle.dumps(tool_of(server)))
    tool.api_key = tool_of(server).api_key
    agent = agent_of(tool, InMemorySaver())
    for _ in range(2):
        agent.invoke(GO, thread("1"))
    first, second = conversations(server)
    assert first is None
    assert second is not None


def test_another_model_of_arguments(server: LocalDify) -> None:
    class Question(BaseModel):
        """A question."""

        query: str

    agent = agent_of(tool_of(server, args_schema=Question), InMemorySaver())
    for _ in range(2):
        agent.invoke({"messages": [HumanMessage("Go.")]}, thread("1"))
    assert conversations(server)[1] is not None
