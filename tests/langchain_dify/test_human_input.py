"""Apps that ask a human, in LangGraph's graphs: one generation at the server, always."""

from __future__ import annotations

import asyncio
import gc
import json
import sys
from collections.abc import Callable, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Annotated, Any, TypedDict

import pytest
from langchain.agents import create_agent
from langchain_core.language_models.fake_chat_models import FakeMessagesListChatModel
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, ToolMessage
from langchain_core.runnables import Runnable
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.errors import GraphInterrupt
from langgraph.graph import START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.prebuilt import ToolNode
from langgraph.types import Command, RetryPolicy, Send

from dify_api.errors import ServerError, WorkflowFailedError, WorkflowPausedError
from dify_local import LocalDify
from langchain_dify import ChatDify, DifyTool, DifyWorkflow
from langchain_dify._human_input import node_log
from tests.langchain_dify.support import needs_interrupts
from tests.support.cassettes import exchange
from tests.support.forking import run_forked
from tests.support.replay import Reply
from tests.support.story import Story

pytestmark = needs_interrupts
CONFIG: Any = {"configurable": {"thread_id": "1"}}
APPROVED = {"comment": "Fine.", "action": "approve"}
needs_context = pytest.mark.skipif(
    sys.version_info < (3, 11), reason="LangGraph interrupts in asyncio from Python 3.11 on"
)
IN_ASYNCIO = [False, pytest.param(True, marks=needs_context)]


class Texts(TypedDict, total=False):
    text: str
    other: str


class Messages(TypedDict, total=False):
    messages: Annotated[list[AnyMessage], add_messages]


class ScriptedModel(FakeMessagesListChatModel):
    """A model that says what it is told to, whatever tools it is given."""

    def bind_tools(self, tools: Any, **kwargs: Any) -> Runnable[Any, AIMessage]:
        return self


def generations(server: LocalDify) -> int:
    """How often an app was asked to generate."""
    paths = [r.path for r in server.requests if r.method == "POST"]
    return sum(path.endswith(("/workflows/run", "/chat-messages")) for path in paths)


def submissions(server: LocalDify) -> list[Any]:
    return [r.json for r in server.requests if r.method == "POST" and "/form/" in r.path]


def workflow_of(server: LocalDify, **fields: Any) -> DifyWorkflow:
    given = {"api_key": server.keys["workflow"], "base_url": server.base_url, "user": "ann"}
    return DifyWorkflow(**{**given, "human_input": "interrupt", **fields})


def chatflow_of(server: LocalDify, **fields: Any) -> ChatDify:
    given = {"api_key": server.keys["advanced-chat"], "base_url": server.base_url, "user": "ann"}
    return ChatDify(**{**given, "human_input": "interrupt", **fields})


def tool_of(server: LocalDify, **fields: Any) -> DifyTool:
    given = {"api_key": server.keys["workflow"], "base_url": server.base_url, "user": "ann"}
    return DifyTool.from_app(**{**given, "name": "report", "human_input": "interrupt", **fields})


def graph_of(node: Callable[[Any], Any], state: Any = Texts, **options: Any) -> Any:
    options.setdefault("checkpointer", InMemorySaver())
    return StateGraph(state).add_node("app", node).add_edge(START, "app").compile(**options)


def workflow_graph(workflow: DifyWorkflow, *, is_async: bool = False, **options: Any) -> Any:
    def node(state: Texts) -> Texts:
        return {"text": workflow.invoke({"text": state["text"]})["text"]}

    async def anode(state: Texts) -> Texts:
        return {"text": (await workflow.ainvoke({"text": state["text"]}))["text"]}

    return graph_of(anode if is_async else node, **options)


def chat_graph(model: ChatDify, *, is_async: bool = False, **options: Any) -> Any:
    def node(state: Messages) -> Messages:
        return {"messages": [model.invoke(state["messages"])]}

    async def anode(state: Messages) -> Messages:
        return {"messages": [await model.ainvoke(state["messages"])]}

    return graph_of(anode if is_async else node, Messages, **options)


async def called(graph: Any, given: Any, is_async: bool, config: Any = CONFIG) -> Any:
    return await graph.ainvoke(given, config) if is_async else graph.invoke(given, config)


# A workflow and a chatflow in a node -------------------------------------------------------------


