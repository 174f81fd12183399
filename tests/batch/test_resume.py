"""Batches that are killed or interrupted: what is done is kept, what went on is picked up."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from dify_batch import Columns, run
from tests.batch.server import FaultyDify
from tests.batch.support import client, generations_of, questions, results_of, run_rows
from tests.support.forking import ROOT

pytestmark = pytest.mark.slow

PATHS = {"workflow": "/workflows/run", "completion": "/completion-messages"}


def command(
    server: FaultyDify, rows: Sequence[dict[str, Any]], output: Path, app: str, *more: str
) -> subprocess.Popen[str]:
    """A batch in a process of its own."""
    source = output.parent / "rows.jsonl"
    source.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return subprocess.Popen(
        [sys.executable, "-m", "dify_batch", str(source), str(output), *more],
        cwd=ROOT,
        env={**os.environ, "DIFY_BASE_URL": server.base_url, "DIFY_API_KEY": server.keys[app]},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def when(condition: Any, seconds: float = 30.0) -> None:
    """Wait until a file says so."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)


def killed_amid_answers(
    server: FaultyDify, rows: Sequence[dict[str, Any]], output: Path, app: str, *, ids: bool
) -> None:
    """Kill a batch while its answers go on: once their ids are noted, or before they come."""
    process = command(server, rows, output, app, "--query-column", "question", "--quiet")
    notes = output.with_name(f"{output.name}.started")
    mark = b"task_id" if ids else b"sent_at"
    when(lambda: notes.exists() and notes.read_bytes().count(mark) == len(rows))
    server.wait_for_requests(len(rows), path=PATHS.get(app, "/chat-messages"))
    process.send_signal(signal.SIGKILL)
    process.communicate()


@pytest.mark.parametrize("app", ["workflow", "advanced-chat"])
def test_runs_that_went_on_at_a_kill_are_attached_to(
    server: FaultyDify, output: Path, app: str
) -> None:
    rows = questions(*(f"/slow 1 {number}\n{app}" for number in (1, 2, 3)))
    killed_amid_answers(server, rows, output, app, ids=True)
    summary, results = run_rows(server, rows, output, app)
    assert (summary.succeeded, summary.picked_up, summary.repeats) == (3, 3, 0)
    assert all(result.answer.strip().endswith("delay.") for result in results)
    assert generations_of(server, rows) == [1, 1, 1]


@pytest.mark.parametrize("app", ["workflow", "advanced-chat"])
def test_runs_whose_ids_had_not_come_are_found(server: FaultyDify, output: Path, app: str) -> None:
    server.fault("slow_headers", path=PATHS.get(app, "/chat-messages"), seconds=20, times=2)
    rows = questions(f"/echo unheard {app} one", f"/echo unheard {app} two")
    killed_amid_answers(server, rows, output, app, ids=False)
    when(lambda: generations_of(server, rows) == [1, 1])
    summary, results = run_rows(server, rows, output, app)
    assert (summary.succeeded, summary.picked_up, summary.repeats) == (2, 2, 0)
    assert [result.answer.strip() for result in results] == [
        f"unheard {app} one",
        f"unheard {app} two",
    ]
    assert generations_of(server, rows) == [1, 1]


@pytest.mark.parametrize("app", ["chat", "completion"])
def test_answers_that_a_kill_has_lost_are_repeated_and_named(
    server: FaultyDify, output: Path, app: str
) -> None:
    rows = questions(f"/slow 1 1\nlost {app}", f"/slow 1 2\nlost {app}")
    killed_amid_answers(server, rows, output, app, ids=True)
    summary, results = run_rows(server, rows, output, app)
    assert (summary.succeeded, summary.repeats) == (2, 2)
    for result in results:
        (repeat,) = result.repeats
        assert repeat.reason is not None
        assert repeat.reason.startswith("The process ended.")
        assert repeat.message_id != result.message_id
    if app == "chat":
        assert generations_of(server, rows) == [2, 2]
        assert len(server.stopped) == 2  # nobody reads them


