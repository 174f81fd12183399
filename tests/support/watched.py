"""An async HTTP client that tells when the first event of a stream has been read."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import httpx


class Watched(httpx.AsyncBaseTransport):
    """Sets `began` once the reader of an event stream knows which task it follows."""

    def __init__(self) -> None:
        self.began = asyncio.Event()
        self._transport = httpx.AsyncHTTPTransport(
            verify=False
        )  # else certificates are read, for plain HTTP

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        response = await self._transport.handle_async_request(request)
        if response.headers.get("content-type", "").startswith("text/event-stream"):
            assert isinstance(response.stream, httpx.AsyncByteStream)
            response.stream = _WatchedStream(response.stream, self.began)
        return response

    async def aclose(self) -> None:
        await self._transport.aclose()


class _WatchedStream(httpx.AsyncByteStream):
    def __init__(self, stream: httpx.AsyncByteStream, began: asyncio.Event) -> None:
        self._stream = stream
        self._began = began

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for piece in self._stream:
            yield piece
            if b'"task_id"' in piece:
                self._began.set()  # the reader is back for more: it knows what was in the piece

    async def aclose(self) -> None:
        await self._stream.aclose()
