"""Streams that are closed with those that langchain-core makes of them.

Core leaves the generator of `_astream` to garbage collection, which closes it some turns of the
event loop later, or never where the loop ends first: the app would go on, unheard.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

from dify_api._transport import open_streams
from dify_api._transport.takers import Taker

T = TypeVar("T")

_OWNED: ContextVar[_Owned | None] = ContextVar("dify_owned", default=None)


def owned(chunks: AsyncGenerator[T, None], method: str) -> AsyncGenerator[T, None]:
    """A generator that core is about to wrap, made known to the `owning` around it, if any.

    Args:
        chunks: The generator.
        method: The method that returns it.
    """
    owned = _OWNED.get()
    # Not what a handler streams meanwhile, or a task that it began, which has inherited this.
    if owned and owned.method == method and owned.taker == Taker.current():
        owned.generators.append(chunks)
    return chunks


async def owning(
    begin: Callable[[], AsyncIterator[T]], method: str = ""
) -> AsyncGenerator[T, None]:
    """The stream that core makes, closed together with the one of ours below it.

    Args:
        begin: Calls core's `astream`, `atransform` or the like, when the first chunk is asked for.
        method: The method of ours that core calls for it, if any.
    """
    chunks = cast("AsyncGenerator[T, None]", begin())
    below = _Owned(method)
    owner = _Owner([chunks])
    try:
        token = _OWNED.set(below)  # core makes it on the way to the first chunk
        try:
            first = await anext(chunks)
        except StopAsyncIteration:
            return
        finally:
            _OWNED.reset(token)
            owner.generators += below.generators
        owner.loop = asyncio.get_running_loop()
        open_streams.ASYNC.add(owner)
        yield first
        async for chunk in chunks:
            yield chunk
    finally:
        await owner.aclose()


@dataclass(eq=False)
class _Owned:
    """What a method makes in a task on the way to a first chunk."""

    method: str
    taker: Taker = field(default_factory=Taker.current)
    generators: list[AsyncGenerator[Any, None]] = field(default_factory=list)


@dataclass(eq=False)
class _Owner:
    """Closes generators in their order, with the loop at the latest.

    The loop by itself would close all at once, and complain of each that another closes already.
    """

    generators: list[AsyncGenerator[Any, None]]
    loop: asyncio.AbstractEventLoop | None = None

    async def aclose(self) -> None:
        try:
            for generator in self.generators:
                if not getattr(generator, "ag_running", False):  # else its closing is under way
                    await generator.aclose()
        finally:
            open_streams.ASYNC.discard(self)
