"""Connections whose every read knows how much time the whole exchange has left.

Apart from `deadlines`, for httpcore is imported only where a connection is made.
"""

from __future__ import annotations

from collections.abc import Iterable
from ssl import SSLContext
from typing import Any

import httpcore

from dify_api._transport.deadlines import TIME_IS_UP, Limit


class LimitedBackend(httpcore.SyncBackend):
    """httpcore's own backend, with `Limit` obeyed."""

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        """Open a connection."""
        seconds = _seconds(timeout, httpcore.ConnectTimeout)
        stream = super().connect_tcp(host, port, seconds, local_address, socket_options)
        return _LimitedStream(stream)


class _LimitedStream(httpcore.NetworkStream):
    def __init__(self, stream: httpcore.NetworkStream) -> None:
        self._stream = stream

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, _seconds(timeout, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, _seconds(timeout, httpcore.WriteTimeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        seconds = _seconds(timeout, httpcore.ConnectTimeout)
        return _LimitedStream(self._stream.start_tls(ssl_context, server_hostname, seconds))

    def get_extra_info(self, info: str) -> Any:
        return True if info == "is_limited" else self._stream.get_extra_info(info)


def _seconds(timeout: float | None, error: type[httpcore.TimeoutException]) -> float | None:
    if not isinstance(timeout, Limit):
        return timeout
    seconds = timeout.left()
    if seconds <= 0:
        raise error(TIME_IS_UP)
    return seconds
