"""The calls that a stream makes, by whichever client."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from dify_api._transport.interrupted import AsyncLeave
from dify_api._transport.pieces import AsyncReply, Reply
from dify_api.answers.answer import Answer
from dify_api.operation import Operation


@dataclass(slots=True)
class Calls:
    """The calls that a stream makes.

    Attributes:
        open: Opens the stream of an operation.
        send: Makes any other call.
        stop: Stops an operation's task.
        delete: Deletes a conversation of an operation.
    """

    open: Callable[[Operation[Answer]], Reply]
    send: Callable[[Operation[Any]], Any]
    stop: Callable[[Operation[Answer], str], None]
    delete: Callable[[Operation[Answer], str], None]


@dataclass(slots=True)
class AsyncCalls:
    """`Calls` for asyncio."""

    open: Callable[[Operation[Answer], AsyncLeave | None], Awaitable[AsyncReply]]
    send: Callable[[Operation[Any]], Awaitable[Any]]
    stop: Callable[[Operation[Answer], str], Awaitable[None]]
    delete: Callable[[Operation[Answer], str], Awaitable[None]]
