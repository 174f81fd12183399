"""What is on disk, and what a crash leaves of it."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from dify_batch import Result
from dify_batch._journal import Journal
from dify_batch.results import now


def result(name: str) -> Result:
    return Result(id=name, row=0, status="succeeded", input={"q": "é\u2028"}, finished_at=now())


async def write(path: Path, *names: str) -> None:
    journal = Journal(path)
    await asyncio.gather(*(journal.write(result(name)) for name in names))
    await journal.close(is_complete=True)


@pytest.mark.parametrize("torn", [b'{"id": "c", "sta', b"\x00" * 4096, b'{"id": "c"}', b"\xc3"])
async def test_what_is_torn_at_the_end_is_cut_off(tmp_path: Path, torn: bytes) -> None:
    path = tmp_path / "answers.jsonl"
    await write(path, "a", "b")
    whole = path.read_bytes()
    path.write_bytes(whole + torn)
    journal = Journal(path)
    assert [found.id for found in journal.results()] == ["a", "b"]
    assert path.read_bytes() == whole
    await journal.write(result("c"))
    await journal.close(is_complete=True)
    assert path.read_bytes().count(b"\n") == 3


async def test_notes_tell_what_was_sent(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    journal = Journal(path)
    journal.sent("lost")
    journal.began("lost", task_id="t1", message_id="m1", conversation_id=None)
    journal.lost("lost", "it broke")
    journal.sent("lost")
    journal.sent("refused")
    journal.refused("refused")
    journal.sent("deleted")
    journal.deleted("deleted")
    await journal.close(is_complete=False)
    again = Journal(path)
    first, second = again.attempts["lost"]
    assert (first.task_id, first.message_id, first.reason) == ("t1", "m1", "it broke")
    assert (first.is_known, second.is_known, second.reason) == (True, False, None)
    assert list(again.attempts) == ["lost"]
    await again.close(is_complete=True)
    assert os.listdir(tmp_path) == ["answers.jsonl"]


async def test_a_write_that_fails_is_no_result(tmp_path: Path) -> None:
    try:
        full = os.open("/dev/full", os.O_WRONLY)
    except OSError:
        pytest.skip("a device that is full is Linux's")
    journal = Journal(tmp_path / "answers.jsonl")
    file, journal._file = journal._file, full
    with pytest.raises(OSError, match="No space left"):
        await journal.write(result("a"))
    journal._file = file
    await journal.close(is_complete=False)
    os.close(full)


async def test_failed_results_are_taken_out_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    journal = Journal(path)
    for name, status in (("a", "succeeded"), ("b", "failed"), ("c", "succeeded")):
        await journal.write(result(name).model_copy(update={"status": status}))
    assert journal.drop_failed() == 1
    begins = await journal.write(result("d"))
    assert [found.id for found in journal.results()] == ["a", "c", "d"]
    assert path.read_bytes()[begins:].startswith(b'{"id":"d"')
    with pytest.raises(BlockingIOError):
        Journal(path)
    await journal.close(is_complete=True)