@pytest.mark.parametrize("is_async", IN_ASYNCIO)
async def test_a_workflow_interrupts_and_goes_on(server: LocalDify, is_async: bool) -> None:
    graph = workflow_graph(workflow_of(server), is_async=is_async)
    state = await called(graph, {"text": "/pause The draft."}, is_async)
    [interrupt] = state["__interrupt__"]
    assert interrupt.value["type"] == "dify_human_input"
    assert "The draft." in interrupt.value["forms"][0]["form_content"]
    schema = interrupt.value["response_schema"]
    assert schema["required"] == ["comment", "action"]
    assert schema["properties"]["action"]["enum"] == ["approve", "reject"]
    assert getattr(interrupt, "response_schema", schema) == schema
    state = await called(graph, Command(resume=APPROVED), is_async)
    assert "__interrupt__" not in state
    assert "Fine." in state["text"]
    assert generations(server) == 1
    assert submissions(server) == [
        {"inputs": {"comment": "Fine."}, "action": "approve", "user": "ann"}
    ]


@pytest.mark.parametrize("is_async", IN_ASYNCIO)
def test_nothing_is_kept_of_executions_that_have_ended(server: LocalDify, is_async: bool) -> None:
    def kept() -> int:
        gc.collect()
        return len(node_log._LOGS)

    async def run() -> None:
        graph = workflow_graph(workflow_of(server), is_async=is_async)
        await called(graph, {"text": "/pause The draft."}, is_async)
        await called(graph, Command(resume=APPROVED), is_async)
        with pytest.raises(WorkflowFailedError):
            await called(graph, {"text": "/fail"}, is_async)

    before = kept()
    asyncio.run(run())  # connections hold the context that they were opened in
    assert kept() == before


@pytest.mark.parametrize("is_async", IN_ASYNCIO)
async def test_a_chatflow_interrupts_and_goes_on(server: LocalDify, is_async: bool) -> None:
    graph = chat_graph(chatflow_of(server), is_async=is_async)
    state = await called(graph, {"messages": [("human", "/pause The draft.")]}, is_async)
    assert [m.type for m in state["messages"]] == ["human"]
    state = await called(graph, Command(resume=APPROVED), is_async)
    _, answer = state["messages"]
    assert answer.content.startswith("The draft.")
    assert len(answer.content) > len("The draft.")
    assert generations(server) == 1
    state = await called(graph, {"messages": [("human", "/echo Go on.")]}, is_async)
    assert state["messages"][-1].content == "Go on."
    asked = [r.json for r in server.requests if r.path.endswith("/chat-messages")]
    assert asked[-1]["conversation_id"] == answer.response_metadata["conversation_id"]


@pytest.mark.parametrize("is_async", IN_ASYNCIO)
async def test_messages_stream_goes_on_after_the_resume(server: LocalDify, is_async: bool) -> None:
    graph = chat_graph(chatflow_of(server), is_async=is_async)
    seen: list[str] = []
    for given in ({"messages": [("human", "/pause The draft.")]}, Command(resume=APPROVED)):
        if is_async:
            stream = graph.astream(given, CONFIG, stream_mode="messages")
            chunks = [chunk async for chunk, _ in stream]
        else:
            chunks = [chunk for chunk, _ in graph.stream(given, CONFIG, stream_mode="messages")]
        seen.append("".join(str(chunk.content) for chunk in chunks))
    answer = graph.get_state(CONFIG).values["messages"][-1]
    assert seen[0] == "The draft."
    assert seen[0] + seen[1] == answer.content
    assert generations(server) == 1


def test_a_workflow_streams_on_after_the_resume(server: LocalDify) -> None:
    workflow = workflow_of(server)
    told: list[dict[str, Any]] = []

    def node(state: Texts) -> Texts:
        last: dict[str, Any] = {}
        for chunk in workflow.stream({"text": state["text"]}):
            told.append(chunk)
            last = chunk
        return {"text": last["text"]}

    graph = graph_of(node)
    graph.invoke({"text": "/pause The draft."}, CONFIG)
    before = "".join(chunk.get("text", "") for chunk in told)
    told.clear()
    text = graph.invoke(Command(resume=APPROVED), CONFIG)["text"]
    *progress, _outputs = told
    after = "".join(chunk.get("text", "") for chunk in progress)
    assert before + after == text
    assert before == "The draft."
    assert generations(server) == 1


