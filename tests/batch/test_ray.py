"""Two workers of a local Ray cluster; skipped where Ray is not installed (the extra `ray`)."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dify_batch import Columns, Limits
from tests.batch.server import FaultyDify
from tests.batch.support import client, generations_of, questions
from tests.support.forking import ROOT

ray = pytest.importorskip("ray")

LOCKS = Path("/proc/locks")
WARNINGS = "ignore::DeprecationWarning", "ignore::ResourceWarning", "ignore::FutureWarning"
pytestmark = [pytest.mark.ray, *(pytest.mark.filterwarnings(w) for w in WARNINGS)]


@pytest.fixture(scope="module")
def cluster(running: FaultyDify) -> Iterator[None]:
    """A cluster whose workers have the key of the chat app in their environment."""
    variables = {
        "PYTHONPATH": str(ROOT),
        "DIFY_BASE_URL": running.base_url,
        "DIFY_API_KEY": running.keys["chat"],
    }
    os.environ["RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO"] = "0"
    ray.init(
        num_cpus=2,
        include_dashboard=False,
        object_store_memory=100_000_000,
        log_to_driver=False,
        logging_level="error",
        runtime_env={"env_vars": variables},
    )
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    yield
    ray.shutdown()


def ask(server: FaultyDify, rows: Any, folder: Path, **options: Any) -> list[dict[str, Any]]:
    from dify_batch.ray import ask

    options = {"columns": Columns(query="question"), "limits": Limits(concurrency=8), **options}
    asked = ask(ray.data.from_items(rows), client(server), folder, **options)
    return sorted(asked.take_all(), key=lambda row: row["input"])


@pytest.mark.usefixtures("cluster")
def test_two_workers_keep_what_they_did_and_go_on(server: FaultyDify, tmp_path: Path) -> None:
    rows = questions(*(f"/tokens 5\nOn Ray {number:03}" for number in range(60)))
    server.share = 0.05
    answers = ask(server, [*rows[:40], {"question": "/fail mid"}], tmp_path)
    server.share = 0.0
    assert len(answers) == 41
    assert [row["status"] for row in answers].count("failed") == 1
    assert 1 <= len([*tmp_path.glob("part-*.jsonl")]) <= 2  # a quick worker may do all
    before = generations_of(server, rows)
    answers = ask(server, rows, tmp_path)
    assert all(len(row["answer"].split()) == 5 for row in answers)
    counted = generations_of(server, rows)
    assert counted[:40] == before[:40]
    assert counted == [1 + len(json_of(row["repeats"])) for row in answers]


@pytest.mark.usefixtures("cluster")
@pytest.mark.skipif(not LOCKS.exists(), reason="finds the workers by their locks in /proc")
def test_workers_that_are_killed_are_gone_on_with(server: FaultyDify, tmp_path: Path) -> None:
    rows = questions(*(f"/slow 0.5 5\nKilled on Ray {number}" for number in range(80)))
    killed: list[int] = []

    def kill() -> None:
        while not (pids := busy_workers(tmp_path)):
            time.sleep(0.02)
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
            killed.append(pid)

    killer = threading.Thread(target=kill)
    killer.start()
    answers = ask(server, rows, tmp_path)
    killer.join()
    assert len(killed) >= 1
    assert len(answers) == 80
    counted = dict(
        zip((row["question"] for row in rows), generations_of(server, rows), strict=True)
    )
    for row in answers:
        question = json.loads(row["input"])["question"]
        assert counted[question] == 1 + len(json_of(row["repeats"]))
    assert sum(counted.values()) > 80  # what went on at the kill


def busy_workers(folder: Path) -> list[int]:
    """The processes that hold a file of results which has some."""
    busy = {str(file.stat().st_ino) for file in folder.glob("part-*.jsonl") if file.stat().st_size}
    locks = [line.split() for line in LOCKS.read_text().splitlines()]
    return [int(lock[4]) for lock in locks if lock[5].split(":")[-1] in busy]


def json_of(text: str | None) -> list[Any]:
    return json.loads(text) if text else []


@pytest.mark.usefixtures("cluster")
def test_models_of_both_frameworks_work_in_tasks(server: FaultyDify) -> None:
    from langchain_dify import ChatDify
    from llama_index_dify import Dify

    @ray.remote(num_cpus=0.25)
    def langchain(model: ChatDify, text: str) -> str:
        return model.invoke(text).text

    @ray.remote(num_cpus=0.25)
    def llama_index(model: Dify, text: str) -> str:
        return str(model.complete(text))

    key, url = server.keys["chat"], server.base_url
    answers = ray.get(
        [
            langchain.remote(ChatDify(api_key=key, base_url=url, user="ray"), "/echo one"),
            llama_index.remote(Dify(api_key=key, base_url=url, user="ray"), "/echo two"),
        ]
    )
    assert [answer.strip() for answer in answers] == ["one", "two"]
