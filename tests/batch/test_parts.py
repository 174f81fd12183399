"""The files of several workers in a folder."""

from __future__ import annotations

from pathlib import Path

from dify_batch import Result
from dify_batch._journal import Journal
from dify_batch._parts import Parts
from dify_batch.results import now


def result(name: str, answer: str, status: str = "succeeded") -> Result:
    return Result.model_validate(
        {"id": name, "status": status, "answer": answer, "finished_at": now()}
    )


async def test_what_a_worker_did_is_read_once_it_has_ended(tmp_path: Path) -> None:
    mine, other = Parts(tmp_path), Journal(Parts(tmp_path).new())
    await other.write(result("a", "one"))
    other.sent("b")
    other.began("b", task_id="t", conversation_id="c")
    mine.read_ended()
    assert mine.result("a") is None
    assert mine.attempts("b") == []
    await other.close(is_complete=False)
    mine.read_ended()
    assert (found := mine.result("a")) is not None
    assert found.answer == "one"
    (attempt,) = mine.attempts("b")
    assert (attempt.task_id, attempt.conversation_id) == ("t", "c")


async def test_requests_that_were_taken_over_are_told_once(tmp_path: Path) -> None:
    first = Journal(Parts(tmp_path).new())
    first.sent("a")
    first.close_files()
    second_parts = Parts(tmp_path)
    second = Journal(second_parts.new())
    second_parts.read_ended()
    second.adopt("a", second_parts.attempts("a"))
    second.lost("a", "it died")
    second.sent("a")
    second.close_files()
    third = Parts(tmp_path)
    third.read_ended()
    assert [attempt.reason for attempt in third.attempts("a")] == ["it died", None]


async def test_own_results_are_found_and_failed_ones_dropped(tmp_path: Path) -> None:
    parts = Parts(tmp_path)
    journal = Journal(parts.new())
    for name in ("a", "b"):
        line = result(name, name * 3, "failed" if name == "b" else "succeeded")
        parts.add(name, journal.path, await journal.write(line))
    assert (found := parts.result("b")) is not None
    assert found.answer == "bbb"
    journal.close_files()
    parts.drop_failed()
    assert [found.id for found in parts.results()] == ["a"]
