"""`aiohttp_body` with the requests, responses and errors of httpx2."""

from __future__ import annotations

import httpx2
from httpx_aiohttp.httpx2.transport import map_aiohttp_exceptions

from dify_api._transport.aiohttp_body import WholeBody


class BodyOfHttpx2(WholeBody, httpx2.AsyncByteStream):
    """A body of httpx2's."""

    library = httpx2
    mapped = staticmethod(map_aiohttp_exceptions)
