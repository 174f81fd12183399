"""The connections to one server that sync calls share, over urllib3's.

Requests go out without httpx's objects, and replies come back without them: they are a tenth of
a short call. Its errors are raised.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from types import ModuleType
from typing import Any, cast

import httpx

from dify_api._transport.connection_pool import ConnectionPool
from dify_api._transport.deadlines import TIMEOUTS
from dify_api._transport.exchange import Exchange
from dify_api._transport.exchange_steps import ExchangeError
from dify_api._transport.interrupted import Leave
from dify_api._transport.pieces import PIECE, Reply
from dify_api._transport.requests import PlainRequest
from dify_api._transport.urllib3_body import Body


class Urllib3Pool:
    """Connections of urllib3's, whose replies obey `limit`.

    Args:
        pool: The connections.
        host: What the server is called in a request: host, and port where it is none of HTTP's.
        body: Of which library bodies and errors are.
    """

    def __init__(self, pool: ConnectionPool, host: str, body: type[Body]) -> None:
        self._pool = pool
        self._host = host
        self._body = body

    def send(
        self,
        request: PlainRequest,
        timeouts: dict[str, float | None],
        leave: Leave | None = None,
    ) -> Reply:
        """Make a request, and wait for the head of the reply.

        Args:
            request: The request.
            timeouts: Limits of the steps, looked at anew for each.
            leave: Called if it is interrupted while it waits.

        Raises:
            httpx.TransportError: If it fails.
        """
        headers, content = _framed({"host": self._host, **request.headers}, request.content)
        target, addressed = self._pool.addressed(request.target, headers)
        exchange = self._pool.exchange(timeouts)
        begin = partial(exchange.begin, request.method, target, addressed, content)
        try:
            return self._answered(exchange, begin)
        except BaseException:
            if leave is not None and exchange.awaits_reply:  # it was interrupted
                leave(timeouts, partial(self._answered, exchange, exchange.wait))
            else:
                exchange.close()
            raise

    def _answered(self, exchange: Exchange, wait: Callable[[], None]) -> Reply:
        try:
            wait()
            return self._reply(exchange)
        except Exception as error:
            exchange.close()
            if not isinstance(error, ExchangeError):
                raise
            failure = error
        raise self._body.error_of(failure) from failure.cause

    def _reply(self, exchange: Exchange) -> Reply:
        status, headers, body = exchange.reply.status, exchange.headers, self._body(exchange)
        extensions: dict[str, Any] = {TIMEOUTS: exchange.timeouts}
        if status < 300 and "content-encoding" not in headers:
            return _PlainReply(status, headers, body, extensions)
        extensions["reason_phrase"] = (exchange.reply.reason or "").encode("latin-1")
        whole: Reply = body.library.Response(
            status, headers=exchange.raw_headers, stream=body, extensions=extensions
        )
        return whole

    def close(self) -> None:
        """Close the connections that wait for requests."""
        self._pool.close()


class _PlainReply:
    """A reply whose body is as it was sent; what it has is named as httpx names it."""

    __slots__ = ("extensions", "headers", "status_code", "stream")

    def __init__(
        self, status: int, headers: Mapping[str, str], body: Body, extensions: dict[str, Any]
    ) -> None:
        self.status_code = status
        self.headers = headers
        self.stream = body
        self.extensions = extensions

    def iter_bytes(self) -> Iterable[bytes]:
        return self.stream

    def read(self) -> bytes:
        return b"".join(self.stream)

    def close(self) -> None:
        self.stream.close()


class TransportPool:
    """Connections of a transport of httpx's or httpx2's, which speaks SOCKS.

    Args:
        transport: The transport.
        library: Whose it is.
    """

    def __init__(self, transport: httpx.BaseTransport, library: ModuleType) -> None:
        self._transport = transport
        self._library = library

    def send(
        self,
        request: PlainRequest,
        timeouts: dict[str, float | None],
        leave: Leave | None = None,  # of which others' transports know nothing
    ) -> Reply:
        """See `Urllib3Pool.send`."""
        made: httpx.Request = self._library.Request(
            request.method,
            request.url,
            headers=request.headers,
            content=request.content,
            extensions={"timeout": timeouts},
        )
        response = self._transport.handle_request(made)
        response.request = made
        return response

    def close(self) -> None:
        """Close the connections that wait for requests."""
        self._transport.close()


SharedPool = Urllib3Pool | TransportPool


def _framed(
    headers: dict[str, str], content: object
) -> tuple[dict[str, str], bytes | Iterable[bytes] | None]:
    """Headers that tell how long the body is, and the body.

    One that is small is read whole: it takes one write then, and recorders understand it.
    """
    if content is None or isinstance(content, bytes):
        length = {} if content is None else {"content-length": str(len(content))}
        return {**length, **headers}, content
    pieces = cast("Iterable[bytes]", content)
    is_small = int(headers.get("content-length", PIECE + 1)) <= PIECE
    return headers, b"".join(pieces) if is_small else pieces
