"""The bodies of aiohttp's replies, with the bytes that had come when a connection broke.

Apart from `pools`, for aiohttp takes 0.2 s to import.
"""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager
from types import ModuleType

import aiohttp
import httpx
from httpx_aiohttp.transport import map_aiohttp_exceptions

from dify_api._httpx import http_errors

_LONGEST_PIECE = 16_384  # bytes


class WholeBody:
    """A body, to be made one of httpx's or httpx2's; it ends with what was received, then fails.

    Args:
        response: The reply, its head read.
        silence: Seconds without a byte after which reading fails; None for no limit.
    """

    library: ModuleType

    def __init__(self, response: aiohttp.ClientResponse, silence: float | None) -> None:
        self._response = response
        self._silence = _Silence(response, silence)

    @staticmethod
    @abstractmethod
    def mapped() -> AbstractContextManager[None]:
        """Turns aiohttp's errors inside the block into that library's."""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        content, silence = self._response.content, self._silence
        try:
            with self.mapped():
                silence.begin()
                while piece := await content.read(_LONGEST_PIECE):
                    silence.pause()
                    yield piece
                    silence.begin()
        except http_errors("HTTPError"):
            # aiohttp would keep back what it has: the failure comes first there.
            if rest := content._read_nowait(-1):
                yield rest
            raise

    async def aclose(self) -> None:
        """Give the connection back, or close it."""
        self._silence.end()
        with self.mapped():
            await self._response.__aexit__(None, None, None)


class _Silence:
    """Fails a body that is waited for in vain.

    One timer, which looks when the waiting began; aiohttp's own is set up anew for each piece.
    """

    def __init__(self, response: aiohttp.ClientResponse, seconds: float | None) -> None:
        self._content = response.content
        self._seconds = seconds
        self._loop = asyncio.get_running_loop()
        self._since: float | None = None  # when the waiting began, if there is any
        self._timer: asyncio.TimerHandle | None = None
        connection = response.connection  # none if the body has come already
        if connection is not None and connection.protocol is not None:
            connection.protocol.read_timeout = None

    def begin(self) -> None:
        self._since = self._loop.time()
        if self._timer is None and self._seconds is not None:
            self._timer = self._loop.call_later(self._seconds, self._look)

    def pause(self) -> None:
        self._since = None

    def end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        self._timer = None
        if self._since is None or self._seconds is None:
            return  # set again by whom waits next
        due = self._since + self._seconds
        if due > self._loop.time():
            self._timer = self._loop.call_at(due, self._look)
        else:
            self._content.set_exception(aiohttp.SocketTimeoutError("nothing came for too long"))


class BodyOfHttpx(WholeBody, httpx.AsyncByteStream):
    """A body of httpx's."""

    library = httpx
    mapped = staticmethod(map_aiohttp_exceptions)
