"""HTTP clients shared by all models that talk to one server. Nothing is built before its use.

A pool belongs to a server, not to an app or a key: a thousand model objects share one. Async
pools belong to the running event loop besides, and are closed with it.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import os
import ssl
import threading
import urllib.request
import weakref
from collections.abc import AsyncGenerator
from functools import lru_cache
from urllib.parse import urlsplit

import httpx

from dify_api.settings import Settings

# Dify up to 1.12.1 closes idle connections after 2 seconds: never reuse one about to go.
_KEEPALIVE_EXPIRY = 1.5
_LIMITS = httpx.Limits(
    max_connections=None, max_keepalive_connections=100, keepalive_expiry=_KEEPALIVE_EXPIRY
)

_Key = tuple[str, str | None, bool, int]
_AsyncPool = tuple[httpx.AsyncClient, AsyncGenerator[None, None]]

_lock = threading.Lock()
_clients: dict[_Key, httpx.Client] = {}
_async_pools: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, dict[_Key, _AsyncPool]] = (
    weakref.WeakKeyDictionary()
)


def shared_client(settings: Settings) -> httpx.Client:
    """The process's client for the server of `settings`."""
    key = _key(settings)
    with _lock:
        if key not in _clients:
            _clients[key] = httpx.Client(
                transport=httpx.HTTPTransport(
                    verify=_tls(settings.verify), limits=_LIMITS, proxy=_proxy(settings)
                ),
                follow_redirects=False,
            )
        return _clients[key]


def shared_async_client(settings: Settings) -> httpx.AsyncClient:
    """The running event loop's client for the server of `settings`."""
    loop = asyncio.get_running_loop()
    key = _key(settings)
    with _lock:
        pools = _async_pools.setdefault(loop, {})
        if key not in pools:
            client = _new_async_client(settings)
            pools[key] = (client, _closed_with_loop(client))
        return pools[key][0]


def _new_async_client(settings: Settings) -> httpx.AsyncClient:
    # aiohttp's pool costs a fraction of httpx's own at hundreds of concurrent streams. It takes
    # 0.2 s to import, which sync users need not pay.
    import aiohttp
    from httpx_aiohttp import AiohttpTransport

    tls = _tls(settings.verify)

    def session() -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEEPALIVE_EXPIRY, ssl=tls)
        return aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())

    proxy = _proxy(settings)
    transport = AiohttpTransport(
        verify=tls, client=session, proxy=httpx.Proxy(proxy) if proxy else None
    )
    return httpx.AsyncClient(transport=transport, follow_redirects=False)


def _closed_with_loop(client: httpx.AsyncClient) -> AsyncGenerator[None, None]:
    """Tie a client to the running loop: `asyncio.run` closes async generators at its end."""

    async def hold() -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            await client.aclose()

    held = hold()
    with contextlib.suppress(StopIteration):
        held.__anext__().send(None)  # up to its yield, which makes it known to the loop
    return held


def _key(settings: Settings) -> _Key:
    # A forked process must not share the sockets of its parent.
    return (settings.base_url, settings.proxy, settings.verify, os.getpid())


@lru_cache(maxsize=2)
def _tls(verify: bool) -> ssl.SSLContext:
    """One TLS context for all: each costs 25 ms."""
    return httpx.create_ssl_context(verify=verify)


def _proxy(settings: Settings) -> str | None:
    if settings.proxy:
        return settings.proxy
    parts = urlsplit(settings.base_url)
    if not parts.hostname or urllib.request.proxy_bypass(parts.hostname):
        return None
    proxies = urllib.request.getproxies()
    return proxies.get(parts.scheme) or proxies.get("all")


@atexit.register
def close_shared_clients() -> None:
    """Close the shared sync clients. Runs at exit; a later call opens new ones."""
    with _lock:
        for client in _clients.values():
            client.close()
        _clients.clear()
