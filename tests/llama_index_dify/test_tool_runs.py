"""`DifyTool` within a run: whom it serves, what it tells, what is counted."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from llama_index.core import Settings
from llama_index.core.agent.workflow import AgentWorkflow, FunctionAgent, ReActAgent
from llama_index.core.agent.workflow.workflow_events import ToolCallResult
from llama_index.core.callbacks import CallbackManager, CBEventType, LlamaDebugHandler
from llama_index.core.callbacks.token_counting import TokenCountingHandler
from llama_index.core.instrumentation.events.llm import (
    LLMChatEndEvent,
    LLMChatStartEvent,
    LLMCompletionEndEvent,
    LLMCompletionStartEvent,
)
from llama_index.core.tools import FunctionTool
from llama_index.core.tools.calling import acall_tool
from llama_index.core.workflow import Context, JsonSerializer, StartEvent, StopEvent, Workflow, step

from dify_api import DifyClient, conversations
from dify_local import LocalDify
from llama_index_dify import Dify, DifyTool, DifyToolProgressEvent, DifyToolStreamEvent
from llama_index_dify.events import DifyAgentThoughtEvent, DifyNodeFinishedEvent
from tests.llama_index_dify.function_calling import ScriptedLLM
from tests.llama_index_dify.support import recorded_events

_QUESTION = "Which moons does Saturn have?"


def _tool(local: LocalDify, app: str = "chat", **options: Any) -> DifyTool:
    tool = DifyTool.from_app(api_key=local.keys[app], base_url=local.base_url, **options)
    local.clear()
    return tool


def _agent(tool: DifyTool, **arguments: Any) -> FunctionAgent:
    llm = ScriptedLLM(tool_name=tool.metadata.get_name(), arguments=arguments)
    return FunctionAgent(tools=[tool], llm=llm)


# Whom it serves ---------------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["store", "state"])
@pytest.mark.parametrize("kind", ["agent", "workflow", "react"])
async def test_user_and_inputs_of_the_run(place: str, kind: str, local: LocalDify) -> None:
    tool = _tool(local, "advanced-chat", name="moons", user="service", description="Moons.")
    of_run = {"dify_user": "ann", "dify_inputs": {"lang": "fr", "unknown": "x"}}
    if kind == "react":
        planner = Dify(api_key=local.keys["planner"], base_url=local.base_url, memory="client")
        agent: Any = ReActAgent(tools=[tool], llm=planner)
    else:
        agent = _agent(tool, query=_QUESTION, lang="de")
        agent = AgentWorkflow(agents=[agent]) if kind == "workflow" else agent
    context = Context(agent)
    if place == "store":
        for name, value in of_run.items():
            await context.store.set(name, value)
    else:
        await context.store.set("state", of_run)
    handler = agent.run(user_msg=_QUESTION, ctx=context)
    results = [e async for e in handler.stream_events() if isinstance(e, ToolCallResult)]
    await handler
    assert not results[0].tool_output.is_error, results[0].tool_output.content
    (request,) = [r for r in local.requests if r.key == local.keys["advanced-chat"]]
    assert request.json["user"] == "ann"
    assert request.json["inputs"] == {"lang": "fr"}  # not what the agent's model chose


async def test_runs_side_by_side_keep_their_users(local: LocalDify) -> None:
    tool = _tool(local, name="moons")
    agent = _agent(tool, query=_QUESTION)

    async def run(user: str) -> None:
        context: Context[Any] = Context(agent)
        await context.store.set("dify_user", user)
        await agent.run(user_msg=_QUESTION, ctx=context)

    users = {f"user-{number}" for number in range(5)}
    await asyncio.gather(*(run(user) for user in users))
    assert {request.json["user"] for request in local.requests} == users
    assert tool.user == "llama-index"


async def test_without_a_run_the_tools_own_user_is_served(local: LocalDify) -> None:
    tool = _tool(local, user="service")
    assert isinstance(tool, FunctionTool)
    await acall_tool(tool, {"query": _QUESTION})
    tool.call(query=_QUESTION)
    tool(_QUESTION)
    await _agent(tool, query=_QUESTION).run(user_msg=_QUESTION)
    assert [request.json["user"] for request in local.requests] == ["service"] * 4


async def test_in_a_workflow_of_ones_own(local: LocalDify) -> None:
    tool = _tool(local, user="service")

    class Mine(Workflow):
        @step
        async def ask(self, ctx: Context, ev: StartEvent) -> StopEvent:
            await ctx.store.set("dify_user", "ann")
            output = await tool.acall(query=ev.question, ctx=ctx)
            return StopEvent(result=(output.content, output.raw_input))

    handler = Mine().run(question=_QUESTION)
    told = [e async for e in handler.stream_events() if isinstance(e, DifyToolStreamEvent)]
    content, given = await handler
    assert "".join(event.delta for event in told) == content
    assert given == {"query": _QUESTION}
    assert local.requests[0].json["user"] == "ann"


# What it tells ----------------------------------------------------------------------------------


async def test_text_and_nodes_reach_the_runs_stream(local: LocalDify) -> None:
    tool = _tool(local, "advanced-chat", name="moons")
    handler = _agent(tool, query=_QUESTION).run(user_msg=_QUESTION)
    seen = [event async for event in handler.stream_events()]
    await handler
    (result,) = [event for event in seen if isinstance(event, ToolCallResult)]
    text = [event for event in seen if isinstance(event, DifyToolStreamEvent)]
    assert len(text) > 1
    assert "".join(event.delta for event in text) == result.tool_output.content
    progress = [event for event in seen if isinstance(event, DifyToolProgressEvent)]
    nodes = [e.event.node for e in progress if isinstance(e.event, DifyNodeFinishedEvent)]
    assert [node.node_type for node in nodes] == ["start", "knowledge-retrieval", "llm", "answer"]
    assert {(e.tool_name, e.call_id) for e in (*text, *progress)} == {("moons", text[0].call_id)}
    assert seen.index(text[0]) < seen.index(result)
    sent = json.loads(progress[-1].model_dump_json())  # as a server would send it on
    assert sent["event"]["workflow"]["status"] == "succeeded"


async def test_thoughts_of_an_agent_app(local: LocalDify) -> None:
    handler = _agent(_tool(local, "agent-chat", name="moons"), query=_QUESTION).run(user_msg="Ask")
    progress = [e async for e in handler.stream_events() if isinstance(e, DifyToolProgressEvent)]
    await handler
    assert any(
        isinstance(e.event, DifyAgentThoughtEvent) and e.event.thought.tool for e in progress
    )


async def test_a_failure_midway_keeps_what_came(local: LocalDify) -> None:
    handler = _agent(_tool(local, name="moons"), query="/fail mid").run(user_msg="Ask")
    seen = [event async for event in handler.stream_events()]
    await handler
    assert "".join(e.delta for e in seen if isinstance(e, DifyToolStreamEvent)) == "one two three "
    (result,) = [event for event in seen if isinstance(event, ToolCallResult)]
    assert result.tool_output.is_error
    assert str(result.tool_output.raw_output) == "one two three "


async def test_cancelling_a_run_stops_the_app(local: LocalDify) -> None:
    tool = _tool(local, name="moons")
    handler = _agent(tool, query="/slow 60 1").run(user_msg="Ask")
    async for event in handler.stream_events():
        if isinstance(event, DifyToolStreamEvent):
            break
    await handler.cancel_run()
    assert await asyncio.to_thread(local.wait_for_stop)


# What is counted --------------------------------------------------------------------------------

_EVENTS = (LLMChatStartEvent, LLMCompletionStartEvent), (LLMChatEndEvent, LLMCompletionEndEvent)


@pytest.mark.parametrize("way", ["call", "acall", "agent"])
@pytest.mark.parametrize(
    ("app", "arguments"),
    [
        ("chat", {"query": _QUESTION}),
        ("advanced-chat", {"query": _QUESTION}),
        ("agent-chat", {"query": _QUESTION}),
        ("completion", {"query": _QUESTION}),
        ("workflow", {"text": "Saturn"}),
    ],
)
async def test_a_call_is_reported_once_as_a_models(
    way: str, app: str, arguments: dict[str, Any], local: LocalDify
) -> None:
    counter = TokenCountingHandler(tokenizer=str.split)
    debug = LlamaDebugHandler(print_trace_on_end=False)
    manager = CallbackManager([counter, debug])
    tool = _tool(local, app, name="moons", callback_manager=manager)
    with recorded_events() as recorder:
        if way == "call":
            output = tool.call(**arguments)
        elif way == "acall":
            output = await tool.acall(**arguments)
        else:
            handler = _agent(tool, **arguments).run(user_msg="Ask")
            async for event in handler.stream_events():
                if isinstance(event, ToolCallResult):
                    output = event.tool_output
            await handler
    starts, ends = ([e for e in recorder.seen if isinstance(e, kinds)] for kinds in _EVENTS)
    ours = [event for event in starts if event.model_dict.get("class_name") == "DifyApp"]
    assert len(ours) == 1
    assert len([event for event in ends if event.span_id == ours[0].span_id]) == 1
    assert '"ann"' not in json.dumps(ours[0].model_dict)
    assert len(debug.get_event_pairs(CBEventType.LLM)) == len(counter.llm_token_counts) == 1
    usage = output.raw_output.raw["usage"]
    if usage:
        assert counter.total_llm_token_count == usage["total_tokens"] > 0


async def test_the_callbacks_of_settings_are_the_default(
    local: LocalDify, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool = _tool(local)
    counter = TokenCountingHandler(tokenizer=str.split)
    monkeypatch.setattr(Settings, "_callback_manager", CallbackManager([counter]))
    tool.call(query=_QUESTION)
    await tool.acall(query=_QUESTION)
    assert len(counter.llm_token_counts) == 2


async def test_an_argument_of_the_app_may_be_called_as_the_run(local: LocalDify) -> None:
    from dify_api._calls.app_tool import AppTool
    from dify_api.endpoints.application import UserInputFormItem

    form = UserInputFormItem(type="text-input", variable="ctx", label="ctx", required=False)
    app_tool = AppTool("chat", "moons", "Moons.", form=(form,))
    tool = DifyTool(app_tool, api_key=local.keys["chat"], base_url=local.base_url)
    assert tool.ctx_param_name == "workflow_context"
    output = await tool.acall(query=_QUESTION, ctx="of the app")
    assert not output.is_error
    assert local.requests[0].json["inputs"] == {"ctx": "of the app"}


@pytest.mark.parametrize(
    ("said", "problem"),
    [({"dify_user": 7}, "dify_user must be"), ({"dify_inputs": ["lang"]}, "dify_inputs must be")],
)
async def test_what_a_run_says_is_checked(
    said: dict[str, Any], problem: str, local: LocalDify
) -> None:
    tool = _tool(local, name="moons")
    agent = _agent(tool, query=_QUESTION)
    context: Context[Any] = Context(agent)
    for name, value in said.items():
        await context.store.set(name, value)
    answer = await agent.run(user_msg=_QUESTION, ctx=context)
    assert problem in str(answer)
    assert local.requests == []


# Conversations ----------------------------------------------------------------------------------


async def _conversations(local: LocalDify, runs: list[tuple[Any, Context[Any], str]]) -> list[Any]:
    """The conversations that were asked in, by one run after the other."""
    for agent, context, user in runs:
        await context.store.set("dify_user", user)
        await agent.run(user_msg=_QUESTION, ctx=context)
    asked = [r.json for r in local.requests if r.path.endswith("/chat-messages")]
    return [request.get("conversation_id") for request in asked]


async def test_a_tool_goes_on_with_its_conversation_within_a_context(local: LocalDify) -> None:
    agent = _agent(_tool(local, name="moons", conversation="context"), query=_QUESTION)
    first, second = Context(agent), Context(agent)
    asked = await _conversations(
        local,
        [
            (agent, first, "ann"),
            (agent, first, "ann"),
            (agent, second, "ann"),  # never shared between contexts
            (agent, first, "ben"),  # nor between users
            (agent, first, "ann"),
        ],
    )
    assert [conversation is None for conversation in asked] == [True, False, True, True, False]
    assert asked[1] == asked[4]
    # In another process.
    saved = json.dumps(first.to_dict(serializer=JsonSerializer()))
    assert "ann" not in saved.replace('\\"ann\\"', "")  # but for what the run itself says
    later = Context.from_dict(agent, json.loads(saved), serializer=JsonSerializer())
    assert (await _conversations(local, [(agent, later, "ann")]))[-1] == asked[1]


async def test_calls_side_by_side_wait_for_the_conversation(local: LocalDify) -> None:
    tool = _tool(local, name="moons", conversation="context")
    llm = ScriptedLLM(tool_name="moons", arguments={"query": "/echo one"})
    llm.more_calls = [{"name": "moons", "arguments": {"query": "/echo two"}}]
    agent = FunctionAgent(tools=[tool], llm=llm)
    asked = await _conversations(local, [(agent, Context(agent), "ann")])
    assert asked[0] is None
    assert asked[1] is not None
    assert "remembers what it was asked" in json.dumps(tool.metadata.get_parameters_dict())


async def test_calls_side_by_side_wait_until_the_conversation_is_stored(
    local: LocalDify, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool = _tool(local, name="moons", conversation="context")
    llm = ScriptedLLM(tool_name="moons", arguments={"query": "/echo one"})
    llm.more_calls = [{"name": "moons", "arguments": {"query": "/echo two"}}]
    agent = FunctionAgent(tools=[tool], llm=llm)
    context: Context[Any] = Context(agent)
    store = type(context.store)
    put = store.set

    async def put_later(self: Any, path: str, value: Any) -> None:
        """As a store of another machine does."""
        for _ in range(20):
            await asyncio.sleep(0)
        await put(self, path, value)

    monkeypatch.setattr(store, "set", put_later)
    asked = await _conversations(local, [(agent, context, "ann")])
    assert [conversation is None for conversation in asked] == [True, False]


async def test_a_conversation_that_is_gone_begins_anew(local: LocalDify) -> None:
    tool = _tool(local, name="moons", conversation="context", user="ann")
    agent = _agent(tool, query=_QUESTION)
    context = Context(agent)
    await agent.run(user_msg=_QUESTION, ctx=context)
    ((name, conversation_id),) = (await context.store.get("dify_conversations")).items()
    client = DifyClient(local.keys["chat"], base_url=local.base_url)
    client.send(conversations.delete(conversation_id, user="ann"))
    await agent.run(user_msg=_QUESTION, ctx=context)
    assert (await context.store.get("dify_conversations"))[name] not in (None, conversation_id)


def test_only_apps_that_chat_keep_conversations(local: LocalDify) -> None:
    with pytest.raises(ValueError, match="mode workflow keeps no conversation"):
        _tool(local, "workflow", conversation="context")
