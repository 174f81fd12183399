"""Streams that break, servers that refuse: what is picked up, repeated, and named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dify_api import human_input, messages
from dify_api.errors import ConnectionFailedError
from dify_batch import Limits, _ask
from tests.batch.server import FaultyDify
from tests.batch.support import client, generations_of, questions, run_rows, some_questions

pytestmark = pytest.mark.slow

GENERATION = {"workflow": "/workflows/run", "completion": "/completion-messages"}


def path_of(app: str) -> str:
    return GENERATION.get(app, "/chat-messages")


@pytest.mark.parametrize("app", ["workflow", "advanced-chat"])
@pytest.mark.parametrize("fault", [("drop", {"after_bytes": 900}), ("close", {"after_events": 3})])
def test_a_run_whose_stream_breaks_is_picked_up(
    server: FaultyDify, output: Path, app: str, fault: tuple[str, dict[str, Any]]
) -> None:
    kind, options = fault
    planned = server.fault(kind, path=path_of(app), **options)
    rows = questions("/slow 0.3 2", "/echo two")
    summary, (broken, _) = run_rows(server, rows, output, app, limits=Limits(concurrency=1))
    assert planned.happened == 1
    assert (summary.succeeded, summary.picked_up, summary.repeats) == (2, 1, 0)
    assert broken.answer.strip().endswith("Sorry for the delay.")
    assert broken.picked_up
    assert broken.workflow_run_id
    assert broken.usage is not None
    assert broken.usage.total_tokens > 0


def test_a_run_that_failed_behind_a_broken_stream_is_a_failure(
    server: FaultyDify, output: Path
) -> None:
    server.fault("close", path="/workflows/run", after_events=2)
    summary, (result,) = run_rows(server, questions("/fail mid"), output, "workflow")
    assert result.error is not None
    assert result.error.type == "WorkflowFailedError"
    assert summary.repeats == 0


def test_a_run_that_the_server_has_lost_is_repeated_at_once(
    server: FaultyDify, output: Path
) -> None:
    server.fault("close", path="/workflows/run", after_events=3)
    server.fault("status", path="/workflows/run/", status=404)
    rows = questions("/echo A run that is lost")
    summary, (result,) = run_rows(server, rows, output, "workflow")
    (repeat,) = result.repeats
    assert "The server knows no such run." in (repeat.reason or "")
    assert repeat.workflow_run_id
    assert (summary.succeeded, generations_of(server, rows)) == (1, [2])


def test_a_chat_that_breaks_is_asked_again_and_named(server: FaultyDify, output: Path) -> None:
    server.fault("close", path="/chat-messages", after_events=3)
    rows = questions("/tokens 30\nA chat that breaks")
    summary, (result,) = run_rows(server, rows, output)
    assert len(result.answer.split()) == 30
    (repeat,) = result.repeats
    assert repeat.conversation_id
    assert repeat.conversation_id != result.conversation_id
    assert repeat.reason is not None
    assert "The server has no answer of it." in repeat.reason
    assert (summary.repeats, generations_of(server, rows)) == (1, [2])


def test_a_chat_that_breaks_after_its_answer_is_read_from_history(
    server: FaultyDify, output: Path
) -> None:
    rows = questions("/tokens 30\nAll but the end")  # 30 messages, and the end that is lost
    server.fault("close", path="/chat-messages", after_events=30)
    summary, (result,) = run_rows(server, rows, output)
    assert (summary.picked_up, summary.repeats) == (1, 0)
    assert generations_of(server, rows) == [1]
    assert len(result.answer.split()) == 30
    assert result.usage is not None
    assert result.usage.total_price


@pytest.mark.parametrize("app", ["chat", "workflow", "advanced-chat", "completion"])
@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_refusal_that_began_nothing_is_no_repeat(
    server: FaultyDify, output: Path, app: str, status: int
) -> None:
    server.fault("status", path=path_of(app), status=status)
    rows = questions(f"/echo {app} {status}")
    summary, (result,) = run_rows(server, rows, output, app)
    assert result.answer.strip() == f"{app} {status}"
    # A completion app does not tell what has begun: after a 5xx that is not known.
    unknown = app == "completion" and status >= 500
    assert summary.repeats == unknown
    assert generations_of(server, rows) == [1]


@pytest.mark.parametrize("app", ["chat", "workflow", "advanced-chat"])
def test_what_began_behind_a_broken_connection_is_found_by_its_question(
    server: FaultyDify, output: Path, app: str
) -> None:
    server.fault("drop", path=path_of(app), after_bytes=0)
    rows = questions(f"/echo lost {app}", f"/echo kept {app}")
    summary, results = run_rows(server, rows, output, app, limits=Limits(concurrency=1))
    assert [result.answer.strip() for result in results] == [f"lost {app}", f"kept {app}"]
    assert generations_of(server, rows) == [1 + len(result.repeats) for result in results]
    if app != "chat":
        assert (summary.picked_up, summary.repeats) == (1, 0)


def test_a_rate_limit_of_the_provider_is_waited_for(server: FaultyDify, output: Path) -> None:
    limits = Limits(attempts=2)
    summary, (result,) = run_rows(server, questions("/fail rate"), output, limits=limits)
    assert result.error is not None
    assert result.error.type == "RateLimitError"
    assert len(result.repeats) == 1
    assert generations_of(server, questions("/fail rate")) == [2]
    assert summary.failed == 1


def test_retry_after_holds_up_all(server: FaultyDify, output: Path) -> None:
    headers = {"Retry-After": "1"}
    server.fault("status", path="/chat-messages", status=429, headers=headers)
    summary, _ = run_rows(server, some_questions(6), output, limits=Limits(concurrency=1))
    assert summary.seconds > 1
    assert (summary.succeeded, summary.repeats) == (6, 0)


def test_a_server_that_is_out_of_reach_ends_the_batch(
    server: FaultyDify, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_ask, "seconds_before_retry", lambda _: 0.01)
    other = FaultyDify(output.parent / "other.sqlite")
    with other:
        run_rows(other, some_questions(2), output)
    other.keys.update(server.keys)
    with pytest.raises(ConnectionFailedError):
        run_rows(other, some_questions(4), output)
    assert output.read_bytes().count(b"\n") == 2


def test_a_paused_run_is_attached_to_again_on_request(server: FaultyDify, output: Path) -> None:
    rows = questions("/pause A draft")
    _, (paused,) = run_rows(server, rows, output, "advanced-chat", user="pauser")
    assert paused.error is not None
    assert paused.error.type == "WorkflowPausedError"
    assert paused.conversation_id
    app = client(server, "advanced-chat")
    (message,) = app.send(messages.list_messages(paused.conversation_id, user="pauser")).data
    form = message.extra_contents[0]["form_definition"]
    inputs = {"comment": "fine", "risk": "low"}
    app.send(
        human_input.submit(
            form["form_token"], inputs, action=form["actions"][0]["id"], user="pauser"
        )
    )
    summary, (result,) = run_rows(
        server, rows, output, "advanced-chat", user="pauser", retry_failed=True
    )
    assert result.status == "succeeded"
    assert "fine" in result.answer
    assert (result.picked_up, summary.repeats) == (True, 0)
    assert generations_of(server, rows) == [1]


def test_a_share_of_faults_of_all_kinds(server: FaultyDify, output: Path) -> None:
    server.share = 0.2
    rows = questions(*(f"/tokens 5\nFaulty {number}" for number in range(100)))
    summary, results = run_rows(server, rows, output)
    assert (summary.succeeded, summary.failed) == (100, 0)
    assert [result.row for result in results] == [*range(100)]
    assert generations_of(server, rows) == [1 + len(result.repeats) for result in results]
