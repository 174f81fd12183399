"""The shared connections: what a server may send, and the ways there."""

from __future__ import annotations

import asyncio
import base64
import io
import socket
import ssl
import threading
import time
from collections.abc import Callable
from importlib.util import find_spec

import pytest
import trustme

from dify_api import AsyncDifyClient, DifyClient, application, documents
from dify_api._transport.connection_pool import ConnectionPool
from dify_api._transport.exchange import Exchange
from dify_api.errors import ConnectionFailedError, RequestTimeoutError
from tests.support.replay import ReplayServer, Reply
from tests.support.tunnel import TunnelProxy

JSON = {"content-type": "application/json"}
INFO = b'{"name": "Planets"}'
WHOLE = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 19\r\n\r\n" + INFO
LIMITS = {"connect": 5.0, "read": 5.0, "write": 5.0}


class RawServer:
    """Sends bytes to each connection once a request has come, then closes it or holds it."""

    def __init__(self, *sent: bytes, holds: bool = False) -> None:
        self._sent, self._holds = sent, holds
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.base_url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/v1"
        self.connections: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections.append(connection)
            connection.recv(65_536)
            for piece in self._sent:
                connection.sendall(piece)
            if not self._holds:
                connection.close()

    def __enter__(self) -> RawServer:
        return self

    def __exit__(self, *exc: object) -> None:
        self._listener.close()
        for connection in self.connections:
            connection.close()


Ask = Callable[..., str]


def sync_ask(server: RawServer, progress_timeout: float | None = None) -> str:
    client = DifyClient("app-key", base_url=server.base_url, max_retries=0)
    client.connection.progress_timeout = progress_timeout
    return client.send(application.info()).name


def async_ask(server: RawServer, progress_timeout: float | None = None) -> str:
    client = AsyncDifyClient("app-key", base_url=server.base_url, max_retries=0)
    client.connection.progress_timeout = progress_timeout
    return asyncio.run(client.send(application.info())).name


@pytest.fixture(params=[sync_ask, async_ask], ids=["sync", "async"])
def ask(request: pytest.FixtureRequest) -> Ask:
    return request.param


def test_a_hint_before_the_reply_is_no_reply(ask: Ask) -> None:
    hint = b"HTTP/1.1 103 Early Hints\r\nlink: </style.css>\r\n\r\n"
    with RawServer(hint, hint + WHOLE) as server:
        assert ask(server) == "Planets"


@pytest.mark.parametrize(
    "sent",
    [
        WHOLE[:40],
        WHOLE[:60] + b"\r\n",
        WHOLE[:-3],
        b"HTTP/1.1 200 OK\r\nno header\r\n\r\n" + INFO,
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n13\r\n" + INFO[:-3],
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n" + INFO,
        b"HTTP/1.1 200 OK\r\nname: " + b"x" * 70_000 + b"\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.6\r\n",
    ],
    ids=range(8),
)
def test_what_is_no_whole_reply_is_a_failure(ask: Ask, sent: bytes) -> None:
    with RawServer(sent) as server, pytest.raises(ConnectionFailedError) as raised:
        ask(server)
    assert raised.value.sent


def test_hints_without_end_come_to_an_end(ask: Ask) -> None:
    hint = b"HTTP/1.1 102 Processing\r\n\r\n"
    with RawServer(hint, holds=True) as server, pytest.raises(RequestTimeoutError):
        ask(server, progress_timeout=0.2)


def test_a_reply_that_ends_with_its_connection(ask: Ask) -> None:
    with RawServer(b"HTTP/1.0 200 OK\r\ncontent-type: application/json\r\n\r\n", INFO) as server:
        assert ask(server) == "Planets"


class Shrinking(io.BytesIO):
    """A file that ends before its length, or fails."""

    def __init__(self, fails: bool) -> None:
        super().__init__(b"x" * 300_000)
        self._fails = fails

    def read(self, size: int | None = -1) -> bytes:
        if self.tell() < 100_000:
            return super().read(size)
        if self._fails:
            raise OSError("the disk is gone")
        return b""


