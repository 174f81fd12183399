"""`DifyTool` and `DifyToolSpec` against the local server, and in LlamaIndex's agents."""

from __future__ import annotations

import asyncio
import copy
import json
import pickle
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from llama_index.core.agent.workflow import AgentWorkflow, FunctionAgent, ReActAgent
from llama_index.core.agent.workflow.workflow_events import ToolCallResult
from llama_index.core.chat_engine.types import AgentChatResponse
from llama_index.core.tools import ToolMetadata, ToolOutput
from llama_index.core.tools.calling import acall_tool, call_tool
from pydantic import ValidationError

from dify_api.errors import (
    CompletionRequestError,
    DifyError,
    UnauthorizedError,
    WorkflowPausedError,
)
from dify_local import LocalDify
from llama_index_dify import Dify, DifyCompletion, DifyResponse, DifyTool, DifyToolSpec
from tests.llama_index_dify.function_calling import ScriptedLLM
from tests.support.cassettes import Exchange, all_exchanges
from tests.support.replay import Received, ReplayServer, Reply

_QUESTION = "Which moons does Saturn have?"


def _tool(local: LocalDify, app: str = "chat", **options: Any) -> DifyTool:
    tool = DifyTool.from_app(api_key=local.keys[app], base_url=local.base_url, **options)
    local.clear()
    return tool


@pytest.mark.parametrize("app", ["chat", "completion", "workflow"])
async def test_a_call_is_a_part_of_the_callers_trace(local: LocalDify, app: str) -> None:
    tool = _tool(local, app, trace_id="t1", trace_session_id="s1")
    argument = {"workflow": "text"}.get(app, "query")
    tool.call(**{argument: _QUESTION})
    await tool.acall(**{argument: _QUESTION})
    traced = [(r.json["trace_id"], r.headers["x-trace-session-id"]) for r in local.requests]
    assert traced == [("t1", "s1")] * 2


async def test_a_tool_is_described_by_its_app(local: LocalDify) -> None:
    made = [
        DifyTool.from_app(api_key=local.keys["workflow"], base_url=local.base_url),
        await DifyTool.afrom_app(api_key=local.keys["workflow"], base_url=local.base_url),
    ]
    for tool in made:
        assert tool.metadata.name == "Solar_System_Report"
        assert (
            tool.metadata.description == "Writes a short report about a topic of the solar system."
        )
        described = tool.metadata.to_openai_tool()["function"]
        properties = described["parameters"]["properties"]
        assert {"text", "style", "count"} <= set(properties)
        assert "text" in described["parameters"]["required"]
        assert tool.metadata.return_direct is False


@pytest.mark.parametrize(
    "recorded",
    [e for e in all_exchanges() if (e.method, e.path, e.status) == ("GET", "/parameters", 200)],
    ids=lambda e: e.name,
)
def test_a_tool_is_made_of_each_recorded_app(recorded: Exchange) -> None:
    info = b'{"name": "An app", "description": "For tests.", "mode": "advanced-chat"}'

    def reply(request: Received) -> Reply:
        headers = {"content-type": "application/json"}
        asks_info = request.path.split("?")[0].endswith("/info")
        return Reply(headers=headers, pieces=[info]) if asks_info else recorded.reply()

    with ReplayServer(reply) as replay:
        tool = DifyTool.from_app(api_key="app-key", base_url=replay.base_url)
    form = recorded.json["user_input_form"]
    variables = [next(iter(item.values())) for item in form]
    function = tool.metadata.to_openai_tool()["function"]
    properties = function["parameters"]["properties"]
    assert function["name"] == "An_app"
    assert {v["variable"] for v in variables if not v.get("hide")} <= set(properties)
    assert "query" in function["parameters"]["required"]
    assert json.loads(tool.metadata.fn_schema_str)["properties"] == properties


