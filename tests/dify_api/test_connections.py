"""Shared clients end with their event loop, whoever runs and closes it."""

from __future__ import annotations

import asyncio
import gc
import socket
import ssl
import time
import warnings
from collections.abc import Callable, Iterator

import pytest
import trustme

from dify_api import AsyncDifyClient, DifyClient, application
from dify_api._transport import pools as connections
from dify_local import LocalDify
from tests.support.replay import ReplayServer, Reply


@pytest.fixture(scope="module")
def server() -> Iterator[LocalDify]:
    with LocalDify() as running:
        yield running


async def _ask(server: LocalDify) -> str:
    client = AsyncDifyClient(server.keys["chat"], base_url=server.base_url)
    return (await client.send(application.info())).name


def _run_properly(server: LocalDify) -> str:
    return asyncio.run(_ask(server))


def _run_and_close(server: LocalDify) -> str:
    """As LlamaIndex calls async code from sync code: without shutting anything down."""
    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(_ask(server))
    finally:
        loop.close()


@pytest.mark.parametrize("run", [_run_properly, _run_and_close])
def test_nothing_is_left_open(server: LocalDify, run: Callable[[LocalDify], str]) -> None:
    gc.collect()
    kept = len(connections._async_pools)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        names = {run(server) for _ in range(3)}
        gc.collect()
    assert names == {"Solar System Chat"}
    left = [str(w.message) for w in caught if w.category is ResourceWarning]
    # A loop that another test was given is dropped by the first `asyncio.run` after it.
    assert [warning for warning in left if "unclosed event loop" not in warning] == []
    assert len(connections._async_pools) == kept


def test_a_loop_that_is_never_closed_is_closed_at_exit(server: LocalDify) -> None:
    loop = asyncio.new_event_loop()
    assert loop.run_until_complete(_ask(server)) == "Solar System Chat"
    [pool] = connections._async_pools[loop].values()
    connections.close_shared_transports()
    assert pool.is_closed
    assert loop not in connections._async_pools
    assert loop.run_until_complete(_ask(server)) == "Solar System Chat"  # opened anew
    loop.close()
    assert loop not in connections._async_pools


async def test_a_running_loop_keeps_its_clients(server: LocalDify) -> None:
    await _ask(server)
    pools = dict(connections._async_pools[asyncio.get_running_loop()])
    connections.close_shared_transports()
    assert connections._async_pools[asyncio.get_running_loop()] == pools
    assert await _ask(server) == "Solar System Chat"


async def test_a_connection_that_was_closed_unseen_is_not_used_again() -> None:
    headers = {"content-type": "application/json"}
    with ReplayServer(lambda _: Reply(200, headers, [b"{}"])) as replay:
        client = AsyncDifyClient("app-x", base_url=replay.base_url, max_retries=0)
        for connections in (1, 2, 3):
            await client.send(application.info())
            assert len(replay._connections) == connections
            replay._connections[-1].shutdown(socket.SHUT_RDWR)  # and the loop reads nothing
            time.sleep(0.05)  # noqa: ASYNC251 - nor while the end is on its way


async def test_connections_over_tls_serve_again() -> None:
    authority, tls = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    trust = ssl.create_default_context()
    authority.configure_trust(trust)
    headers = {"content-type": "application/json"}
    with ReplayServer(lambda _: Reply(200, headers, [b"{}"]), tls=tls) as replay:
        for key in ("app-one", "app-two"):
            client = AsyncDifyClient(key, base_url=replay.base_url, verify=trust, max_retries=0)
            for _ in range(2):
                await client.send(application.info())
        assert len(replay.requests) == 4
        assert len(replay._connections) == 2  # one, before and after its handshake


async def test_a_cookie_of_one_app_reaches_no_request() -> None:
    """Clients are shared by apps and keys: what is set for one stays with it."""
    headers = {"content-type": "application/json", "set-cookie": "session=secret; Path=/"}
    with ReplayServer(lambda _: Reply(200, headers, [b"{}"])) as replay:
        for key in ("app-one", "app-two"):
            DifyClient(key, base_url=replay.base_url).send(application.info())
            await AsyncDifyClient(key, base_url=replay.base_url).send(application.info())
        assert len(replay.requests) == 4
        assert all("cookie" not in request.headers for request in replay.requests)
