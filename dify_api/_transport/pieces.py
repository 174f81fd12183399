"""The bytes of a response's body, as they come."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import cast

import httpx


def raw_pieces(response: httpx.Response) -> Iterator[bytes]:
    """The body's bytes as they come; through httpx's decoder only if they are compressed."""
    encoded = response.headers.get("content-encoding", "identity") != "identity"
    return response.iter_bytes() if encoded else iter(cast("httpx.SyncByteStream", response.stream))


def raw_async_pieces(response: httpx.Response) -> AsyncIterator[bytes]:
    """The body's bytes as they come; through httpx's decoder only if they are compressed."""
    encoded = response.headers.get("content-encoding", "identity") != "identity"
    if encoded:
        return response.aiter_bytes()
    return aiter(cast("httpx.AsyncByteStream", response.stream))


async def no_pieces() -> AsyncIterator[bytes]:
    """The bytes of no body."""
    pieces: tuple[bytes, ...] = ()
    for piece in pieces:
        yield piece
