"""httpx over aiohttp, with the bytes that had come when a connection broke.

Apart from `pools`, for aiohttp takes 0.2 s to import.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
from httpx_aiohttp import AiohttpTransport
from httpx_aiohttp.transport import AiohttpResponseStream, map_aiohttp_exceptions


class WholeBodyTransport(AiohttpTransport):
    """httpx-aiohttp's transport, whose bodies end with what was received, then fail."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Make a request."""
        response = await super().handle_async_request(request)
        if isinstance(response.stream, AiohttpResponseStream):
            response.stream = _WholeBody(response.stream._aiohttp_response)
        return response


class _WholeBody(AiohttpResponseStream):
    async def __aiter__(self) -> AsyncIterator[bytes]:
        content = self._aiohttp_response.content
        try:
            with map_aiohttp_exceptions():
                while piece := await content.readany():
                    yield piece
        except httpx.HTTPError:
            # aiohttp would keep back what it has: the failure comes first there.
            if rest := content._read_nowait(-1):
                yield rest
            raise
