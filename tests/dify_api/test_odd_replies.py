"""Replies that are no Dify's: hang-ups, pages, nonsense. Each is a `DifyError`."""

from __future__ import annotations

import asyncio
import contextlib
import io
import socket
import threading
import time
import uuid
from typing import Any

import pytest

from dify_api import (
    AsyncDifyClient,
    DifyClient,
    application,
    chat,
    conversations,
    errors,
    feedback,
    files,
    workflows,
)
from dify_api.operation import Operation
from tests.support.dribble import Dribble
from tests.support.replay import ReplayServer, Reply

Kind = type[DifyClient | AsyncDifyClient]

MESSAGE = chat.send_message("Hello", user="ann")


async def send(kind: Kind, operation: Operation[Any], url: str, **options: Any) -> Any:
    result = kind("app-secret", base_url=url, **{"max_retries": 0, **options}).send(operation)
    return await result if kind is AsyncDifyClient else result


@pytest.fixture(params=[DifyClient, AsyncDifyClient])
def kind(request: pytest.FixtureRequest) -> Kind:
    return request.param


async def test_a_server_that_hangs_up_did_not_time_out(kind: Kind) -> None:
    with ReplayServer(lambda _: Reply()) as server:

        def hang_up(_: object) -> Reply:
            server.__exit__()
            return Reply()

        server.reply = hang_up
        with pytest.raises(
            errors.ConnectionFailedError, match="broke before the whole reply"
        ) as raised:
            await send(kind, MESSAGE, server.base_url)
    assert type(raised.value) is errors.ConnectionFailedError
    assert raised.value.sent


async def test_a_page_is_no_confirmation(kind: Kind) -> None:
    page = Reply(200, {"content-type": "text/html"}, [b"<html>Sign in</html>"])
    with ReplayServer(lambda _: page) as server:
        rating = feedback.create(str(uuid.uuid4()), "like", user="ann")
        with pytest.raises(errors.UnexpectedReplyError, match="base_url"):
            await send(kind, rating, server.base_url)


@pytest.mark.parametrize("status", [200, 400])
@pytest.mark.parametrize("operation", [MESSAGE, application.info()], ids=lambda o: o.path)
async def test_json_that_is_nested_without_end(
    kind: Kind, operation: Operation[Any], status: int
) -> None:
    nested = Reply(status, {"content-type": "application/json"}, [b"[" * 200_000])
    expected = errors.UnexpectedReplyError if status == 200 else errors.BadRequestError
    with ReplayServer(lambda _: nested) as server, pytest.raises(expected):
        await send(kind, operation, server.base_url)


async def test_a_body_that_cannot_be_decompressed_is_named(kind: Kind) -> None:
    odd = Reply(200, {"content-type": "application/json", "content-encoding": "br"}, [b"\x0b\x02"])
    with ReplayServer(lambda _: odd) as server:
        for operation in (application.info(), MESSAGE):
            with pytest.raises(errors.UnexpectedReplyError, match="compressed as 'br'"):
                await send(kind, operation, server.base_url)


async def test_half_a_surrogate_pair_is_sent_escaped(kind: Kind) -> None:
    with ReplayServer(lambda _: Reply(200, {}, [b'{"answer": "ok"}'])) as server:
        await send(kind, chat.send_message("a\ud800b", user="ann"), server.base_url)
        [request] = server.requests
    assert b'"a\\ud800b"' in request.body
    assert request.json["query"] == "a\ud800b"


async def test_half_a_surrogate_pair_in_a_url_is_a_clear_error(kind: Kind) -> None:
    with ReplayServer(lambda _: Reply()) as server:
        with pytest.raises(ValueError, match="user holds half of a surrogate pair"):
            await send(kind, conversations.list_conversations(user="\udc00"), server.base_url)


