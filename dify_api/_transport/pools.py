"""What makes requests, shared by all models that talk to one server; built at its first use.

A pool belongs to a server, not to an app or a key: a thousand model objects share one. Async
pools belong to the running event loop besides, and are closed with it.
"""

from __future__ import annotations

import asyncio
import atexit
import logging
import os
import ssl
import sys
import threading
from functools import lru_cache
from types import ModuleType
from typing import TYPE_CHECKING, cast

import httpx

from dify_api._httpx import shared_library
from dify_api._transport import open_streams
from dify_api._transport.closed_connections import notice_closed_connections
from dify_api._transport.deadlines import Due, limit
from dify_api._transport.interrupted import AsyncLeave, Leave, kept
from dify_api._transport.pieces import AsyncReply, Reply
from dify_api._transport.proxies import Environment, environment, proxy_of, without_credentials
from dify_api._transport.requests import PlainRequest, build_request, plain_request
from dify_api.connection import DifyConnection, Verify
from dify_api.operation import Operation

if TYPE_CHECKING:
    from dify_api._transport.aiohttp_pool import AiohttpPool
    from dify_api._transport.urllib3_pool import SharedPool

# Dify up to 1.12.1 closes idle connections after 2 seconds: never reuse one about to go.
_KEEPALIVE_EXPIRY = 1.5
_MAX_KEEPALIVE = 100

logger = logging.getLogger("dify_api")

_Key = tuple[str, str | None, Verify, Environment, int, ModuleType]

# Taken by one that has it, too: the garbage collector may leave a stream anywhere.
_lock = threading.RLock()
_pools: dict[_Key, SharedPool] = {}
_async_pools: dict[asyncio.AbstractEventLoop, dict[_Key, AiohttpPool]] = {}


def send(
    connection: DifyConnection,
    operation: Operation[object],
    timeout: httpx.Timeout,
    due: Due,
    leave: Leave | None = None,
) -> Reply:
    """Make a request by the caller's client, else over the connections that all share.

    What httpx's client would add is not wanted of those: redirects, cookies, authentication.

    Args:
        connection: How the server is reached.
        operation: The call; its file is open.
        timeout: Limits of its steps.
        due: When the exchange is to be over.
        leave: Called if it is interrupted while it waits for the reply.

    Raises:
        httpx.TransportError: If it fails.
    """
    timeouts: dict[str, float | None] = timeout.as_dict()
    limit(timeouts, due)
    if connection.http_client is not None:
        client = cast("httpx.Client", connection.http_client)
        request = build_request(connection, operation, timeouts, client)
        return client.send(request, stream=True, follow_redirects=False)
    plain = plain_request(connection, operation)
    reply = shared_pool(connection).send(plain, timeouts, leave)
    _log(plain, reply)
    return reply


def shared_pool(connection: DifyConnection) -> SharedPool:
    """The process's connections to the server of `connection`."""
    key = _key(connection)
    if pool := _pools.get(key):
        return pool
    with _lock:
        if key not in _pools:
            _pools[key] = _new_pool(connection)
        return _pools[key]


def _new_pool(connection: DifyConnection) -> SharedPool:
    # Imported where it is used: who makes async calls alone needs no urllib3.
    from dify_api._transport.connection_pool import ConnectionPool
    from dify_api._transport.urllib3_body import Body, BodyOfHttpx
    from dify_api._transport.urllib3_pool import TransportPool, Urllib3Pool

    library, proxy = shared_library(), proxy_of(connection)
    if proxy and proxy.startswith("socks"):
        # httpx speaks SOCKS with its extra of this name, and asks for it.
        limits = library.Limits(max_connections=None, keepalive_expiry=_KEEPALIVE_EXPIRY)
        transport = library.HTTPTransport(
            verify=_tls(connection.verify, environment()), proxy=proxy, limits=limits
        )
        return TransportPool(transport, library)
    url = httpx.URL(connection.base_url)
    host = url.netloc.decode("ascii")
    pool = ConnectionPool(
        f"{url.scheme}://{host}",
        tls=_tls_on_the_way(connection, proxy),
        proxy=proxy,
        keepalive_expiry=_KEEPALIVE_EXPIRY,
        max_keepalive=_MAX_KEEPALIVE,
    )
    body: type[Body] = BodyOfHttpx
    if library.__name__ != "httpx":
        from dify_api._transport.urllib3_body_of_httpx2 import BodyOfHttpx2

        body = BodyOfHttpx2
    return Urllib3Pool(pool, host, body)


