"""langchain-tests' suites for a tool of each recorded app, and of each mode of a local server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from langchain_core.tools import BaseTool
from langchain_tests.integration_tests import ToolsIntegrationTests
from langchain_tests.unit_tests import ToolsUnitTests

from dify_api._calls.app_tool import AppTool
from dify_local import LocalDify
from langchain_dify import DifyTool
from tests.support.cassettes import Exchange
from tests.support.recorded_app import PARAMETERS, recorded_app, sample_values


class RecordedTool:
    """Properties of both suites; the tool is made by the fixture before each test."""

    made: DifyTool
    example: dict[str, Any]

    @pytest.fixture(autouse=True, params=PARAMETERS, ids=lambda exchange: exchange.name)
    def app(self, request: pytest.FixtureRequest) -> Iterator[None]:
        recorded: Exchange = request.param
        with recorded_app(recorded) as server:
            self.made = DifyTool.from_app(api_key="app-test", base_url=server.base_url)
            self.example = sample_values(recorded)
            if query := self.made.app_tool.query_argument:
                self.example[query] = "Hello"
            yield

    @property
    def tool_constructor(self) -> BaseTool:
        return self.made

    @property
    def tool_invoke_params_example(self) -> dict[str, Any]:
        return self.example


class TestRecordedUnit(RecordedTool, ToolsUnitTests):
    pass


class TestRecordedIntegration(RecordedTool, ToolsIntegrationTests):
    pass


class LocalTool:
    made: DifyTool
    example: dict[str, Any]

    @pytest.fixture(
        autouse=True,
        params=["chat", "agent-chat", "advanced-chat", "completion", "workflow", "agent"],
    )
    def app(self, request: pytest.FixtureRequest, server: LocalDify) -> None:
        key = server.keys[request.param]
        self.made = DifyTool.from_app(api_key=key, base_url=server.base_url)
        argument = "text" if request.param == "workflow" else "query"
        self.example = {argument: "Which planet has the most moons?"}

    @property
    def tool_constructor(self) -> BaseTool:
        return self.made

    @property
    def tool_invoke_params_example(self) -> dict[str, Any]:
        return self.example


class TestLocalUnit(LocalTool, ToolsUnitTests):
    pass


class TestLocalIntegration(LocalTool, ToolsIntegrationTests):
    pass


class TestConstructedUnit(ToolsUnitTests):
    """Made by its constructor, without asking the app."""

    @property
    def tool_constructor(self) -> type[BaseTool]:
        return DifyTool

    @property
    def tool_constructor_params(self) -> dict[str, Any]:
        return {"app_tool": AppTool("chat", "moons", "About moons."), "api_key": "app-test"}

    @property
    def tool_invoke_params_example(self) -> dict[str, Any]:
        return {"query": "Which planet has the most moons?"}

    @property
    def init_from_env_params(self) -> tuple[dict[str, str], dict[str, Any], dict[str, Any]]:
        environment = {
            "DIFY_API_KEY": "app-env",
            "DIFY_BASE_URL": "http://dify.example/v1",
            "DIFY_USER": "ann",
        }
        wanted = {"api_key": "app-env", "base_url": "http://dify.example/v1", "user": "ann"}
        return environment, {"app_tool": AppTool("chat", "moons", "About moons.")}, wanted
