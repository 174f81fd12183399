"""The connections to one server within one event loop, over aiohttp's.

Requests go out without httpx's objects, and replies come back without them: they are a tenth of
a short call. Its errors are raised.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, Awaitable, Callable, Mapping
from dataclasses import replace
from functools import lru_cache
from typing import cast

import aiohttp
import httpx

from dify_api._transport.aiohttp_body import WholeBody
from dify_api._transport.aiohttp_upload import TimedUpload
from dify_api._transport.pieces import PIECE, AsyncReply
from dify_api._transport.proxies import credentials_header, without_credentials
from dify_api._transport.requests import PlainRequest


class AiohttpPool:
    """Connections to one server.

    Args:
        session: Makes the session, at the first request.
        body: Of which library bodies and errors are.
        proxy: URL of a proxy, which may hold credentials; None for none.
    """

    def __init__(
        self,
        session: Callable[[], aiohttp.ClientSession],
        body: type[WholeBody],
        proxy: str | None,
    ) -> None:
        self._new_session = session
        self._session: aiohttp.ClientSession | None = None
        self._body = body
        self._proxy = proxy and without_credentials(proxy)
        self._proxy_headers = credentials_header(proxy) if proxy else {}

    async def send(self, request: PlainRequest, timeout: httpx.Timeout) -> AsyncReply:
        """Make a request, and wait for the head of the reply.

        Raises:
            httpx.TransportError: If it fails.
        """
        if self._session is None:
            self._session = self._new_session()
        try:
            response = await self._sending(request, timeout)
        except Exception:
            with self._body.mapped():
                raise
        body = self._body(response, timeout.read)
        if response.status < 300 and "content-encoding" not in response.headers:
            return _Reply(response.status, response.headers, body)
        # Without the request, which would be kept as long as the stream.
        whole: AsyncReply = body.library.Response(
            response.status, headers=response.raw_headers, stream=body
        )
        return whole

    def _sending(
        self, request: PlainRequest, timeout: httpx.Timeout
    ) -> Awaitable[aiohttp.ClientResponse]:
        content, headers = request.content, request.headers
        if timeout.write is None or content is None or _is_short(content):
            return self._request(request, timeout)
        if isinstance(content, bytes):
            headers = {**headers, "content-length": str(len(content))}
        pieces = cast("bytes | AsyncIterable[bytes]", content)
        upload = TimedUpload(pieces, timeout.write, timeout.read)
        timed = replace(request, headers=headers, content=upload)
        return upload.during(self._request(timed, timeout))

    def _request(
        self, request: PlainRequest, timeout: httpx.Timeout
    ) -> Awaitable[aiohttp.ClientResponse]:
        headers = request.headers
        if "transfer-encoding" in headers:  # aiohttp sees to it
            headers = {k: v for k, v in headers.items() if k != "transfer-encoding"}
        if self._proxy_headers and request.url.startswith("http:"):  # there is no tunnel
            headers = {**headers, **self._proxy_headers}
        session = cast("aiohttp.ClientSession", self._session)
        return session.request(
            request.method,
            request.url,
            headers=headers,
            data=request.content,
            allow_redirects=False,
            auto_decompress=False,
            timeout=_timeout(timeout.connect, timeout.read),
            proxy=self._proxy,
            proxy_headers=self._proxy_headers,
        )

    @property
    def is_closed(self) -> bool:
        """Whether it was closed, after a first request."""
        return self._session is not None and self._session.closed

    async def aclose(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()


class _Reply:
    """A reply whose body is as it was sent; what it has is named as httpx names it."""

    __slots__ = ("headers", "status_code", "stream")

    def __init__(self, status: int, headers: Mapping[str, str], body: WholeBody) -> None:
        self.status_code = status
        self.headers = headers
        self.stream = body

    def aiter_bytes(self) -> AsyncIterable[bytes]:
        return self.stream

    async def aread(self) -> bytes:
        return b"".join([piece async for piece in self.stream])

    async def aclose(self) -> None:
        await self.stream.aclose()


def _is_short(content: object) -> bool:
    return isinstance(content, bytes) and len(content) <= PIECE


@lru_cache(maxsize=64)
def _timeout(connect: float | None, read: float | None) -> aiohttp.ClientTimeout:
    # Connecting as a whole: with the address looked up and the tunnel of a proxy.
    return aiohttp.ClientTimeout(connect=connect, sock_read=read)
