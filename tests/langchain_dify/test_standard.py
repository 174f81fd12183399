"""LangChain's standard tests, whole, against the apps of the local server.

What they skip, and why:

- `test_serdes`: models hold a key and are not serialisable; langchain-core's `load` admits its own
  packages only.
- `*_model_override`: a Dify app decides its model, so a call cannot (`model=` is refused).
- `test_stream_time`: it needs cassettes of its own; `benchmarks/` measures streams.
- `test_usage_metadata` checks no details of tokens: Dify sends none.
"""

from __future__ import annotations

import base64
from typing import Any

import httpx
import pytest
from langchain_core.language_models import BaseChatModel
from langchain_tests.integration_tests import ChatModelIntegrationTests
from langchain_tests.unit_tests import ChatModelUnitTests

from dify_local import LocalDify
from langchain_dify import ChatDify

pytestmark = [
    pytest.mark.filterwarnings("ignore:(temperature|max_tokens) is ignored"),
    pytest.mark.filterwarnings("ignore:LANGCHAIN_TESTS_USER_AGENT"),
]

PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


class TestUnit(ChatModelUnitTests):
    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return ChatDify

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"api_key": "app-test"}

    @property
    def init_from_env_params(self) -> tuple[dict[str, str], dict[str, Any], dict[str, Any]]:
        environment = {
            "DIFY_API_KEY": "app-env",
            "DIFY_BASE_URL": "https://dify.example/v1",
            "DIFY_USER": "ann",
        }
        expected = {"api_key": "app-env", "base_url": "https://dify.example/v1", "user": "ann"}
        return environment, {}, expected


class TestIntegration(ChatModelIntegrationTests):
    """The app behind it is a planner, which follows the prompts of tools and of schemas."""

    @pytest.fixture(autouse=True)
    def _app(self, shared_server: LocalDify, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("DIFY_BASE_URL", shared_server.base_url)
        monkeypatch.setenv("DIFY_API_KEY", shared_server.keys["planner"])
        # The suite downloads its images, documents and sounds; here they stay at home.
        monkeypatch.setattr(
            httpx, "get", lambda url, **_: httpx.Response(200, content=PIXEL, request=_request(url))
        )

    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return ChatDify

    @property
    def has_tool_choice(self) -> bool:
        return True

    @property
    def supports_json_mode(self) -> bool:
        return True

    @property
    def supports_image_inputs(self) -> bool:
        return True

    @property
    def supports_image_urls(self) -> bool:
        return True

    @property
    def supports_image_tool_message(self) -> bool:
        return True

    @property
    def supports_pdf_inputs(self) -> bool:
        return True

    @property
    def supports_pdf_tool_message(self) -> bool:
        return True

    @property
    def supports_audio_inputs(self) -> bool:
        return True

    @property
    def supports_anthropic_inputs(self) -> bool:
        return True


class TestIntegrationV1(TestIntegration):
    """The same with content blocks as content."""

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"output_version": "v1"}


def _request(url: str) -> httpx.Request:
    return httpx.Request("GET", url)
