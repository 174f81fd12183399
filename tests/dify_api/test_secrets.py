"""The API key is sent to the server, and shown nowhere else."""

from __future__ import annotations

import logging
import pickle
import socket
import traceback
from collections.abc import Callable
from typing import Any

import pytest

from dify_api import AsyncDifyClient, DifyClient, DifyError, application, chat, conversations
from dify_api._transport.requests import build_request
from dify_api.operation import Operation
from tests.support.replay import ReplayServer, Reply

KEY = "app-Kk3zVerySecretKey"
MESSAGE = chat.send_message("Hello", user="ann")
UNAUTHORIZED = Reply(
    401,
    {"content-type": "application/json"},
    [b'{"code": "unauthorized", "message": "Access token is invalid", "status": 401}'],
)


def refuse() -> ReplayServer:
    return ReplayServer(lambda _: UNAUTHORIZED)


def break_off() -> ReplayServer:
    return ReplayServer(
        lambda _: Reply(200, {"content-type": "text/event-stream"}, [b"data: {"], ending="cut")
    )


def garble() -> ReplayServer:
    return ReplayServer(lambda _: Reply(200, {"no header": "name has a space"}))


def close() -> ReplayServer:
    server = ReplayServer(lambda _: UNAUTHORIZED)
    server.__exit__()
    return server


def test_clients_do_not_show_it() -> None:
    for kind in (DifyClient, AsyncDifyClient):
        client = kind(KEY, base_url="http://127.0.0.1/v1", proxy="http://me:password@proxy")
        shown = f"{client!r} {client} {client.connection!r} {client.fingerprint}"
        assert KEY not in shown
        assert "password" not in shown
        request = build_request(client.connection, application.info(), {}, None)
        assert KEY not in f"{request!r} {request.headers!r}"
        with pytest.raises(TypeError, match="cannot be pickled"):
            pickle.dumps(client)


