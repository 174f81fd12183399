"""The caller's trace goes on to Dify; what the model tells of itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.callbacks import get_usage_metadata_callback
from langchain_core.language_models import BaseChatModel

from dify_local import LocalDify
from langchain_dify import ChatDify, DifyLLM, DifyTool, DifyWorkflow

IDS: dict[str, Any] = {"trace_id": "trace-1", "trace_session_id": "session-1"}


def options(local: LocalDify, mode: str) -> dict[str, Any]:
    return {"api_key": local.keys[mode], "base_url": local.base_url, "user": "ann"}


def sent(local: LocalDify) -> tuple[Any, Any]:
    (request,) = [r for r in local.requests if isinstance(r.json, dict) and "inputs" in r.json]
    headers = {name.lower(): value for name, value in request.headers.items()}
    return request.json.get("trace_id"), headers.get("x-trace-session-id")


@pytest.fixture
def local() -> Any:
    with LocalDify() as server:
        yield server


def test_a_chat(local: LocalDify) -> None:
    ChatDify(**options(local, "chat"), **IDS).invoke("hi")
    assert sent(local) == ("trace-1", "session-1")


def test_a_call(local: LocalDify) -> None:
    ChatDify(**options(local, "chat")).invoke("hi", **IDS)
    assert sent(local) == ("trace-1", "session-1")


def test_a_completion(local: LocalDify) -> None:
    DifyLLM(**options(local, "completion"), trace_id="no").invoke("hi", **IDS)
    assert sent(local) == ("trace-1", "session-1")


def test_a_workflow(local: LocalDify) -> None:
    DifyWorkflow(**options(local, "workflow"), **IDS).invoke({"text": "Saturn"})
    assert sent(local) == ("trace-1", "session-1")


def test_a_tool_and_its_usage(local: LocalDify) -> None:
    tool = DifyTool.from_app(**options(local, "chat"), **IDS, name="moons")
    with get_usage_metadata_callback() as counted:
        tool.invoke({"query": "Which planet has most moons?"})
        tool.invoke({"query": "And the second?"})
    assert counted.usage_metadata["moons"]["total_tokens"] > 0


@pytest.mark.parametrize("session", ["", "  ", "s" * 201, "é"])
def test_a_session_that_no_server_takes(session: str, local: LocalDify) -> None:
    chat = ChatDify(**options(local, "chat"))
    text = DifyLLM(**options(local, "completion"))
    flow = DifyWorkflow(**options(local, "workflow"))
    calls: list[Callable[[], object]] = [
        lambda: ChatDify(**options(local, "chat"), trace_session_id=session).invoke("hi"),
        lambda: chat.invoke("hi", trace_session_id=session),
        lambda: list(chat.stream("hi", trace_session_id=session)),
        lambda: text.invoke("hi", trace_session_id=session),
        lambda: flow.invoke({"text": "hi"}, trace_session_id=session),
    ]
    for call in calls:
        with pytest.raises(ValueError, match="trace_session_id"):
            call()
    assert not [request for request in local.requests if request.method == "POST"]


def test_what_the_model_tells_of_itself(local: LocalDify) -> None:
    model = ChatDify(**options(local, "chat"), model_name="planets")
    if "profile" in ChatDify.model_fields:  # langchain-core 1.1 and later
        assert model.profile is not None
        assert model.profile["tool_calling"]
    if hasattr(BaseChatModel, "_add_version"):
        assert "dify-adapters" in (model.metadata or {})["lc_versions"]
    assert "ann" not in repr(model)
    with get_usage_metadata_callback() as counted:
        model.invoke("hi")
    assert list(counted.usage_metadata) == ["planets"]
