from __future__ import annotations

import asyncio
import copy
import json
import pickle
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from langchain.agents import create_agent
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.language_models.fake_chat_models import FakeMessagesListChatModel
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.runnables import Runnable
from langchain_core.tools import ToolException
from langchain_core.utils.function_calling import convert_to_openai_tool
from langgraph.checkpoint.memory import InMemorySaver
from pydantic import BaseModel, Field, ValidationError

from dify_api._calls.app_tool import AppTool
from dify_api._calls.input_form import explain
from dify_api.endpoints.application import UserInputFormItem
from dify_api.errors import CompletionRequestError, UnauthorizedError, WorkflowPausedError
from dify_local import LocalDify
from langchain_dify import DifyTool
from langchain_dify.tools import ToolAnswer
from tests.support.watched import Watched

QUESTION = "Which planet has the most moons?"


def tool_of(server: LocalDify, app: str, **settings: Any) -> DifyTool:
    return DifyTool.from_app(api_key=server.keys[app], base_url=server.base_url, **settings)


def call(tool: DifyTool, **arguments: Any) -> dict[str, Any]:
    return {"name": tool.name, "args": arguments, "id": "call-1", "type": "tool_call"}


def generations(server: LocalDify) -> list[Any]:
    """What was sent to the endpoints that generate or upload."""
    return [request for request in server.requests if request.method == "POST"]


def test_app_says_what_it_is(server: LocalDify) -> None:
    tool = tool_of(server, "advanced-chat")
    assert tool.name == "Solar_System_Chatflow"
    assert tool.description.startswith("A chatflow that retrieves knowledge")
    assert tool.args["lang"]["enum"] == ["en", "fr"]
    assert [request.path for request in server.requests] == ["/v1/info", "/v1/parameters"]
    tool.invoke({"query": QUESTION})
    tool.invoke({"query": QUESTION})
    assert len(server.requests) == 4, "asked once"


async def test_app_says_what_it_is_to_asyncio(server: LocalDify) -> None:
    key = server.keys["workflow"]
    tool = await DifyTool.afrom_app(api_key=key, base_url=server.base_url)
    assert tool.args == tool_of(server, "workflow").args
    assert "Saturn" in await tool.ainvoke({"text": QUESTION})


def test_schema_for_models(server: LocalDify) -> None:
    function = convert_to_openai_tool(tool_of(server, "greeter"))["function"]
    assert function["name"] == "Greeter"
    parameters = function["parameters"]
    assert parameters["required"] == ["query", "name", "tone"]
    assert parameters["properties"]["tone"]["enum"] == ["warm", "cold"]
    assert parameters["properties"]["name"]["maxLength"] == 20


def test_message_has_text_and_artifact(server: LocalDify) -> None:
    tool = tool_of(server, "chat")
    message = tool.invoke(call(tool, query=QUESTION))
    assert isinstance(message, ToolMessage)
    assert message.status == "success"
    assert "Saturn" in message.content
    answer = message.artifact
    assert isinstance(answer, ToolAnswer)
    assert answer.text == message.content
    assert answer.conversation_id
    assert answer.usage.total_tokens > 0
    assert [d.id for d in answer.documents] == [r.segment_id for r in answer.retriever_resources]
    assert answer.documents[0].metadata["source"] == "saturn.md"


async def test_async_is_the_same(server: LocalDify) -> None:
    tool = tool_of(server, "chat")
    message = await tool.ainvoke(call(tool, query=QUESTION))
    assert message.content == tool.invoke({"query": QUESTION})
    assert message.artifact.documents


def test_each_call_is_a_conversation_of_its_own(server: LocalDify) -> None:
    tool = tool_of(server, "chat", user="ann")
    first, second = (tool.invoke(call(tool, query=QUESTION)).artifact for _ in range(2))
    assert first.conversation_id != second.conversation_id
    for request in generations(server):
        assert request.json["user"] == "ann"
        assert not request.json.get("conversation_id")


def test_plain_text_is_the_first_argument(server: LocalDify) -> None:
    assert "Saturn" in tool_of(server, "chat").invoke(QUESTION)
    assert "Saturn" in tool_of(server, "workflow").invoke(QUESTION)


