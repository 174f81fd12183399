"""`aiohttp_body` with the requests, responses and errors of httpx2."""

from __future__ import annotations

import httpx2
from httpx_aiohttp.httpx2.transport import map_aiohttp_exceptions

from dify_api._transport.aiohttp_body import WholeBody, WholeBodyTransport


class _Body(WholeBody, httpx2.AsyncByteStream):
    mapped = staticmethod(map_aiohttp_exceptions)


class WholeBodyTransportOfHttpx2(WholeBodyTransport):
    """A transport over aiohttp, whose bodies end with what was received, then fail."""

    library = httpx2
    body = _Body
