"""Several Dify apps as tools."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from itertools import repeat
from typing import Any

from llama_index.core.tools.tool_spec.base import SPEC_FUNCTION_TYPE, BaseToolSpec
from llama_index.core.tools.types import BaseTool, ToolMetadata
from pydantic import SecretStr
from typing_extensions import Unpack

from dify_api._calls.app_tool import distinct_names
from dify_api.connection import ConnectionOptions
from llama_index_dify.tools import DifyTool

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
        if isinstance(api_keys, str | SecretStr):
            raise TypeError(
                'api_keys is a list of keys, or a mapping of names to keys: ["app-..."]'
            )
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
