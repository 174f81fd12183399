"""The way to a server: proxies, of the environment too, and certificates; sync and async alike."""

from __future__ import annotations

import asyncio
import base64
import socket
import ssl
import sys
import warnings
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from dify_api import AsyncDifyClient, DifyClient, application, chat
from dify_api._transport.proxies import forget_environment, proxy_of
from dify_api.connection import Connection
from dify_api.errors import (
    ConnectionFailedError,
    ProxyAuthenticationError,
    StatusError,
    TLSFailedError,
)
from dify_api.operation import Operation
from tests.support.replay import ReplayServer, Reply, through_proxy
from tests.support.tunnel import TunnelProxy

Send = Callable[..., Awaitable[Any]]

INFO = Reply(200, {"content-type": "application/json"}, [b'{"name": "Planets"}'])
CREDENTIALS = "Basic " + base64.b64encode(b"me:pass:word@").decode()
PASSWORD = "pass%3Aword%40"


async def sync_send(operation: Operation[Any], **options: Any) -> Any:
    return await asyncio.to_thread(DifyClient("app-secret", **options).send, operation)


async def async_send(operation: Operation[Any], **options: Any) -> Any:
    return await AsyncDifyClient("app-secret", **options).send(operation)


@pytest.fixture(params=[sync_send, async_send], ids=["sync", "async"])
def send(request: pytest.FixtureRequest) -> Send:
    return request.param


@pytest.fixture(autouse=True)
def _looked_at_anew() -> Iterator[None]:
    """No test knows the environment of the one before."""
    forget_environment()
    yield
    forget_environment()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ssl.SSLContext]:
    """The file of an authority, and the TLS of a server that it knows."""
    ca = trustme.CA()
    file = tmp_path_factory.mktemp("authority") / "ca.pem"
    ca.cert_pem.write_to_path(str(file))
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("127.0.0.1").configure_cert(tls)
    return file, tls


@pytest.fixture
def server() -> Iterator[ReplayServer]:
    with ReplayServer(lambda _: INFO) as running:
        yield running


@pytest.fixture
def secure(authority: tuple[Path, ssl.SSLContext]) -> Iterator[ReplayServer]:
    with ReplayServer(lambda _: INFO, tls=authority[1]) as running:
        yield running