def test_what_was_whole_when_it_was_killed_is_read_from_history(
    server: FaultyDify, output: Path
) -> None:
    """The answer had come, its result was not on disk: as if killed between the two."""
    rows = questions("/echo whole")
    run_rows(server, rows, output)
    (result,) = results_of(output)
    notes = [
        {"id": result.id, "sent_at": result.finished_at.isoformat()},
        {"id": result.id, "conversation_id": result.conversation_id, "task_id": result.task_id},
    ]
    output.write_bytes(output.read_bytes()[:-20])  # and a torn line is no result
    written = "".join(f"{json.dumps(note)}\n" for note in notes)
    output.with_name(f"{output.name}.started").write_text(written + '{"id": "' + result.id)
    summary, (again,) = run_rows(server, rows, output)
    assert (summary.done_before, summary.picked_up, summary.repeats) == (0, 1, 0)
    assert (again.answer.strip(), again.message_id) == ("whole", result.message_id)
    assert generations_of(server, rows) == [1]


def test_two_kills_amid_faults(server: FaultyDify, output: Path) -> None:
    server.share = 0.1
    rows = questions(*(f"/tokens 20\nKilled {number}" for number in range(100)))
    for share in (0.2, 0.6):
        process = command(server, rows, output, "chat", "--query-column", "question", "--quiet")
        least = int(len(rows) * share)
        when(lambda least=least: output.exists() and output.read_bytes().count(b"\n") >= least)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    summary, results = run_rows(server, rows, output)
    assert [result.row for result in results] == [*range(100)]
    assert (summary.succeeded, summary.failed) == (100, 0)
    assert generations_of(server, rows) == [1 + len(result.repeats) for result in results]


def test_ctrl_c_ends_what_goes_on_and_then_the_batch(server: FaultyDify, output: Path) -> None:
    rows = questions(*(f"/slow 0.5 {number}" for number in range(1, 40)))
    process = command(
        server, rows, output, "chat", "--query-column", "question", "--json", "--concurrency", "4"
    )
    notes = output.with_name(f"{output.name}.started")
    when(lambda: notes.exists() and notes.read_bytes().count(b"task_id") >= 4)
    process.send_signal(signal.SIGINT)
    logged, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (130, "")
    results = results_of(output)
    assert 4 <= len(results) <= 12
    assert all(result.status == "succeeded" for result in results)
    events = [json.loads(line) for line in logged.splitlines()]
    assert events[-1]["stopped"] == "interrupted"
    assert events[-1]["done"] == len(results)
    assert not server.stopped
    assert notes.read_bytes().count(b"sent_at") == len(results)


def test_a_second_ctrl_c_leaves_what_goes_on(server: FaultyDify, output: Path) -> None:
    rows = questions("/slow 20 1")
    process = command(server, rows, output, "workflow", "--query-column", "question", "--json")
    notes = output.with_name(f"{output.name}.started")
    when(lambda: notes.exists() and b"task_id" in notes.read_bytes())
    process.send_signal(signal.SIGINT)
    assert process.stdout is not None
    while json.loads(process.stdout.readline())["event"] != "note":
        pass
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=15)
    assert (process.returncode, errors) == (130, "")
    assert not server.stopped  # the run goes on, for the next time


def test_another_batch_on_the_same_output_is_refused(server: FaultyDify, output: Path) -> None:
    process = command(server, questions("/slow 5 1"), output, "chat", "--query-column", "question")
    notes = output.with_name(f"{output.name}.started")
    when(lambda: notes.exists() and b"task_id" in notes.read_bytes())
    with pytest.raises(BlockingIOError, match="another batch"):
        run(questions("x"), client(server), output, columns=Columns(query="question"))
    process.kill()
    process.communicate()


def test_a_line_that_is_no_result_is_not_overwritten(server: FaultyDify, output: Path) -> None:
    output.write_text('{"some": "notes"}\n{"of": "mine"}\n')
    with pytest.raises(ValueError, match=r"answers\.jsonl, line 1: not the result of a batch"):
        run_rows(server, questions("x"), output)
    assert output.read_text() == '{"some": "notes"}\n{"of": "mine"}\n'