def test_workflow_answers_with_its_outputs(server: LocalDify) -> None:
    tool = tool_of(server, "workflow")
    message = tool.invoke(call(tool, text=QUESTION, style="formal", count=1))
    outputs = json.loads(message.content)
    assert outputs == message.artifact.outputs
    assert outputs["style"] == "formal"
    sent = generations(server)[-1].json["inputs"]
    assert sent == {"text": QUESTION, "style": "formal", "count": 1}


def test_bad_arguments_are_refused_before_any_request(server: LocalDify) -> None:
    tool = tool_of(server, "greeter")
    server.clear()
    for arguments in (
        {"query": "Hi", "name": "Ann", "tone": "loud"},
        {"query": "Hi", "name": "Ann"},
        {"query": "Hi", "name": "A" * 21, "tone": "warm"},
        {"query": "", "name": "Ann", "tone": "warm"},
        {"query": "Hi", "name": "Ann", "tone": "warm", "age": "old"},
        {"query": "Hi", "name": "Ann", "tone": "warm", "title": "Dr"},
    ):
        with pytest.raises(ValidationError):
            tool.invoke(arguments)
        with pytest.raises(ValidationError):
            asyncio.run(tool.ainvoke(arguments))
    assert server.requests == []


def test_bad_arguments_as_a_message(server: LocalDify) -> None:
    tool = tool_of(server, "greeter", handle_validation_error=explain)
    message = tool.invoke(call(tool, query="Hi", name="Ann", tone="loud"))
    assert message.status == "error"
    assert message.content == "tone: Input should be 'warm' or 'cold' (given: 'loud')"


def test_fixed_inputs(server: LocalDify) -> None:
    tool = tool_of(server, "greeter", inputs={"tone": "warm", "polite": True})
    assert set(tool.args) == {"query", "name", "age"}
    assert tool.invoke({"query": "Hi", "name": "Ann"}) == "A very warm welcome, Ann!"
    assert generations(server)[-1].json["inputs"] == {"name": "Ann", "tone": "warm", "polite": True}
    with pytest.raises(ValueError, match="no input nme"):
        tool_of(server, "greeter", inputs={"nme": "Ann"})


def test_own_name_description_and_schema(server: LocalDify) -> None:
    class Arguments(BaseModel):
        """Only the name."""

        name: str = Field(description="First name.")
        query: str = Field(default="Hello", description="What to say.")

    tool = tool_of(
        server,
        "greeter",
        name="greet",
        description="Greets people.",
        inputs={"tone": "cold"},
        args_schema=Arguments,
    )
    assert (tool.name, tool.description) == ("greet", "Greets people.")
    assert list(tool.args) == ["name", "query"]
    assert tool.invoke({"name": "Ann"})
    assert generations(server)[-1].json["inputs"] == {
        "name": "Ann",
        "tone": "cold",
        "polite": False,
    }


def test_own_json_schema_is_checked_against_the_form_too(server: LocalDify) -> None:
    schema = {
        "title": "greet",
        "type": "object",
        "properties": {"query": {"type": "string"}, "name": {"type": "string"}},
    }
    tool = tool_of(server, "greeter", inputs={"tone": "warm"}, args_schema=schema)
    assert tool.invoke({"query": "Hi", "name": "Ann"})
    server.clear()
    with pytest.raises(ValidationError, match="at most 20 characters"):
        tool.invoke({"query": "Hi", "name": "A" * 21})
    assert server.requests == []


def test_constructor_asks_nothing(server: LocalDify) -> None:
    form = (UserInputFormItem(type="text-input", variable="text", required=True),)
    described = AppTool("workflow", "report", "Reports.", form)
    tool = DifyTool(app_tool=described, api_key=server.keys["workflow"], base_url=server.base_url)
    assert (tool.name, tool.description) == ("report", "Reports.")
    assert server.requests == []
    assert "Saturn" in tool.invoke({"text": QUESTION})


