"""Who takes a turn, and whose waiting for it would never end."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import thread as executors
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Taker:
    """A task, or a thread outside of any.

    Attributes:
        thread: The thread.
        task: The task that runs in it, if any.
    """

    thread: threading.Thread
    task: asyncio.Task[Any] | None

    @classmethod
    def current(cls) -> Taker:
        """The task or thread that asks."""
        try:
            task = asyncio.current_task()
        except RuntimeError:  # no event loop runs in this thread
            task = None
        return cls(threading.current_thread(), task)

    def is_held_up(self, waiting: Taker, *, blocking: bool) -> bool:
        """Whether it cannot go on while `waiting` waits: that wait would never end.

        Args:
            waiting: Who waits.
            blocking: Whether `waiting` blocks its thread, and with it an event loop there.
        """
        if self.thread is not waiting.thread:
            return False
        if self.task is not None:
            return blocking or self.task is waiting.task
        return not _is_worker(self.thread)  # of those another one may go on with a stream


def _is_worker(thread: threading.Thread) -> bool:
    """Whether it is a pool's: of `concurrent.futures`, or of anyio, as web servers have it."""
    pools = getattr(executors, "_threads_queues", {})
    return thread in pools or thread.name.startswith("AnyIO worker")
