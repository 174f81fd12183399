"""Streams that were opened within a block of code, so that they can be closed for sure.

LlamaIndex wraps the generator of a streaming call in its own, and closing that one closes ours
only once nothing refers to it any more: a pass of the event loop later, or never while a handler
keeps an exception. Who opens a stream inside `opened()` gets hold of the generator itself::

    with opened() as streams:
        responses = await llm.astream_chat(messages)
    ...
    for stream in streams:
        await stream.aclose()  # the app is stopped now
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import AsyncGeneratorType
from typing import Any, TypeVar

from dify_api._transport.takers import Taker

OpenStream = Generator[Any, None, None] | AsyncGenerator[Any, None]
StreamT = TypeVar("StreamT", bound=OpenStream)

_opened: ContextVar[tuple[Taker, list[OpenStream]] | None] = ContextVar(
    "dify_opened_streams", default=None
)
"""Who collects: a task that a handler began within the block has inherited this, too."""


@contextmanager
def opened() -> Iterator[list[OpenStream]]:
    """Collect the streams that are opened within the block, by this task or thread."""
    streams: list[OpenStream] = []
    token = _opened.set((Taker.current(), streams))
    try:
        yield streams
    finally:
        _opened.reset(token)


def remember(stream: StreamT) -> StreamT:
    """Return `stream`, having shown it to the `opened()` around the call, if any."""
    found = _opened.get()
    if found is not None and found[0] == Taker.current():
        found[1].append(stream)
    return stream


def close(streams: Iterable[object]) -> None:
    """Close those that are generators."""
    for stream in streams:
        if isinstance(stream, Generator):
            stream.close()


def are_running(streams: Iterable[object]) -> bool:
    """Whether one is an async generator that runs, or is being closed."""
    return any(isinstance(stream, AsyncGeneratorType) and stream.ag_running for stream in streams)


async def aclose(streams: Iterable[object]) -> None:
    """Close those that are async generators.

    One that runs is being closed already: at its end an event loop closes all at once.
    """
    for stream in streams:
        if are_running([stream]):
            continue
        if isinstance(stream, AsyncGenerator):
            try:
                await stream.aclose()
            except RuntimeError as error:  # a wrapper, of one that runs
                if "already running" not in str(error):
                    raise
