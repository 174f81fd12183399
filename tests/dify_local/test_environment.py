"""The app that the environment names, and the local one that fills the gap."""

from __future__ import annotations

import os

import pytest

from dify_api import DifyClient, application, knowledge
from dify_local import app_from_environment, dataset_from_environment

VARIABLES = [
    "DIFY_API_KEY",
    "DIFY_BASE_URL",
    "DIFY_TOOL_API_KEYS",
    "DIFY_DATASET_API_KEY",
    "DIFY_DATASET_ID",
]


@pytest.fixture(autouse=True)
def _no_app(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


def test_a_local_app_where_none_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIFY_BASE_URL", "https://dify.example.com/v1")
    with app_from_environment("workflow", tools=["chat", "agent"]):
        assert DifyClient().send(application.info()).mode == "workflow"
        keys = os.environ["DIFY_TOOL_API_KEYS"].split(",")
        modes = [DifyClient(key).send(application.info()).mode for key in keys]
        assert modes == ["chat", "agent"]
    assert [name for name in VARIABLES if name in os.environ] == ["DIFY_BASE_URL"]
    assert os.environ["DIFY_BASE_URL"] == "https://dify.example.com/v1"


def test_the_app_that_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIFY_API_KEY", "app-mine")
    with app_from_environment("chat"):
        assert os.environ["DIFY_API_KEY"] == "app-mine"
        assert "DIFY_BASE_URL" not in os.environ
    with (
        pytest.raises(RuntimeError, match="DIFY_API_KEY is set: set DIFY_TOOL_API_KEYS, too"),
        app_from_environment("chat", tools=["chat"]),
    ):
        pass


def test_a_local_knowledge_base_where_none_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIFY_API_KEY", "app-mine")
    with dataset_from_environment():
        client = DifyClient(os.environ["DIFY_DATASET_API_KEY"])
        found = client.send(knowledge.retrieve(os.environ["DIFY_DATASET_ID"], "rings"))
        assert found.records
    assert [name for name in VARIABLES if name in os.environ] == ["DIFY_API_KEY"]


def test_the_knowledge_base_that_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIFY_DATASET_API_KEY", "dataset-mine")
    with (
        pytest.raises(RuntimeError, match="set DIFY_DATASET_ID, too"),
        dataset_from_environment(),
    ):
        pass
    monkeypatch.setenv("DIFY_DATASET_ID", "d")
    with dataset_from_environment():
        assert os.environ["DIFY_DATASET_ID"] == "d"


def test_an_app_that_there_is_not() -> None:
    with pytest.raises(KeyError, match="rocket"), app_from_environment("rocket"):
        pass