def test_no_step_of_ours_is_in_the_streams_of_the_graph(server: LocalDify) -> None:
    graph = workflow_graph(workflow_of(server))
    modes = ["updates", "tasks"]
    steps = list(graph.stream({"text": "/pause The draft."}, CONFIG, stream_mode=modes))
    steps += graph.stream(Command(resume=APPROVED), CONFIG, stream_mode=modes)
    names = {name for mode, step in steps if mode == "updates" for name in step}
    assert names == {"__interrupt__", "app"}
    assert {step["name"] for mode, step in steps if mode == "tasks"} == {"app"}


# Replies ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_async", IN_ASYNCIO)
@pytest.mark.parametrize(
    ("reply", "told"),
    [
        ({"action": "approve"}, "comment"),
        ({"comment": "Fine.", "action": "maybe"}, "approve, reject"),
        ({**APPROVED, "risk": "low"}, "risk"),
        ("approve", "mapping"),
    ],
)
async def test_a_reply_that_does_not_fit_is_asked_for_again(
    server: LocalDify, reply: Any, told: str, is_async: bool
) -> None:
    graph = workflow_graph(workflow_of(server), is_async=is_async)
    await called(graph, {"text": "/pause The draft."}, is_async)
    state = await called(graph, Command(resume=reply), is_async)
    [interrupt] = state["__interrupt__"]
    assert told in interrupt.value["error"]
    assert submissions(server) == []
    state = await called(graph, Command(resume=APPROVED), is_async)
    assert "Fine." in state["text"]
    assert (generations(server), len(submissions(server))) == (1, 1)


def test_a_form_may_be_named(server: LocalDify) -> None:
    graph = workflow_graph(workflow_of(server))
    [interrupt] = graph.invoke({"text": "/pause The draft."}, CONFIG)["__interrupt__"]
    form = interrupt.value["forms"][0]
    state = graph.invoke(Command(resume={form["node_id"]: APPROVED}), CONFIG)
    assert "Fine." in state["text"]
    assert generations(server) == 1


# Without a graph the error stays -----------------------------------------------------------------


def test_outside_of_a_graph_the_error_carries_the_forms(server: LocalDify) -> None:
    for workflow in (workflow_of(server), workflow_of(server, human_input="error")):
        with pytest.raises(WorkflowPausedError) as caught:
            workflow.invoke({"text": "/pause The draft."})
        assert caught.value.forms[0].form_token
        assert 'human_input="interrupt"' in str(caught.value)
        answer = workflow.client.resume(caught.value, APPROVED, user="ann")
        assert "Fine." in answer.text


def test_a_graph_without_a_checkpointer_cannot_be_resumed(server: LocalDify) -> None:
    graph = workflow_graph(workflow_of(server), checkpointer=None)
    with pytest.raises(WorkflowPausedError) as caught:
        graph.invoke({"text": "/pause The draft."})
    assert caught.value.workflow_run_id


@pytest.mark.parametrize("is_async", [False, True])
async def test_a_tool_raises_the_pause_with_its_forms(server: LocalDify, is_async: bool) -> None:
    tool = tool_of(server, human_input="error")
    with pytest.raises(WorkflowPausedError) as caught:
        await (
            tool.ainvoke({"text": "/pause"})
            if is_async
            else asyncio.to_thread(tool.invoke, {"text": "/pause"})
        )
    assert type(caught.value.__cause__) is WorkflowPausedError
    assert caught.value.forms[0].form_token
    assert "Fine." in tool.client.resume(caught.value, APPROVED, user="ann").text
    tool.handle_tool_error = True
    assert "waits for human input" in tool.invoke({"text": "/pause"})


# Agents, tools, several at once ------------------------------------------------------------------


def call(name: str, text: str, tool: str = "report") -> Any:
    return {"name": tool, "args": {"text": text}, "id": name}


