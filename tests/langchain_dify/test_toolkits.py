from __future__ import annotations

import pytest

from dify_api.errors import UnauthorizedError
from dify_local import LocalDify
from langchain_dify import DifyToolkit


async def test_one_key_one_tool(server: LocalDify) -> None:
    keys = [server.keys["chat"], server.keys["workflow"]]
    toolkit = DifyToolkit.from_apps(keys, base_url=server.base_url, user="ann")
    names = [tool.name for tool in toolkit.get_tools()]
    assert names == ["Solar_System_Chat", "Solar_System_Report"]
    assert [tool.user for tool in toolkit.tools] == ["ann", "ann"]
    assert "274" in toolkit.get_tools()[0].invoke({"query": "Which planet has the most moons?"})
    toolkit = await DifyToolkit.afrom_apps(keys, base_url=server.base_url)
    assert [tool.name for tool in toolkit.get_tools()] == names
    assert "274" in await toolkit.get_tools()[0].ainvoke("Which planet has the most moons?")


def test_names_of_the_developer(server: LocalDify) -> None:
    keys = {"moons": server.keys["chat"], "report": server.keys["workflow"]}
    toolkit = DifyToolkit.from_apps(keys, base_url=server.base_url, handle_tool_error=True)
    assert [tool.name for tool in toolkit.get_tools()] == ["moons", "report"]
    assert all(tool.handle_tool_error for tool in toolkit.get_tools())


def test_same_names_are_numbered(server: LocalDify) -> None:
    toolkit = DifyToolkit.from_apps([server.keys["chat"]] * 3, base_url=server.base_url)
    names = [tool.name for tool in toolkit.get_tools()]
    assert names == ["Solar_System_Chat", "Solar_System_Chat_2", "Solar_System_Chat_3"]


def test_an_app_that_cannot_be_asked(server: LocalDify) -> None:
    with pytest.raises(UnauthorizedError):
        DifyToolkit.from_apps([server.keys["chat"], "app-wrong"], base_url=server.base_url)
