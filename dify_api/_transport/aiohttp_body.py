"""httpx over aiohttp, with the bytes that had come when a connection broke.

Apart from `pools`, for aiohttp takes 0.2 s to import.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager
from types import ModuleType
from typing import Any, cast

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport
from httpx_aiohttp.transport import map_aiohttp_exceptions

from dify_api._httpx import http_errors

_LONGEST_PIECE = 16_384  # bytes


class WholeBody:
    """A body, to be made one of httpx's or httpx2's; it ends with what was received, then fails."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response

    @staticmethod
    @abstractmethod
    def mapped() -> AbstractContextManager[None]:
        """Turns aiohttp's errors inside the block into that library's."""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        content = self._response.content
        try:
            with self.mapped():
                while piece := await content.read(_LONGEST_PIECE):
                    yield piece
        except http_errors("HTTPError"):
            # aiohttp would keep back what it has: the failure comes first there.
            if rest := content._read_nowait(-1):
                yield rest
            raise

    async def aclose(self) -> None:
        """Give the connection back, or close it."""
        with self.mapped():
            await self._response.__aexit__(None, None, None)


class _BodyOfHttpx(WholeBody, httpx.AsyncByteStream):
    mapped = staticmethod(map_aiohttp_exceptions)


class WholeBodyTransport(AiohttpTransport):
    """httpx-aiohttp's transport, whose bodies end with what was received, then fail."""

    library: ModuleType = httpx
    body: type[WholeBody] = _BodyOfHttpx

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Make a request: as the class above does, with fewer copies of URL and headers.

        Raises:
            httpx.TransportError: If it fails.
        """
        if not isinstance(self.client, aiohttp.ClientSession):
            self.client = self.get_client()
        if isinstance(request.stream, self.library.ByteStream):
            content: bytes | httpx.AsyncByteStream | None = await request.aread() or None
        else:
            content = cast("httpx.AsyncByteStream", request.stream)
            request.headers.pop("transfer-encoding", None)  # aiohttp sees to it
        timeout = request.extensions.get("timeout", {})
        with self.body.mapped():
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
        # Without the request, which would be kept as long as the stream.
        whole: httpx.Response = self.library.Response(
            response.status,
            headers=response.raw_headers,
            stream=self.body(response),
            extensions={"reason_phrase": (response.reason or "").encode()},
        )
        return whole

    def _way(self) -> dict[str, Any]:
        if self.proxy is None:
            return {}
        auth = self.proxy.auth and aiohttp.BasicAuth(*self.proxy.auth)
        return {
            "proxy": str(self.proxy.url),
            "proxy_auth": auth,
            "proxy_headers": self.proxy.headers,
        }
