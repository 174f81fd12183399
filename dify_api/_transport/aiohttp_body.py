"""The bodies of aiohttp's replies, with the bytes that had come when a connection broke.

Apart from `pools`, for aiohttp takes 0.2 s to import.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from types import ModuleType

import aiohttp
import httpx
from aiohttp.http import HttpProcessingError
from typing_extensions import Self

_LONGEST_PIECE = 16_384  # bytes

_KINDS: tuple[tuple[type[aiohttp.ClientError], str], ...] = (
    (aiohttp.ConnectionTimeoutError, "ConnectTimeout"),
    (aiohttp.ServerTimeoutError, "ReadTimeout"),
    (aiohttp.ClientProxyConnectionError, "ProxyError"),
    (aiohttp.ClientHttpProxyError, "ProxyError"),
    (aiohttp.ClientConnectorError, "ConnectError"),
    (aiohttp.ClientOSError, "ReadError"),
    (aiohttp.InvalidURL, "UnsupportedProtocol"),
    (aiohttp.ClientError, "RemoteProtocolError"),  # it hung up, or speaks no HTTP
)
"""What httpx calls the errors of aiohttp; the first that fits."""


class WholeBody:
    """A body, to be made one of httpx's or httpx2's; it ends with what was received, then fails.

    A body that is waited for in vain fails by one timer, which looks when the waiting began;
    aiohttp's own is set up anew for each piece.

    Args:
        content: The body, for which aiohttp has no limit of its own.
        release: Gives its connection back, or closes it.
        silence: Seconds without a byte after which reading fails; None for no limit.
    """

    library: ModuleType

    def __init__(
        self, content: aiohttp.StreamReader, release: Callable[[], object], silence: float | None
    ) -> None:
        self._content = content
        self._release = release
        self._silence = silence
        self._since: float | None = None  # when the waiting began, if there is any
        self._timer: asyncio.TimerHandle | None = None

    @classmethod
    @contextlib.contextmanager
    def mapped(cls) -> Iterator[None]:
        """Turn aiohttp's errors inside the block into that library's."""
        try:
            yield
        except aiohttp.ClientError as error:
            kind = next(name for of, name in _KINDS if isinstance(error, of))
            raise getattr(cls.library, kind)(_reason(error)) from error
        except HttpProcessingError as error:  # it speaks no HTTP
            raise cls.library.RemoteProtocolError(error.message) from error

    def __aiter__(self) -> Self:
        return self

    def ready(self) -> bytes | None:
        """The next bytes, if they need not be waited for; else None.

        Raises:
            StopAsyncIteration: At the end.
        """
        content = self._content
        if content.exception() is not None:
            return None
        if piece := content.read_nowait(_LONGEST_PIECE):
            return piece
        if content.at_eof():
            raise StopAsyncIteration
        return None

    async def __anext__(self) -> bytes:
        content = self._content
        loop = asyncio.get_running_loop()
        self._since = loop.time()
        if self._timer is None and self._silence is not None and not content.is_eof():
            self._timer = loop.call_later(self._silence, self._look)
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
        loop, due = asyncio.get_running_loop(), self._since + self._silence
        if due > loop.time():
            self._timer = loop.call_at(due, self._look)
        else:
            reason = f"nothing came for {self._silence:g} s"
            self._content.set_exception(aiohttp.SocketTimeoutError(reason))

    async def aclose(self) -> None:
        """Give the connection back, or close it."""
        if self._timer is not None:
            self._timer.cancel()
        self._release()


class BodyOfHttpx(WholeBody, httpx.AsyncByteStream):
    """A body of httpx's."""

    library = httpx


def _reason(error: aiohttp.ClientError) -> str:
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return "timed out"
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return f"Tunnel connection failed: {error.status} {error.message}"
    return error.message if isinstance(error, aiohttp.ClientResponseError) else str(error)
