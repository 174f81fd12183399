"""The bytes of a response's body, as they come."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator, Mapping
from typing import Any, Protocol, cast

from typing_extensions import Self

PIECE = 65_536
"""Bytes that are sent at once, or read at once in sync calls."""


class Reply(Protocol):
    """What is asked of a reply: a response of httpx's, or what `urllib3_pool` has for it."""

    @property
    def status_code(self) -> int: ...

    @property
    def headers(self) -> Mapping[str, str]: ...  # asked by names in lower case

    @property
    def stream(self) -> object: ...  # an iterable of the body's bytes, not decoded

    @property
    def extensions(self) -> Mapping[str, Any]: ...

    def iter_bytes(self) -> Iterable[bytes]: ...  # decoded, as in `read`

    def read(self) -> bytes: ...

    def close(self) -> None: ...


class AsyncReply(Protocol):
    """`Reply` for asyncio: a response of httpx's, or what `aiohttp_pool` has for it."""

    @property
    def status_code(self) -> int: ...

    @property
    def headers(self) -> Mapping[str, str]: ...

    @property
    def stream(self) -> object: ...  # an async iterable of the body's bytes, not decoded

    def aiter_bytes(self) -> AsyncIterable[bytes]: ...  # decoded, as in `aread`

    async def aread(self) -> bytes: ...

    async def aclose(self) -> None: ...


def raw_pieces(response: Reply) -> Iterator[bytes]:
    """The body's bytes as they come; through httpx's decoder only if they are compressed."""
    encoded = response.headers.get("content-encoding", "identity") != "identity"
    return iter(response.iter_bytes() if encoded else cast("Iterable[bytes]", response.stream))


Ready = Callable[[], bytes | None]
"""Tells the next bytes of a body, or its end, if they need not be waited for; else None."""


def async_body(response: AsyncReply) -> tuple[AsyncIterator[bytes], Ready]:
    """`raw_pieces` for asyncio, and what has come of them."""
    if response.headers.get("content-encoding", "identity") != "identity":
        return aiter(response.aiter_bytes()), _nothing
    stream = cast("AsyncIterable[bytes]", response.stream)
    return aiter(stream), getattr(stream, "ready", _nothing)


def no_body() -> tuple[AsyncIterator[bytes], Ready]:
    """`async_body` where there is none."""
    return _NoPieces(), _nothing


class _NoPieces:
    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        raise StopAsyncIteration


def _nothing() -> None:
    """What a body says that can only be waited for."""
