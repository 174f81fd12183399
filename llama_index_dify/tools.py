"""Dify apps as tools of an agent."""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Literal

from llama_index.core.async_utils import asyncio_run
from llama_index.core.callbacks.base import CallbackManager
from llama_index.core.tools.function_tool import FunctionTool
from llama_index.core.tools.types import ToolMetadata, ToolOutput
from llama_index_instrumentation import get_dispatcher
from pydantic import SecretStr, ValidationError
from typing_extensions import Self, Unpack

from dify_api._calls.app_tool import AppMode, AppTool, describe_app, result_text
from dify_api._calls.input_form import explain
from dify_api._runs.flows import arun, run
from dify_api.answers.answer import Answer
from dify_api.connection import ConnectionOptions
from dify_api.errors import DifyError
from llama_index_dify._answers.responses import raw
from llama_index_dify._base import default_user
from llama_index_dify._connected import LlamaIndexConnected
from llama_index_dify._tool_app import DifyApp, told_by_run
from llama_index_dify._tool_call import AppToolCall
from llama_index_dify._traced import span
from llama_index_dify.nodes import nodes_from_resources
from llama_index_dify.query_responses import DifyResponse

dispatcher = get_dispatcher(__name__)

ConversationOf = Literal["call", "context"]
"""What has a conversation of its own with an app that chats."""