def require_asyncio() -> None:
    """Refuse to run under anything else.

    Raises:
        RuntimeError: If asyncio is not what runs this.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        raise RuntimeError(
            "AsyncDifyClient runs on asyncio; under trio use DifyClient in a thread "
            "(trio.to_thread.run_sync)"
        ) from None


async def asend(
    connection: DifyConnection,
    operation: Operation[object],
    timeout: httpx.Timeout,
    leave: AsyncLeave | None = None,
) -> AsyncReply:
    """`send` for asyncio."""
    if connection.http_async_client is not None:
        await notice_closed_connections()
        client = cast("httpx.AsyncClient", connection.http_async_client)
        request = build_request(connection, operation, timeout.as_dict(), client)
        return await kept(client.send(request, stream=True, follow_redirects=False), leave)
    plain = plain_request(connection, operation)
    reply = await shared_async_pool(connection).send(plain, timeout, leave)
    _log(plain, reply)
    return reply


def _log(request: PlainRequest, reply: Reply | AsyncReply) -> None:
    if logger.isEnabledFor(logging.DEBUG):
        # Without the query, which may name an end user.
        logger.debug("%s %s: %d", request.method, request.path, reply.status_code)


def shared_async_pool(connection: DifyConnection) -> AiohttpPool:
    """The running event loop's connections to the server of `connection`."""
    loop = asyncio.get_running_loop()
    key = _key(connection)
    watch(loop)
    pools = _async_pools[loop]
    if pool := pools.get(key):
        return pool
    with _lock:
        if key not in pools:
            pools[key] = _new_async_pool(connection)
        return pools[key]


def _new_async_pool(connection: DifyConnection) -> AiohttpPool:
    # aiohttp's pool costs a fraction of httpx's own at hundreds of concurrent streams. It takes
    # 0.2 s to import, which sync users need not pay.
    import aiohttp

    from dify_api._transport.aiohttp_body import BodyOfHttpx, WholeBody
    from dify_api._transport.aiohttp_exchange import LONGEST_HEADER
    from dify_api._transport.aiohttp_pool import AiohttpPool

    proxy = proxy_of(connection)
    if proxy:
        _check_async_proxy(proxy, connection.base_url)
    tls = _tls_on_the_way(connection, proxy)

    def session() -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(
            limit=0, keepalive_timeout=_KEEPALIVE_EXPIRY, ssl=tls or True
        )
        made = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            max_line_size=LONGEST_HEADER,
            max_field_size=LONGEST_HEADER,
        )
        made._retry_connection = False  # what is sent twice, `retry` decides
        return made

    body: type[WholeBody] = BodyOfHttpx
    if shared_library().__name__ != "httpx":
        from dify_api._transport.aiohttp_body_of_httpx2 import BodyOfHttpx2

        body = BodyOfHttpx2
    return AiohttpPool(session, body, httpx.URL(connection.base_url), proxy)


def _check_async_proxy(proxy: str, base_url: str) -> None:
    """Refuse what aiohttp cannot go by.

    Raises:
        ValueError: Says what can.
    """
    shown = without_credentials(proxy)
    if proxy.startswith("socks"):
        raise ValueError(
            f"{shown} is a SOCKS proxy, which serves sync calls alone: for async ones give "
            "http_async_client=httpx.AsyncClient(proxy=...) (pip install 'httpx[socks]'), or an "
            "HTTP proxy"
        )
    if sys.version_info < (3, 11) and proxy.startswith("https:") and base_url.startswith("https:"):
        raise ValueError(
            f"{shown} is an https proxy on the way to an https server, which async calls can go by "
            "since Python 3.11: give http_async_client=httpx.AsyncClient(proxy=...), or a proxy "
            "at an http address"
        )