@pytest.mark.parametrize("variable", ["json", "schema", "class", "_text", "copy", "run"])
async def test_variables_with_difficult_names(server: LocalDify, variable: str) -> None:
    form = (
        UserInputFormItem(type="paragraph", variable="text", required=True),
        UserInputFormItem(type="text-input", variable=variable, required=True),
    )
    described = AppTool("workflow", "report", "Reports.", form)
    tool = DifyTool(app_tool=described, api_key=server.keys["workflow"], base_url=server.base_url)
    text, shown = convert_to_openai_tool(tool)["function"]["parameters"]["required"]
    assert (text, shown.strip("_")) == ("text", variable.strip("_"))
    tool.invoke({"text": QUESTION, variable: "a"})
    tool.invoke({"text": QUESTION, shown: "a"})
    await tool.ainvoke(call(tool, **{"text": QUESTION, variable: "a"}))
    for request in generations(server):
        assert request.json["inputs"] == {"text": QUESTION, variable: "a"}


def test_unknown_setting_is_refused() -> None:
    with pytest.raises(ValidationError, match="topp"):
        DifyTool(app_tool=AppTool("chat", "n", "d"), api_key="app-test", topp=1)


# Failures --------------------------------------------------------------------------------------


def test_failure_is_a_tool_exception_with_its_cause(server: LocalDify) -> None:
    tool = tool_of(server, "chat")
    with pytest.raises(ToolException, match="model is down") as caught:
        tool.invoke({"query": "/fail mid"})
    cause = caught.value.__cause__
    assert isinstance(cause, CompletionRequestError)
    assert cause.answer is not None
    assert cause.answer.text


async def test_failure_of_the_async_call(server: LocalDify) -> None:
    tool = tool_of(server, "chat")
    with pytest.raises(ToolException, match="model is down"):
        await tool.ainvoke({"query": "/fail now"})


def test_failure_becomes_a_message_where_asked(server: LocalDify) -> None:
    tool = tool_of(server, "workflow", handle_tool_error=True)
    message = tool.invoke(call(tool, text="/fail"))
    assert message.status == "error"
    assert "model is down" in message.content
    tool = tool_of(server, "workflow", handle_tool_error=lambda error: f"Sorry: {error}")
    assert tool.invoke({"text": "/fail"}).startswith("Sorry: ")


def test_pause_is_a_failure_that_names_the_run(server: LocalDify) -> None:
    tool = tool_of(server, "workflow")
    with pytest.raises(ToolException) as caught:
        tool.invoke({"text": "/pause"})
    assert isinstance(caught.value.__cause__, WorkflowPausedError)
    assert caught.value.__cause__.workflow_run_id


def test_wrong_key(server: LocalDify) -> None:
    with pytest.raises(UnauthorizedError):
        DifyTool.from_app(api_key="app-wrong", base_url=server.base_url)
    with pytest.raises(ValueError, match="no API key"):
        DifyTool.from_app(base_url=server.base_url)