@pytest.mark.parametrize(("fails", "told"), [(True, "disk is gone"), (False, "has changed")])
def test_a_file_that_fails_while_it_is_sent(fails: bool, told: str) -> None:
    call = documents.create_by_file(
        "f0f0f0f0-0000-4000-8000-000000000000", Shrinking(fails), name="a.txt"
    )
    with RawServer(holds=True) as server, pytest.raises(ConnectionFailedError, match=told):
        DifyClient("app-key", base_url=server.base_url, max_retries=0).send(call)


def pool(
    base_url: str, proxy: str | None = None, authority: trustme.CA | None = None
) -> ConnectionPool:
    tls = ssl.create_default_context()
    if authority is not None:
        authority.configure_trust(tls)
    return ConnectionPool(
        base_url.removesuffix("/v1"), tls, proxy, keepalive_expiry=1.0, max_keepalive=2
    )


def get(connections: ConnectionPool) -> Exchange:
    exchange = connections.exchange(LIMITS)
    exchange.begin("GET", "/v1/info", {"Host": "server"}, None)
    return exchange


def counted(server: ReplayServer) -> Callable[[], int]:
    return lambda: len(server._connections)


def test_a_connection_serves_again_once_its_body_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    with ReplayServer(lambda _: Reply(200, JSON, [INFO])) as server:
        connections, opened = pool(server.base_url), counted(server)
        for _ in range(3):
            assert b"".join(get(connections).pieces()) == INFO
        assert opened() == 1
        left = get(connections)  # and not read
        left.close()
        assert b"".join(get(connections).pieces()) == INFO
        assert opened() == 2
        now = time.monotonic()
        monkeypatch.setattr("dify_api._transport.connection_pool.time.monotonic", lambda: now + 2)
        assert b"".join(get(connections).pieces()) == INFO
        assert opened() == 3
        server._connections[-1].shutdown(socket.SHUT_RDWR)
        assert b"".join(get(connections).pieces()) == INFO
        assert opened() == 4
        at_once = [get(connections) for _ in range(4)]
        assert opened() == 7
        assert [b"".join(exchange.pieces()) for exchange in at_once] == [INFO] * 4
        assert len(connections._idle) == 2
        connections.close()


@pytest.mark.parametrize("more", [b"\r\n", WHOLE], ids=["a line", "another reply"])
def test_what_comes_after_a_reply_is_the_reply_to_nothing(more: bytes) -> None:
    with RawServer(WHOLE + more, holds=True) as server:
        connections = pool(server.base_url)
        for times in (1, 2):
            assert b"".join(get(connections).pieces()) == INFO
            assert len(server.connections) == times
            assert not connections._idle


def test_a_socks_proxy_takes_the_extra_of_httpx() -> None:
    if find_spec("socksio"):
        pytest.skip("the extra is installed")
    client = DifyClient("app-key", base_url="http://socks.invalid/v1", proxy="socks5://127.0.0.1:1")
    with pytest.raises(ImportError, match=r"httpx\[socks\]"):
        client.send(application.info())


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_tunnel_through_a_proxy(scheme: str) -> None:
    authority = trustme.CA()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    credentials = "Basic " + base64.b64encode("mé:pass:word@".encode()).decode()
    with (
        ReplayServer(lambda _: Reply(200, JSON, [INFO]), tls=tls) as server,
        TunnelProxy(credentials, tls if scheme == "https" else None) as proxy,
    ):
        way = f"{scheme}://m%C3%A9:pass%3Aword%40@{proxy.address}"
        connections = pool(server.base_url, way, authority)
        for _ in range(2):
            assert b"".join(get(connections).pieces()) == INFO
        assert len(proxy.heads) == 1
        assert "authorization" not in "".join(server.requests[0].headers).lower()
        with pytest.raises(Exception, match="407") as raised:
            get(pool(server.base_url, f"{scheme}://{proxy.address}", authority))
        assert getattr(raised.value, "kind", None) == "ConnectError"
        connections.close()