@pytest.fixture
def silent() -> Iterator[str]:
    """Address of a server that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"127.0.0.1:{listener.getsockname()[1]}"


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def set_only(**variables: str) -> None:
        for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
            monkeypatch.delenv(name.upper(), raising=False)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

    return set_only


@pytest.mark.parametrize(
    ("no_proxy", "base_url", "goes_by_it"),
    [
        ("dify.example.com:8080", "http://dify.example.com:8080/v1", False),
        ("dify.example.com:80", "http://dify.example.com:8080/v1", True),
        ("127.0.0.1:5001", "http://127.0.0.1:5001/v1", False),
        ("::1", "http://[::1]:5001/v1", False),
        ("[::1]:5001", "http://[::1]:5001/v1", False),
        ("foo, example.com", "https://dify.example.com/v1", False),
        (".example.com", "https://dify.example.com/v1", False),
        ("example.com", "https://notexample.com/v1", True),
        ("*", "https://dify.example.com/v1", False),
        ("", "https://dify.example.com/v1", True),
    ],
)
def test_hosts_that_need_no_proxy(
    environment: Callable[..., None], no_proxy: str, base_url: str, goes_by_it: bool
) -> None:
    environment(ALL_PROXY=" proxy.example.com:3128 ", NO_PROXY=no_proxy)
    proxy = proxy_of(Connection.of("app-x", base_url=base_url))
    assert proxy == ("http://proxy.example.com:3128" if goes_by_it else None)


@pytest.mark.parametrize(
    "proxy", ["http://", "socks4://h:1", "ftp://h:1", "h:1:2", "http://me:pass@h:99999"]
)
async def test_what_the_environment_has_that_is_no_proxy(
    send: Send, environment: Callable[..., None], proxy: str, request: pytest.FixtureRequest
) -> None:
    environment(all_proxy=proxy)
    with pytest.raises(ValueError, match="ALL_PROXY of the environment") as raised:
        await send(application.info(), base_url="http://nowhere.invalid/v1")
    assert "pass" not in str(raised.value).replace("user:password", "")


async def test_a_proxy_that_is_set_once_it_was_missed(
    send: Send, environment: Callable[..., None], request: pytest.FixtureRequest
) -> None:
    """In a notebook: the first call fails, the variable is set, the next one goes by the proxy."""
    base_url = f"http://missed-{request.node.callspec.id}.invalid/v1"
    environment()
    with pytest.raises(
        ConnectionFailedError, match=r"cannot reach http://missed-\w+\.invalid/v1: "
    ):
        await send(application.info(), base_url=base_url, max_retries=0)
    with ReplayServer(lambda _: INFO) as proxy:
        environment(HTTP_PROXY=proxy.base_url.removesuffix("/v1"))
        assert (await send(application.info(), base_url=base_url)).name == "Planets"


async def test_an_authority_that_is_set_once_it_was_missed(
    send: Send,
    secure: ReplayServer,
    authority: tuple[Path, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(TLSFailedError):
        await send(application.info(), base_url=secure.base_url)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority[0]))
    assert (await send(application.info(), base_url=secure.base_url)).name == "Planets"


async def test_a_dead_proxy_is_named(send: Send, server: ReplayServer) -> None:
    with pytest.raises(
        ConnectionFailedError, match=r"through the proxy http://127\.0\.0\.1:1: "
    ) as it:
        await send(
            application.info(),
            base_url=server.base_url,
            proxy="http://me:secret@127.0.0.1:1",
            max_retries=0,
        )
    assert not it.value.sent
    assert "NO_PROXY" in str(it.value)
    assert "secret" not in str(it.value)


async def test_a_proxy_is_told_its_credentials_without_a_warning(
    send: Send, server: ReplayServer, secure: ReplayServer, authority: tuple[Path, Any]
) -> None:
    with TunnelProxy(CREDENTIALS) as tunnel, warnings.catch_warnings():
        warnings.simplefilter("error", DeprecationWarning)
        plain_way = through_proxy(server.base_url, PASSWORD)
        await send(application.info(), base_url=server.base_url, proxy=plain_way)
        await send(
            application.info(),
            base_url=secure.base_url,
            proxy=f"http://me:{PASSWORD}@{tunnel.address}",
            verify=authority[0],
        )
    assert server.requests[0].headers["proxy-authorization"] == CREDENTIALS
    assert "proxy-authorization" not in secure.requests[0].headers


async def test_wrong_credentials_of_a_proxy(
    send: Send, secure: ReplayServer, authority: tuple[Path, Any]
) -> None:
    with TunnelProxy(CREDENTIALS) as tunnel:
        with pytest.raises(ProxyAuthenticationError, match=r"407.*user:password@") as raised:
            await send(
                chat.send_message("Hello", user="ann"),
                base_url=secure.base_url,
                proxy=f"http://me:wrong@{tunnel.address}",
                verify=authority[0],
            )
        assert len(tunnel.heads) == 1
    assert not raised.value.sent
    assert "wrong" not in str(raised.value)


async def test_wrong_credentials_of_a_proxy_without_a_tunnel(send: Send) -> None:
    with (
        ReplayServer(lambda _: Reply(407)) as proxy,
        pytest.raises(StatusError, match=r"407.*user:password@"),
    ):
        way = through_proxy(proxy.base_url, "wrong")
        await send(application.info(), base_url="http://dify.invalid/v1", proxy=way)


async def test_the_certificate_of_a_proxy(
    send: Send, secure: ReplayServer, authority: tuple[Path, ssl.SSLContext]
) -> None:
    with TunnelProxy(CREDENTIALS, authority[1]) as tunnel:
        call = send(
            application.info(),
            base_url=secure.base_url,
            proxy=f"https://me:{PASSWORD}@{tunnel.address}",
            verify=authority[0],
        )
        if send is async_send and sys.version_info < (3, 11):
            with pytest.raises(ValueError, match=r"https proxy.* since Python 3\.11"):
                await call
        else:
            assert (await call).name == "Planets"


@pytest.mark.parametrize("way", ["https://{}/v1", "http://dify.invalid/v1"])
async def test_silence_while_connecting(
    send: Send, silent: str, authority: tuple[Path, Any], way: str
) -> None:
    """Of a server that speaks no TLS, and of a proxy: nothing was sent to Dify."""
    base_url = way.format(silent)
    options = {} if silent in base_url else {"proxy": f"http://{silent}"}
    with pytest.raises(ConnectionFailedError, match=r"cannot reach .*timed out") as raised:
        await asyncio.wait_for(
            send(
                application.info(),
                base_url=base_url.replace("http:", "https:"),
                timeout=0.2,
                max_retries=0,
                **options,
            ),
            10,
        )
    assert not raised.value.sent


async def test_async_calls_know_no_socks_proxy() -> None:
    client = AsyncDifyClient("app-x", base_url="http://a.invalid/v1", proxy="socks5://me:word@h:1")
    with pytest.raises(ValueError, match=r"socks5://h:1 is a SOCKS proxy.*http_async_client"):
        await client.send(application.info())


async def test_authorities_that_cannot_be_read(send: Send, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"there is none at .*missing\.pem"):
        DifyClient("app-x", verify=tmp_path / "missing.pem")
    file = tmp_path / "bundle.pem"
    file.write_text("no certificate")
    with pytest.raises(ValueError, match=r"verify \(.*bundle\.pem\): no certificates can be read"):
        await send(application.info(), base_url="https://127.0.0.1:1/v1", verify=file)


async def test_authorities_are_not_read_for_plain_http(
    send: Send, server: ReplayServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dify_api._transport.pools._tls", None)
    assert (await send(application.info(), base_url=server.base_url)).name == "Planets"
