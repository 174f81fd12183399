"""A call that is interrupted (Ctrl-C), or cancelled, while it waits for its reply.

A request that was sent is not taken back: the server goes on, and what it replies is needed to
stop the run. Completion, chat and agent apps send nothing before their first event.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from dify_api._runs.steps import Follow
from dify_api._transport.deadlines import limit
from dify_api._transport.failures import ignored_failures
from dify_api._transport.open_streams import READ_ON
from dify_api._transport.pieces import AsyncReply, Reply
from dify_api.answers.answer import Answer
from dify_api.errors import DifyError
from dify_api.operation import Operation

if TYPE_CHECKING:
    from dify_api._transport.streams import EventStream

Wait = Callable[[], Reply]
"""Waits on for the reply of a request."""
Leave = Callable[[dict[str, float | None], Wait], None]
"""Called where a request is interrupted, with the timeouts of its exchange and what waits on."""
AsyncLeave = Callable[["asyncio.Future[AsyncReply]"], None]
"""Called where a request is cancelled that was sent, with what waits on for its reply."""


def leave_unanswered(
    stream: EventStream,
    operation: Operation[Answer],
    timeouts: dict[str, float | None],
    wait: Wait,
) -> None:
    """Stop the run that a request has begun, in the background, as soon as its task is known.

    Args:
        stream: A new one.
        operation: What was asked.
        timeouts: Those of its exchange.
        wait: Waits on for its reply.
    """
    until = time.monotonic() + READ_ON
    limit(timeouts, lambda: until)

    def leave() -> None:
        with ignored_failures(DifyError):
            stream.take_response(wait(), Follow(operation))
        stream.close()

    thread = threading.Thread(target=leave, name="dify-leave", daemon=True)
    with contextlib.suppress(RuntimeError):  # the interpreter is about to end
        thread.start()


async def kept(sending: Coroutine[Any, Any, AsyncReply], leave: AsyncLeave | None) -> AsyncReply:
    """Await what sends a request, in a task of its own, which outlives a cancellation.

    Args:
        sending: Sends it.
        leave: Called if it is cancelled; None to let `sending` be cancelled.
    """
    if leave is None:
        return await sending
    task = asyncio.ensure_future(sending)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        if not task.cancelled():
            leave(task)
        raise
