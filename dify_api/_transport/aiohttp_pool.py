"""The connections to one server within one event loop, over aiohttp's.

Requests go out without httpx's objects, and replies come back without them: they are a tenth of
a short call. Its errors are raised.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any, cast

import aiohttp
import httpx
import yarl
from aiohttp.connector import Connection

from dify_api._transport.aiohttp_body import WholeBody
from dify_api._transport.aiohttp_exchange import Exchange, has_unread, is_plain, request_bytes
from dify_api._transport.aiohttp_upload import TimedUpload
from dify_api._transport.closed_connections import notice_closed_connections, read_what_has_come
from dify_api._transport.interrupted import AsyncLeave, kept
from dify_api._transport.pieces import PIECE, AsyncReply
from dify_api._transport.proxies import credentials_header, without_credentials
from dify_api._transport.requests import PlainRequest


class AiohttpPool:
    """Connections to one server.

    Args:
        session: Makes the session, at the first request.
        body: Of which library bodies and errors are.
        server: An address of the server.
        proxy: URL of a proxy, which may hold credentials; None for none.
    """

    def __init__(
        self,
        session: Callable[[], aiohttp.ClientSession],
        body: type[WholeBody],
        server: httpx.URL,
        proxy: str | None,
    ) -> None:
        self._new_session = session
        self._session: aiohttp.ClientSession | None = None
        self._body = body
        self._host = server.netloc.decode("ascii")
        # What connections are asked for with: they want nothing of a request but the server.
        self._connecting = aiohttp.ClientRequest(
            "GET", yarl.URL(str(server)), loop=asyncio.get_running_loop()
        )
        self._proxy = proxy and without_credentials(proxy)
        self._proxy_headers = credentials_header(proxy) if proxy else {}

    async def send(
        self, request: PlainRequest, timeout: httpx.Timeout, leave: AsyncLeave | None = None
    ) -> AsyncReply:
        """Make a request, and wait for the head of the reply.

        Args:
            request: The request.
            timeout: Limits of its steps.
            leave: Called if it is cancelled once it was sent.

        Raises:
            httpx.TransportError: If it fails.
        """
        if self._session is None:
            self._session = self._new_session()
        session, content = self._session, request.content
        if self._proxy or not _is_short(content) or not is_plain(session):
            return await kept(self._sent_by_session(session, request, timeout), leave)
        try:
            exchange = Exchange(await self._connected(session, timeout), timeout.read)
        except Exception:
            with self._body.mapped():
                raise
        return await self._answered(exchange, request, leave)

    async def _connected(
        self, session: aiohttp.ClientSession, timeout: httpx.Timeout
    ) -> Connection:
        connector = session.connector
        if connector is None:
            raise aiohttp.ClientConnectionError("the connections of this event loop are closed")
        limits = _timeout(timeout.connect, timeout.read)
        try:
            connection = await connector.connect(self._connecting, [], limits)
            if has_unread(connection):
                connection.release()
                await read_what_has_come()
                connection = await connector.connect(self._connecting, [], limits)
        except asyncio.TimeoutError as error:
            raise aiohttp.ConnectionTimeoutError("timed out") from error
        return connection

    async def _answered(
        self, exchange: Exchange, request: PlainRequest | None, leave: AsyncLeave | None
    ) -> AsyncReply:
        """Send a request, unless it was sent before, and wait for the head of the reply."""
        try:
            if request is not None:
                headers = {"host": self._host, **request.headers}
                sent = cast("bytes | None", request.content)
                exchange.send(request_bytes(request.method, request.target, headers, sent))
            head, content = await exchange.wait()
        except BaseException as error:
            if leave is not None and isinstance(error, asyncio.CancelledError):
                leave(_closing(exchange, self._answered(exchange, None, None)))
                raise
            exchange.close()
            with self._body.mapped():
                raise
        body = self._body(content, exchange.close, exchange.silence)
        return self._reply(head.code, head.headers, head.raw_headers, body)

    async def _sent_by_session(
        self, session: aiohttp.ClientSession, request: PlainRequest, timeout: httpx.Timeout
    ) -> AsyncReply:
        await notice_closed_connections()
        try:
            response = await self._sending(session, request, timeout)
        except Exception:
            with self._body.mapped():
                raise
        connection = response.connection  # none if the body has come already
        if connection is not None and connection.protocol is not None:
            connection.protocol.read_timeout = None
            connection.protocol.start_timeout()  # none: it drops the one that runs
        body = self._body(response.content, response.release, timeout.read)
        return self._reply(response.status, response.headers, response.raw_headers, body)

    def _reply(
        self,
        status: int,
        headers: Mapping[str, str],
        raw_headers: Sequence[tuple[bytes, bytes]],
        body: WholeBody,
    ) -> AsyncReply:
        if status < 300 and "content-encoding" not in headers:
            return _Reply(status, headers, body)
        # Without the request, which would be kept as long as the stream.
        whole: AsyncReply = body.library.Response(status, headers=raw_headers, stream=body)
        return whole

    def _sending(
        self, session: aiohttp.ClientSession, request: PlainRequest, timeout: httpx.Timeout
    ) -> Awaitable[aiohttp.ClientResponse]:
        content, headers = request.content, request.headers
        if timeout.write is None or _is_short(content):
            return self._request(session, request, timeout)
        if isinstance(content, bytes):
            headers = {**headers, "content-length": str(len(content))}
        pieces = cast("bytes | AsyncIterable[bytes]", content)
        upload = TimedUpload(pieces, timeout.write, timeout.read)
        timed = replace(request, headers=headers, content=upload)
        return upload.during(self._request(session, timed, timeout))

    def _request(
        self, session: aiohttp.ClientSession, request: PlainRequest, timeout: httpx.Timeout
    ) -> Awaitable[aiohttp.ClientResponse]:
        headers = request.headers
        if "transfer-encoding" in headers:  # aiohttp sees to it
            headers = {k: v for k, v in headers.items() if k != "transfer-encoding"}
        if self._proxy_headers and request.url.startswith("http:"):  # there is no tunnel
            headers = {**headers, **self._proxy_headers}
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


def _closing(
    exchange: Exchange, answered: Coroutine[Any, Any, AsyncReply]
) -> asyncio.Future[AsyncReply]:
    """A task, which closes nothing itself where it is cancelled before its first step."""
    reply = asyncio.ensure_future(answered)

    def close(done: asyncio.Future[AsyncReply]) -> None:
        if done.cancelled():
            exchange.close()

    reply.add_done_callback(close)
    return reply


def _is_short(content: object) -> bool:
    """Whether a body is sent at once, if there is one."""
    return content is None or (isinstance(content, bytes) and len(content) <= PIECE)


@lru_cache(maxsize=64)
def _timeout(connect: float | None, read: float | None) -> aiohttp.ClientTimeout:
    # Connecting as a whole: with the address looked up and the tunnel of a proxy.
    return aiohttp.ClientTimeout(connect=connect, sock_read=read)
