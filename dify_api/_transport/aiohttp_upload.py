"""A limit on how long a server may leave a body unread: aiohttp knows none.

Apart from `pools`, for aiohttp takes 0.2 s to import.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterable, AsyncIterator, Awaitable
from typing import TypeVar

import aiohttp

from dify_api._transport.deadlines import Alarm
from dify_api._transport.pieces import PIECE

T = TypeVar("T")


class TimedUpload:
    """A body in pieces, each of which is to be taken in time.

    Args:
        content: The body.
        seconds: How long the server may take for a piece.
        reply: How long for its reply, which is limited elsewhere; None for no limit.
    """

    def __init__(
        self, content: bytes | AsyncIterable[bytes], seconds: float, reply: float | None
    ) -> None:
        self._content = _cut(content) if isinstance(content, bytes) else content
        self._seconds = seconds
        self._reply = reply
        self._due: float | None = None  # not while it connects

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for piece in self._content:
            self._due = time.monotonic() + self._seconds
            yield piece
        rest = self._reply
        self._due = None if rest is None else time.monotonic() + self._seconds + rest

    async def during(self, sending: Awaitable[T]) -> T:
        """Await what sends the body.

        Raises:
            aiohttp.SocketTimeoutError: If a piece is not taken in time.
        """
        alarm = Alarm(lambda: self._due or time.monotonic() + self._seconds)
        alarm.listen()
        try:
            return await sending
        except asyncio.CancelledError:
            if alarm.rang():
                raise aiohttp.SocketTimeoutError("the body was not taken in time") from None
            raise
        finally:
            alarm.reset()


async def _cut(body: bytes) -> AsyncIterator[bytes]:
    for at in range(0, len(body), PIECE):
        yield body[at : at + PIECE]
