"""The bodies of aiohttp's replies, with the bytes that had come when a connection broke.

Apart from `pools`, for aiohttp takes 0.2 s to import.
"""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from contextlib import AbstractContextManager
from types import ModuleType

import aiohttp
import httpx
from httpx_aiohttp.transport import map_aiohttp_exceptions
from typing_extensions import Self

_LONGEST_PIECE = 16_384  # bytes


class WholeBody:
    """A body, to be made one of httpx's or httpx2's; it ends with what was received, then fails.

    A body that is waited for in vain fails by one timer, which looks when the waiting began;
    aiohttp's own is set up anew for each piece.

    Args:
        response: The reply, its head read.
        silence: Seconds without a byte after which reading fails; None for no limit.
    """

    library: ModuleType

    def __init__(self, response: aiohttp.ClientResponse, silence: float | None) -> None:
        self._response = response
        self._silence = silence
        self._loop = asyncio.get_running_loop()
        self._since: float | None = None  # when the waiting began, if there is any
        self._timer: asyncio.TimerHandle | None = None
        connection = response.connection  # none if the body has come already
        if connection is not None and connection.protocol is not None:
            connection.protocol.read_timeout = None
            connection.protocol.start_timeout()  # none: it drops the one that runs

    @staticmethod
    @abstractmethod
    def mapped() -> AbstractContextManager[None]:
        """Turns aiohttp's errors inside the block into that library's."""

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        content = self._response.content
        self._since = self._loop.time()
        if self._timer is None and self._silence is not None and not content.is_eof():
            self._timer = self._loop.call_later(self._silence, self._look)
        try:
            piece = await content.read(_LONGEST_PIECE)
        except Exception:
            # aiohttp would keep back what it has: the failure comes first there.
            if rest := content._read_nowait(-1):
                return rest
            with self.mapped():
                raise
        self._since = None
        if not piece:
            raise StopAsyncIteration
        return piece

    def _look(self) -> None:
        self._timer = None
        if self._since is None or self._silence is None:
            return  # set again by whom waits next
        due = self._since + self._silence
        if due > self._loop.time():
            self._timer = self._loop.call_at(due, self._look)
        else:
            reason = f"nothing came for {self._silence:g} s"
            self._response.content.set_exception(aiohttp.SocketTimeoutError(reason))

    async def aclose(self) -> None:
        """Give the connection back, or close it."""
        if self._timer is not None:
            self._timer.cancel()
        with self.mapped():
            await self._response.__aexit__(None, None, None)


class BodyOfHttpx(WholeBody, httpx.AsyncByteStream):
    """A body of httpx's."""

    library = httpx
    mapped = staticmethod(map_aiohttp_exceptions)
