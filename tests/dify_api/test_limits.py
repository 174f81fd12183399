"""Limits of time over whole exchanges, on a real socket: nothing hangs, and nobody else pays."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import httpx
import pytest

from dify_api import AsyncDifyClient, DifyClient, application, errors
from dify_api import client as client_module
from dify_api._transport.turns import Turns
from dify_api.answers import _reader as reader
from dify_api.operation import Operation
from tests.dify_api.test_streams import ASK, END, SSE, async_client_of, client_of, frame, token
from tests.support.dribble import Dribble
from tests.support.replay import Piece, Received, ReplayServer, Reply

Call = Callable[..., Awaitable[Any]]


async def sync_call(operation: Operation[Any], base_url: str, **options: Any) -> Any:
    client = DifyClient("app-x", base_url=base_url, max_retries=0, **options)
    return await asyncio.to_thread(client.send, operation)


async def async_call(operation: Operation[Any], base_url: str, **options: Any) -> Any:
    client = AsyncDifyClient("app-x", base_url=base_url, max_retries=0, **options)
    return await client.send(operation)


@pytest.fixture(params=[sync_call, async_call], ids=["sync", "async"])
def call(request: pytest.FixtureRequest) -> Call:
    return request.param  # type: ignore[no-any-return]  # one of the two above


@pytest.fixture
def short_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "COMPANION_GRACE", 0.05)


def test_the_end_of_one_answer_cuts_no_other(short_grace: None) -> None:
    """The body ends just as the grace does: the connection serves another thread by then."""

    def reply(_: Received) -> Reply:
        return Reply(200, SSE, [token("a"), END, lambda: time.sleep(0.0485)])

    failures: list[Exception] = []

    def ask(client: DifyClient) -> None:
        for _ in range(20):
            try:
                assert client.send(ASK).text == "a"
            except Exception as error:  # noqa: BLE001 - counted below
                failures.append(error)

    with ReplayServer(reply) as server:
        threads = [threading.Thread(target=ask, args=(client_of(server),)) for _ in range(30)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert failures == []


def test_the_end_of_an_answer_over_a_client_of_ones_own(short_grace: None) -> None:
    """Its connections obey no limit; it may share them between answers (HTTP/2)."""
    with (
        ReplayServer(lambda _: Reply(200, SSE, [token("a"), END], ending="open")) as server,
        httpx.Client() as own,
    ):
        began = time.monotonic()
        assert client_of(server, http_client=own).send(ASK).text == "a"
        assert time.monotonic() - began < 2
        assert not own.is_closed
        assert server.stopped == []
        assert not server.disconnected.is_set()  # the socket is left to whoever reads it


async def test_the_grace_counts_from_the_end_and_not_from_a_ping(
    call: Call, short_grace: None
) -> None:
    gone = threading.Event()

    def ping() -> None:
        gone.wait(0.03)

    pings: list[Piece] = [ping, b"event: ping\n\n"] * 100
    with ReplayServer(lambda _: Reply(200, SSE, [token("a"), END, *pings])) as server:
        began = time.monotonic()
        assert (await call(ASK, server.base_url)).text == "a"
        assert time.monotonic() - began < 1


async def test_silence_ends_at_the_progress_timeout(call: Call) -> None:
    """Long before the read timeout, and although no byte comes to look at the clock for."""
    with ReplayServer(lambda _: Reply(200, SSE, [token("a")], ending="open")) as server:
        began = time.monotonic()
        with pytest.raises(errors.StreamInterruptedError, match=r"no progress for 0\.3 s"):
            await call(ASK, server.base_url, progress_timeout=0.3)
        assert 0.25 < time.monotonic() - began < 2
        assert await asyncio.to_thread(server.wait_for_stop) == "t1"


async def test_silence_ends_at_the_read_timeout(call: Call) -> None:
    """Counted from the last piece: an answer may take longer."""
    pause = partial(time.sleep, 0.25)
    pieces: list[Piece] = [token("a"), pause, token("b"), pause, token("c")]
    with ReplayServer(lambda _: Reply(200, SSE, pieces, ending="open")) as server:
        began = time.monotonic()
        with pytest.raises(errors.StreamInterruptedError) as caught:
            await call(ASK, server.base_url, timeout=0.4)
        assert 0.85 < time.monotonic() - began < 3
        assert caught.value.answer is not None
        assert caught.value.answer.text == "abc"
        assert await asyncio.to_thread(server.wait_for_stop) == "t1"


async def test_half_a_reply_ends_at_the_read_timeout(call: Call) -> None:
    headers = {"content-type": "application/json"}
    with ReplayServer(lambda _: Reply(200, headers, [b'{"name":'], ending="open")) as server:
        with pytest.raises(errors.RequestTimeoutError):
            await call(application.info(), server.base_url, timeout=0.3)


async def test_the_consumers_time_counts_not_as_silence() -> None:
    """The server says nothing for longer than the read timeout, but nobody waits for it."""
    is_back = threading.Event()

    def wait() -> None:
        is_back.wait(10)

    pieces: list[Piece] = [token("a"), wait, END]
    with ReplayServer(lambda _: Reply(200, SSE, pieces)) as server:
        async with async_client_of(server, timeout=0.2).stream(ASK) as stream:
            async for event in stream:
                if event.event == "message":
                    await asyncio.sleep(0.5)
                    is_back.set()
    assert stream.answer.text == "a"


async def test_the_consumers_time_is_not_the_servers() -> None:
    pieces: list[Piece] = [token("a"), token("b"), b"event: ping\n\n", END]
    with ReplayServer(lambda _: Reply(200, SSE, pieces)) as server:
        with client_of(server, progress_timeout=0.5).stream(ASK) as stream:
            for event in stream:
                await asyncio.sleep(0.6 if event.event == "message" else 0)
        async with async_client_of(server, progress_timeout=0.5).stream(ASK) as async_stream:
            async for event in async_stream:
                await asyncio.sleep(0.6 if event.event == "message" else 0)
    assert stream.answer.text == async_stream.answer.text == "ab"


async def test_a_cancellation_is_not_taken_for_the_limit() -> None:
    with ReplayServer(lambda _: Reply(200, SSE, [token("a")], ending="open")) as server:
        task = asyncio.create_task(
            async_client_of(server, progress_timeout=30).send(ASK), name="asking"
        )
        while not server.requests:  # noqa: ASYNC110 - another thread's list
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


DRIBBLED = {
    "headers": Dribble(b"HTTP/1.1 200 OK\r\nx-" + b"a" * 500),
    "json": Dribble(
        b"0" * 500,
        at_once=b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 900\r\n\r\n",
    ),
    "refusal": Dribble(b"x" * 500, at_once=b"HTTP/1.1 500 No\r\ncontent-length: 900\r\n\r\n"),
}


@pytest.mark.parametrize("where", DRIBBLED)
async def test_a_reply_that_dribbles_ends_at_the_progress_timeout(call: Call, where: str) -> None:
    with DRIBBLED[where] as base_url:
        began = time.monotonic()
        with pytest.raises(errors.RequestTimeoutError):
            await call(application.info(), base_url, progress_timeout=0.4)
        assert time.monotonic() - began < 2


@pytest.mark.parametrize("where", ["headers", "json"])
async def test_an_answer_that_dribbles_ends_at_the_progress_timeout(call: Call, where: str) -> None:
    with DRIBBLED[where] as base_url:
        began = time.monotonic()
        with pytest.raises((errors.RequestTimeoutError, errors.StreamInterruptedError)):
            await call(ASK, base_url, progress_timeout=0.4)
        assert time.monotonic() - began < 2


async def test_a_stop_that_dribbles_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "_STOP_TIME", 0.3)
    stop = Dribble(b"HTTP/1.1 200 OK\r\nx-" + b"a" * 500)
    with stop as base_url:
        stop.answer_first(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n" + token("a")
        )
        began = time.monotonic()
        with DifyClient("app-x", base_url=base_url).stream(ASK) as stream:
            next(iter(stream))
        stop.answer_first(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n" + token("a")
        )
        async with AsyncDifyClient("app-x", base_url=base_url).stream(ASK) as async_stream:
            async for _ in async_stream:
                break
        assert time.monotonic() - began < 2


@pytest.mark.parametrize("content_type", ["application/json", "text/plain", ""])
async def test_a_stream_under_another_content_type_is_read_as_it_comes(
    call: Call, content_type: str, short_grace: None
) -> None:
    reply = Reply(200, {"content-type": content_type}, [token("a"), END], ending="open")
    with ReplayServer(lambda _: reply) as server:
        began = time.monotonic()
        assert (await call(ASK, server.base_url)).text == "a"
        assert time.monotonic() - began < 2


# message_end after workflow_finished -------------------------------------------------------------

RUN = frame("workflow_started", workflow_run_id="r1")
FINISHED = frame("workflow_finished", data={"status": "succeeded", "outputs": {"answer": "A"}})


async def test_a_late_message_end_of_a_chatflow_is_waited_for(
    call: Call, short_grace: None
) -> None:
    """Up to 1.12.1 it follows `workflow_finished`, which tells neither usage nor citations."""
    pieces: list[Piece] = [RUN, token("A"), FINISHED, lambda: time.sleep(0.3), END]
    with ReplayServer(lambda _: Reply(200, SSE, pieces)) as server:
        answer = await call(ASK, server.base_url)
    assert answer.usage is not None
    assert answer.usage.total_tokens == 3
    assert not answer.lacks_message_end


async def test_a_message_end_that_never_comes_is_told(call: Call) -> None:
    with ReplayServer(lambda _: Reply(200, SSE, [RUN, token("A"), FINISHED])) as server:
        answer = await call(ASK, server.base_url)
    assert (answer.text, answer.usage, answer.lacks_message_end) == ("A", None, True)


# Frames that cannot be read ----------------------------------------------------------------------

TORN = [
    b'data: {"event": "message", "answer": "los\n\n',
    b'data: {"event": "message", "answer": "lo\nst"}\n\n',
    b'data: {"event": "message", "answer": 5}\n\n',
    b'data: {"event": "message", "answer": {"lost": 1}}\n\n',
]


@pytest.mark.parametrize("torn", TORN)
async def test_a_lost_piece_of_the_answer_is_told(call: Call, torn: bytes) -> None:
    with ReplayServer(lambda _: Reply(200, SSE, [token("a"), torn, token("c"), END])) as server:
        with pytest.raises(errors.StreamInterruptedError, match="cannot be read") as raised:
            await call(ASK, server.base_url)
        assert raised.value.answer is not None
        assert raised.value.answer.text == "ac"
        assert server.stopped == []


@pytest.mark.parametrize("torn", TORN)
async def test_a_lost_piece_counts_not_where_the_run_tells_the_whole(
    call: Call, torn: bytes
) -> None:
    pieces: list[Piece] = [RUN, token("a"), torn, END, FINISHED]
    with ReplayServer(lambda _: Reply(200, SSE, pieces)) as server:
        assert (await call(ASK, server.base_url)).text == "A"


# Turns -------------------------------------------------------------------------------------------


def test_noting_turns_keeps_only_what_can_make_anyone_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 0.0
    monkeypatch.setattr("dify_api._transport.turns.time.monotonic", lambda: now)
    turns = Turns(interval=1.0)
    for number in range(5_000):
        now += 0.001
        turns.note(("app", str(number)))
    assert 1_000 <= len(turns._began) <= 1_002
    assert turns._pause(("app", "4999")) == 1.0
    assert turns._pause(("app", "0")) == 0.0