def test_name_description_and_inputs_can_be_given(local: LocalDify) -> None:
    tool = _tool(
        local,
        "advanced-chat",
        name="flow",
        description="x" * 2000,
        inputs={"lang": "en"},
        return_direct=True,
    )
    assert (tool.metadata.name, len(tool.metadata.description)) == ("flow", 1024)
    assert tool.metadata.return_direct
    assert list(tool.metadata.get_parameters_dict()["properties"]) == ["query"]
    tool(query=_QUESTION)
    assert local.requests[0].json["inputs"] == {"lang": "en"}
    assert tool.metadata.to_openai_tool()["function"]["name"] == "flow"


@pytest.mark.parametrize(
    ("app", "arguments"),
    [
        ("chat", {"query": _QUESTION}),
        ("agent-chat", {"query": _QUESTION}),
        ("advanced-chat", {"query": _QUESTION}),
        ("agent", {"query": _QUESTION}),
        ("completion", {"query": _QUESTION}),
        ("workflow", {"text": "Saturn"}),
    ],
)
async def test_apps_of_every_mode(local: LocalDify, app: str, arguments: dict[str, Any]) -> None:
    tool = _tool(local, app, user="ann")
    for output in (tool.call(**arguments), await tool.acall(**arguments)):
        assert not output.is_error
        assert "Saturn" in output.content
        assert output.tool_name == tool.metadata.name
        assert output.raw_input == arguments
        assert isinstance(output.raw_output, DifyResponse)
        assert str(output.raw_output) == output.content
        assert output.raw_output.raw is not None
        assert output.raw_output.raw["task_id"]
    assert {request.json["user"] for request in local.requests} == {"ann"}


def test_the_output_keeps_the_sources(local: LocalDify) -> None:
    output = _tool(local)(_QUESTION)
    sources = output.raw_output.source_nodes
    assert sources[0].metadata["document_name"] == "saturn.md"
    # This is how LlamaIndex's chat responses collect them:
    assert AgentChatResponse(response="", sources=[output]).source_nodes == sources


async def test_a_call_is_made_once_even_where_it_fails(local: LocalDify) -> None:
    """LlamaIndex calls a tool of one argument again on any exception."""
    tool = _tool(local)
    outputs = [
        call_tool(tool, {"query": "/fail mid"}),
        await acall_tool(tool, {"query": "/fail mid"}),
    ]
    assert len(local.requests) == 2
    for output in outputs:
        assert output.is_error
        assert isinstance(output.exception, CompletionRequestError)
        assert "Server Unavailable" in output.content
        assert output.raw_input == {"query": "/fail mid"}
        assert str(output.raw_output) == "one two three "  # as far as it came


async def test_bad_arguments_are_refused_before_a_request(local: LocalDify) -> None:
    tool = _tool(local, "workflow")
    arguments = {"text": "Saturn", "style": "loud", "depth": 3}
    for output in (call_tool(tool, arguments), await acall_tool(tool, arguments)):
        assert output.is_error
        assert isinstance(output.exception, ValidationError)
        assert "style: Input should be" in output.content
        assert "depth" in output.content
        assert output.raw_input == arguments
    assert local.requests == []


async def test_other_failures_are_told_to_the_model(local: LocalDify) -> None:
    paused = await _tool(local, "advanced-chat").acall(query="/pause")
    assert isinstance(paused.exception, WorkflowPausedError)
    tool = _tool(local)
    local.fault("status", status=500)
    failed = await tool.acall(query=_QUESTION)
    assert failed.is_error
    wrong = DifyTool(tool.app_tool, api_key="app-wrong", base_url=local.base_url)
    refused = wrong(query=_QUESTION)
    assert isinstance(refused.exception, UnauthorizedError)
    assert "app-wrong" not in refused.content
    assert all(isinstance(output, ToolOutput) for output in (paused, failed, refused))


def test_arguments_without_names(local: LocalDify) -> None:
    chat = _tool(local)
    assert chat("/echo one").content == "one"
    assert chat({"query": "/echo two"}).content == "two"
    # The query is meant where there are further, optional arguments:
    assert _tool(local, "advanced-chat")("/echo three").content == "three"


