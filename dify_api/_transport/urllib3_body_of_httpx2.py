"""`urllib3_body` with the responses and errors of httpx2."""

from __future__ import annotations

import httpx2

from dify_api._transport.urllib3_body import Body


class BodyOfHttpx2(Body, httpx2.SyncByteStream):
    """A body of httpx2's."""

    library = httpx2
