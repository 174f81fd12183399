"""Leaving a stream in every way and at every stage: the run is stopped, and nothing is printed."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Generator
from typing import Any

import httpx
import pytest

from dify_api import AsyncDifyClient, chat, errors
from dify_api._transport import open_streams, pools
from dify_api._transport.turns import TURNS, Turns
from tests.dify_api.test_streams import ASK, END, SSE, async_client_of, client_of, serve, token
from tests.support.replay import Received, ReplayServer, Reply
from tests.support.scripts import run_script
from tests.support.turns import turn_of

HEAD = """
    import asyncio, os, sys, threading, time
    from dify_api import AsyncDifyClient, DifyClient, chat
    ASK = chat.send_message("Hello", user="ann")
    url = sys.argv[1]
"""


AT_EXIT = {
    "suspended": """
        stream = DifyClient(base_url=url).stream(ASK).__enter__()
        steps = stream.steps()
        next(steps)
        """,
    "a generator that holds it": """
        def tokens():
            with DifyClient(base_url=url).stream(ASK) as stream:
                yield from stream
        held = tokens()
        next(held)
        """,
    "a daemon thread": """
        began = threading.Event()
        def read():
            with DifyClient(base_url=url).stream(ASK) as stream:
                for _ in stream:
                    began.set()
        threading.Thread(target=read, daemon=True).start()
        began.wait(10)
        """,
    "before the first event": """
        stream = DifyClient(base_url=url).stream(ASK).__enter__()
        """,
    "a loop that is closed at once": """
        async def read():
            stream = await AsyncDifyClient(base_url=url).stream(ASK).__aenter__()
            async for _ in stream:
                return stream
        loop = asyncio.new_event_loop()
        stream = loop.run_until_complete(read())
        loop.close()
        """,
    "a generator on a loop that is closed at once": """
        async def tokens():
            async with AsyncDifyClient(base_url=url).stream(ASK) as stream:
                async for event in stream:
                    yield event
        async def read():
            async for _ in tokens():
                break
        loop = asyncio.new_event_loop()
        loop.run_until_complete(read())
        loop.close()
        """,
    "a break, and the end of asyncio.run": """
        async def tokens():
            async with AsyncDifyClient(base_url=url).stream(ASK) as stream:
                async for event in stream:
                    yield event
        async def read():
            async for _ in tokens():
                break
        asyncio.run(read())
        """,
    "generators that close each other, and the end of asyncio.run": """
        from contextlib import aclosing
        async def tokens():
            async with AsyncDifyClient(base_url=url).stream(ASK) as stream:
                async for event in stream:
                    yield event
        async def passed_on(events):
            async with aclosing(events):
                async for event in events:
                    yield event
        async def read():
            global held
            held = tokens()
            for _ in range(5):
                held = passed_on(held)
            await anext(held)
        asyncio.run(read())
        """,
}


@pytest.mark.slow
@pytest.mark.parametrize("how", AT_EXIT)
def test_the_end_of_the_process_stops_the_run_in_silence(how: str) -> None:
    with serve(token("a"), token("b"), ending="open") as server:
        done = run_script(HEAD, AT_EXIT[how], server.base_url)
        assert (done.returncode, done.stderr) == (0, "")
        assert server.stopped == ["t1"]


@pytest.mark.slow
def test_a_daemon_thread_between_two_reads_keeps_its_connection_to_the_end_of_the_process() -> None:
    """It reads on whatever comes until the interpreter is gone."""
    code = """
        import atexit
        from dify_api._transport.pools import close_shared_transports
        began, ended = threading.Event(), threading.Event()
        def read():
            with DifyClient(base_url=url).stream(ASK) as stream:
                for event in stream:
                    began.set()
                    ended.wait(10)
            print(stream.answer.text)
        reader = threading.Thread(target=read, daemon=True)
        def last():
            ended.set()
            reader.join(10)
        atexit.unregister(close_shared_transports)
        atexit.register(last)
        atexit.register(close_shared_transports)
        reader.start()
        began.wait(10)
        """

    def wait() -> None:
        server.wait_for_stop()

    with serve(token("a"), wait, token("b"), END) as server:
        done = run_script(HEAD, code, server.base_url)
        assert (done.returncode, done.stdout, done.stderr) == (0, "ab\n", "")
        assert server.stopped == ["t1"]


async def test_a_read_timeout_stops_the_run() -> None:
    timeout = httpx.Timeout(5, read=0.1)
    with serve(token("a"), ending="open") as server:
        with pytest.raises(errors.StreamInterruptedError):
            client_of(server, timeout=timeout).send(ASK)
        assert server.stopped == ["t1"]
        with pytest.raises(errors.StreamInterruptedError):
            await async_client_of(server, timeout=timeout).send(ASK)
        assert server.stopped == ["t1", "t1"]


def test_leaving_before_the_first_event_stops_the_run() -> None:
    release = threading.Event()
    with serve(lambda: release.wait(5) and None, token("a"), ending="open") as server:
        began = time.monotonic()
        with client_of(server).stream(ASK):
            pass
        assert time.monotonic() - began < 2  # it is read on in the background
        release.set()
        assert server.wait_for_stop() == "t1"


async def test_a_loop_waits_for_no_stop_of_what_a_thread_has_read() -> None:
    """As a web server's, which drops a sync stream when its client has left."""
    asked, release = threading.Event(), threading.Event()

    def reply(request: Received) -> Reply:
        if request.path.endswith("/stop"):
            asked.set()
            release.wait(5)
        return Reply(200, SSE, [token("a")], ending="open")

    def tokens() -> Generator[object, None, None]:
        with client_of(server).stream(ASK) as stream:
            yield from stream

    with ReplayServer(reply, stops=False) as server:
        held = tokens()
        await asyncio.to_thread(next, held)
        began = time.monotonic()
        held.close()
        assert time.monotonic() - began < 2
        assert await asyncio.to_thread(asked.wait, 5)
        release.set()