def watch(loop: asyncio.AbstractEventLoop) -> None:
    """Have a loop's streams left and its connections closed before the loop is.

    That can be done only while the loop runs, and the last moment that every loop comes by is
    its own `close`: LlamaIndex makes loops to call async code from sync code, and closes them
    without shutting anything down.

    Others shut down their generators before, all at once: one that closes another, which waits
    for the stop, would make asyncio complain that the other is running already. So streams are
    left even before that, and nothing is left to wait for.
    """
    if loop in _async_pools:
        return
    with _lock:
        _async_pools[loop] = {}
    close, shutdown_asyncgens = loop.close, loop.shutdown_asyncgens

    def close_transports_first() -> None:
        _close_transports_of(loop)
        close()

    async def leave_streams_first() -> None:
        try:
            await open_streams.leave_with(loop)
        finally:
            await shutdown_asyncgens()

    loop.close = close_transports_first  # type: ignore[method-assign]  # of this object alone
    loop.shutdown_asyncgens = leave_streams_first  # type: ignore[method-assign]  # likewise


def _close_transports_of(loop: asyncio.AbstractEventLoop) -> None:
    if loop.is_running():
        return
    if loop in _async_pools and not loop.is_closed():
        closing = _aclose_transports_of(loop)
        try:
            loop.run_until_complete(closing)
        except RuntimeError:  # another loop is running in this thread
            closing.close()
    with _lock:
        _async_pools.pop(loop, None)


async def _aclose_transports_of(loop: asyncio.AbstractEventLoop) -> None:
    # A loop warns of generators that begin once it has shut down its own, even if they end.
    sys.set_asyncgen_hooks(firstiter=None, finalizer=None)
    await open_streams.leave_with(loop)
    for pool in _async_pools.get(loop, {}).values():
        await pool.aclose()


def _key(connection: DifyConnection) -> _Key:
    # A forked process must not share the sockets of its parent.
    server = (connection.base_url, connection.proxy, connection.verify, environment())
    return (*server, os.getpid(), shared_library())


def _tls_on_the_way(connection: DifyConnection, proxy: str | None) -> ssl.SSLContext | None:
    """The TLS context, where anything on the way to a server speaks TLS."""
    speaks_tls = connection.base_url.startswith("https:") or (proxy or "").startswith("https:")
    return _tls(connection.verify, environment()) if speaks_tls else None


@lru_cache(maxsize=8)
def _tls(verify: Verify, _: Environment) -> ssl.SSLContext:
    """One TLS context for all: each costs 25 ms.

    Raises:
        ValueError: If the authorities cannot be read.
    """
    if isinstance(verify, ssl.SSLContext):
        return verify
    try:
        if isinstance(verify, bool):
            return httpx.create_ssl_context(verify=verify)
        folder = os.path.isdir(verify)
        return ssl.create_default_context(
            cafile=None if folder else verify, capath=verify if folder else None
        )
    except OSError as error:
        place = (
            "SSL_CERT_FILE or SSL_CERT_DIR" if isinstance(verify, bool) else f"verify ({verify})"
        )
        raise ValueError(f"{place}: no certificates can be read there: {error}") from None


@atexit.register
def close_shared_transports() -> None:
    """Close the shared connections, except those of running loops.

    Runs at exit, after the streams that are still open were left; a later call opens new ones.
    """
    if open_streams.leave_at_exit():
        with _lock:
            for pool in list(_pools.values()):
                pool.close()
            _pools.clear()
    for loop in list(_async_pools):
        _close_transports_of(loop)


def _forget() -> None:
    """Begin anew in a forked child, whose parent goes on using the sockets and may hold the lock.

    What it had is kept out of reach and not closed, which would need locks of its own.
    """
    global _lock
    _lock = threading.RLock()
    _inherited.extend((_pools.copy(), _async_pools.copy()))
    _pools.clear()
    _async_pools.clear()


_inherited: list[object] = []

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