@pytest.mark.parametrize("is_async", IN_ASYNCIO)
@pytest.mark.parametrize("kind", ["agent", "ToolNode"])
async def test_two_tools_wait_at_once(server: LocalDify, kind: str, is_async: bool) -> None:
    calls = [call("one", "/pause First draft."), call("two", "/pause Second draft.")]
    tool = tool_of(server)
    graph: Any
    if kind == "agent":
        model = ScriptedModel(responses=[AIMessage("", tool_calls=calls), AIMessage("Done.")])
        graph = create_agent(model, [tool], checkpointer=InMemorySaver())
        given: Any = {"messages": [("human", "Go.")]}
    else:
        graph = graph_of(ToolNode([tool]), Messages)
        given = {"messages": [AIMessage("", tool_calls=calls)]}
    state = await called(graph, given, is_async)
    for _ in range(2):
        replies = {
            interrupt.id: {"comment": interrupt.value["text"], "action": "approve"}
            for interrupt in state["__interrupt__"]
        }
        state = await called(graph, Command(resume=replies), is_async)
        if "__interrupt__" not in state:
            break
    one, two = [m for m in state["messages"] if isinstance(m, ToolMessage)]
    assert (one.tool_call_id, two.tool_call_id) == ("one", "two")
    assert "First" in one.content
    assert "Second" not in one.content
    assert "Second" in two.content
    assert "First" not in two.content
    assert generations(server) == 2
    assert len(submissions(server)) == 2


@pytest.mark.parametrize("is_async", IN_ASYNCIO)
async def test_a_tool_that_works_beside_one_that_waits(server: LocalDify, is_async: bool) -> None:
    calls = [call("waits", "/pause The draft."), call("works", "/slow 0.3 20")]
    graph = graph_of(ToolNode([tool_of(server)]), Messages)
    state = await called(graph, {"messages": [AIMessage("", tool_calls=calls)]}, is_async)
    assert len(state["__interrupt__"]) == 1
    state = await called(graph, Command(resume=APPROVED), is_async)
    waited, worked = [m for m in state["messages"] if isinstance(m, ToolMessage)]
    assert "Fine." in waited.content
    assert "Sorry for the delay." in worked.content
    assert generations(server) == 2
    assert server.stopped == []


@pytest.mark.parametrize("names", ["ab", "ba"])
def test_tools_that_come_in_another_order_when_asked_again(server: LocalDify, names: str) -> None:
    tool = tool_of(server)
    orders = iter(["ab", names, names[::-1], names])

    def node(_state: Messages) -> Messages:
        done: dict[str, Any] = {}
        for name in next(orders):
            asked = {**call(name, f"/pause Draft {name}."), "type": "tool_call"}
            try:
                done[name] = tool.invoke(asked)
            except GraphInterrupt as interrupted:
                done[name] = interrupted
        for name in "ab":  # as LangGraph's ToolNode, which raises the first in the order of calls
            if isinstance(done[name], GraphInterrupt):
                raise done[name]
        return {"messages": [done["a"], done["b"]]}

    graph = graph_of(node, Messages)
    state = graph.invoke({"messages": [HumanMessage("Go.")]}, CONFIG)
    while "__interrupt__" in state:
        [interrupt] = state["__interrupt__"]
        reply = {"comment": interrupt.value["text"], "action": "approve"}
        state = graph.invoke(Command(resume=reply), CONFIG)
    _, a, b = state["messages"]
    assert ("Draft a." in a.content, "Draft b." in b.content) == (True, True)
    assert ("Draft b." in a.content, "Draft a." in b.content) == (False, False)
    assert generations(server) == len(submissions(server)) == 2


@pytest.mark.parametrize("is_async", IN_ASYNCIO)
async def test_branches_that_wait_at_once(server: LocalDify, is_async: bool) -> None:
    workflow = workflow_of(server)

    def branch(name: str) -> Any:
        def node(state: Texts) -> Any:
            return {name: workflow.invoke({"text": f"/pause The {name}."})["text"]}

        return node

    graph: Any = (
        StateGraph(Texts)
        .add_node("one", branch("text"))
        .add_node("two", branch("other"))
        .add_edge(START, "one")
        .add_edge(START, "two")
        .compile(checkpointer=InMemorySaver())
    )
    state = await called(graph, {"text": ""}, is_async)
    first, second = state["__interrupt__"]
    reply = {"comment": first.value["text"], "action": "approve"}
    state = await called(graph, Command(resume={first.id: reply}), is_async)
    [left] = state["__interrupt__"]
    assert left.value["forms"] == second.value["forms"]
    state = await called(graph, Command(resume=APPROVED), is_async)
    assert {state["text"][:8], state["other"][:9]} == {"The text", "The other"}
    assert generations(server) == 2


