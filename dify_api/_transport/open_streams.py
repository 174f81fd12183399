"""The streams of this process that are open, for the moments at which nobody leaves them.

The interpreter ends, an event loop is closed, a process forks: what runs at the server is to be
stopped then, once, and by whom it belongs to.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

EXIT_LIMIT = 10.0
"""Seconds that the interpreter's end waits for stops at most."""

READ_ON = 10.0
"""Seconds for which a stream is read on that is left before an event has told the task to stop."""


class SyncStream(Protocol):
    """What is needed of a sync stream."""

    thread: int

    def close(self) -> None:
        """Leave it."""

    def stop_run(self) -> None:
        """Stop its run."""


class AsyncStream(Protocol):
    """What is needed of an async stream."""

    loop: asyncio.AbstractEventLoop | None

    async def aclose(self) -> None:
        """Leave it."""


# Of all threads: one that looks through them takes a list, for others come and go meanwhile.
SYNC: set[SyncStream] = set()
ASYNC: set[AsyncStream] = set()
LEAVING: set[asyncio.Future[None]] = set()
"""Tasks that leave streams; asyncio itself keeps only weak references."""

_inherited: list[Any] = []  # by a forked child: never closed, for the parent goes on with them


def leaving(leave: Callable[[], Coroutine[Any, Any, None]]) -> asyncio.Future[None]:
    """A task that leaves a stream, whoever cancels it before it has begun.

    At its end `asyncio.run` cancels whatever it finds, and a task without a first step would do
    nothing. The one that takes its place is waited for by `leave_with`.
    """
    has_begun = False

    async def begun() -> None:
        nonlocal has_begun
        has_begun = True
        await leave()

    def ended(_: object) -> None:
        LEAVING.discard(task)
        if not has_begun:
            leaving(leave)

    task = asyncio.ensure_future(begun())
    LEAVING.add(task)
    task.add_done_callback(ended)
    return task


def is_left_by_loop(stream: SyncStream) -> bool:
    """Whether an event loop leaves a stream, in whose thread nobody has read it.

    It had the last reference, as that of a web server whose client has left, or its thread collects
    garbage. It is not to wait for the stop.
    """
    if stream.thread == threading.get_ident():
        return False
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def leave_at_exit() -> bool:
    """Stop the runs of the sync streams that are open.

    Returns:
        Whether all were left. A daemon thread may still be reading, or be about to: its connection
        is its own until it ends with the interpreter.
    """
    until = time.monotonic() + EXIT_LIMIT
    others = {thread.ident for thread in threading.enumerate()} - {threading.get_ident()}
    for stream in list(SYNC):
        if time.monotonic() < until:
            if stream.thread in others:
                stream.stop_run()
            else:
                stream.close()
    for thread in threading.enumerate():
        if thread.name == "dify-leave":
            thread.join(max(0.0, until - time.monotonic()))
    return not SYNC


async def leave_with(loop: asyncio.AbstractEventLoop) -> None:
    """Leave the async streams of a loop that is about to be closed."""
    until = time.monotonic() + EXIT_LIMIT
    await asyncio.sleep(0)  # generators that nobody refers to are about to be closed by tasks
    while closing := [task for task in asyncio.all_tasks() if _closes_generator(task)]:
        await asyncio.wait(closing, timeout=max(0.0, until - time.monotonic()))
        if time.monotonic() > until:
            break
        await asyncio.sleep(0)  # then those that they have read
    for stream in [stream for stream in list(ASYNC) if stream.loop is loop]:
        try:
            await stream.aclose()
        except Exception as error:  # noqa: BLE001 - told as asyncio tells it of generators
            message = "an error occurred while a stream was left"
            loop.call_exception_handler({"message": message, "exception": error})
    leaving = [task for task in list(LEAVING) if task.get_loop() is loop]
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.gather(*leaving, return_exceptions=True)


def _closes_generator(task: asyncio.Task[Any]) -> bool:
    return type(task.get_coro()).__name__ == "async_generator_athrow"


def _forget() -> None:
    _inherited.extend((*SYNC, *ASYNC, *LEAVING))
    for streams in (SYNC, ASYNC, LEAVING):
        streams.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