class _Watched(httpx.AsyncHTTPTransport):
    """Tells when the first piece of a reply has been read and the next is waited for."""

    def __init__(self) -> None:
        super().__init__()
        self.waits = asyncio.Event()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        response = await super().handle_async_request(request)
        assert isinstance(response.stream, httpx.AsyncByteStream)
        response.stream = _WatchedStream(response.stream, self.waits)
        return response


class _WatchedStream(httpx.AsyncByteStream):
    def __init__(self, stream: httpx.AsyncByteStream, waits: asyncio.Event) -> None:
        self.stream, self.waits = stream, waits

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for piece in self.stream:
            yield piece
            self.waits.set()

    async def aclose(self) -> None:
        await self.stream.aclose()


def test_several_arguments_without_names_are_refused(local: LocalDify) -> None:
    tool = DifyTool.from_app(api_key=local.keys["chat"], base_url=local.base_url)
    with pytest.raises(TypeError, match="one argument without a name"):
        tool("one", "two")


async def test_cancelling_a_call_stops_the_app(local: LocalDify) -> None:
    transport = _Watched()
    async with httpx.AsyncClient(transport=transport) as http_client:
        tool = _tool(local, http_async_client=http_client)
        task = asyncio.create_task(tool.acall(query="/hang 3"))
        await transport.waits.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert local.stopped  # before the cancelled call has returned


# In agents ----------------------------------


def _planner(local: LocalDify) -> Dify:
    return Dify(api_key=local.keys["planner"], base_url=local.base_url, memory="client")


async def _results(handler: Any) -> tuple[str, list[ToolCallResult]]:
    results = [
        event async for event in handler.stream_events() if isinstance(event, ToolCallResult)
    ]
    return str(await handler), results


@pytest.mark.parametrize("streaming", [False, True])
async def test_in_a_react_agent(local: LocalDify, streaming: bool) -> None:
    tools = [
        _tool(local, name="moons", description="Answers questions about moons of planets."),
        _tool(local, "workflow", name="report", description="Writes a report."),
    ]
    agent = ReActAgent(tools=tools, llm=_planner(local), streaming=streaming)
    text, [result] = await _results(agent.run(_QUESTION))
    assert result.tool_name == "moons"
    assert not result.tool_output.is_error
    assert result.tool_output.raw_output.source_nodes
    assert "Saturn" in text


async def test_a_react_agent_goes_on_after_a_failure(local: LocalDify) -> None:
    tool = _tool(
        local,
        "completion",
        name="moons",
        description="Answers questions about moons.",
        inputs={"style": "formal"},
    )
    agent = ReActAgent(tools=[tool], llm=_planner(local), streaming=False)
    local.fault("status", status=500, path="completion-messages")
    text, [result] = await _results(agent.run(_QUESTION))
    assert result.tool_output.is_error
    assert result.tool_output.raw_input == {"query": _QUESTION}
    assert "Encountered error" in text
    assert len(local.wait_for_requests(1, path="completion-messages")) == 1


async def test_in_a_function_calling_agent(local: LocalDify) -> None:
    tool = _tool(local, name="moons")
    agent = FunctionAgent(
        tools=[tool], llm=ScriptedLLM(tool_name="moons", arguments={"query": _QUESTION})
    )
    text, [result] = await _results(agent.run(_QUESTION))
    assert text.startswith("The tool says: According to the document on Saturn")
    assert result.tool_output.raw_output.source_nodes
    assert len(local.requests) == 1


async def test_a_function_calling_agent_reads_failures(local: LocalDify) -> None:
    tool = _tool(local, "workflow", name="report")
    wrong = {"text": "Saturn", "style": "loud"}
    agent = FunctionAgent(tools=[tool], llm=ScriptedLLM(tool_name="report", arguments=wrong))
    text, [result] = await _results(agent.run("Report!"))
    assert result.tool_output.is_error
    assert "style: Input should be" in text
    assert local.requests == []


