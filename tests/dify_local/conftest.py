from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Protocol

import pytest

from dify_local import LocalDify
from tests.dify_local.support import Caller


class MakeCaller(Protocol):
    def __call__(self, app: str, user: str = "ada", server: LocalDify | None = None) -> Caller: ...


@pytest.fixture(autouse=True)
def no_log_of_a_command() -> Iterator[None]:
    """Forget where a command that ran in this process has logged to: the test's own stderr."""
    yield
    logging.getLogger("dify_local").handlers.clear()
    for name in ("dify_local", "asyncio"):
        logging.getLogger(name).setLevel(logging.NOTSET)


@pytest.fixture(scope="module")
def shared_server() -> Iterator[LocalDify]:
    with LocalDify() as server:
        yield server


@pytest.fixture
def server(shared_server: LocalDify) -> LocalDify:
    shared_server.clear()
    return shared_server


@pytest.fixture
def caller(server: LocalDify) -> Iterator[MakeCaller]:
    with ExitStack() as stack:

        def make(app: str, user: str = "ada", server: LocalDify = server) -> Caller:
            return stack.enter_context(Caller(server, app, user))

        yield make
