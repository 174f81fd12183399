"""Dify apps as tools of an agent."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from itertools import repeat
from pathlib import Path
from typing import Any

from llama_index.core.tools.tool_spec.base import SPEC_FUNCTION_TYPE, BaseToolSpec
from llama_index.core.tools.types import AsyncBaseTool, BaseTool, ToolMetadata, ToolOutput
from pydantic import SecretStr, ValidationError
from typing_extensions import Self, Unpack

from dify_api._calls.app_tool import AppMode, AppTool, describe_app, distinct_names, result_text
from dify_api._calls.flows import Flow, arun, run
from dify_api._calls.input_form import explain
from dify_api.answers.answer import Answer
from dify_api.connection import ConnectionOptions
from dify_api.errors import DifyError
from llama_index_dify._answers.responses import raw
from llama_index_dify._base import default_user
from llama_index_dify._connection import LlamaIndexConnected
from llama_index_dify.nodes import nodes_from_resources
from llama_index_dify.query_responses import DifyResponse


class DifyTool(AsyncBaseTool):
    """A Dify app of any mode as a tool: `DifyTool.from_app(api_key="app-...")`.

    Name and description are the app's, arguments are its input form and, for apps that chat,
    `query`. Each call is a conversation of its own. A call never raises what the app or the
    server did: it returns a `ToolOutput` with `is_error`, whose text tells a model what to put
    right, so that no agent calls twice for one failure.

    A `ToolOutput` holds the answer's text (a workflow's outputs as JSON, if there are several);
    its `raw_output` is a `DifyResponse` with the source nodes and, in `raw`, the whole answer.

    Args:
        app_tool: What the app is and takes; `from_app` asks it.
        api_key: Key of the app. Default: `DIFY_API_KEY`.
        user: The end user on whose behalf the app is called. Default: `DIFY_USER`, else
            "llama-index".
        return_direct: Whether an agent returns the tool's answer as its own.
        **options: Address, limits, headers and so on, as in `Dify`.

    Raises:
        ValueError: If there is no key.

    Example:
        >>> moons = DifyTool.from_app(api_key="app-...", name="moons")
        >>> output = moons(query="Which planet has most moons?")
        >>> output.content, len(output.raw_output.source_nodes)
        ('Saturn, with 274.', 3)
        >>> agent = ReActAgent(tools=[moons], llm=llm)
    """

    def __init__(
        self,
        app_tool: AppTool,
        *,
        api_key: SecretStr | str | None = None,
        user: str | None = None,
        return_direct: bool = False,
        **options: Unpack[ConnectionOptions],
    ) -> None:
        self.app_tool = app_tool
        self.user = user or default_user()
        self.return_direct = return_direct
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
        return cls(app_tool, api_key=api_key, user=user, return_direct=return_direct, **options)

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
        return cls(app_tool, api_key=api_key, user=user, return_direct=return_direct, **options)

    @property
    def metadata(self) -> ToolMetadata:
        """Name, description and arguments, as agents show them to their model."""
        return ToolMetadata(
            name=self.app_tool.name,
            description=self.app_tool.description,
            fn_schema=self.app_tool.args_schema,
            return_direct=self.return_direct,
        )

    def call(self, *args: Any, **kwargs: Any) -> ToolOutput:
        """Call the app.

        Args:
            *args: At most one: the query, the only argument, or a mapping of arguments.
            **kwargs: Arguments by name.

        Returns:
            The answer, or the failure with `is_error`.
        """
        return run(self._connection.client, self._call(self._arguments(args, kwargs)))

    async def acall(self, *args: Any, **kwargs: Any) -> ToolOutput:
        """`call` for asyncio. Cancelling it stops the app."""
        return await arun(self._connection.async_client, self._call(self._arguments(args, kwargs)))

    def rename(self, name: str | None = None, description: str | None = None) -> None:
        """Give the tool another name or description than the app has."""
        self.app_tool = dataclasses.replace(
            self.app_tool,
            name=name or self.app_tool.name,
            description=description or self.app_tool.description,
        )

    def _arguments(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """Agents pass a single argument without its name."""
        if not args:
            return kwargs
        value, *others = args
        if others:
            raise TypeError("a DifyTool takes one argument without a name; name the others")
        properties = self.metadata.get_parameters_dict()["properties"]
        if isinstance(value, Mapping) and set(value) <= set(properties):
            return {**value, **kwargs}
        first = self.app_tool.query_argument or next(iter(properties), "input")
        return {first: value, **kwargs}

    def _call(self, arguments: dict[str, Any]) -> Flow[ToolOutput]:
        try:
            operation = yield from self.app_tool.prepare(arguments, user=self.user)
            answer: Answer = yield operation
        except ValidationError as error:
            return self._failure(arguments, error, explain(error))
        except (DifyError, ValueError) as error:
            return self._failure(arguments, error, str(error))
        return ToolOutput(
            tool_name=self.app_tool.name,
            content=result_text(answer),
            raw_input=arguments,
            raw_output=_response(answer),
        )

    def _failure(self, arguments: dict[str, Any], error: Exception, text: str) -> ToolOutput:
        partial = error.answer if isinstance(error, DifyError) else None
        return ToolOutput(
            tool_name=self.app_tool.name,
            content=f"Encountered error: {text}",
            raw_input=arguments,
            raw_output=_response(partial) if partial else text,
            is_error=True,
            exception=error,
        )


Keys = Sequence[SecretStr | str] | Mapping[str, SecretStr | str]


class DifyToolSpec(BaseToolSpec):
    """Several Dify apps as tools: one key, one tool.

    Args:
        api_keys: The apps' keys; a mapping names the tools. A name that two apps share is
            numbered otherwise.
        user: As in `DifyTool`, for all.
        **options: Address, limits, headers and so on, as in `Dify`, for all.

    Example:
        >>> spec = DifyToolSpec({"moons": "app-...", "travel": "app-..."}, user="ann")
        >>> agent = FunctionAgent(tools=spec.to_tool_list(), llm=llm)
    """

    spec_functions = []

    def __init__(
        self, api_keys: Keys, *, user: str | None = None, **options: Unpack[ConnectionOptions]
    ) -> None:
        pairs: Iterable[tuple[str | None, SecretStr | str]]
        pairs = api_keys.items() if isinstance(api_keys, Mapping) else zip(repeat(None), api_keys)
        self._apps = [
            (name, key if isinstance(key, SecretStr) else SecretStr(key)) for name, key in pairs
        ]
        self._user = user
        self._options = options

    def to_tool_list(  # type: ignore[override]  # the base says FunctionTool, agents take any
        self,
        spec_functions: list[SPEC_FUNCTION_TYPE] | None = None,
        func_to_metadata_mapping: dict[str, ToolMetadata] | None = None,
    ) -> list[BaseTool]:
        """Ask each app what it is, and make a tool of it.

        Args:
            spec_functions: Names of the tools to return. Default: all.
            func_to_metadata_mapping: Other names and descriptions, by a tool's own name.

        Raises:
            DifyError: If an app cannot be asked.
        """
        made = [
            DifyTool.from_app(api_key=key, name=name, user=self._user, **self._options)
            for name, key in self._apps
        ]
        return _chosen(made, spec_functions, func_to_metadata_mapping)

    async def to_tool_list_async(  # type: ignore[override]  # as above
        self,
        spec_functions: list[SPEC_FUNCTION_TYPE] | None = None,
        func_to_metadata_mapping: dict[str, ToolMetadata] | None = None,
    ) -> list[BaseTool]:
        """`to_tool_list` for asyncio; the apps are asked at the same time."""
        asked = (
            DifyTool.afrom_app(api_key=key, name=name, user=self._user, **self._options)
            for name, key in self._apps
        )
        return _chosen(await asyncio.gather(*asked), spec_functions, func_to_metadata_mapping)

    def __getstate__(self) -> dict[str, Any]:
        raise TypeError("DifyToolSpec holds API keys and cannot be pickled: make it where needed")


def _chosen(
    tools: Sequence[DifyTool],
    names: Sequence[SPEC_FUNCTION_TYPE] | None,
    others: Mapping[str, ToolMetadata] | None,
) -> list[BaseTool]:
    """The tools that are wanted, under different names."""
    distinct = distinct_names(tool.app_tool.name for tool in tools)
    for tool, name in zip(tools, distinct, strict=True):
        tool.rename(name)
    chosen = [tool for tool in tools if names is None or tool.app_tool.name in names]
    for tool in chosen:
        other = (others or {}).get(tool.app_tool.name)
        if other is not None:
            tool.rename(other.name, other.description)
    return [*chosen]


def _response(answer: Answer) -> DifyResponse:
    sources = nodes_from_resources(answer.retriever_resources)
    return DifyResponse.of(result_text(answer), sources, raw(answer))
