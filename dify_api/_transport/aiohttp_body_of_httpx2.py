"""`aiohttp_body` with the requests, responses and errors of httpx2."""

from __future__ import annotations

import httpx2

from dify_api._transport.aiohttp_body import WholeBody


class BodyOfHttpx2(WholeBody, httpx2.AsyncByteStream):
    """A body of httpx2's."""

    library = httpx2