def test_an_interruption_before_the_headers_stops_the_run() -> None:
    """Ctrl-C in a notebook, while the app is looking for its first word."""
    release = threading.Event()

    def reply(_: object) -> Reply:
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)
        release.wait(5)
        return Reply(200, SSE, [token("a")], ending="open")

    before = signal.signal(signal.SIGUSR1, signal.default_int_handler)
    try:
        with ReplayServer(reply) as server:
            with pytest.raises(KeyboardInterrupt):
                client_of(server).send(ASK)
            release.set()
            assert server.wait_for_stop() == "t1"
            assert len(server.requests) == 2
    finally:
        signal.signal(signal.SIGUSR1, before)


@pytest.mark.parametrize(
    ("headers_first", "over"),
    [
        (True, "aiohttp's connections"),
        (False, "aiohttp's connections"),
        (True, "its session"),
        (False, "its session"),
        (False, "an own client"),  # httpx ends a reply with a read of it that is cancelled
    ],
)
async def test_cancelling_before_the_first_event_stops_the_run(
    headers_first: bool, over: str
) -> None:
    """Completion, chat and agent apps send their headers with the first event."""
    release, arrived = threading.Event(), threading.Event()

    def wait() -> None:
        arrived.set()
        release.wait(5)

    def reply(_: object) -> Reply:
        if not headers_first:
            wait()
        return Reply(200, SSE, [wait, token("a")], ending="open")

    ask = chat.send_message("Hello " * 20_000, user="ann") if over == "its session" else ASK
    own = httpx.AsyncClient() if over == "an own client" else None
    with ReplayServer(reply) as server:
        task = asyncio.create_task(async_client_of(server, http_async_client=own).send(ask))
        await asyncio.to_thread(arrived.wait)
        if headers_first:
            await asyncio.sleep(0.1)  # the headers are read, too
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        release.set()
        assert await asyncio.to_thread(server.wait_for_stop) == "t1"
    if own is not None:
        await own.aclose()


async def test_cancelling_while_it_connects_sends_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        port = listener.getsockname()[1]
        with contextlib.ExitStack() as others:  # who fill the queue, so that nobody else comes in
            for _ in range(3):
                other = others.enter_context(socket.socket())
                other.setblocking(False)
                other.connect_ex(("127.0.0.1", port))
            client = AsyncDifyClient("app-x", base_url=f"http://127.0.0.1:{port}/v1")
            task = asyncio.create_task(client.send(ASK))
            await asyncio.sleep(0.05)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_limit_while_the_reply_is_waited_for_leaves_nothing() -> None:
    told: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    release, asked = threading.Event(), []

    def reply(request: object) -> Reply:
        asked.append(request)
        release.wait(5)
        return Reply(200, SSE, [token("a")], ending="open")

    with ReplayServer(reply) as server:
        with pytest.raises(errors.RequestTimeoutError):
            await async_client_of(server, progress_timeout=0.2).send(ASK)
        assert asyncio.all_tasks() == {asyncio.current_task()}
        gc.collect()
        assert told == []  # as of connections that nobody has closed
        release.set()
        assert len(asked) == 1


