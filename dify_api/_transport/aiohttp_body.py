"""httpx over aiohttp, with the bytes that had come when a connection broke.

Apart from `pools`, for aiohttp takes 0.2 s to import.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, cast

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport
from httpx_aiohttp.transport import AiohttpResponseStream, map_aiohttp_exceptions


class WholeBodyTransport(AiohttpTransport):
    """httpx-aiohttp's transport, whose bodies end with what was received, then fail."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Make a request: as the class above does, with fewer copies of URL and headers.

        Raises:
            httpx.TransportError: If it fails.
        """
        if not isinstance(self.client, aiohttp.ClientSession):
            self.client = self.get_client()
        if isinstance(request.stream, httpx.ByteStream):
            content: bytes | httpx.AsyncByteStream | None = await request.aread() or None
        else:
            content = cast("httpx.AsyncByteStream", request.stream)
            request.headers.pop("transfer-encoding", None)  # aiohttp sees to it
        timeout = request.extensions.get("timeout", {})
        with map_aiohttp_exceptions():
            response = await self.client.request(
                request.method,
                str(request.url),
                headers={name.decode(): text.decode() for name, text in request.headers.raw},
                data=content,
                allow_redirects=False,
                auto_decompress=False,
                timeout=aiohttp.ClientTimeout(
                    sock_connect=timeout.get("connect"),
                    sock_read=timeout.get("read"),
                    connect=timeout.get("pool"),
                ),
                **self._way(),
            )
        return httpx.Response(  # without the request, which would be kept as long as the stream
            response.status,
            headers=response.raw_headers,
            stream=_WholeBody(response),
            extensions={"reason_phrase": (response.reason or "").encode()},
        )

    def _way(self) -> dict[str, Any]:
        if self.proxy is None:
            return {}
        auth = self.proxy.auth and aiohttp.BasicAuth(*self.proxy.auth)
        return {
            "proxy": str(self.proxy.url),
            "proxy_auth": auth,
            "proxy_headers": self.proxy.headers,
        }


class _WholeBody(AiohttpResponseStream):
    async def __aiter__(self) -> AsyncIterator[bytes]:
        content = self._aiohttp_response.content
        try:
            with map_aiohttp_exceptions():
                while piece := await content.read(self.CHUNK_SIZE):
                    yield piece
        except httpx.HTTPError:
            # aiohttp would keep back what it has: the failure comes first there.
            if rest := content._read_nowait(-1):
                yield rest
            raise
