"""One server for the tests of a module."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.batch.server import FaultyDify


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultyDify]:
    with FaultyDify(tmp_path_factory.mktemp("server") / "server.sqlite") as server:
        yield server


@pytest.fixture
def server(running: FaultyDify) -> Iterator[FaultyDify]:
    running.clear()
    yield running
    running.clear()
    running.share = 0.0


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "answers.jsonl"