def test_a_task_that_is_cancelled_as_its_loop_ends_stops_the_run() -> None:
    """As the losers of `asyncio.wait(..., return_when=FIRST_COMPLETED)`."""

    async def main() -> None:
        came = asyncio.Event()

        async def read() -> None:
            async with async_client_of(server).stream(ASK) as stream:
                async for _ in stream:
                    came.set()

        task = asyncio.create_task(read())
        await came.wait()
        task.cancel()

    with serve(token("a"), ending="open") as server:
        asyncio.run(main())
        assert server.stopped == ["t1"]


async def test_cancelling_while_the_turn_before_goes_on_leaves_nothing() -> None:
    told: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    conversation_id = "f0f0f0f0-0000-4000-8000-000000000000"
    ask = chat.send_message("Hello", user="ann", conversation_id=conversation_id)
    with serve(token("a"), ending="open") as server:
        client = async_client_of(server)
        with turn_of(TURNS, (client.connection.app, conversation_id)):
            waiting = asyncio.create_task(client.send(ask))
            await asyncio.sleep(0.01)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            for _ in range(10):  # passes of the loop
                await asyncio.sleep(0)
        del waiting
        gc.collect()
        assert server.requests == []
    assert told == []


async def test_a_cancelled_call_is_not_tried_again() -> None:
    answers = [Reply(429, {"retry-after": "0.3"}), Reply(200, SSE, [token("a"), END])]
    with ReplayServer(lambda _: answers.pop(0)) as server:
        task = asyncio.create_task(async_client_of(server).send(ASK))
        while not server.requests:  # noqa: ASYNC110 - another thread's list
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.sleep(0.5)
        assert len(server.requests) == 1


# Fork ---------------------------------------------------------------------------------------------


def in_child(task: Callable[[], None]) -> None:
    """Run a task in a forked child, which must end by itself soon."""
    child = os.fork()
    if child == 0:
        with contextlib.suppress(BaseException):
            task()
            os._exit(0)
        os._exit(1)
    until = time.monotonic() + 10
    while time.monotonic() < until:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            assert status == 0
            return
        time.sleep(0.01)
    os.kill(child, 9)
    os.waitpid(child, 0)
    pytest.fail("the child hangs")


needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")


@needs_fork
def test_a_child_that_drops_an_inherited_stream_leaves_the_run_alone() -> None:
    proceed = threading.Event()
    with serve(token("a"), lambda: proceed.wait(10) and None, token("b"), END) as server:
        stream = client_of(server).stream(ASK)

        def texts() -> list[str]:
            return [text for _, text in steps if text]

        def drop() -> None:
            steps.close()  # type: ignore[attr-defined]  # a generator
            stream.close()

        with stream:
            steps = stream.steps()
            next(steps)
            in_child(drop)
            assert server.stopped == []
            proceed.set()
            assert texts() == ["b"]
        assert stream.answer.text == "ab"
        assert server.stopped == []


@needs_fork
def test_a_child_waits_for_no_lock_and_no_turn_of_its_parent() -> None:
    of_engines = Turns(interval=0)
    with serve(token("a"), END) as server:
        client = client_of(server)
        client.send(ASK)

        def ask() -> None:
            with turn_of(TURNS, ("app", "held"), 5), turn_of(of_engines, ("app", "held"), 5):
                assert client.send(ASK).text == "a"

        held = turn_of(TURNS, ("app", "held")), turn_of(of_engines, ("app", "held"))
        with held[0], held[1], pools._lock:
            in_child(ask)


class Passing:
    """A stream of another loop; whenever it is looked at, one more comes or goes."""

    def __init__(self, streams: set[Any]) -> None:
        self._streams = streams
        self._other = object()

    @property
    def loop(self) -> None:
        self._streams ^= {self._other}

    def get_loop(self) -> None:
        return self.loop


async def test_a_loop_ends_while_streams_of_others_come_and_go(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("ASYNC", "LEAVING"):
        streams: set[Any] = set()
        streams |= {Passing(streams) for _ in range(3)}
        monkeypatch.setattr(open_streams, name, streams)
    await open_streams.leave_with(asyncio.get_running_loop())
    assert len(open_streams.ASYNC) == len(open_streams.LEAVING) == 6
