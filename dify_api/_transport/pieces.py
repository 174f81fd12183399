"""The bytes of a response's body, as they come."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterator, Mapping
from typing import Protocol, cast

import httpx


class AsyncReply(Protocol):
    """What is asked of an async reply: a response of httpx's, or what `aiohttp_pool` has for it."""

    @property
    def status_code(self) -> int: ...

    @property
    def headers(self) -> Mapping[str, str]: ...  # whatever their case

    @property
    def stream(self) -> object: ...  # an async iterable of the body's bytes, not decoded

    def aiter_bytes(self) -> AsyncIterable[bytes]: ...  # decoded, as in `aread`

    async def aread(self) -> bytes: ...

    async def aclose(self) -> None: ...


def raw_pieces(response: httpx.Response) -> Iterator[bytes]:
    """The body's bytes as they come; through httpx's decoder only if they are compressed."""
    encoded = response.headers.get("content-encoding", "identity") != "identity"
    return response.iter_bytes() if encoded else iter(cast("httpx.SyncByteStream", response.stream))


def raw_async_pieces(response: AsyncReply) -> AsyncIterator[bytes]:
    """The body's bytes as they come; through httpx's decoder only if they are compressed."""
    encoded = response.headers.get("content-encoding", "identity") != "identity"
    if encoded:
        return aiter(response.aiter_bytes())
    return aiter(cast("AsyncIterable[bytes]", response.stream))


def ready_pieces(response: AsyncReply) -> Callable[[], bytes | None]:
    """Tells the next bytes of a body, or its end, if they need not be waited for; else None."""
    encoded = response.headers.get("content-encoding", "identity") != "identity"
    ready: Callable[[], bytes | None] = getattr(response.stream, "ready", nothing_ready)
    return nothing_ready if encoded else ready


def nothing_ready() -> None:
    """What a body says that can only be waited for."""


async def no_pieces() -> AsyncIterator[bytes]:
    """The bytes of no body."""
    pieces: tuple[bytes, ...] = ()
    for piece in pieces:
        yield piece
