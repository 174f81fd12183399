"""Both clients on a real socket: retries, limits, redirects, proxies, headers, pools."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType
from typing import Any, TypeVar

import httpx
import pytest
from tenacity import RetryCallState

from dify_api import AsyncDifyClient, DifyClient, application, audio, chat, errors, feedback
from dify_api._replies import error_from_reply
from dify_api._transport import retry as retry_module
from dify_api._transport.pools import shared_async_pool, shared_pool
from dify_api._transport.retry import LONGEST_WAIT, wait_seconds
from dify_api.operation import Operation
from tests.support.replay import Received, ReplayServer, Reply

T = TypeVar("T")
Send = Callable[..., Awaitable[Any]]

MESSAGE = chat.send_message("Hello", user="ann")
ANSWER = b'{"answer": "Hi", "message_id": "m"}'
TOO_MANY = b'{"code": "invalid_param", "message": "Too many requests. Please try again later."}'


def reply(body: bytes = b'{"name": "Planets"}', status: int = 200, **headers: str) -> Reply:
    return Reply(status, {"content-type": "application/json", **headers}, [body])


def serve(*replies: Reply) -> ReplayServer:
    """A server that gives these replies in turn, and the last of them ever after."""
    waiting = list(replies)
    return ReplayServer(lambda _: waiting.pop(0) if len(waiting) > 1 else waiting[0])


async def sync_send(operation: Operation[T], **settings: Any) -> T:
    client = DifyClient("app-secret", **settings)
    return await asyncio.to_thread(client.send, operation)


async def async_send(operation: Operation[T], **settings: Any) -> T:
    return await AsyncDifyClient("app-secret", **settings).send(operation)


@pytest.fixture(params=[sync_send, async_send], ids=["sync", "async"])
def send(request: pytest.FixtureRequest) -> Send:
    return request.param


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry_module, "wait_seconds", lambda state, longest: 0.0)


# Retries -------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504, 524])
async def test_reads_are_repeated(send: Send, at_once: None, status: int) -> None:
    with serve(reply(b"", status), reply(b"", status), reply()) as server:
        assert (await send(application.info(), base_url=server.base_url)).name == "Planets"
        assert len(server.requests) == 3


async def test_what_may_be_repeated_safely_is(send: Send, at_once: None) -> None:
    rating = feedback.create("00000000-0000-4000-8000-000000000001", "like", user="ann")
    with serve(reply(b"", 500), reply()) as server:
        assert await send(rating, base_url=server.base_url) is None
        assert [r.json["rating"] for r in server.requests] == ["like", "like"]


@pytest.mark.parametrize("max_retries", [0, 1, 3])
async def test_retries_come_to_an_end(send: Send, at_once: None, max_retries: int) -> None:
    with serve(reply(b"", 503)) as server:
        with pytest.raises(errors.ServerError):
            await send(application.info(), base_url=server.base_url, max_retries=max_retries)
        assert len(server.requests) == max_retries + 1


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 413, 415])
async def test_refusals_are_final(send: Send, at_once: None, status: int) -> None:
    with serve(reply(b"{}", status)) as server:
        with pytest.raises(errors.StatusError):
            await send(application.info(), base_url=server.base_url)
        assert len(server.requests) == 1


async def test_a_read_that_breaks_off_is_repeated(send: Send, at_once: None) -> None:
    broken = Reply(200, {"content-type": "application/json"}, [b'{"na'], ending="cut")
    with serve(broken, reply()) as server:
        assert (await send(application.info(), base_url=server.base_url)).name == "Planets"
        assert len(server.requests) == 2


@pytest.mark.parametrize("status", [500, 502, 504])
async def test_a_generation_is_not_repeated_once_it_may_have_begun(
    send: Send, at_once: None, status: int
) -> None:
    with serve(reply(b"", status), reply(ANSWER)) as server:
        with pytest.raises(errors.ServerError):
            await send(MESSAGE, base_url=server.base_url)
        assert len(server.requests) == 1


async def test_a_generation_that_breaks_off_is_not_repeated(send: Send, at_once: None) -> None:
    event = b'data: {"event": "message", "message_id": "m", "task_id": "t", "answer": "Hi"}\n\n'
    broken = Reply(200, {"content-type": "text/event-stream"}, [event], ending="cut")
    with serve(broken, reply(ANSWER)) as server:
        with pytest.raises(errors.StreamInterruptedError) as raised:
            await send(MESSAGE, base_url=server.base_url)
        assert raised.value.answer is not None
        assert raised.value.answer.text == "Hi"
        assert len(server.requests) == 1


@pytest.mark.parametrize(("status", "body"), [(429, b"{}"), (400, TOO_MANY)])
async def test_a_generation_that_was_turned_away_is_repeated(
    send: Send, at_once: None, status: int, body: bytes
) -> None:
    with serve(reply(body, status), reply(ANSWER)) as server:
        assert (await send(MESSAGE, base_url=server.base_url)).text == "Hi"
        assert len(server.requests) == 2


@pytest.mark.parametrize("operation", [MESSAGE, application.info()], ids=lambda o: o.path)
async def test_a_refused_connection_is_tried_again(
    send: Send, operation: Operation[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    with serve(reply()) as gone:
        port = int(gone.base_url.split(":")[2].split("/")[0])
    late = []

    def come_up(state: RetryCallState, longest: float) -> float:
        if not late:
            late.append(ReplayServer(lambda _: reply(ANSWER), port=port).__enter__())
        return 0.0

    monkeypatch.setattr(retry_module, "wait_seconds", come_up)
    try:
        await send(operation, base_url=gone.base_url)
        assert len(late[0].requests) == 1
    finally:
        late[0].__exit__()


async def test_nobody_there(send: Send, at_once: None) -> None:
    with serve(reply()) as gone:
        pass
    with pytest.raises(errors.ConnectionFailedError, match="cannot reach") as raised:
        await send(MESSAGE, base_url=gone.base_url)
    assert (raised.value.sent, raised.value.retryable) == (False, True)


@pytest.mark.parametrize("library", ["aiohttp", "h2.exceptions"])
async def test_a_failure_while_another_thread_imports_a_library(
    monkeypatch: pytest.MonkeyPatch, library: str
) -> None:
    monkeypatch.setitem(sys.modules, library, ModuleType(library))  # nothing in it yet
    with serve(reply()) as gone:
        pass
    with pytest.raises(errors.ConnectionFailedError, match="cannot reach"):
        await sync_send(MESSAGE, base_url=gone.base_url, max_retries=0)


async def test_retry_after_is_honoured(send: Send) -> None:
    turned_away = reply(b"{}", 429, **{"retry-after": "0"})
    with serve(*[turned_away] * 8, reply()) as server:  # our own waits would last minutes
        info = send(application.info(), base_url=server.base_url, max_retries=8)
        assert (await asyncio.wait_for(info, 10)).name == "Planets"


@pytest.mark.parametrize(("header", "seconds"), [("7", 7.0), ("1.5", 1.5), ("86400", LONGEST_WAIT)])
def test_how_long_to_wait(header: str, seconds: float) -> None:
    assert waited(error_from_reply(429, {"retry-after": header}, b"{}", operation="")) == seconds


def test_how_long_to_wait_by_ourselves() -> None:
    failure = error_from_reply(503, {}, b"", operation="GET /info")
    waits = [waited(failure, attempt) for attempt in (1, 2, 3, 10) for _ in range(20)]
    assert all(0 <= wait <= LONGEST_WAIT for wait in waits)
    assert len(set(waits)) > 40  # jitter
    for past in ("Fri, 21 Nov 2025 12:00:00 GMT", "Fri, 21 Nov 2025 12:00:00 -0000", "-7"):
        assert waited(error_from_reply(429, {"retry-after": past}, b"", operation="")) == 0.0
    assert error_from_reply(429, {"retry-after": "soon"}, b"", operation="").retry_after is None


def waited(error: Exception, attempt: int = 1) -> float:
    state = RetryCallState(None, None, (), {})  # type: ignore[arg-type]  # not used by our wait
    state.attempt_number = attempt
    state.set_exception((type(error), error, None))
    return wait_seconds(state)


# Limits --------------------------------------------------------------------------------------


@pytest.fixture
def silent_server() -> Iterator[ReplayServer]:
    over = threading.Event()

    def wait(_: Received) -> Reply:
        over.wait(30)
        return reply()

    with ReplayServer(wait) as server:
        yield server
        over.set()


async def test_a_server_that_does_not_answer(send: Send, silent_server: ReplayServer) -> None:
    settings = {"base_url": silent_server.base_url, "timeout": httpx.Timeout(10, read=0.1)}
    for operation in (application.info(), MESSAGE):
        with pytest.raises(errors.RequestTimeoutError, match=r"no reply within 0\.1 s") as raised:
            await send(operation, max_retries=0, **settings)
        assert (raised.value.sent, raised.value.retryable) == (True, True)


# Redirects, headers, proxies -----------------------------------------------------------------


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_a_key_is_not_taken_along_by_a_redirect(send: Send, status: int) -> None:
    with serve(reply()) as elsewhere:
        redirect = reply(b"", status, location=f"{elsewhere.base_url}/info")
        with serve(redirect) as server:
            async with httpx.AsyncClient(follow_redirects=True) as own_async:
                with httpx.Client(follow_redirects=True) as own_sync:
                    own = {"http_client": own_sync, "http_async_client": own_async}
                    for settings in ({}, own):
                        with pytest.raises(errors.UnexpectedReplyError, match=elsewhere.base_url):
                            await send(application.info(), base_url=server.base_url, **settings)
        assert elsewhere.requests == []


async def test_headers(send: Send) -> None:
    ours = {"X-Trace-Id": "t-1", "authorization": "Bearer other", "accept-encoding": "br"}
    with serve(reply()) as server:
        await send(application.info(), base_url=server.base_url, default_headers=ours)
        (request,) = server.requests
    assert request.headers["authorization"] == "Bearer app-secret"
    assert request.headers["x-trace-id"] == "t-1"
    assert request.headers["accept-encoding"] == "br"


async def test_a_proxy(send: Send) -> None:
    with serve(reply()) as proxy:
        address = proxy.base_url.removesuffix("/v1")
        info = await send(application.info(), base_url="http://dify.invalid/v1", proxy=address)
        assert info.name == "Planets"
        assert [r.path for r in proxy.requests] == ["http://dify.invalid/v1/info"]


@pytest.mark.parametrize("scheme", ["http://", ""])
async def test_the_proxy_of_the_environment(
    send: Send, monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    with serve(reply()) as proxy, serve(reply()) as server:
        address = proxy.base_url.removeprefix("http://").removesuffix("/v1")
        monkeypatch.setenv("http_proxy", scheme + address)
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        host = f"other{len(scheme)}.invalid"  # proxies are looked up once for each server
        await send(application.info(), base_url=f"http://{host}/v1")
        await send(application.info(), base_url=server.base_url)
        assert [r.path for r in proxy.requests] == [f"http://{host}/v1/info"]
        assert [r.path for r in server.requests] == ["/v1/info"]


# Connections ---------------------------------------------------------------------------------


def test_clients_of_one_server_share_their_connections() -> None:
    with serve(reply()) as server:
        one = DifyClient("app-one", base_url=server.base_url)
        two = DifyClient("app-two", base_url=server.base_url + "/")
        assert shared_pool(one.connection) is shared_pool(two.connection)
        assert one.fingerprint != two.fingerprint
        with ThreadPoolExecutor(8) as pool:
            infos = pool.map(lambda _: one.send(application.info()), range(64))
            assert {info.name for info in infos} == {"Planets"}
        assert len(server.requests) == 64


async def test_async_clients_share_their_connections_within_a_loop() -> None:
    with serve(reply()) as server:
        one = AsyncDifyClient("app-one", base_url=server.base_url)
        two = AsyncDifyClient("app-two", base_url=server.base_url)
        assert shared_async_pool(one.connection) is shared_async_pool(two.connection)
        infos = await asyncio.gather(*[c.send(application.info()) for c in [one, two] * 32])
        assert {info.name for info in infos} == {"Planets"}


def test_event_loops_come_and_go() -> None:
    with serve(reply()) as server:
        client = AsyncDifyClient("app-test", base_url=server.base_url)
        for _ in range(3):
            assert asyncio.run(client.send(application.info())).name == "Planets"


SUCCESSIVE_LOOPS = """
import asyncio, sys
from dify_api import AsyncDifyClient, DifyClient, application, chat

