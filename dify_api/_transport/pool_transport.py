"""httpx's requests and responses over `ConnectionPool`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from types import ModuleType
from typing import cast

import httpx

from dify_api._transport.connection_pool import ConnectionPool
from dify_api._transport.deadlines import IS_LIMITED
from dify_api._transport.exchange import PIECE, Exchange, ExchangeError
from dify_api._transport.interrupted import WHEN_INTERRUPTED


class Body:
    """A body, to be made one of `library`'s."""

    library: ModuleType

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from self._exchange.pieces()
        except ExchangeError as error:
            failure = error
        else:
            return
        raise _error_of(self.library, failure) from failure.cause

    def close(self) -> None:
        """Close the connection, unless the body has come to its end."""
        self._exchange.close()


class _BodyOfHttpx(Body, httpx.SyncByteStream):
    library = httpx


class PoolTransport(httpx.BaseTransport):
    """A transport for one server, whose responses obey `limit`."""

    library: ModuleType = httpx
    body: type[Body] = _BodyOfHttpx

    def __init__(self, pool: ConnectionPool) -> None:
        self._pool = pool

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Make a request.

        Raises:
            httpx.TransportError: If it fails.
        """
        headers = {
            name.decode("latin-1"): text.decode("latin-1") for name, text in request.headers.raw
        }
        content = _content(request, self.library)
        target, addressed = self._pool.addressed(request.url.raw_path.decode("ascii"), headers)
        exchange = self._pool.exchange(request.extensions.get("timeout", {}))
        begin = partial(exchange.begin, request.method, target, addressed, content)
        try:
            return self._answered(exchange, begin)
        except BaseException:
            leave = request.extensions.get(WHEN_INTERRUPTED)
            if leave is not None and exchange.awaits_reply:
                leave(request, partial(self._answered, exchange, exchange.wait))
            else:
                exchange.close()
            raise

    def _answered(self, exchange: Exchange, wait: Callable[[], None]) -> httpx.Response:
        try:
            wait()
        except ExchangeError as error:
            failure = error
        else:
            reason = (exchange.reply.reason or "").encode("latin-1")
            response: httpx.Response = self.library.Response(
                exchange.reply.status,
                headers=exchange.headers,
                stream=self.body(exchange),
                extensions={IS_LIMITED: True, "reason_phrase": reason},
            )
            return response
        exchange.close()
        raise _error_of(self.library, failure) from failure.cause

    def close(self) -> None:
        """Close the connections that wait for requests."""
        self._pool.close()


def _content(request: httpx.Request, library: ModuleType) -> bytes | Iterable[bytes]:
    """The body; whole if it is small, which takes one write, and which recorders understand."""
    length = int(request.headers.get("content-length", PIECE + 1))
    if isinstance(request.stream, library.ByteStream) or length <= PIECE:
        return request.read()
    return cast("httpx.SyncByteStream", request.stream)


def _error_of(library: ModuleType, error: ExchangeError) -> Exception:
    kind: type[Exception] = getattr(library, error.kind)
    return kind(str(error))
