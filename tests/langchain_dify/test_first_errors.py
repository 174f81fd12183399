"""What a user of the first ten minutes does wrong, and the one line that says what to do."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import ValidationError

from dify_api.errors import (
    AppUnavailableError,
    ConversationNotFoundError,
    NotChatAppError,
    NotWorkflowAppError,
    UnauthorizedError,
)
from dify_local import LocalDify
from langchain_dify import (
    ChatDify,
    DifyLLM,
    DifyRetriever,
    DifyTool,
    DifyToolkit,
    DifyWorkflow,
)

Make = Callable[..., Any]
WHICH_CLASS = (
    "Use ChatDify for chat, agent and chatflow apps, DifyLLM for completion apps, "
    "DifyWorkflow for workflow apps"
)
LLAMA_INDEX = ("DifyCompletion", "DifyQueryEngine", "DifyChatEngine")


@pytest.fixture
def make(server: LocalDify) -> Make:
    """Makes an object of the server: `make(ChatDify, "chat", user="ann")`."""

    def of(kind: type, app: str | None = None, **settings: Any) -> Any:
        if kind is DifyRetriever:
            settings.setdefault("dataset_id", server.dataset_id)
        key = server.keys[app] if app else server.dataset_key
        return kind(**{"api_key": key, "base_url": server.base_url, **settings})

    return of


@pytest.mark.parametrize(
    ("kind", "app", "given", "error"),
    [
        (ChatDify, "workflow", "Hi", NotChatAppError),
        (ChatDify, "completion", "Hi", NotChatAppError),
        (DifyLLM, "chat", "Hi", AppUnavailableError),
        (DifyLLM, "workflow", "Hi", AppUnavailableError),
        (DifyWorkflow, "chat", {}, NotWorkflowAppError),
        (DifyWorkflow, "chat", {"text": "Hi"}, NotWorkflowAppError),
        (DifyWorkflow, "agent-chat", {"text": "Hi"}, NotWorkflowAppError),
        (DifyWorkflow, "advanced-chat", {"text": "Hi"}, NotWorkflowAppError),
        (DifyWorkflow, "completion", {"text": "Hi"}, NotWorkflowAppError),
        (DifyWorkflow, "greeter", {"text": "Hi"}, NotWorkflowAppError),
    ],
)
async def test_wrong_app(make: Make, kind: type, app: str, given: Any, error: type) -> None:
    wrong = make(kind, app)
    with pytest.raises(error, match=WHICH_CLASS) as told:
        wrong.invoke(given)
    assert not any(name in str(told.value) for name in LLAMA_INDEX)
    with pytest.raises(error, match=WHICH_CLASS):
        await wrong.ainvoke(given)
    with pytest.raises(error, match=WHICH_CLASS):
        list(wrong.stream(given))


def test_wrong_input_of_a_workflow_is_no_wrong_app(make: Make) -> None:
    with pytest.raises(ValidationError, match="txt"):
        make(DifyWorkflow, "workflow").invoke({"txt": "Hi"})


@pytest.mark.parametrize("kind", [ChatDify, DifyLLM, DifyWorkflow, DifyRetriever])
@pytest.mark.parametrize(
    ("misspelt", "meant"), [("baseurl", "base_url"), ("apikey", "api_key"), ("timeouts", "timeout")]
)
def test_misspelt_option(make: Make, kind: type, misspelt: str, meant: str) -> None:
    with pytest.raises(ValidationError, match=f"no argument '{misspelt}'; did you mean {meant}"):
        make(kind, "chat", **{misspelt: "x"})


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("top_k", "k"),
        ("similarity_top_k", "k"),
        ("filter", "metadata_filter"),
        ("filters", "metadata_filter"),
        ("search_kwargs", "k, score_threshold or metadata_filter"),
    ],
)
def test_names_of_other_retrievers(make: Make, name: str, meant: str) -> None:
    with pytest.raises(ValidationError, match=rf"{name}'; did you mean {meant}\?"):
        make(DifyRetriever, **{name: 1})
    with pytest.raises(TypeError, match=rf"{name}'; did you mean {meant}\?"):
        make(DifyRetriever).invoke("moons", **{name: 1})


async def test_misspelt_option_of_a_tool_is_told_before_any_request(server: LocalDify) -> None:
    key = server.keys["chat"]
    with pytest.raises(ValueError, match="did you mean base_url"):
        DifyTool.from_app(api_key=key, baseurl=server.base_url)
    with pytest.raises(ValueError, match="did you mean user"):
        await DifyTool.afrom_app(api_key=key, base_url=server.base_url, usr="ann")
    with pytest.raises(ValueError, match="did you mean user"):
        DifyToolkit.from_apps([key], base_url=server.base_url, usr="ann")
    assert server.requests == []


def test_tools_name_how_they_are_made(server: LocalDify) -> None:
    with pytest.raises(ValidationError, match=r"DifyTool\.from_app\(api_key=\.\.\.\)"):
        DifyTool(api_key=server.keys["chat"])  # type: ignore[call-arg]  # the mistake
    with pytest.raises(ValidationError, match=r"DifyToolkit\.from_apps\(\[key") as told:
        DifyToolkit(api_keys=["app-secret"])  # type: ignore[call-arg]  # the mistake
    assert "app-secret" not in str(told.value)
    with pytest.raises(TypeError, match="list of keys"):
        DifyToolkit.from_apps(server.keys["chat"], base_url=server.base_url)
    assert server.requests == []


@pytest.mark.parametrize(
    ("kind", "app"), [(ChatDify, "chat"), (DifyLLM, "completion"), (DifyWorkflow, "workflow")]
)
@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"user": ""}, "user must not be empty"),
        ({"user": 7}, "user must be the name"),
        ({"files": "notes.txt"}, "files must be a list of dicts"),
        ({"usr": "ann"}, "no call argument 'usr'; it knows"),
    ],
)
def test_arguments_of_a_call(
    server: LocalDify, make: Make, kind: type, app: str, arguments: Any, told: str
) -> None:
    given = {"text": "Hi"} if kind is DifyWorkflow else "Hi"
    with pytest.raises((TypeError, ValueError), match=told):
        make(kind, app).invoke(given, **arguments)
    assert server.requests == []


def test_inputs_as_text(make: Make) -> None:
    for kind, app in ((ChatDify, "chat"), (DifyLLM, "completion")):
        with pytest.raises(TypeError, match="inputs must be a dict"):
            make(kind, app).invoke("Hi", inputs="x")
    for given in ("Hi", None, 3, ["Hi"]):
        with pytest.raises(TypeError, match=r'takes a dict of inputs, not .*: give \{"name'):
            make(DifyWorkflow, "workflow").invoke(given)


def test_missing_input(make: Make) -> None:
    with pytest.raises(Exception, match=r'Pass inputs=\{"name": \.\.\.\} to the class or the call'):
        make(ChatDify, "greeter").invoke("Hi")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"k": 0}, "k must be"),
        ({"k": "many"}, "k must be"),
        ({"score_threshold": 5}, "from 0 to 1"),
    ],
)
def test_settings_of_a_search(server: LocalDify, make: Make, arguments: Any, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        make(DifyRetriever).invoke("moons", **arguments)
    with pytest.raises(ValidationError):
        make(DifyRetriever, **arguments)
    with pytest.raises(TypeError, match="a query must be a text, not dict"):
        make(DifyRetriever).invoke({"query": "moons"})
    with pytest.raises(ValueError, match="say what to find"):
        make(DifyRetriever).invoke(" ")
    assert server.requests == []


def test_keys_of_the_wrong_kind(
    server: LocalDify, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UnauthorizedError, match=r'DIFY_DATASET_API_KEY.*"dataset-"'):
        make(DifyRetriever, "chat").invoke("moons")
    with pytest.raises(UnauthorizedError, match=r'\(DIFY_API_KEY\).*"app-"'):
        make(ChatDify, api_key=server.dataset_key).invoke("Hi")
    for name in ("DIFY_API_KEY", "DIFY_DATASET_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ValidationError, match=r"set DIFY_DATASET_API_KEY \(in Dify: Knowledge's"):
        make(DifyRetriever, api_key=None)
    with pytest.raises(ValidationError, match=r"set DIFY_API_KEY \(in Dify: the app's"):
        make(ChatDify, api_key=None)


@pytest.mark.parametrize(
    ("kind", "app", "given"),
    [
        (ChatDify, "chat", "Hi"),
        (DifyLLM, "completion", "Hi"),
        (DifyWorkflow, "workflow", {"text": "Hi"}),
        (DifyRetriever, None, "moons"),
    ],
)
def test_address(server: LocalDify, make: Make, kind: type, app: str | None, given: Any) -> None:
    without = server.base_url.removesuffix("/v1")
    with pytest.raises(Exception, match='base_url: it ends in "/v1"'):
        make(kind, app, base_url=without).invoke(given)
    with pytest.raises(Exception, match=r"cannot reach .* Check base_url"):
        make(kind, app, base_url="http://127.0.0.1:9/v1", max_retries=0).invoke(given)
    with pytest.raises(ValidationError, match=r'such as "https://dify.example.com/v1"'):
        make(kind, app, base_url="api.dify.ai/v1")


def test_lost_conversation(make: Make) -> None:
    lost = "00000000-0000-4000-8000-000000000000"
    with pytest.raises(ConversationNotFoundError, match=r'ChatDify.*on_fork="new"') as told:
        make(ChatDify, "chat").invoke("Hi", conversation_id=lost)
    assert "Dify does by itself" not in str(told.value).replace("ChatDify does by itself", "")


def test_errors_of_asyncio_are_the_same(make: Make) -> None:
    with pytest.raises(TypeError, match="did you mean k"):
        asyncio.run(make(DifyRetriever).ainvoke("moons", top_k=3))