async def main():
    client = AsyncDifyClient("app-test", base_url=sys.argv[1])
    print((await client.send(application.info())).name)
    async with client.stream(chat.send_message("Hi", user="ann")) as stream:
        async for event in stream:
            break

DifyClient("app-test", base_url=sys.argv[1]).send(application.info())
asyncio.run(main())
asyncio.run(main())
"""


def test_nothing_is_left_open_at_exit() -> None:
    with serve(reply()) as server:
        run = subprocess.run(
            [
                sys.executable,
                "-W",
                "always::ResourceWarning",
                "-c",
                SUCCESSIVE_LOOPS,
                server.base_url,
            ],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert (run.returncode, run.stdout, run.stderr) == (0, "Planets\nPlanets\n", "")


async def test_a_client_of_ones_own_is_used_and_left_open() -> None:
    with serve(reply()) as server:
        seen: list[str] = []

        async def note(request: httpx.Request) -> None:
            seen.append(f"async {request.url.path}")

        with httpx.Client(
            event_hooks={"request": [lambda r: seen.append(f"sync {r.url.path}")]}
        ) as own:
            client = DifyClient("app-test", base_url=server.base_url, http_client=own)
            client.send(application.info())
            del client
            gc.collect()
            assert not own.is_closed
        async with httpx.AsyncClient(event_hooks={"request": [note]}) as own_async:
            async_client = AsyncDifyClient(
                "app-test", base_url=server.base_url, http_async_client=own_async
            )
            await async_client.send(application.info())
            assert not own_async.is_closed
    assert seen == ["sync /v1/info", "async /v1/info"]


# Files ---------------------------------------------------------------------------------------


async def test_speech_arrives_as_it_is_spoken() -> None:
    heard = threading.Event()
    spoken = Reply(
        200, {"content-type": "audio/mpeg"}, [b"one", lambda: heard.wait(10) and None, b"two"]
    )
    operation = audio.to_speech("Hello", user="ann")
    with serve(spoken) as server:
        pieces = DifyClient("app-test", base_url=server.base_url).stream_bytes(operation)
        assert next(pieces) == b"one"
        heard.set()
        assert b"".join(pieces) == b"two"
        heard.clear()
        async_client = AsyncDifyClient("app-test", base_url=server.base_url)
        async_pieces = async_client.stream_bytes(operation)
        assert await anext(async_pieces) == b"one"
        heard.set()
        assert b"".join([piece async for piece in async_pieces]) == b"two"


async def test_speech_that_is_none() -> None:
    operation = audio.to_speech("Hello", user="ann")
    with serve(reply(b"null")) as server:
        with pytest.raises(errors.UnexpectedReplyError, match="no file"):
            list(DifyClient("app-test", base_url=server.base_url).stream_bytes(operation))
        pieces = AsyncDifyClient("app-test", base_url=server.base_url).stream_bytes(operation)
        with pytest.raises(errors.UnexpectedReplyError, match="no file"):
            await anext(pieces)


async def test_speech_that_breaks_off() -> None:
    broken = Reply(200, {"content-type": "audio/mpeg"}, [b"one"], ending="cut")
    operation = audio.to_speech("Hello", user="ann")
    with serve(broken) as server:
        with pytest.raises(errors.ConnectionFailedError):
            list(DifyClient("app-test", base_url=server.base_url).stream_bytes(operation))
        client = AsyncDifyClient("app-test", base_url=server.base_url)
        with pytest.raises(errors.ConnectionFailedError):
            [piece async for piece in client.stream_bytes(operation)]


def test_credentials_in_the_base_url_are_refused_without_being_shown() -> None:
    with pytest.raises(ValueError, match="default_headers") as raised:
        DifyClient("app-x", base_url="https://ann:hidden@dify.example.com/v1")
    assert "hidden" not in str(raised.value)
