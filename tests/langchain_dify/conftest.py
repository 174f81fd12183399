from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import Any

import pytest

from dify_local import LocalDify
from langchain_dify import ChatDify

# Tracing tools are tried with the newest frameworks; some take no older ones.
collect_ignore = [] if find_spec("openinference") else ["test_traces_of_recordings.py"]


@pytest.fixture(scope="package")
def shared_server() -> Iterator[LocalDify]:
    with LocalDify() as server:
        yield server


@pytest.fixture
def server(shared_server: LocalDify) -> LocalDify:
    """A server whose records are this test's alone."""
    shared_server.clear()
    return shared_server


@pytest.fixture
def chat(server: LocalDify) -> Callable[..., ChatDify]:
    """Makes models of the server's apps: `chat()`, `chat("agent-chat", reasoning=True)`."""

    def make(app: str = "chat", **fields: Any) -> ChatDify:
        given = {"api_key": server.keys[app], "base_url": server.base_url, "user": "ann"}
        return ChatDify(**{**given, **fields})

    return make
