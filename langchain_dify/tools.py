"""A Dify app as a tool."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeGuard

from langchain_core.callbacks import AsyncCallbackManagerForToolRun, CallbackManagerForToolRun
from langchain_core.documents import Document
from langchain_core.messages import ToolMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import ArgsSchema, BaseTool
from pydantic import BaseModel, ConfigDict, Field, model_validator
from typing_extensions import Self

from dify_api._calls.app_tool import AppMode, AppTool, describe_app, result_text
from dify_api._calls.end_user import private_answer
from dify_api._calls.input_form import InputForm
from dify_api._calls.input_form import explain as explain
from dify_api._calls.input_message import marks
from dify_api._runs.flows import Flow, arun, run
from dify_api.answers.answer import Answer
from dify_api.errors import DifyError
from dify_api.operation import Operation
from langchain_dify._answers.app_run import aapp_run, app_run
from langchain_dify._answers.metadata import tool_metadata
from langchain_dify._arguments import default_user
from langchain_dify._calls.run_settings import RunSettings, run_settings
from langchain_dify._calls.thread_turns import STATE, ThreadTurns, with_state
from langchain_dify._connection import LangChainConnection
from langchain_dify._human_input.streams import aanswering, answering
from langchain_dify._names import HumanInput
from langchain_dify.documents import documents_from_resources
from langchain_dify.errors import tool_error


class ToolAnswer(Answer):
    """The artifact of a tool call: the app's whole answer, and what it was drawn from.

    Checkpoints keep artifacts as dicts: `ToolAnswer.model_validate(message.artifact)` reads both.
    """

    documents: list[Document] = []
    """The answer's citations."""


@dataclass(frozen=True)
class _Call:
    """A call of a tool: its arguments, or a text in place of the first of them."""

    texts: tuple[str, ...]
    arguments: dict[str, Any]
    tool_call_id: str | None = None
    state: Any = None
    """The state of the graph that calls, where the tool asks for it."""


_NO_CONFIG: RunnableConfig = {}