@pytest.mark.parametrize("limit", [None, 1])
@pytest.mark.parametrize("is_async", IN_ASYNCIO)
async def test_more_nodes_wait_than_a_graph_has_workers(
    server: LocalDify, is_async: bool, limit: int | None
) -> None:
    workflow = workflow_of(server)

    def node(state: Texts) -> Any:
        workflow.invoke({"text": state["text"]})
        return {}

    graph: Any = (
        StateGraph(Texts)
        .add_node("app", node)
        .add_conditional_edges(
            START, lambda _: [Send("app", {"text": f"/pause {n}"}) for n in range(9)], ["app"]
        )
        .compile(checkpointer=InMemorySaver())
    )
    config = {**CONFIG, **({"max_concurrency": limit} if limit else {})}
    state = await called(graph, {"text": ""}, is_async, config)
    replies = {interrupt.id: APPROVED for interrupt in state["__interrupt__"]}
    assert len(replies) == 9
    state = await called(graph, Command(resume=replies), is_async, config)
    assert "__interrupt__" not in state
    assert generations(server) == len(submissions(server)) == 9


def test_what_ended_before_a_pause_is_not_done_again(server: LocalDify) -> None:
    model, workflow = chatflow_of(server), workflow_of(server)

    def node(state: Texts) -> Texts:
        draft = model.invoke("/echo A draft.").text
        first = workflow.invoke({"text": f"/pause {draft} One."})["text"]
        second = workflow.invoke({"text": "/pause Two."})["text"]
        return {"text": f"{first}|{second}"}

    graph = graph_of(node)
    graph.invoke({"text": ""}, CONFIG)
    [interrupt] = graph.invoke(Command(resume={**APPROVED, "comment": "1st"}), CONFIG)[
        "__interrupt__"
    ]
    assert "Two." in interrupt.value["text"]
    text = graph.invoke(Command(resume={**APPROVED, "comment": "2nd"}), CONFIG)["text"]
    first, second = text.split("|")
    assert "A draft." in first
    assert ("1st" in first, "2nd" in second) == (True, True)
    assert generations(server) == 3


@pytest.mark.parametrize("is_async", IN_ASYNCIO)
async def test_as_the_model_of_an_agent(server: LocalDify, is_async: bool) -> None:
    agent: Any = create_agent(chatflow_of(server), [], checkpointer=InMemorySaver())
    await called(agent, {"messages": [("human", "/pause The draft.")]}, is_async)
    state = await called(agent, Command(resume=APPROVED), is_async)
    assert state["messages"][-1].content.startswith("The draft.")
    assert generations(server) == 1


@pytest.mark.parametrize("is_async", IN_ASYNCIO)
async def test_in_a_subgraph(server: LocalDify, is_async: bool) -> None:
    inner = workflow_graph(workflow_of(server), is_async=is_async, checkpointer=None)
    graph: Any = (
        StateGraph(Texts)
        .add_node("inner", inner)
        .add_edge(START, "inner")
        .compile(checkpointer=InMemorySaver())
    )
    state = await called(graph, {"text": "/pause The draft."}, is_async)
    assert state["__interrupt__"]
    state = await called(graph, Command(resume=APPROVED), is_async)
    assert "Fine." in state["text"]
    assert generations(server) == 1


def test_custom_stream_of_a_tool_goes_on(server: LocalDify) -> None:
    calls = [call("one", "/pause The draft.")]
    model = ScriptedModel(responses=[AIMessage("", tool_calls=calls), AIMessage("Done.")])
    agent: Any = create_agent(model, [tool_of(server)], checkpointer=InMemorySaver())
    given: Any = {"messages": [HumanMessage("Go.")]}
    before = list(agent.stream(given, CONFIG, stream_mode="custom"))
    after = list(agent.stream(Command(resume=APPROVED), CONFIG, stream_mode="custom"))
    assert "human_input_required" in {told["event"] for told in before}
    assert {told["event"] for told in after} >= {"node_finished"}
    assert generations(server) == 1


# Failures beside pauses --------------------------------------------------------------------------