async def test_cancelled_call_stops_the_app(server: LocalDify) -> None:
    transport = Watched()
    async with httpx.AsyncClient(transport=transport) as http_client:
        tool = tool_of(server, "chat", http_async_client=http_client)
        task = asyncio.create_task(tool.ainvoke({"query": "/hang 3"}))
        await asyncio.wait_for(transport.began.wait(), 5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await asyncio.to_thread(server.wait_for_stop)


class NodeRecorder(BaseCallbackHandler):
    def __init__(self) -> None:
        self.found: list[int] = []
        self.tool_run: UUID | None = None
        self.model_run: UUID | None = None
        self.custom: list[UUID] = []

    def on_tool_start(self, *args: Any, run_id: UUID, **kwargs: Any) -> None:
        self.tool_run = run_id

    def on_chat_model_start(
        self, *args: Any, run_id: UUID, parent_run_id: UUID | None = None, **kwargs: Any
    ) -> None:
        assert parent_run_id == self.tool_run
        self.model_run = run_id

    def on_retriever_end(self, documents: Any, **kwargs: Any) -> None:
        self.found.append(len(documents))

    def on_custom_event(self, name: str, data: Any, *, run_id: UUID, **kwargs: Any) -> None:
        self.custom.append(run_id)


async def test_nodes_are_traced_below_the_tools_run(server: LocalDify) -> None:
    tool = tool_of(server, "advanced-chat")
    for is_async in (False, True):
        recorder = NodeRecorder()
        config: Any = {"callbacks": [recorder]}
        if is_async:
            await tool.ainvoke({"query": QUESTION}, config)
        else:
            tool.invoke({"query": QUESTION}, config)
        assert len(recorder.found) == 1
        assert recorder.found[0] > 0
        assert set(recorder.custom) == {recorder.model_run}


# Files -----------------------------------------------------------------------------------------


def test_file_argument_is_uploaded_from_root_dir(server: LocalDify, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("Saturn has rings.")
    tool = tool_of(server, "workflow", root_dir=tmp_path, user="ann")
    server.clear()
    with pytest.raises(ValidationError, match="no such file"):
        tool.invoke({"text": QUESTION, "document": "../notes.txt"})
    assert server.requests == []
    tool.invoke({"text": QUESTION, "document": "notes.txt"})
    upload, run = generations(server)
    assert upload.path == "/v1/files/upload"
    reference = run.json["inputs"]["document"]
    assert (reference["type"], reference["transfer_method"]) == ("document", "local_file")


def test_path_is_refused_without_root_dir(server: LocalDify) -> None:
    tool = tool_of(server, "workflow")
    server.clear()
    with pytest.raises(ValidationError, match="public URL of a file"):
        tool.invoke({"text": QUESTION, "document": __file__})
    assert server.requests == []


# The object ------------------------------------------------------------------------------------


def test_key_is_nowhere(server: LocalDify, monkeypatch: pytest.MonkeyPatch) -> None:
    key = server.keys["chat"]
    tool = tool_of(server, "chat")
    assert key not in repr(tool)
    assert key not in str(tool.model_dump())
    pickled = pickle.dumps(tool)
    assert key.encode() not in pickled

    monkeypatch.delenv("DIFY_API_KEY", raising=False)
    keyless = pickle.loads(pickled)
    assert keyless.args == tool.args
    with pytest.raises(ValueError, match="no API key"):
        keyless.invoke({"query": QUESTION})
    monkeypatch.setenv("DIFY_API_KEY", key)
    assert "Saturn" in pickle.loads(pickled).invoke({"query": QUESTION})
    assert "Saturn" in copy.deepcopy(tool).invoke({"query": QUESTION})


# Agents ----------------------------------------------------------------------------------------


class ScriptedModel(FakeMessagesListChatModel):
    """A model that says what it is told to, whatever tools it is given."""

    def bind_tools(self, tools: Any, **kwargs: Any) -> Runnable[Any, AIMessage]:
        return self


def scripted(*calls: dict[str, Any]) -> ScriptedModel:
    steps = [AIMessage("", tool_calls=[{**one, "id": str(n)}]) for n, one in enumerate(calls)]
    return ScriptedModel(responses=[*steps, AIMessage("Done.")])


async def test_agent_hears_what_was_wrong_and_tries_again(server: LocalDify) -> None:
    tool = tool_of(server, "greeter", inputs={"tone": "warm"})
    good = {"query": "Hi", "name": "Ann"}
    model = scripted(
        {"name": tool.name, "args": {**good, "age": "old"}}, {"name": tool.name, "args": good}
    )
    agent = create_agent(model, [tool])
    for state in (
        agent.invoke({"messages": [HumanMessage("Greet Ann")]}),
        await agent.ainvoke({"messages": [HumanMessage("Greet Ann")]}),
    ):
        refused, accepted = [m for m in state["messages"] if isinstance(m, ToolMessage)]
        assert refused.status == "error"
        assert "Input should be a number" in str(refused.content)
        assert accepted.content == "A very warm welcome, Ann!"


def test_artifact_survives_a_checkpoint(server: LocalDify) -> None:
    tool = tool_of(server, "chat")
    model = scripted({"name": tool.name, "args": {"query": QUESTION}})
    agent = create_agent(model, [tool], checkpointer=InMemorySaver())
    config: Any = {"configurable": {"thread_id": "1"}}
    agent.invoke({"messages": [HumanMessage(QUESTION)]}, config)
    [message] = [
        m for m in agent.get_state(config).values["messages"] if isinstance(m, ToolMessage)
    ]
    answer = ToolAnswer.model_validate(message.artifact)  # a dict, as checkpoints keep artifacts
    assert answer.text == message.content
    assert answer.documents[0].metadata["source"] == "saturn.md"
