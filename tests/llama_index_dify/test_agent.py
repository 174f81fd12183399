"""`DifyAgent`: apps as agents of an `AgentWorkflow`, against the local server."""

from __future__ import annotations

import json
from typing import Any

import pytest
from llama_index.core.agent.workflow import (
    AgentOutput,
    AgentStream,
    AgentWorkflow,
    FunctionAgent,
    ToolCallResult,
)
from llama_index.core.llms import MockLLM
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.workflow import Context, JsonSerializer

from dify_local import LocalDify
from llama_index_dify import Dify, DifyAgent, DifyInputRequiredEvent, source_nodes
from tests.llama_index_dify.function_calling import ScriptedLLM

QUESTION = "Which planet has the most moons?"


def multiply(a: float, b: float) -> float:
    """Multiply two numbers."""
    return a * b


def _app(local: LocalDify, app: str = "chat", **options: Any) -> Dify:
    return Dify(api_key=local.keys[app], base_url=local.base_url, **options)


def _moons(local: LocalDify, **options: Any) -> DifyAgent:
    return DifyAgent(
        _app(local),
        name="moons",
        description="Knows planets and their moons.",
        can_handoff_to=[],
        **options,
    )


def _asked(local: LocalDify, app: str = "chat") -> list[dict[str, Any]]:
    """The messages that an app got."""
    return [
        r.json for r in local.requests if r.key == local.keys[app] and "query" in (r.json or {})
    ]


async def _answer(agent: Any, question: str, ctx: Context[Any] | None = None) -> AgentOutput:
    output: AgentOutput = await agent.run(question, ctx=ctx)
    return output


@pytest.mark.parametrize("alone", [True, False])
@pytest.mark.parametrize("streaming", [True, False])
async def test_an_answer_streams_and_has_sources(
    streaming: bool, alone: bool, local: LocalDify
) -> None:
    moons = _moons(local, streaming=streaming, system_prompt="Be brief.")
    handler = (moons if alone else AgentWorkflow(agents=[moons])).run(QUESTION)
    streamed = [e async for e in handler.stream_events() if isinstance(e, AgentStream)]
    output = await handler
    assert "Saturn" in str(output)
    if streaming:
        assert len(streamed) > 3
        assert "".join(event.delta for event in streamed) == str(output)
        assert streamed[-1].response == str(output)
        assert {event.current_agent_name for event in streamed} == {"moons"}
    else:
        assert streamed == []
    assert "saturn.md" in {node.metadata["document_name"] for node in source_nodes(output)}
    assert output.raw["usage"]["total_tokens"]
    (request,) = _asked(local)
    assert request["query"] == f"Be brief.\n\n{QUESTION}"


async def test_each_context_has_its_own_conversation(local: LocalDify) -> None:
    workflow = AgentWorkflow(agents=[_moons(local)])
    contexts = [Context(workflow), Context(workflow)]
    for question in (QUESTION, "And its largest moon?"):
        for context in contexts:
            await _answer(workflow, question, context)
    requests = _asked(local)
    conversations = [request.get("conversation_id") for request in requests]
    assert conversations[:2] == [None, None]
    assert None not in conversations[2:]
    assert conversations[2] != conversations[3]
    assert [request["query"] for request in requests[2:]] == ["And its largest moon?"] * 2


async def test_each_user_has_a_conversation(local: LocalDify) -> None:
    workflow = AgentWorkflow(agents=[_moons(local)])
    context = Context(workflow)
    for user in ("ann", "ben", "ann"):
        await context.store.set("dify_user", user)
        await context.store.set("dify_inputs", {"lang": user})
        await _answer(workflow, f"{QUESTION} asks {user}", context)
    first, second, third = _asked(local)
    assert [r["user"] for r in (first, second, third)] == ["ann", "ben", "ann"]
    assert second.get("conversation_id") is None
    assert third["conversation_id"]
    assert third["inputs"] == {"lang": "ann"}