def flaky(workflow: DifyWorkflow, kind: str) -> Any:
    """A node whose first call fails; what it makes of that is the kind."""

    def node(state: Texts) -> Texts:
        given = {"text": state["text"]}
        if kind == "with_retry":
            retried = workflow.with_retry(retry_if_exception_type=(ServerError,))
            return {"text": retried.invoke(given)["text"]}
        if kind == "other call":
            try:
                return {"text": workflow.invoke(given)["text"]}
            except ServerError as error:
                return {
                    "text": workflow.invoke({"text": "/pause Another."})["text"],
                    "other": str(error),
                }
        return {"text": workflow.invoke(given)["text"]}

    return node


@pytest.mark.parametrize("kind", ["with_retry", "other call", "retry policy", "again"])
def test_a_failure_before_a_pause(server: LocalDify, kind: str) -> None:
    policy = RetryPolicy(initial_interval=0.01, retry_on=ServerError)
    graph: Any = (
        StateGraph(Texts)
        .add_node(
            "app",
            flaky(workflow_of(server), kind),
            retry_policy=policy if kind == "retry policy" else None,
        )
        .add_edge(START, "app")
        .compile(checkpointer=InMemorySaver())
    )
    server.fault("status", status=500, path="/workflows/run")
    given: Any = {"text": "/pause The draft."}
    if kind == "again":
        with pytest.raises(ServerError):
            graph.invoke(given, CONFIG)
        given = None
    assert graph.invoke(given, CONFIG)["__interrupt__"]
    state = graph.invoke(Command(resume=APPROVED), CONFIG)
    assert "Fine." in state["text"]
    assert ("Another." in state["text"]) == (kind == "other call")
    assert ("other" in state) == (kind == "other call")
    assert generations(server) == 2  # the one that was refused, and the one that paused


def test_a_node_that_fails_after_the_pause_is_tried_again(server: LocalDify) -> None:
    workflow, tried = workflow_of(server), iter([False, True])

    def node(state: Texts) -> Texts:
        text = workflow.invoke({"text": state["text"]})["text"]
        if not next(tried):
            raise ConnectionError("of the node's own")
        return {"text": text}

    graph: Any = (
        StateGraph(Texts)
        .add_node("app", node, retry_policy=RetryPolicy(initial_interval=0.01))
        .add_edge(START, "app")
        .compile(checkpointer=InMemorySaver())
    )
    graph.invoke({"text": "/pause The draft."}, CONFIG)
    assert "Fine." in graph.invoke(Command(resume=APPROVED), CONFIG)["text"]
    assert (generations(server), len(submissions(server))) == (1, 1)


@pytest.mark.parametrize("is_async", IN_ASYNCIO)
async def test_a_stream_that_was_left_before_a_pause(server: LocalDify, is_async: bool) -> None:
    model, workflow = chatflow_of(server), workflow_of(server)

    def node(state: Texts) -> Texts:
        first = next(model.stream("/tokens 500")).text
        return {"text": workflow.invoke({"text": state["text"]})["text"], "other": first}

    async def anode(state: Texts) -> Texts:
        async with aclosing(model.astream("/tokens 500")) as chunks:
            first = (await anext(chunks)).text
        return {"text": (await workflow.ainvoke({"text": state["text"]}))["text"], "other": first}

    graph = graph_of(anode if is_async else node)
    await called(graph, {"text": "/pause The draft."}, is_async)
    state = await called(graph, Command(resume=APPROVED), is_async)
    assert "Fine." in state["text"]
    assert generations(server) == 2


# Several forms, as recorded ----------------------------------------------------------------------

MAIN = "dify-1.16.1"
SECOND_FORM = "/form/human_input/mUod3nc1d0ysO1GG6184nX"
NO_FORM = Reply(200, {"content-type": "application/json"}, [b'{"user_input_form": []}'])


TAKEN = exchange(f"{MAIN}/hitl_par_post2").reply()


def two_forms(*replies: str, second: Sequence[Reply] = (TAKEN,)) -> Story:
    """A run with two forms in parallel, and what follows their answers."""
    begun = exchange(f"{MAIN}/hitl_par_events_paused_snapshot").reply()
    story = Story(*replies).also("POST", "/workflows/run", begun)
    return story.also("POST", SECOND_FORM, *second).also("GET", "/parameters", NO_FORM)


