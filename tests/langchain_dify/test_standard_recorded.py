"""LangChain's standard tests against recorded answers of each release and mode.

A recording answers whatever it is asked, so the properties that depend on the answer's meaning
(tools, structured output, files) are off here; `test_standard` has them on, against the local
server. Agents here call no tool of their own: the oldest suite knows no blocks beside text. The
skips that are left are those that `test_standard` explains.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_tests.integration_tests import ChatModelIntegrationTests

from langchain_dify import ChatDify
from tests.support.cassettes import exchange
from tests.support.replay import ReplayServer

pytestmark = pytest.mark.filterwarnings("ignore:(temperature|max_tokens) is ignored")

RECORDED = [
    "dify-0.15.3/chat_stream",
    "dify-1.12.1/chatflow_streaming",
    "dify-1.12.1/agent_streaming_notool",
    "dify-1.14.2/chat_streaming_continue",
    "dify-1.16.0/chat_streaming",
    "dify-1.16.0/newagent_slow_pings",
]


class TestRecorded(ChatModelIntegrationTests):
    @pytest.fixture(autouse=True, params=RECORDED)
    def _app(
        self, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
    ) -> Iterator[None]:
        recorded = exchange(request.param)
        with ReplayServer(lambda _: recorded.reply(longest=200)) as server:
            monkeypatch.setenv("DIFY_BASE_URL", server.base_url)
            monkeypatch.setenv("DIFY_API_KEY", "app-test")
            yield

    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return ChatDify

    @property
    def has_tool_calling(self) -> bool:
        return False

    @property
    def has_structured_output(self) -> bool:
        return False

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"user": "ann"}