async def test_two_agents_of_one_app_have_conversations_of_their_own(local: LocalDify) -> None:
    handing_over = FunctionAgent(
        name="desk",
        description="Hands over.",
        llm=ScriptedLLM(
            tool_name="handoff", arguments={"to_agent": "moons", "reason": "It knows moons."}
        ),
    )
    other = DifyAgent(_app(local), name="rings", description="Knows rings.", can_handoff_to=[])
    workflow = AgentWorkflow(agents=[handing_over, _moons(local), other], root_agent="desk")
    context = Context(workflow)
    output = await _answer(workflow, QUESTION, context)
    assert output.current_agent_name == "moons"
    assert "Saturn" in str(output)
    await context.store.set("current_agent_name", "rings")
    output = await _answer(workflow, "Which planets have rings?", context)
    assert output.current_agent_name == "rings"
    first, second = _asked(local)
    assert QUESTION in first["query"]
    assert "It knows moons." in first["query"]
    assert second.get("conversation_id") is None  # not that of "moons"


@pytest.mark.parametrize("streaming", [True, False])
async def test_hand_offs_and_tools_by_prompt(streaming: bool, local: LocalDify) -> None:
    desk = DifyAgent(
        _app(local, "planner"),
        name="desk",
        description="Greets people and multiplies.",
        tools=[multiply],
        streaming=streaming,
    )
    workflow = AgentWorkflow(agents=[desk, _moons(local)], root_agent="desk")
    context = Context(workflow)
    handler = workflow.run("What is 6 times 7?", ctx=context)
    events = [event async for event in handler.stream_events()]
    results = [e for e in events if isinstance(e, ToolCallResult)]
    assert [(r.tool_name, r.tool_kwargs) for r in results] == [("multiply", {"a": 6, "b": 7})]
    assert "42" in str(await handler)
    assert "tool_calls" not in "".join(e.delta for e in events if isinstance(e, AgentStream))
    output = await _answer(workflow, QUESTION, context)
    assert output.current_agent_name == "moons"
    assert "Saturn" in str(output)
    first, second, third = _asked(local, "planner")
    assert '"name": "handoff"' in first["query"]
    assert '"name": "handoff"' not in second["query"]  # the conversation knows the offer
    assert second["query"].startswith("Result of the tool multiply: 42")
    assert first.get("conversation_id") is None
    assert second["conversation_id"] == third["conversation_id"]


async def test_a_call_that_cannot_be_made_is_put_right(local: LocalDify) -> None:
    agent = DifyAgent(_app(local), tools=[multiply])
    wrong = '/json {"tool_calls": [{"name": "multiply", "arguments": [6]}]}'
    output = await _answer(agent, wrong)
    requests = _asked(local)
    assert [r["query"] for r in requests[1:]] == ["the arguments are no JSON object"]
    assert not output.tool_calls


async def test_the_conversation_outlives_the_process(local: LocalDify) -> None:
    context = Context(_moons(local))
    await _answer(_moons(local), QUESTION, context)
    kept = json.dumps(context.to_dict(serializer=JsonSerializer()))
    agent = _moons(local)
    later = Context.from_dict(agent, json.loads(kept), serializer=JsonSerializer())
    await later.store.set("memory", ChatMemoryBuffer.from_defaults(token_limit=5_000))
    await _answer(agent, "And its largest moon?", later)
    first, second = _asked(local)
    assert first.get("conversation_id") is None
    assert second["conversation_id"]
    assert second["query"] == "And its largest moon?"


async def test_a_pause_is_asked_in_the_runs_events(local: LocalDify) -> None:
    flow = DifyAgent(_app(local, "advanced-chat"), name="flow", description="Drafts.")
    workflow = AgentWorkflow(agents=[flow])
    context = Context(workflow)
    memory = ChatMemoryBuffer.from_defaults(token_limit=5_000)
    handler = workflow.run("/pause The draft. ", ctx=context, memory=memory)
    streamed = ""
    async for event in handler.stream_events():
        if isinstance(event, AgentStream):
            streamed += event.delta
        if isinstance(event, DifyInputRequiredEvent):
            assert (event.app, event.text.strip()) == ("flow", "The draft.")
            response = event.response({"comment": "Fine.", "action": "approve"})
            handler.ctx.send_event(response)
    output = await handler
    assert str(output) == streamed
    assert streamed.startswith("The draft.")
    assert "Fine." in streamed
    assert len(_asked(local, "advanced-chat")) == 1
    assert [message.content for message in memory.get_all()] == ["/pause The draft. ", streamed]
    await _answer(workflow, "/echo And then?", context)
    assert _asked(local, "advanced-chat")[1]["conversation_id"]


def test_only_apps_are_agents() -> None:
    with pytest.raises(TypeError, match="DifyAgent wants a Dify as its llm, not MockLLM"):
        DifyAgent(MockLLM())  # type: ignore[arg-type]  # that is the mistake
