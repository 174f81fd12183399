"""Several calls that depend on each other, written once for sync and async.

A generator yields operations and is sent their results; `run` and `arun` make the calls. So
what to ask, and in which order, is pure code without a twin::

    def first_conversation(user: str) -> Flow[str]:
        page = yield conversations.list_conversations(user=user)
        return page.data[0].id

    run(client, first_conversation("ann"))
    await arun(async_client, first_conversation("ann"))

A flow that yields a `Pause` is continued after it.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Generator
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from dify_api.errors import DifyError
from dify_api.operation import Operation

T = TypeVar("T")


@dataclass(frozen=True)
class Pause:
    """A step of a flow that is a wait."""

    seconds: float


class OneAtATime:
    """Lets flows go on one after another, those of threads and of tasks alike.

    A copy has nobody in it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[type[OneAtATime], tuple[()]]:
        return OneAtATime, ()

    def through(self, flow: Flow[T]) -> Flow[T]:
        """The flow, begun once no other is under way."""
        while not self._lock.acquire(blocking=False):
            yield Pause(0.05)
        try:
            return (yield from flow)
        finally:
            self._lock.release()


class Stopped(BaseException):
    """Another flow has failed, or the caller has given up: this one goes no further."""


Flow = Generator[Operation[Any] | Pause, Any, T]


class Sender(Protocol):
    """What makes the calls: a `DifyClient`."""

    def send(self, operation: Operation[Any], /) -> Any:
        """Make a call."""
        ...


class AsyncSender(Protocol):
    """What makes the calls: an `AsyncDifyClient`."""

    def send(self, operation: Operation[Any], /) -> Awaitable[Any]:
        """Make a call."""
        ...


def run(client: Sender, flow: Flow[T], *, stop: threading.Event | None = None) -> T:
    """Make the calls of `flow` one after the other; return what it returns.

    Args:
        client: Makes them.
        flow: What to do.
        stop: Once it is set, a pause of the flow ends the flow.

    Raises:
        DifyError: If a call fails and `flow` does not catch it.
        Stopped: If `stop` was set.
    """
    try:
        step = next(flow)
        while True:
            try:
                result = _make(client, step, stop)
            except DifyError as error:
                step = flow.throw(error)
            else:
                step = flow.send(result)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]  # a generator's return value is Any
    finally:
        flow.close()  # else it would stay where it was as long as somebody keeps the error


async def arun(client: AsyncSender, flow: Flow[T]) -> T:
    """`run` for asyncio."""
    try:
        step = next(flow)
        while True:
            try:
                result = await _amake(client, step)
            except DifyError as error:
                step = flow.throw(error)
            else:
                step = flow.send(result)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]  # a generator's return value is Any
    finally:
        flow.close()


def _make(client: Sender, step: Operation[Any] | Pause, stop: threading.Event | None) -> Any:
    if not isinstance(step, Pause):
        return client.send(step)
    if stop is None:
        return time.sleep(step.seconds)
    if stop.wait(step.seconds):
        raise Stopped
    return None


async def _amake(client: AsyncSender, step: Operation[Any] | Pause) -> Any:
    if isinstance(step, Pause):
        return await asyncio.sleep(step.seconds)
    return await client.send(step)
