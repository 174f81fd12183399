"""The connections to one server that wait for their next request, over urllib3's.

Its connections bring TLS, tunnels through proxies and the syntax of HTTP. Its pool would repeat
requests, knows no expiry, and keeps errors with what was sent.

No type of httpx's is known here: `urllib3_pool` translates.
"""

from __future__ import annotations

import ssl
import time
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

# By the package, so that it comes first: a thread that begins with a module in it, and one that
# begins with the package, would wait for each other, which Python ends by an ImportError.
from urllib3 import connection as urllib3_connection
from urllib3.connection import HTTPConnection, ProxyConfig
from urllib3.util import Url, parse_url

from dify_api._transport.exchange import Exchange
from dify_api._transport.exchange_steps import Timeouts
from dify_api._transport.proxies import credentials_header

_PORTS = {"http": 80, "https": 443}


class ConnectionPool:
    """Connections to one server, for any number of threads.

    Args:
        origin: Where the server is: scheme, host and port, in ASCII.
        tls: How its certificate, and that of an https proxy, is checked; None for plain HTTP.
        proxy: URL of a proxy, which may hold credentials; None for none.
        keepalive_expiry: Seconds after which a connection is not used again.
        max_keepalive: Connections that wait at most.
    """

    def __init__(
        self,
        origin: str,
        tls: ssl.SSLContext | None,
        proxy: str | None,
        keepalive_expiry: float,
        max_keepalive: int,
    ) -> None:
        server = urlsplit(origin)
        self._scheme, self._host = server.scheme, server.hostname or ""
        self._port = server.port or _PORTS[server.scheme]
        self._origin = origin
        self._tls = tls
        self._proxy: Url | None = parse_url(proxy) if proxy else None
        self._proxy_config = ProxyConfig(tls, False, None, None)
        self._proxy_headers = credentials_header(proxy) if proxy else {}
        self._keepalive_expiry = keepalive_expiry
        self._max_keepalive = max_keepalive
        # The latest last. Without a lock: the garbage collector may leave a stream anywhere, and
        # its thread would wait for itself. What a deque does, it does at once.
        self._idle: deque[tuple[float, HTTPConnection]] = deque()

    def exchange(self, timeouts: Timeouts) -> Exchange:
        """An exchange to begin, over a connection of its own.

        Args:
            timeouts: Limits of the steps, read anew for each.
        """
        return Exchange(self._connection(), self._release, timeouts)

    def addressed(self, target: str, headers: Mapping[str, str]) -> tuple[str, Mapping[str, str]]:
        """Path and query, and the headers, as they go out: a proxy without a tunnel wants more."""
        if self._proxy is not None and self._scheme == "http":
            return self._origin + target, {**headers, **self._proxy_headers}
        return target, headers

    def close(self) -> None:
        """Close the connections that wait."""
        with suppress(IndexError):
            while True:
                self._idle.pop()[1].close()

    def _connection(self) -> HTTPConnection:
        kind = self._kind()
        while True:
            try:
                since, connection = self._idle.pop()
            except IndexError:
                return self._new_connection(kind)
            is_fresh = time.monotonic() - since < self._keepalive_expiry
            if is_fresh and type(connection) is kind and connection.is_connected:
                return connection
            connection.close()

    def _kind(self) -> type[HTTPConnection]:
        """Looked up each time: recorders such as vcrpy put a class of theirs in the place."""
        scheme = self._proxy.scheme if self._proxy and self._scheme == "http" else self._scheme
        module = urllib3_connection
        return module.HTTPSConnection if scheme == "https" else module.HTTPConnection

    def _new_connection(self, kind: type[HTTPConnection]) -> HTTPConnection:
        tls: dict[str, Any] = {"ssl_context": self._tls} if self._scheme == "https" else {}
        if self._proxy is None:
            return kind(self._host, self._port, **tls)
        connection = kind(
            self._proxy.host or "",
            self._proxy.port or _PORTS[self._proxy.scheme or "http"],
            proxy=self._proxy,
            proxy_config=self._proxy_config,
            **tls,
        )
        if self._scheme == "https":
            scheme = self._proxy.scheme or "http"
            connection.set_tunnel(self._host, self._port, self._proxy_headers, scheme)
        return connection

    def _release(self, connection: HTTPConnection) -> None:
        now = time.monotonic()
        self._idle.append((now, connection))
        with suppress(IndexError):  # another thread was quicker
            while (
                len(self._idle) > self._max_keepalive
                or now - self._idle[0][0] > self._keepalive_expiry
            ):
                self._idle.popleft()[1].close()
