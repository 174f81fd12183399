"""`pool_transport` with the requests, responses and errors of httpx2."""

from __future__ import annotations

import httpx2

from dify_api._transport.pool_transport import Body, PoolTransport


class _Body(Body, httpx2.SyncByteStream):
    library = httpx2


class PoolTransportOfHttpx2(PoolTransport):
    """A transport for one server, whose responses obey `limit`."""

    library = httpx2
    body = _Body
