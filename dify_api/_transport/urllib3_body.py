"""The bodies of replies over `ConnectionPool`."""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType

import httpx

from dify_api._transport.exchange import Exchange
from dify_api._transport.exchange_steps import ExchangeError


class Body:
    """A body, to be made one of httpx's or httpx2's.

    Args:
        exchange: The exchange, the head of its reply read.
    """

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
        raise self.error_of(failure) from failure.cause

    def close(self) -> None:
        """Close the connection, unless the body has come to its end."""
        self._exchange.close()

    @classmethod
    def error_of(cls, failure: ExchangeError) -> Exception:
        """What that library calls a failure."""
        kind: type[Exception] = getattr(cls.library, failure.kind)
        return kind(str(failure))


class BodyOfHttpx(Body, httpx.SyncByteStream):
    """A body of httpx's."""

    library = httpx