class DifyTool(LangChainConnection, BaseTool, defer_build=False):
    """A Dify app of any mode as a tool: `DifyTool.from_app(api_key="app-...")`.

    Name and description are the app's, arguments are its input form and, for apps that chat,
    `query`. Each call is a conversation of its own, unless `conversation` says otherwise. The
    content of the tool message is the answer's text (a workflow's outputs as JSON, if there are
    several), the artifact is a `ToolAnswer`, and `response_metadata` tells usage, price and ids.

    In an agent or a graph, the run may name the end user, and values of variables that the model
    is not to choose (those an app does not have are left aside), in `context` or in the config::

        config = {"configurable": {"dify_user": "ann", "dify_inputs": {"lang": "fr"}}}
        agent.invoke({"messages": [...]}, config)

    The answer is told to callbacks as that of a chat model inside of the tool: its tokens are in
    LangGraph's "messages" stream and its usage is counted. Nodes of workflows and thoughts of
    agents are in the "custom" stream, each as a dict of `tool_name`, `tool_call_id`, `event` and
    `data`.

    A bad argument is refused before any request, by a `ValidationError` that says what to put
    right; agents hand that to their model, and so does `handle_validation_error=explain` (of
    this module). Any other failure is a `ToolException`, which `handle_tool_error=True` turns
    into a message, with the `DifyError` as its cause.

    Raises:
        ValueError: If there is no key.

    Example:
        >>> moons = DifyTool.from_app(api_key="app-...", name="moons")
        >>> moons.args
        {'query': {'description': 'What to ask or tell the app ...', 'type': 'string', ...}}
        >>> moons.invoke({"query": "Which planet has most moons?"})
        'Saturn, with 274.'
        >>> agent = create_agent(model, [moons])
    """

    model_config = ConfigDict(extra="forbid")

    app_tool: AppTool = Field(repr=False)
    """What the app is and takes; `from_app` asks it."""
    user: str = Field(default_factory=default_user)
    """The end user on whose behalf the app is called. Default: `DIFY_USER`, else "langchain"."""
    trace_id: str | None = None
    """Your trace id, which Dify's own trace then joins (servers since 1.7.0)."""
    trace_session_id: str | None = None
    """The session of your trace, 1 to 200 characters (servers since 1.16.0)."""
    human_input: HumanInput = "error"
    """What becomes of an app that asks a human: a `ToolException` that is a `WorkflowPausedError`
    with the forms too, or, in a graph or an agent with a checkpointer, an "interrupt" with them."""
    conversation: Literal["call", "thread"] = "call"
    """Whether each "call" is a conversation of its own, or the calls in one "thread" of a LangGraph
    graph or an agent go on with one conversation, each user with their own. It is kept in the
    messages of the tool's results, and so by the thread's checkpoints. Apps that do not chat have
    none."""
    name: str = ""
    """Name of the tool. Default: the app's."""
    description: str = ""
    """What the tool is for. Default: what the app is for."""
    args_schema: ArgsSchema | None = Field(default=None, repr=False, exclude=True)
    """The arguments that the model sees. Default: the app's form. One of your own may leave
    arguments out or describe them better; the values are checked against the form all the same."""
    response_format: Literal["content", "content_and_artifact"] = "content_and_artifact"

    @model_validator(mode="before")
    @classmethod
    def _check_app_tool(cls, values: Any) -> Any:
        if isinstance(values, Mapping) and "app_tool" not in values:
            raise ValueError(
                f"{cls.__name__} is made by {cls.__name__}.from_app(api_key=...), or in asyncio by "
                "afrom_app, which asks the app for its name and its arguments"
            )
        return values

    @classmethod
    def from_app(
        cls,
        *,
        name: str | None = None,
        description: str | None = None,
        mode: AppMode | None = None,
        inputs: Mapping[str, Any] | None = None,
        root_dir: str | Path | None = None,
        **settings: Any,
    ) -> Self:
        """Ask an app what it is, and make a tool of it.

        Args:
            name: Name of the tool. Default: the app's.
            description: Default: the app's.
            mode: The app's mode. Default: the app says it (servers since 1.4.0), or it is told
                from which endpoints it has.
            inputs: Values of variables to fix; they are no arguments of the tool then.
            root_dir: Directory below which a file argument may be a path. Default: a file
                argument is a public URL or the id of an uploaded file, never a path.
            **settings: Fields of the tool, such as `api_key`, `base_url` and `user`.

        Raises:
            ValueError: If there is no key, or `inputs` names a variable that the app lacks.
            DifyError: If the app cannot be asked.
        """
        cls.check_arguments({*settings, "app_tool"})
        connection, user = _caller(settings)
        flow = describe_app(
            user=user,
            mode=mode,
            name=name,
            description=description,
            inputs=inputs,
            root_dir=root_dir,
        )
        return cls(app_tool=run(connection.client, flow), **settings)

    @classmethod
    async def afrom_app(
        cls,
        *,
        name: str | None = None,
        description: str | None = None,
        mode: AppMode | None = None,
        inputs: Mapping[str, Any] | None = None,
        root_dir: str | Path | None = None,
        **settings: Any,
    ) -> Self:
        """`from_app` for asyncio."""
        cls.check_arguments({*settings, "app_tool"})
        connection, user = _caller(settings)
        flow = describe_app(
            user=user,
            mode=mode,
            name=name,
            description=description,
            inputs=inputs,
            root_dir=root_dir,
        )
        return cls(app_tool=await arun(connection.async_client, flow), **settings)

    @model_validator(mode="after")
    def _take_description(self) -> Self:
        self.name = self.name or self.app_tool.name
        self.description = self.description or self.app_tool.description
        self._take_schema()
        return self

    def _take_schema(self) -> None:
        schema = self.args_schema or self.app_tool.args_schema
        chats = self.app_tool.query_argument is not None and self.app_tool.mode != "completion"
        if self.conversation == "thread" and chats:
            if not _is_model(schema):
                raise ValueError(
                    'conversation="thread" needs an args_schema that is a pydantic class'
                )
            if STATE not in schema.model_fields:
                schema = with_state(schema)
        self.args_schema = schema

    def _parse_input(
        self, tool_input: str | dict[str, Any], tool_call_id: str | None
    ) -> str | dict[str, Any]:
        """The arguments, checked. Older cores leave out defaults and what has an alias."""
        schema = self.args_schema
        if isinstance(tool_input, str) or not _is_model(schema):
            return super()._parse_input(tool_input, tool_call_id)
        if issubclass(schema, InputForm):
            return schema.model_validate(tool_input).values()
        parsed = super()._parse_input(tool_input, tool_call_id)
        defaults = {
            name: field.get_default(call_default_factory=True, validated_data={})
            for name, field in schema.model_fields.items()
            if not field.is_required()
        }
        return {**defaults, **parsed} if isinstance(parsed, dict) else parsed

    def _to_args_and_kwargs(
        self, tool_input: str | dict[str, Any], tool_call_id: str | None
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The call as one value: a variable may be called as what langchain-core passes along."""
        state = None
        if isinstance(tool_input, dict) and STATE in tool_input:
            state = tool_input[STATE]
            tool_input = {name: value for name, value in tool_input.items() if name != STATE}
        texts, arguments = super()._to_args_and_kwargs(tool_input, tool_call_id)
        return (_Call(texts, arguments, tool_call_id, state),), {}

    def _run(
        self,
        /,
        *given: str | _Call,
        config: RunnableConfig = _NO_CONFIG,
        run_manager: CallbackManagerForToolRun | None = None,
        **arguments: Any,
    ) -> tuple[str | ToolMessage, ToolAnswer]:
        call, settings = _call_of(given, arguments), run_settings(config)
        labels, user = self._labels(call), settings.user or self.user
        question, flow = self._prepare(call, settings)
        caller = self._caller(call)
        try:
            with (
                answering(self.client, flow, self.human_input, caller, user) as stream,
                app_run(run_manager, stream, question, labels, settings.write, user) as told,
            ):
                for event, text in stream.steps():
                    told.take(event, text)
            return self._result(call, stream.answer, user)
        except DifyError as error:
            raise tool_error(error) from error

    async def _arun(
        self,
        /,
        *given: str | _Call,
        config: RunnableConfig = _NO_CONFIG,
        run_manager: AsyncCallbackManagerForToolRun | None = None,
        **arguments: Any,
    ) -> tuple[str | ToolMessage, ToolAnswer]:
        call, settings = _call_of(given, arguments), run_settings(config)
        labels, user = self._labels(call), settings.user or self.user
        question, flow = self._prepare(call, settings)
        client, caller = self.async_client, self._caller(call)
        try:
            async with (
                await aanswering(client, flow, self.human_input, caller, user) as stream,
                aapp_run(run_manager, stream, question, labels, settings.write, user) as told,
                aclosing(stream.steps()) as steps,
            ):
                async for event, text in steps:
                    await told.atake(event, text)
            return self._result(call, stream.answer, user)
        except DifyError as error:
            raise tool_error(error) from error

    def _prepare(self, call: _Call, settings: RunSettings) -> tuple[str, Flow[Operation[Answer]]]:
        """What the app is asked, and the call to make."""
        arguments = call.arguments
        if call.texts:  # `tool.invoke("text")` means the first argument
            arguments = {next(iter(self.app_tool.args_schema.model_fields)): call.texts[0]}
        tool = self.app_tool.with_inputs(settings.inputs)
        of_run = tool.inputs.keys() - self.app_tool.inputs.keys()
        given = {
            name: value
            for name, value in arguments.items()
            if value is not None and name not in of_run
        }
        asked = given.get(tool.query_argument or "")
        question = asked or json.dumps(given, ensure_ascii=False, default=str)
        return question, self._operation(tool, given, settings.user or self.user, call.state)

    def _operation(
        self, tool: AppTool, given: dict[str, Any], user: str, state: object
    ) -> Flow[Operation[Answer]]:
        conversation_id, query = None, tool.query_argument
        if state is not None and query is not None and query in given:
            turns = ThreadTurns(
                state, tool=self.name, apps=self.app_names, user=user, query_argument=query
            )
            conversation_id, asked = yield from turns.go_on(given[query], user)
            given = {**given, query: asked}
        operation = yield from tool.prepare(given, user=user, conversation_id=conversation_id)
        return operation.traced(self.trace_id, self.trace_session_id)

    def _caller(self, call: _Call) -> str:
        return f"{self.app}:{call.tool_call_id}"

    def _labels(self, call: _Call) -> dict[str, Any]:
        return {"tool_name": self.name, "tool_call_id": call.tool_call_id}

    def _result(
        self, call: _Call, answer: Answer, user: str
    ) -> tuple[str | ToolMessage, ToolAnswer]:
        documents = documents_from_resources(answer.retriever_resources)
        artifact = ToolAnswer(**dict(private_answer(answer)), documents=documents)
        text = result_text(answer)
        if call.tool_call_id is None:
            return text, artifact
        is_kept = self.conversation == "thread" and answer.conversation_id is not None
        message = ToolMessage(
            text,
            artifact=artifact,
            tool_call_id=call.tool_call_id,
            name=self.name,
            response_metadata={
                **tool_metadata(answer),
                **(marks(self.app, user) if is_kept else {}),
            },
        )
        return message, artifact

    def __getstate__(self) -> dict[Any, Any]:
        """Without the form's model, a class made at run time that cannot be pickled."""
        state = super().__getstate__()
        schema = self.args_schema
        if _is_model(schema) and STATE in schema.model_fields:
            schema = schema.__base__
        if isinstance(schema, type) and issubclass(schema, InputForm):
            schema = None
        return {**state, "__dict__": {**state["__dict__"], "args_schema": schema}}

    def __setstate__(self, state: dict[Any, Any]) -> None:
        super().__setstate__(state)
        self._take_schema()


def _call_of(given: tuple[str | _Call, ...], arguments: dict[str, Any]) -> _Call:
    """The call, also where `_run` is called directly, as other frameworks do."""
    if given and isinstance(given[0], _Call):
        return given[0]
    return _Call(tuple(str(text) for text in given), arguments)


def _is_model(schema: object) -> TypeGuard[type[BaseModel]]:
    return isinstance(schema, type) and issubclass(schema, BaseModel)


def _caller(settings: Mapping[str, Any]) -> tuple[LangChainConnection, str]:
    """Who asks an app what it is: the connection and the end user among a tool's settings."""
    fields = LangChainConnection.model_fields
    connection = LangChainConnection(
        **{name: settings[name] for name in settings if name in fields}
    )
    return connection, settings.get("user") or default_user()
