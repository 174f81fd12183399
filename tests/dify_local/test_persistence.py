"""A server with a database file goes on where the last one ended, however that ended."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from dify_local import LocalDify
from tests.dify_local.support import Caller, events_of, last

FORM = {"inputs": {"comment": "fine"}, "action": "approve", "user": "ada"}


def test_annotation_replies_stay_on(tmp_path: Path) -> None:
    database = tmp_path / "dify.db"
    names = ("score_threshold", "embedding_provider_name", "embedding_model_name")
    settings = dict(zip(names, (0.9, "p", "m"), strict=True))
    with LocalDify(database=database) as server, Caller(server, "chat") as mine:
        mine.client.post("/apps/annotations", json={"question": "Who?", "answer": "Me."})
        job = mine.client.post("/apps/annotation-reply/enable", json=settings).json()
    with LocalDify(database=database) as server, Caller(server, "chat") as mine:
        assert mine.ask("Who?")["answer"] == "Me."
        assert mine.client.get("/parameters").json()["annotation_reply"]["enabled"]
        status = f"/apps/annotation-reply/enable/status/{job['job_id']}"
        assert mine.client.get(status).json()["job_status"] == "completed"
        mine.client.post("/apps/annotation-reply/disable", json=settings)
    with LocalDify(database=database) as server, Caller(server, "chat") as mine:
        assert mine.ask("Who?")["answer"] != "Me."


def test_paused_runs_stay_open(tmp_path: Path) -> None:
    database = tmp_path / "dify.db"
    for app in ("workflow", "advanced-chat"):
        with LocalDify(database=database) as server, Caller(server, app) as mine:
            before = mine.stream("/pause Look at this.")
        required = last(before, "human_input_required")
        form = f"/form/human_input/{required['data']['form_token']}"
        run_events = f"/workflow/{required['workflow_run_id']}/events?user=ada"
        with LocalDify(database=database) as server, Caller(server, app) as mine:
            shown = mine.client.get(form).json()
            assert shown["form_content"] == required["data"]["form_content"]
            snapshot = mine.client.get(f"{run_events}&include_state_snapshot=true").content
            assert last(events_of(snapshot), "human_input_required")["data"] == required["data"]
            assert mine.client.post(form, json=FORM).json() == {}
            after = events_of(mine.client.get(run_events).content)
            assert after[1]["task_id"] == before[1]["task_id"]
            finished = last(after, "workflow_finished")["data"]
            assert finished["status"] == "succeeded"
            outputs = finished["outputs"]
            assert (outputs.get("text") or outputs["answer"]).startswith("Look at this.")
        with LocalDify(database=database) as server, Caller(server, app) as mine:
            assert mine.client.post(form, json=FORM).status_code == 412


def test_forms_in_parallel_branches_are_answered_by_one_server_after_another(
    tmp_path: Path,
) -> None:
    database = tmp_path / "dify.db"
    with LocalDify(database=database) as server, Caller(server, "workflow") as mine:
        started = mine.stream("/pause One || Two")
    tokens = [e["data"]["form_token"] for e in started if e["event"] == "human_input_required"]
    run_events = f"/workflow/{last(started, 'workflow_paused')['workflow_run_id']}/events?user=ada"
    for token in tokens:
        with LocalDify(database=database) as server, Caller(server, "workflow") as mine:
            assert mine.client.post(f"/form/human_input/{token}", json=FORM).json() == {}
            after = events_of(mine.client.get(run_events).content)
    assert last(after, "workflow_finished")["data"]["outputs"]["text"].endswith(
        "Approve: fine\nApprove: fine"
    )


@contextmanager
def _process(database: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    command = [sys.executable, "-m", "dify_local", "--port", "0", "--token-delay", "0.01"]
    with subprocess.Popen(
        [*command, "--database", str(database)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    ) as process:
        assert process.stdout is not None
        yield process, process.stdout.readline().split()[-1]


def test_what_was_answered_survives_a_killed_process(tmp_path: Path) -> None:
    """Killed while eight clients write: what they were told, the next server knows."""
    database = tmp_path / "dify.db"
    answered: list[dict[str, Any]] = []
    enough = threading.Event()

    def ask_until_it_dies(base_url: str, user: str) -> None:
        headers = {"Authorization": "Bearer app-chat"}
        body = {"inputs": {}, "query": "/echo a b c", "user": user}
        with httpx.Client(base_url=base_url, headers=headers) as client:
            try:
                while True:
                    answer = client.post("/chat-messages", json=body).json()
                    answered.append({**answer, "user": user})
                    if len(answered) > 40:
                        enough.set()
            except httpx.HTTPError:
                return

    with _process(database) as (process, base_url):
        headers = {"Authorization": "Bearer app-workflow"}
        with httpx.Client(base_url=base_url, headers=headers) as client:
            body = {
                "inputs": {"text": "/pause Draft."},
                "user": "ada",
                "response_mode": "streaming",
            }
            events = events_of(client.post("/workflows/run", json=body).content)
            required = last(events, "human_input_required")
            threads = [
                threading.Thread(target=ask_until_it_dies, args=(base_url, f"user {number}"))
                for number in range(8)
            ]
            for thread in threads:
                thread.start()
            assert enough.wait(30)
            form = f"/form/human_input/{required['data']['form_token']}"
            assert client.post(form, json=FORM).status_code == 200
        process.kill()
        for thread in threads:
            thread.join()
    with LocalDify(database=database) as server:
        for answer in answered:
            with Caller(server, "chat", answer["user"]) as mine:
                query = {"conversation_id": answer["conversation_id"], "user": answer["user"]}
                page = mine.client.get("/messages", params=query).json()["data"]
            assert [message["answer"] for message in page] == ["a b c"]
        # The form was answered, what follows it was not made: the next server makes it.
        with Caller(server, "workflow") as mine:
            run_id = required["workflow_run_id"]
            mine.client.get(f"/workflow/{run_id}/events", params={"user": "ada"})
            detail = mine.client.get(f"/workflows/run/{run_id}").json()
    assert (detail["status"], detail["outputs"]["text"]) == ("succeeded", "Draft.\nApprove: fine")