def bare_graph(server: Story) -> Any:
    workflow = DifyWorkflow(
        api_key="app-x", base_url=server.base_url, user="ann", human_input="interrupt"
    )

    def node(_state: Texts) -> Texts:
        return {"text": json.dumps(workflow.invoke({}))}

    return graph_of(node)


@pytest.mark.parametrize("at_once", [False, True])
def test_two_forms_of_one_run(at_once: bool) -> None:
    ending = (f"{MAIN}/hitl_par_events_after_first", f"{MAIN}/hitl_par_events_end")
    with two_forms(*ending, f"{MAIN}/hitl_par_post2") as server:
        graph = bare_graph(server)
        [interrupt] = graph.invoke({"text": ""}, CONFIG)["__interrupt__"]
        properties = interrupt.value["response_schema"]["properties"]
        assert {schema["title"] for schema in properties.values()} == {"First", "Second"}
        reply = {"Second": APPROVED, **({"First": APPROVED} if at_once else {})}
        state = graph.invoke(Command(resume=reply), CONFIG)
        if not at_once:
            [left] = state["__interrupt__"]
            assert [form["node_title"] for form in left.value["forms"]] == ["First"]
            assert set(left.value["response_schema"]["properties"]) == {"comment", "action"}
            state = graph.invoke(Command(resume=APPROVED), CONFIG)
        assert json.loads(state["text"])
        calls = server.calls()
    assert calls.count("POST /v1/workflows/run") == 1
    assert calls[-4:] == ["POST form", "GET events", "POST form", "GET events"]


def test_a_form_that_the_server_refuses_is_asked_for_again() -> None:
    body = b'{"code": "invalid_form_data", "message": "comment is too long", "status": 400}'
    refused = Reply(400, {"content-type": "application/json"}, [body])
    with two_forms(f"{MAIN}/hitl_par_events_end", second=(refused, TAKEN)) as story:
        graph = bare_graph(story)
        graph.invoke({"text": ""}, CONFIG)
        [again] = graph.invoke(Command(resume={"Second": APPROVED}), CONFIG)["__interrupt__"]
        assert "comment is too long" in again.value["error"]
        state = graph.invoke(Command(resume={"Second": APPROVED}), CONFIG)
        assert json.loads(state["text"])
        assert story.calls().count("POST /v1/workflows/run") == 1


# After a restart ---------------------------------------------------------------------------------

APP = """
import sys
from typing import TypedDict
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.errors import GraphInterrupt
from langgraph.graph import START, StateGraph
from langgraph.types import Command
from langchain_dify import DifyWorkflow

class State(TypedDict):
    text: str

workflow = DifyWorkflow(user="ann", human_input="interrupt")

def node(state):
    return {"text": workflow.invoke({"text": state["text"]})["text"]}

with SqliteSaver.from_conn_string(sys.argv[1]) as saver:
    graph = StateGraph(State).add_node("app", node).add_edge(START, "app").compile(saver)
    given = {"text": "/pause The draft."}
    if sys.argv[2:]:
        given = Command(resume={"comment": sys.argv[2], "action": "approve"})
    state = graph.invoke(given, {"configurable": {"thread_id": "1"}})
print("interrupted" if "__interrupt__" in state else state["text"])
"""


@pytest.mark.slow
def test_a_restart_between_pause_and_resume(server: LocalDify, tmp_path: Path) -> None:
    variables = {"DIFY_API_KEY": server.keys["workflow"], "DIFY_BASE_URL": server.base_url}

    def run(*arguments: str) -> str:
        path = str(tmp_path / "graph.db")
        done = run_forked("langchain", APP, path, *arguments, variables=variables)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    assert run() == "interrupted"
    assert "Fine." in run("Fine.")
    assert generations(server) == 1


def test_a_checkpoint_holds_no_name_of_a_user_and_no_key(server: LocalDify, tmp_path: Path) -> None:
    path = tmp_path / "graph.db"
    with SqliteSaver.from_conn_string(str(path)) as saver:
        graph = workflow_graph(workflow_of(server, user="ann@example.com"), checkpointer=saver)
        graph.invoke({"text": "/pause The draft."}, CONFIG)
        graph.invoke(Command(resume=APPROVED), CONFIG)
    kept = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert b"The draft." in kept
    assert b"ann@example.com" not in kept
    assert server.keys["workflow"].encode() not in kept
