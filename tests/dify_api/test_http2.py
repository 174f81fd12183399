"""HTTP/2 over a client of the caller's own: answers that share a connection harm none other."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from dify_api import AsyncDifyClient, DifyClient, chat, errors
from dify_api.answers import _reader as reader
from tests.dify_api.test_streams import SSE, frame
from tests.support.replay import Piece, Received, Reply

pytest.importorskip("h2", reason="HTTP/2 is the caller's choice: oldest releases are tried without")

from tests.support.http2 import HTTP2Server

LIVE = chat.send_message("live", user="ann")
OTHER = chat.send_message("other", user="ann")


@pytest.fixture(autouse=True)
def short_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "COMPANION_GRACE", 0.05)


def of_run(name: str, event: str, **fields: Any) -> bytes:
    ids = {"task_id": name, "message_id": name, "conversation_id": name}
    return frame(event, **{**ids, **fields})


def until(event: threading.Event) -> Piece:
    def wait() -> None:
        assert event.wait(20)

    return wait


def pings_until(event: threading.Event) -> list[Piece]:
    def pause() -> None:
        event.wait(0.02)

    return [pause, b"event: ping\n\n"] * 500


class Served:
    """A live answer, of which the second half waits, and another one beside it.

    Pings come meanwhile, as from any server: httpcore's threads take turns in reading a
    connection, and one that waits for its turn gets it when bytes come.
    """

    def __init__(self, other: list[Piece], ending: str, pings: bool) -> None:
        self.go_on = threading.Event()
        self.over = threading.Event()
        self._live: list[Piece] = [of_run("live", "message", answer="a")]
        self._live += pings_until(self.go_on) if pings else [until(self.go_on)]
        self._live += [of_run("live", "message", answer="b"), of_run("live", "message_end")]
        after = pings_until(self.over) if ending == "open" and pings else []
        self._other = Reply(200, SSE, [*other, *after], ending)
        self.server = HTTP2Server(self._reply)

    def _reply(self, request: Received) -> Reply:
        return self._other if request.json["query"] == "other" else Reply(200, SSE, self._live)


@contextlib.contextmanager
def serving(*other: Piece, ending: str, pings: bool = True) -> Iterator[Served]:
    served = Served(list(other), ending, pings)
    with served.server:
        try:
            yield served
        finally:
            served.go_on.set()
            served.over.set()


TOKEN = of_run("other", "message", answer="c")
ENDED = of_run("other", "message_end")


@contextlib.contextmanager
def own_client(served: Served) -> Iterator[DifyClient]:
    with httpx.Client(http2=True, verify=served.server.trust) as own:
        yield DifyClient("app-x", base_url=served.server.base_url, http_client=own, timeout=15)


@contextlib.asynccontextmanager
async def own_async_client(served: Served) -> Any:
    async with httpx.AsyncClient(http2=True, verify=served.server.trust) as own:
        yield AsyncDifyClient(
            "app-x", base_url=served.server.base_url, http_async_client=own, timeout=15
        )


@contextlib.contextmanager
def read_in_a_thread(client: DifyClient) -> Iterator[Callable[[], str]]:
    """Read the live answer in a thread; it has begun, and its reader waits."""
    begun = threading.Event()

    def read() -> str:
        with client.stream(LIVE) as stream:
            for _ in stream:
                begun.set()
        return stream.answer.text

    with ThreadPoolExecutor(1) as pool:
        text = pool.submit(read)
        assert begun.wait(10)
        yield lambda: text.result(10)


@contextlib.asynccontextmanager
async def read_in_a_task(client: AsyncDifyClient) -> Any:
    begun = asyncio.Event()

    async def read() -> str:
        async with client.stream(LIVE) as stream:
            async for _ in stream:
                begun.set()
        return stream.answer.text

    task = asyncio.create_task(read())
    await asyncio.wait_for(begun.wait(), 10)
    yield lambda: asyncio.wait_for(task, 10)


def test_the_grace_of_one_answer_harms_no_other() -> None:
    with serving(TOKEN, ENDED, ending="open") as served, own_client(served) as client:
        with read_in_a_thread(client) as live:
            began = time.monotonic()
            assert client.send(OTHER).text == "c"
            assert time.monotonic() - began < 5
            served.go_on.set()
            assert live() == "ab"
        assert served.server.stopped == []
        assert served.server.connections == 1


async def test_the_grace_of_one_answer_harms_no_other_async() -> None:
    with serving(TOKEN, ENDED, ending="open", pings=False) as served:
        async with own_async_client(served) as client, read_in_a_task(client) as live:
            began = time.monotonic()
            assert (await client.send(OTHER)).text == "c"
            assert time.monotonic() - began < 5
            served.go_on.set()
            assert await live() == "ab"
        assert served.server.stopped == []
        assert served.server.connections == 1


def test_leaving_one_answer_stops_it_alone() -> None:
    with serving(TOKEN, ending="open") as served, own_client(served) as client:
        with read_in_a_thread(client) as live:
            with client.stream(OTHER) as stream:
                for _ in stream:
                    break
            assert served.server.wait_for_stop() == "other"
            served.go_on.set()
            assert live() == "ab"
        assert served.server.stopped == ["other"]
        assert served.server.connections == 1


async def test_leaving_one_answer_stops_it_alone_async() -> None:
    with serving(TOKEN, ending="open", pings=False) as served:
        async with own_async_client(served) as client, read_in_a_task(client) as live:
            async with client.stream(OTHER) as stream:
                async for _ in stream:
                    break
            assert served.server.stopped == ["other"]
            served.go_on.set()
            assert await live() == "ab"
        assert served.server.connections == 1


def test_the_reset_of_one_answer_interrupts_it_alone() -> None:
    with serving(TOKEN, ending="reset") as served, own_client(served) as client:
        with read_in_a_thread(client) as live:
            with pytest.raises(errors.StreamInterruptedError) as caught:
                client.send(OTHER)
            assert caught.value.answer.text == "c"
            served.go_on.set()
            assert live() == "ab"
        assert served.server.connections == 1


async def test_the_reset_of_one_answer_interrupts_it_alone_async() -> None:
    with serving(TOKEN, ending="reset", pings=False) as served:
        async with own_async_client(served) as client, read_in_a_task(client) as live:
            with pytest.raises(errors.StreamInterruptedError) as caught:
                await client.send(OTHER)
            assert caught.value.answer.text == "c"
            served.go_on.set()
            assert await live() == "ab"
        assert served.server.connections == 1


@pytest.mark.parametrize("ending", ["goaway", "retire"])
def test_a_server_that_goes_away_interrupts_each_answer_with_its_own_part(ending: str) -> None:
    seen = threading.Event()
    with serving(TOKEN, until(seen), ending=ending) as served, own_client(served) as client:
        with read_in_a_thread(client) as live:
            with pytest.raises(errors.StreamInterruptedError) as caught:
                with client.stream(OTHER) as stream:
                    for _ in stream:
                        seen.set()
            assert caught.value.answer.text == "c"
            served.go_on.set()
            with pytest.raises(errors.StreamInterruptedError) as caught:
                live()
            assert caught.value.answer.text == "a"


@pytest.mark.parametrize("ending", ["goaway", "retire"])
async def test_a_server_that_goes_away_interrupts_each_answer_with_its_own_part_async(
    ending: str,
) -> None:
    seen = threading.Event()
    with serving(TOKEN, until(seen), ending=ending) as served:
        async with own_async_client(served) as client, read_in_a_task(client) as live:
            with pytest.raises(errors.StreamInterruptedError) as caught:
                async with client.stream(OTHER) as stream:
                    async for _ in stream:
                        seen.set()
            assert caught.value.answer.text == "c"
            served.go_on.set()
            with pytest.raises(errors.StreamInterruptedError) as caught:
                await live()
            assert caught.value.answer.text == "a"
