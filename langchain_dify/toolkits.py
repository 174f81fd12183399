"""Several Dify apps as tools."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from langchain_core.tools import BaseTool, BaseToolkit
from pydantic import ConfigDict, SecretStr, model_validator
from typing_extensions import Self

from dify_api._calls.app_tool import distinct_names
from langchain_dify.tools import DifyTool

Keys = Sequence[str | SecretStr] | Mapping[str, str | SecretStr]


class DifyToolkit(BaseToolkit):
    """Dify apps as the tools of an agent: one key, one tool.

    Example:
        >>> toolkit = DifyToolkit.from_apps(["app-...", "app-..."], user="ann")
        >>> agent = create_agent(model, toolkit.get_tools())
    """

    model_config = ConfigDict(hide_input_in_errors=True)

    tools: list[DifyTool]

    @model_validator(mode="before")
    @classmethod
    def _check_tools(cls, values: Any) -> Any:
        if isinstance(values, Mapping) and "tools" not in values:
            raise ValueError(
                f"{cls.__name__} is made by {cls.__name__}.from_apps([key, ...]), or in asyncio by "
                "afrom_apps, which asks the apps for their names and their arguments"
            )
        return values

    @classmethod
    def from_apps(cls, api_keys: Keys, **settings: Any) -> Self:
        """Ask each app what it is, and make a tool of it.

        Args:
            api_keys: The apps' keys; a mapping names the tools. A name that two apps share is
                numbered otherwise.
            **settings: What the tools share, as in `DifyTool.from_app`: `base_url`, `user`,
                `handle_tool_error` and so on.

        Raises:
            DifyError: If an app cannot be asked.
        """
        made = [DifyTool.from_app(**settings, **app) for app in _apps(api_keys)]
        return cls(tools=_numbered(made))

    @classmethod
    async def afrom_apps(cls, api_keys: Keys, **settings: Any) -> Self:
        """`from_apps` for asyncio; the apps are asked at the same time."""
        asked = (DifyTool.afrom_app(**settings, **app) for app in _apps(api_keys))
        return cls(tools=_numbered(await asyncio.gather(*asked)))

    def get_tools(self) -> list[BaseTool]:
        """The tools, in the order of the keys."""
        return list(self.tools)


def _apps(api_keys: Keys) -> Iterator[dict[str, Any]]:
    if isinstance(api_keys, str | SecretStr):
        raise TypeError("api_keys must be a list of keys, or a dict of names and keys, not one key")
    if isinstance(api_keys, Mapping):
        return ({"name": name, "api_key": key} for name, key in api_keys.items())
    return ({"api_key": key} for key in api_keys)


def _numbered(tools: Sequence[DifyTool]) -> list[DifyTool]:
    for tool, name in zip(tools, distinct_names(tool.name for tool in tools), strict=True):
        tool.name = name
    return list(tools)
