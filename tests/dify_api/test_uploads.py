"""Files on their way to a server: read while they are sent, opened and closed for each attempt."""

from __future__ import annotations

import os
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dify_api import AsyncDifyClient, DifyClient, documents, errors, files, pipelines
from dify_api.operation import Operation
from tests.dify_api.operations.serving import ID, form_of, json_reply
from tests.support.discard import DiscardServer
from tests.support.replay import Received, ReplayServer, Reply

LARGE = 48 * 2**20
BUSY = Reply(429, {"content-type": "application/json", "retry-after": "0"}, [b'{"code": "x"}'])


@pytest.fixture
def large_file(tmp_path: Path) -> Path:
    file = tmp_path / "large.txt"
    with file.open("wb") as opened:
        opened.truncate(LARGE)
    return file


@pytest.fixture
def peak() -> Iterator[Any]:
    """Bytes that were allocated at most since the test began."""
    tracemalloc.start()
    yield lambda: tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()


async def test_a_large_file_is_never_in_memory(large_file: Path, peak: Any) -> None:
    with DiscardServer(b'{"id": "f"}') as server:
        client = DifyClient("app-test", base_url=server.base_url)
        client.send(files.upload(large_file, user="ann"))
        async_client = AsyncDifyClient("app-test", base_url=server.base_url)
        await async_client.send(documents.create_by_file(ID, large_file))
        with large_file.open("rb") as opened:
            client.send(pipelines.upload(opened))
        assert all(length > LARGE for length in server.lengths)
        assert len(server.lengths) == 3
    assert peak() < LARGE / 8


async def test_a_path_is_opened_for_each_attempt_and_closed(tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    operation = documents.create_by_file(ID, file)

    def reply(request: Received) -> Reply:
        seen.append(form_of(request)["file"].get_payload(decode=True))
        file.write_text("second edition")
        return BUSY if len(seen) == 1 else json_reply({"batch": "b"})

    for is_async in (False, True):
        seen: list[Any] = []
        file.write_text("first edition")
        with ReplayServer(reply) as server:
            if is_async:
                await AsyncDifyClient("app-test", base_url=server.base_url).send(operation)
            else:
                DifyClient("app-test", base_url=server.base_url).send(operation)
        assert seen == [b"first edition", b"second edition"]
        assert str(file) not in open_files()


async def test_a_path_is_closed_after_a_failure(tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("x")
    operation = documents.create_by_file(ID, file)
    refusal = json_reply({"code": "invalid_param", "message": ""}, 400)
    with ReplayServer(lambda _: refusal) as server:
        with pytest.raises(errors.InvalidParamError):
            DifyClient("app-test", base_url=server.base_url).send(operation)
        with pytest.raises(errors.InvalidParamError):
            await AsyncDifyClient("app-test", base_url=server.base_url).send(operation)
    assert str(file) not in open_files()


def test_an_open_file_is_sent_whole_at_each_attempt(tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("Line one.")
    with file.open("rb") as opened:
        assert bodies(documents.create_by_file(ID, opened), BUSY) == [b"Line one."] * 2
        page = Reply(404, {"content-type": "text/html"}, [b"<html></html>"])
        assert bodies(documents.create_by_file(ID, opened), page) == [b"Line one."] * 2
        assert not opened.closed


def test_what_can_be_read_only_once_is_sent_again_all_the_same() -> None:
    reading, writing = os.pipe()
    os.write(writing, b"Line one.")
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        operation = documents.create_by_file(ID, pipe, name="pipe.txt")
    assert bodies(operation, BUSY) == [b"Line one."] * 2


def bodies(operation: Operation[Any], first: Reply) -> list[Any]:
    replies = iter([first, json_reply({})])
    with ReplayServer(lambda _: next(replies)) as server:
        DifyClient("app-test", base_url=server.base_url).send(operation)
        return [form_of(request)["file"].get_payload(decode=True) for request in server.requests]


def open_files() -> set[str]:
    """Paths of the files that this process has open."""
    folder = Path("/proc/self/fd")
    if not folder.exists():
        pytest.skip("the files that a process has open are told by Linux alone")
    found = set()
    for descriptor in folder.iterdir():
        try:
            found.add(os.readlink(descriptor))
        except OSError:
            continue
    return found