async def test_tls_that_fails_is_not_tried_again(kind: Kind) -> None:
    """A server that speaks plain HTTP: what a wrong scheme in base_url meets."""
    server = Dribble(b"", at_once=b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")
    with server as base_url:
        with pytest.raises(errors.TLSFailedError, match="verify") as raised:
            await send(kind, MESSAGE, base_url.replace("http:", "https:"), max_retries=2)
        assert not raised.value.retryable
        assert server.connections == 1


async def test_connections_that_the_server_closed_while_the_loop_stood_still() -> None:
    answer = Reply(200, {"content-type": "application/json"}, [b'{"answer": "ok"}'])
    with ReplayServer(lambda _: answer) as server:
        client = AsyncDifyClient("app-x", base_url=server.base_url, max_retries=0)
        for _ in range(10):
            await asyncio.gather(*(client.send(MESSAGE) for _ in range(3)))
            for connection in server._connections:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
            time.sleep(0.01)  # noqa: ASYNC251 - the loop stands still
            assert (await client.send(MESSAGE)).text == "ok"


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
async def test_no_library_below_repeats_what_may_have_been_done(kind: Kind, method: str) -> None:
    """They do with methods that HTTP calls idempotent; a second DELETE is told "not found"."""
    operation = Operation(method, "/things", dict, json=None if method == "GET" else {})
    server = Dribble(b"")  # which hangs up when it has the request
    with server as base_url, pytest.raises(errors.ConnectionFailedError):
        await send(kind, operation, base_url)
    assert server.connections == 1


@pytest.mark.parametrize(
    "operation",
    [
        Operation("POST", "/things", dict, json={"text": "x" * 10_000_000}),
        files.upload(io.BytesIO(b"x" * 10_000_000), name="a.txt", user="ann"),
    ],
    ids=["JSON", "file"],
)
async def test_a_body_that_the_server_does_not_read(kind: Kind, operation: Operation[Any]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        base_url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        with pytest.raises(errors.RequestTimeoutError):
            await asyncio.wait_for(send(kind, operation, base_url, timeout=0.3), 10)


async def test_large_bodies_arrive_whole(kind: Kind) -> None:
    text = "héllo " * 50_000
    call = Operation("POST", "/things", dict, json={"text": text})
    success = Reply(200, {"content-type": "application/json"}, [b'{"result": "success"}'])
    with ReplayServer(lambda _: success) as server:
        assert await send(kind, call, server.base_url) == {"result": "success"}
        assert server.requests[0].json == {"text": text}
        assert "content-length" in server.requests[0].headers


async def test_plain_http_to_a_port_of_https(kind: Kind) -> None:
    page = b"<html><title>400 The plain HTTP request was sent to HTTPS port</title></html>"
    with (
        ReplayServer(lambda _: Reply(400, {"content-type": "text/html"}, [page])) as server,
        pytest.raises(errors.BadRequestError, match=r"begins with .https://"),
    ):
        await send(kind, MESSAGE, server.base_url)


async def test_a_host_that_cannot_be(kind: Kind) -> None:
    with pytest.raises(errors.ConnectionFailedError, match=r"cannot reach .*IDNA") as raised:
        await send(kind, MESSAGE, "http://\N{SNOWMAN}.example/v1")
    assert not raised.value.sent


def test_asyncio_is_what_it_takes() -> None:
    call = AsyncDifyClient("app-x").send(application.info())
    with pytest.raises(RuntimeError, match="runs on asyncio"):
        call.send(None)


@pytest.mark.parametrize(
    ("operation", "words"),
    [
        (application.info(), "Raise timeout."),
        (MESSAGE, "before the first token"),
        (chat.send_message("Hi", user="ann", response_mode="blocking"), "or stream"),
    ],
)
async def test_a_timeout_advises_what_helps_with_this_call(
    kind: Kind, operation: Operation[object], words: str
) -> None:
    over = threading.Event()

    def wait(_: object) -> Reply:
        over.wait(10)
        return Reply()

    with ReplayServer(wait) as server:
        with pytest.raises(errors.RequestTimeoutError) as raised:
            await send(kind, operation, server.base_url, timeout=0.1)
        over.set()
    assert words in str(raised.value)


async def test_a_broken_attachment_is_not_told_about_refusals(kind: Kind) -> None:
    ping = Reply(200, {"content-type": "text/event-stream"}, [b"event: ping\n\n"])
    with ReplayServer(lambda _: ping) as server:
        with pytest.raises(errors.StreamInterruptedError) as raised:
            await send(kind, workflows.events(str(uuid.uuid4()), user="ann"), server.base_url)
    assert "1.13" not in str(raised.value)


async def test_a_long_retry_after_is_cut_to_the_timeout(kind: Kind) -> None:
    replies = [
        Reply(429, {"retry-after": "99999"}, [b"{}"]),
        Reply(200, {"content-type": "application/json"}, [b'{"answer": "ok"}']),
    ]
    with ReplayServer(lambda _: replies.pop(0)) as server:
        began = time.monotonic()
        await send(kind, MESSAGE, server.base_url, timeout=0.5, max_retries=1)
        assert time.monotonic() - began < 3