class DifyTool(FunctionTool):
    """A Dify app of any mode as a tool: `DifyTool.from_app(api_key="app-...")`.

    Name and description are the app's, arguments are its input form and, for apps that chat,
    `query`. Each call is a conversation of its own, or, with `conversation="context"`, one that
    goes on within a `Context`. A call never raises what the app or the server did: it returns a
    `ToolOutput` with `is_error`, whose text tells a model what to put right, so that no agent
    calls twice for one failure. Where the app waits for a person, and there is a `Context`, a
    `DifyInputRequiredEvent` asks in the run's events.

    A `ToolOutput` holds the answer's text (a workflow's outputs as JSON, if there are several);
    its `raw_output` is a `DifyResponse` with the source nodes and, in `raw`, the whole answer.

    A call is reported as a model's: LLM events, spans and token counts, nodes and thoughts as
    `llama_index_dify.events`. Agents and workflows pass their `Context` along, and from its store
    the tool takes `dify_user`, the end user of the run, and `dify_inputs`, values of the app's
    variables that the agent's model is not to choose. Into the run's event stream it writes
    `DifyToolStreamEvent`s (text) and `DifyToolProgressEvent`s (nodes, thoughts)::

        ctx = Context(agent)
        await ctx.store.set("dify_user", "ann")
        handler = agent.run("Which planet has most moons?", ctx=ctx)

    Args:
        app_tool: What the app is and takes; `from_app` asks it.
        api_key: Key of the app. Default: `DIFY_API_KEY`.
        user: The end user on whose behalf the app is called. Default: `DIFY_USER`, else
            "llama-index".
        return_direct: Whether an agent returns the tool's answer as its own.
        conversation: "call" (default): each call of an app that chats is a conversation of its own.
            "context": the calls within one `Context` go on with one, each end user's with their
            own; it is kept in the store of the `Context`.
        trace_id: Your trace id, for Dify's own tracing (servers since 1.7.0).
        trace_session_id: The session of your trace, 1 to 200 characters (servers since 1.16.0).
        callback_manager: Receives the LLM events. Default: that of `Settings`.
        **options: Address, limits, headers and so on, as in `Dify`.

    Raises:
        TypeError: Without an `app_tool`.
        ValueError: If there is no key, or an app that does not chat is to keep a conversation.

    Example:
        >>> moons = DifyTool.from_app(api_key="app-...", name="moons")
        >>> output = moons(query="Which planet has most moons?")
        >>> output.content, len(output.raw_output.source_nodes)
        ('Saturn, with 274.', 3)
        >>> agent = ReActAgent(tools=[moons], llm=llm)
    """

    def __init__(
        self,
        app_tool: AppTool | None = None,
        *,
        api_key: SecretStr | str | None = None,
        user: str | None = None,
        return_direct: bool = False,
        conversation: ConversationOf = "call",
        trace_id: str | None = None,
        trace_session_id: str | None = None,
        callback_manager: CallbackManager | None = None,
        **options: Unpack[ConnectionOptions],
    ) -> None:
        if not isinstance(app_tool, AppTool):
            raise TypeError(
                "DifyTool needs to know what the app is and takes: use "
                "DifyTool.from_app(api_key=...), which asks it"
            )
        # Not the base's constructor: it wants a function, and keeps it.
        self.partial_params = {}
        self._callback_manager = callback_manager
        self.app_tool = _remembering(app_tool) if conversation == "context" else app_tool
        self.user = user or default_user()
        self.return_direct = return_direct
        self.trace_id = trace_id
        self.trace_session_id = trace_session_id
        self._connection = LlamaIndexConnected.of(api_key, **options)

    @classmethod
    def from_app(
        cls,
        *,
        api_key: SecretStr | str | None = None,
        name: str | None = None,
        description: str | None = None,
        mode: AppMode | None = None,
        inputs: Mapping[str, Any] | None = None,
        root_dir: str | Path | None = None,
        user: str | None = None,
        return_direct: bool = False,
        conversation: ConversationOf = "call",
        trace_id: str | None = None,
        trace_session_id: str | None = None,
        callback_manager: CallbackManager | None = None,
        **options: Unpack[ConnectionOptions],
    ) -> Self:
        """Ask an app what it is, and make a tool of it.

        Args:
            api_key: Key of the app. Default: `DIFY_API_KEY`.
            name: Name of the tool, up to 64 letters, digits, "_" and "-". Default: the app's.
            description: What it is for, up to 1024 characters. Default: the app's.
            mode: The app's mode. Default: asked of the app.
            inputs: Values of variables to fix; they are no arguments of the tool then.
            root_dir: Directory below which a file argument may be a path. Default: a file
                argument is a public URL or the id of an uploaded file, never a path.
            user: As in the constructor.
            return_direct: As in the constructor.
            conversation: As in the constructor.
            trace_id: As in the constructor.
            trace_session_id: As in the constructor.
            callback_manager: As in the constructor.
            **options: Address, limits, headers and so on, as in `Dify`.

        Raises:
            ValueError: If there is no key, or `inputs` names a variable that the app lacks.
            DifyError: If the app cannot be asked.
        """
        flow = describe_app(
            user=user or default_user(),
            mode=mode,
            name=name,
            description=description,
            inputs=inputs,
            root_dir=root_dir,
        )
        app_tool = run(LlamaIndexConnected.of(api_key, **options).client, flow)
        return cls(
            app_tool,
            api_key=api_key,
            user=user,
            return_direct=return_direct,
            conversation=conversation,
            trace_id=trace_id,
            trace_session_id=trace_session_id,
            callback_manager=callback_manager,
            **options,
        )

    @classmethod
    async def afrom_app(
        cls,
        *,
        api_key: SecretStr | str | None = None,
        name: str | None = None,
        description: str | None = None,
        mode: AppMode | None = None,
        inputs: Mapping[str, Any] | None = None,
        root_dir: str | Path | None = None,
        user: str | None = None,
        return_direct: bool = False,
        conversation: ConversationOf = "call",
        trace_id: str | None = None,
        trace_session_id: str | None = None,
        callback_manager: CallbackManager | None = None,
        **options: Unpack[ConnectionOptions],
    ) -> Self:
        """`from_app` for asyncio."""
        flow = describe_app(
            user=user or default_user(),
            mode=mode,
            name=name,
            description=description,
            inputs=inputs,
            root_dir=root_dir,
        )
        app_tool = await arun(LlamaIndexConnected.of(api_key, **options).async_client, flow)
        return cls(
            app_tool,
            api_key=api_key,
            user=user,
            return_direct=return_direct,
            conversation=conversation,
            trace_id=trace_id,
            trace_session_id=trace_session_id,
            callback_manager=callback_manager,
            **options,
        )

    @property
    def metadata(self) -> ToolMetadata:
        """Name, description and arguments, as agents show them to their model."""
        return ToolMetadata(
            name=self.app_tool.name,
            description=self.app_tool.description,
            fn_schema=self.app_tool.args_schema,
            return_direct=self.return_direct,
        )

    def __call__(self, *args: Any, **kwargs: Any) -> ToolOutput:
        """`call`."""
        return self.call(*args, **kwargs)

    @dispatcher.span
    def call(self, *args: Any, **kwargs: Any) -> ToolOutput:
        """Call the app.

        Args:
            *args: At most one: the query, the only argument, or a mapping of arguments.
            **kwargs: Arguments by name; `ctx` is the run, as agents pass it.

        Returns:
            The answer, or the failure with `is_error`.
        """
        if kwargs.get(self.ctx_param_name) is not None:
            output: ToolOutput = asyncio_run(self.acall(*args, **kwargs))
            return output
        arguments = self._arguments(args, kwargs)
        asked = AppToolCall(self.app_tool, self._app(self.user), arguments)
        try:
            answer = asked.answer()
        except (DifyError, ValueError) as error:
            return self._failure(arguments, error)
        return self._output(arguments, answer)

    @span
    async def acall(self, *args: Any, **kwargs: Any) -> ToolOutput:
        """`call` for asyncio. Cancelling it stops the app."""
        context = kwargs.get(self.ctx_param_name)
        arguments = self._arguments(args, kwargs)
        try:
            of_run = await told_by_run(context)
            app = self._app(of_run.user or self.user)
            asked = AppToolCall(self.app_tool, app, arguments, of_run, context)
            answer = await asked.aanswer()
        except (DifyError, ValueError) as error:
            return self._failure(arguments, error)
        return self._output(arguments, answer)

    def rename(self, name: str | None = None, description: str | None = None) -> None:
        """Give the tool another name or description than the app has."""
        self.app_tool = dataclasses.replace(
            self.app_tool,
            name=name or self.app_tool.name,
            description=description or self.app_tool.description,
        )

    # What LlamaIndex asks of a tool that is a function. Agents give the run to such alone.

    requires_context = True

    @property
    def ctx_param_name(self) -> str:  # type: ignore[override]  # the base sets it
        """The argument that is the run, beside those of the app."""
        return "workflow_context" if any(v.variable == "ctx" for v in self.app_tool.form) else "ctx"

    @property
    def fn(self) -> Callable[..., Any]:
        """`call`."""
        return self.call

    @property
    def async_fn(self) -> Callable[..., Awaitable[Any]]:
        """`acall`."""
        return self.acall

    @property
    def real_fn(self) -> Callable[..., Any]:
        """`call`."""
        return self.call

    # Details ------------------------------------------------------------------------------------

    @property
    def _properties(self) -> Mapping[str, Any]:
        properties: Mapping[str, Any] = self.metadata.get_parameters_dict()["properties"]
        return properties

    def _arguments(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """The arguments of the app. Agents pass a single one without its name."""
        kwargs = {name: kwargs[name] for name in kwargs if name != self.ctx_param_name}
        if not args:
            return kwargs
        value, *others = args
        if others:
            raise TypeError("a DifyTool takes one argument without a name; name the others")
        if isinstance(value, Mapping) and set(value) <= set(self._properties):
            return {**value, **kwargs}
        first = self.app_tool.query_argument or next(iter(self._properties), "input")
        return {first: value, **kwargs}

    def _app(self, user: str) -> DifyApp:
        """The app on behalf of a user; raises where there is no key."""
        app = DifyApp.over(self._connection, user, self.app_tool.name, self._callback_manager)
        app.trace_id, app.trace_session_id = self.trace_id, self.trace_session_id
        return app

    def _output(self, arguments: dict[str, Any], answer: Answer) -> ToolOutput:
        response = _response(answer)
        return ToolOutput(
            tool_name=self.app_tool.name,
            content=str(response),
            raw_input=arguments,
            raw_output=response,
        )

    def _failure(self, arguments: dict[str, Any], error: DifyError | ValueError) -> ToolOutput:
        text = explain(error) if isinstance(error, ValidationError) else str(error)
        partial = error.answer if isinstance(error, DifyError) else None
        return ToolOutput(
            tool_name=self.app_tool.name,
            content=f"Encountered error: {text}",
            raw_input=arguments,
            raw_output=_response(partial) if partial else text,
            is_error=True,
            exception=error,
        )


def _remembering(app_tool: AppTool) -> AppTool:
    if app_tool.mode in ("workflow", "completion"):
        raise ValueError(
            f"an app of mode {app_tool.mode} keeps no conversation: leave conversation out"
        )
    return dataclasses.replace(app_tool, remembers=True)


def _response(answer: Answer) -> DifyResponse:
    sources = nodes_from_resources(answer.retriever_resources)
    return DifyResponse.of(result_text(answer), sources, raw(answer))
