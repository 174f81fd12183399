"""A turn of a conversation for a block, as a stream takes it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from dify_api._transport.turns import Key, Turns


@contextmanager
def turn_of(turns: Turns, key: Key, limit: float | None = None) -> Iterator[None]:
    """Hold the conversation's turn."""
    turn = turns.take(key, limit)
    turn.begin()
    try:
        yield
    finally:
        turn.leave()


@asynccontextmanager
async def async_turn_of(turns: Turns, key: Key, limit: float | None = None) -> AsyncIterator[None]:
    """`turn_of` for asyncio."""
    turn = await turns.atake(key, limit)
    turn.begin()
    try:
        yield
    finally:
        turn.leave()
