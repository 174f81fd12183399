"""Every option of a connection reaches every public class of both adapters and both clients."""

from __future__ import annotations

import copy
import inspect
import pickle
from collections.abc import Callable
from typing import Any

import certifi
import httpx
import pytest

import langchain_dify
import llama_index_dify
from dify_api import AsyncDifyClient, DifyClient
from dify_api._calls.app_tool import AppTool
from dify_api.connection import ConnectionOptions, DifyConnection
from langchain_dify import (
    ChatDify,
    DifyChatMessageHistory,
    DifyLLM,
    DifyTool,
    DifyWorkflow,
)
from langchain_dify import DifyRetriever as LangChainRetriever
from langchain_dify import DifyVectorStore as LangChainVectorStore
from llama_index_dify import Dify, DifyChatEngine, DifyCompletion, DifyIndex, DifyQueryEngine
from llama_index_dify import DifyRetriever as LlamaIndexRetriever
from llama_index_dify import DifyTool as LlamaIndexTool
from llama_index_dify import DifyWorkflow as LlamaIndexWorkflow

_ID = "5f2d3f0e-3f5a-4d53-8f0e-1c9a4f4b7a10"
_APP = AppTool("chat", "app", "An app.")

CLASSES: dict[type, Callable[..., Any]] = {
    DifyClient: DifyClient,
    AsyncDifyClient: AsyncDifyClient,
    ChatDify: ChatDify,
    DifyLLM: DifyLLM,
    DifyWorkflow: DifyWorkflow,
    DifyTool: lambda **options: DifyTool(app_tool=_APP, **options),
    LangChainVectorStore: lambda **options: LangChainVectorStore(_ID, **options),
    DifyIndex: lambda **options: DifyIndex(_ID, **options),
    LangChainRetriever: lambda **options: LangChainRetriever(dataset_id=_ID, **options),
    DifyChatMessageHistory: lambda **options: DifyChatMessageHistory(_ID, **options),
    Dify: Dify,
    DifyCompletion: DifyCompletion,
    DifyQueryEngine: DifyQueryEngine,
    DifyChatEngine: DifyChatEngine.from_defaults,
    LlamaIndexRetriever: lambda **options: LlamaIndexRetriever(_ID, **options),
    LlamaIndexWorkflow: LlamaIndexWorkflow,
    LlamaIndexTool: lambda **options: LlamaIndexTool(_APP, **options),
}
"""How each class is made with options."""

WITHOUT_A_CONNECTION = {
    # They make tools of several keys, of the classes above, and hand the options on.
    langchain_dify.DifyToolkit,
    llama_index_dify.DifyToolSpec,
    # Made by an index, over whose connection it goes; and a transformation, which needs none.
    llama_index_dify.DifyVectorStore,
    llama_index_dify.EmbedInDify,
    llama_index_dify.DifyAgent,  # stands on a `Dify`
    # What calls return.
    langchain_dify.DifyError,
    llama_index_dify.DifyResponse,
    llama_index_dify.DifyStreamingResponse,
    llama_index_dify.AsyncDifyStreamingResponse,
    llama_index_dify.DifyStreamingChatResponse,
    llama_index_dify.DifyToolProgressEvent,
    llama_index_dify.DifyToolStreamEvent,
    llama_index_dify.DifyWorkflowResponse,
    llama_index_dify.DifyWorkflowRun,
    llama_index_dify.DifyInputRequiredEvent,
    llama_index_dify.DifyHumanResponseEvent,
}

VALUES: dict[str, Any] = {
    "base_url": "http://dify.example/v1",
    "app_id": "support-bot",
    "timeout": httpx.Timeout(7.0),
    "progress_timeout": 8.0,
    "turn_timeout": 5.0,
    "max_retries": 9,
    "recover": False,
    "default_headers": {"X-Gateway": "x"},
    "proxy": "http://proxy.example:3128",
    "verify": certifi.where(),
    "http_client": httpx.Client(),
    "http_async_client": httpx.AsyncClient(),
}


def _connection(made: Any) -> DifyConnection:
    """The connection that an object holds, itself or through its model."""
    if isinstance(made, DifyConnection):
        return made
    for name in ("connection", "_connection", "_llm"):
        if hasattr(made, name):
            return _connection(getattr(made, name))
    raise AssertionError(f"{type(made).__name__} holds no connection")


def test_no_public_class_is_forgotten() -> None:
    public = {
        value
        for package in (langchain_dify, llama_index_dify)
        for name in package.__all__
        if inspect.isclass(value := getattr(package, name))
    }
    assert public == (CLASSES.keys() | WITHOUT_A_CONNECTION) - {DifyClient, AsyncDifyClient}
    assert VALUES.keys() == ConnectionOptions.__annotations__.keys()


@pytest.mark.parametrize(
    "kind", CLASSES, ids=lambda k: f"{k.__module__.split('.')[0]}.{k.__name__}"
)
@pytest.mark.parametrize("option", VALUES)
def test_every_option_reaches_every_class(kind: type, option: str) -> None:
    made = CLASSES[kind](api_key="app-key", **{option: VALUES[option]})
    assert getattr(_connection(made), option) == VALUES[option]


@pytest.mark.parametrize(
    "kind", CLASSES, ids=lambda k: f"{k.__module__.split('.')[0]}.{k.__name__}"
)
def test_every_class_takes_clients_of_httpx2_and_nothing_else(kind: type) -> None:
    httpx2 = pytest.importorskip("httpx2")
    own = {"http_client": httpx2.Client(), "http_async_client": httpx2.AsyncClient()}
    connection = _connection(CLASSES[kind](api_key="app-key", **own))
    assert connection.http_client is own["http_client"]
    assert connection.http_async_client is own["http_async_client"]
    assert "httpx2" not in repr(connection)
    with pytest.raises(ValueError, match="http_client is for sync calls"):
        CLASSES[kind](api_key="app-key", http_client=own["http_async_client"])


@pytest.mark.parametrize(
    "kind",
    [kind for kind in CLASSES if kind not in (DifyClient, AsyncDifyClient)],
    ids=lambda k: f"{k.__module__.split('.')[0]}.{k.__name__}",
)
def test_what_was_pickled_refuses_the_key_of_another_app(
    kind: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Instead of asking that app."""
    monkeypatch.delenv("DIFY_DATASET_API_KEY", raising=False)
    monkeypatch.setenv("DIFY_API_KEY", "app-one")
    pickled = pickle.dumps(CLASSES[kind]())
    assert _connection(pickle.loads(pickled)).key.get_secret_value() == "app-one"
    monkeypatch.setenv("DIFY_API_KEY", "app-two")
    loaded = pickle.loads(pickled)
    for held in (loaded, pickle.loads(pickle.dumps(loaded)), copy.deepcopy(loaded)):
        with pytest.raises(ValueError, match="the key of another app") as raised:
            _ = DifyClient.over(_connection(held))
        assert "app-one" not in f"{held!r} {raised.value}"
        assert "app-two" not in f"{held!r} {raised.value}"
    monkeypatch.setenv("DIFY_API_KEY", "app-one")
    back = pickle.loads(pickle.dumps(loaded))
    assert _connection(back).key.get_secret_value() == "app-one"
    monkeypatch.setenv("DIFY_API_KEY", "app-one")
    named = pickle.dumps(CLASSES[kind](app_id="support-bot"))
    monkeypatch.setenv("DIFY_API_KEY", "app-rotated")
    assert _connection(pickle.loads(named)).key.get_secret_value() == "app-rotated"