async def test_in_an_agent_workflow(local: LocalDify) -> None:
    tool = _tool(local, "workflow", name="report", return_direct=True)
    workflow = AgentWorkflow.from_tools_or_functions(
        [tool], llm=ScriptedLLM(tool_name="report", arguments={"text": "Saturn", "count": 2})
    )
    text, [result] = await _results(workflow.run(user_msg="A report on Saturn, please"))
    assert result.return_direct
    assert text == result.tool_output.content
    assert "Saturn" in text
    assert local.requests[0].json["inputs"] == {"text": "Saturn", "count": 2}


# Several apps, copies, pickles ----------------------------------


async def test_a_spec_makes_a_tool_of_each_key(local: LocalDify) -> None:
    keys = [local.keys["chat"], local.keys["workflow"], local.keys["chat"]]
    spec = DifyToolSpec(keys, base_url=local.base_url, user="ann")
    for tools in (spec.to_tool_list(), await spec.to_tool_list_async()):
        names = [tool.metadata.name for tool in tools]
        assert names == ["Solar_System_Chat", "Solar_System_Report", "Solar_System_Chat_2"]
        assert tools[2]("/echo hello").content == "hello"
        assert local.requests[-1].json["user"] == "ann"
    named = DifyToolSpec({"moons": keys[0], "report": keys[1]}, base_url=local.base_url)
    assert [tool.metadata.name for tool in named.to_tool_list()] == ["moons", "report"]
    [report] = named.to_tool_list(
        ["report"], {"report": ToolMetadata("Writes about planets.", "essay")}
    )
    assert (report.metadata.name, report.metadata.description) == ("essay", "Writes about planets.")


def test_keys_are_copied_but_never_shown_nor_pickled(
    local: LocalDify, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool = _tool(local)
    assert tool("/echo one").content == "one"  # with live clients
    assert copy.deepcopy(tool)("/echo two").content == "two"
    pickled = pickle.dumps(tool)
    assert local.keys["chat"].encode() not in pickled
    assert local.keys["chat"] not in repr(vars(tool))
    monkeypatch.setenv("DIFY_API_KEY", local.keys["chat"])
    assert pickle.loads(pickled)("/echo three").content == "three"
    monkeypatch.delenv("DIFY_API_KEY")
    with pytest.raises(ValueError, match="no API key"):
        pickle.loads(pickled)("/echo four")
    spec = DifyToolSpec([local.keys["chat"]])
    assert local.keys["chat"] not in repr(vars(spec))
    with pytest.raises(TypeError, match="pickled"):
        pickle.dumps(spec)


def test_a_tool_without_key_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DIFY_API_KEY", raising=False)
    with pytest.raises(ValueError, match="no API key"):
        DifyTool.from_app()


# First mistakes ----------------------------------------------------------------------------------


def test_first_mistakes_say_what_to_do(local: LocalDify) -> None:
    with pytest.raises(TypeError, match=r"use DifyTool\.from_app\(api_key="):
        DifyTool(api_key="app-key")
    key: Any = "app-key"
    with pytest.raises(TypeError, match="a list of keys"):
        DifyToolSpec(key)


@pytest.mark.parametrize(
    ("kind", "app"), [(Dify, "workflow"), (Dify, "completion"), (DifyCompletion, "chat")]
)
def test_a_key_of_another_kind_of_app_names_the_classes_of_llamaindex(
    kind: Any, app: str, local: LocalDify
) -> None:
    with pytest.raises(DifyError) as raised:
        kind(api_key=local.keys[app], base_url=local.base_url).complete("Hello")
    told = str(raised.value)
    named = ("Use Dify,", "DifyCompletion", "DifyWorkflow", "from_app")
    assert all(name in told for name in named)
    assert not any(name in told for name in ("ChatDify", "DifyLLM"))
