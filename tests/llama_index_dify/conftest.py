from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec

import pytest

from dify_local import LocalDify
from llama_index_dify import Dify, DifyCompletion

# Tracing tools are tried with the newest frameworks, and type checkers check against these.
collect_ignore = [
    *([] if find_spec("openinference") else ["test_spans.py"]),
    *([] if find_spec("mypy") else ["test_types.py"]),
]


@pytest.fixture(scope="session")
def local_dify() -> Iterator[LocalDify]:
    with LocalDify() as server:
        yield server


@pytest.fixture
def local(local_dify: LocalDify) -> LocalDify:
    """The local server, with nothing recorded yet."""
    local_dify.clear()
    return local_dify


@pytest.fixture
def llm(local: LocalDify) -> Dify:
    return Dify(api_key=local.keys["chat"], base_url=local.base_url, user="ann")


@pytest.fixture
def completion_llm(local: LocalDify) -> DifyCompletion:
    return DifyCompletion(api_key=local.keys["completion"], base_url=local.base_url, user="ann")