@pytest.mark.parametrize("fail", [refuse, break_off, garble, close])
@pytest.mark.parametrize("operation", [MESSAGE, application.info()], ids=lambda o: o.path)
async def test_errors_do_not_hold_it(
    fail: Callable[[], ReplayServer], operation: Operation[Any], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    caught: list[DifyError] = []
    with fail() as server:
        try:
            DifyClient(KEY, base_url=server.base_url, max_retries=0).send(operation)
        except DifyError as error:
            caught.append(error)
        try:
            await AsyncDifyClient(KEY, base_url=server.base_url, max_retries=0).send(operation)
        except DifyError as error:
            caught.append(error)
    assert len(caught) == 2
    for error in caught:
        assert KEY not in f"{error!s} {error!r} {vars(error)}"
        restored = pickle.loads(pickle.dumps(error))
        assert (type(restored), str(restored)) == (type(error), str(error))
        assert vars(restored).keys() == vars(error).keys()
        assert KEY.encode() not in pickle.dumps(error)
        link: BaseException | None = error
        while link is not None:
            shown = traceback.TracebackException.from_exception(link, capture_locals=True)
            assert KEY not in "".join(shown.format())
            assert KEY not in f"{link!r} {vars(link)}"
            request = getattr(link, "_request", None)
            assert request is None or "authorization" not in request.headers
            link = link.__cause__ or link.__context__
    assert KEY not in caplog.text


@pytest.mark.parametrize("kind", [DifyClient, AsyncDifyClient])
async def test_errors_do_not_name_the_end_user(kind: type[DifyClient | AsyncDifyClient]) -> None:
    """Who is in the query of addresses, which HTTP libraries show in their errors."""
    operation = conversations.list_conversations(user="ann-of-green-gables")
    with garble() as garbled, socket.create_server(("127.0.0.1", 0)) as silent:
        secure = f"https://127.0.0.1:{silent.getsockname()[1]}/v1"
        for base_url in (garbled.base_url, secure):
            client = kind(KEY, base_url=base_url, timeout=0.2, max_retries=0)
            with pytest.raises(DifyError) as raised:
                result = client.send(operation)
                if isinstance(client, AsyncDifyClient):
                    await result
            assert "green-gables" not in "".join(traceback.format_exception(raised.value))


@pytest.mark.parametrize("value", [float("nan"), object()], ids=["NaN", "object"])
async def test_what_cannot_be_written_as_json_does_not_show_it(value: object) -> None:
    options: Any = {"base_url": "http://127.0.0.1:9/v1", "default_headers": {"X-Team": KEY}}
    operation = chat.send_message("Hello", user="ann", inputs={"x": value})
    clients = DifyClient(KEY, **options), AsyncDifyClient(KEY, **options)
    del options  # of this frame
    with pytest.raises((ValueError, TypeError), match="JSON") as sync:
        clients[0].send(operation)
    with pytest.raises((ValueError, TypeError), match="JSON") as by_async:
        await clients[1].send(operation)
    for raised in (sync, by_async):
        shown = traceback.TracebackException.from_exception(raised.value, capture_locals=True)
        assert KEY not in "".join(shown.format())


@pytest.mark.parametrize("key", ["", "  ", None])
def test_a_missing_key_is_told_at_once(key: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DIFY_API_KEY", raising=False)
    with pytest.raises(ValueError, match="DIFY_API_KEY"):
        DifyClient(key)


def test_a_key_that_cannot_be_sent_is_refused_without_being_shown() -> None:
    with pytest.raises(ValueError, match="copy it again") as raised:
        DifyClient("app-ключ")
    assert "ключ" not in str(raised.value)


def test_key_and_address_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIFY_API_KEY", f" {KEY}\n")
    monkeypatch.setenv("DIFY_BASE_URL", "http://dify.example/v1/")
    connection = DifyClient().connection
    assert connection.key.get_secret_value() == KEY
    assert connection.base_url == "http://dify.example/v1"
    monkeypatch.delenv("DIFY_BASE_URL")
    assert DifyClient().connection.base_url == "https://api.dify.ai/v1"
    with pytest.raises(ValueError, match="must be a URL"):
        DifyClient(base_url="dify.example/v1")
    with pytest.raises(ValueError, match="must be a URL"):
        DifyClient(base_url="http://dify.example:99999/v1")


@pytest.mark.parametrize(
    "tail",
    [
        "/v1?token=SECRET",
        "/v1#SECRET",
        "/v1?",
        "/v1\nSECRET",
        "/v1\r\nX-Header: SECRET",
        "/SECRET v1",
        "/SECRET\tv1",
        "\\SECRET",
        "@SECRET/v1",
        "/SECRET\u2028x",
    ],
)
@pytest.mark.parametrize("scheme", ["https://", "http://", ""])
def test_a_base_url_that_is_more_than_an_address(scheme: str, tail: str) -> None:
    with pytest.raises(ValueError, match="base_url must") as raised:
        DifyClient(KEY, base_url=f"{scheme}dify.example{tail}/x")
    assert "SECRET" not in _told(raised.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("X-Gateway", "SECRET\r\nX-Other: 1"),
        ("X-Gateway", "SECRET\n"),
        ("X-Gateway", "SECRET\x00"),
        ("X-Gateway", "SECRETé"),
        ("X-Gateway", "SECRET\u20ac"),
        ("X SECRET", "1"),
        ("SECRET\r\nX", "1"),
        ("", "SECRET"),
        ("Content-Length", "SECRET"),
        ("Transfer-Encoding", "SECRET"),
        ("Expect", "SECRET"),
    ],
)
def test_a_header_that_cannot_be_sent_is_refused_without_being_shown(name: str, value: str) -> None:
    for kind in (DifyClient, AsyncDifyClient):
        with pytest.raises(ValueError, match="default_headers") as raised:
            kind(KEY, default_headers={name: value})
        assert "SECRET" not in _told(raised.value)


@pytest.mark.parametrize("proxy", ["ftp://me:SECRET@proxy", "http://me:SECRET@", "me:SECRET@p:x"])
def test_a_proxy_that_is_none_is_refused_without_being_shown(proxy: str) -> None:
    with pytest.raises(ValueError, match="proxy must") as raised:
        DifyClient(KEY, proxy=proxy)
    assert "SECRET" not in _told(raised.value)


def _told(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))
