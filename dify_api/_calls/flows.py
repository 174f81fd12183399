"""Several calls that depend on each other, written once for sync and async.

A generator yields operations and is sent their results; `run` and `arun` make the calls. So
what to ask, and in which order, is pure code without a twin::

    def first_conversation(user: str) -> Flow[str]:
        page = yield conversations.list_conversations(user=user)
        return page.data[0].id

    run(client, first_conversation("ann"))
    await arun(async_client, first_conversation("ann"))

A flow that yields a `Pause` is continued after it. Flows that do not depend on each other are made
several at a time by `run_all` and `arun_all`.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from contextvars import copy_context
from dataclasses import dataclass
from typing import Any, TypeVar

from dify_api.client import AsyncDifyClient, DifyClient
from dify_api.errors import DifyError
from dify_api.operation import Operation

T = TypeVar("T")


@dataclass(frozen=True)
class Pause:
    """A step of a flow that is a wait."""

    seconds: float


class Stopped(BaseException):
    """Another flow has failed, or the caller has given up: this one goes no further."""


Flow = Generator[Operation[Any] | Pause, Any, T]
Finished = Callable[[], object]
"""Called whenever one of several flows has ended."""


def run(client: DifyClient, flow: Flow[T], *, stop: threading.Event | None = None) -> T:
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


async def arun(client: AsyncDifyClient, flow: Flow[T]) -> T:
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


def run_all(
    client: DifyClient,
    flows: Iterable[Flow[T]],
    *,
    max_concurrency: int,
    finished: Finished | None = None,
) -> list[T]:
    """Run flows that do not depend on each other, several at a time.

    Args:
        client: Makes their calls.
        flows: The flows.
        max_concurrency: How many at a time.
        finished: Called as each ends.

    Returns:
        What they return, in their order.

    Raises:
        DifyError: The first failure of a flow; none is begun or goes on after it, except for
            calls that are under way.
    """
    todo, results = _numbered(flows)
    stop = threading.Event()

    def work() -> None:
        for place, flow in _taken(todo):
            with _nothing_after_failure(todo, stop):
                results[place] = run(client, flow, stop=stop)
                if finished is not None:
                    finished()

    with (
        ThreadPoolExecutor(max_concurrency, thread_name_prefix="dify") as pool,
        _nothing_after_failure(todo, stop),
    ):
        count = min(max_concurrency, len(todo))
        workers = [pool.submit(copy_context().run, work) for _ in range(count)]
        for worker in as_completed(workers):
            error = worker.exception()
            if error is not None and not isinstance(error, Stopped):
                raise error
    return [results[place] for place in sorted(results)]


async def arun_all(
    client: AsyncDifyClient,
    flows: Iterable[Flow[T]],
    *,
    max_concurrency: int,
    finished: Finished | None = None,
) -> list[T]:
    """`run_all` for asyncio."""
    todo, results = _numbered(flows)

    async def work() -> None:
        for place, flow in _taken(todo):
            results[place] = await arun(client, flow)
            if finished is not None:
                finished()

    count = min(max_concurrency, len(todo))
    workers = [asyncio.ensure_future(work()) for _ in range(count)]
    try:
        await asyncio.gather(*workers)
    finally:
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
    return [results[place] for place in sorted(results)]


def _numbered(flows: Iterable[Flow[T]]) -> tuple[list[tuple[int, Flow[T]]], dict[int, T]]:
    """The flows with their places, the first at the end; and where their results go."""
    return list(enumerate(flows))[::-1], {}


def _taken(todo: list[T]) -> Iterator[T]:
    """What there is to do, as long as there is any; several threads take of it."""
    while True:
        try:
            yield todo.pop()
        except IndexError:
            return


@contextmanager
def _nothing_after_failure(todo: list[Any], stop: threading.Event) -> Iterator[None]:
    try:
        yield
    except BaseException:
        todo.clear()
        stop.set()
        raise


def _make(client: DifyClient, step: Operation[Any] | Pause, stop: threading.Event | None) -> Any:
    if not isinstance(step, Pause):
        return client.send(step)
    if stop is None:
        return time.sleep(step.seconds)
    if stop.wait(step.seconds):
        raise Stopped
    return None


async def _amake(client: AsyncDifyClient, step: Operation[Any] | Pause) -> Any:
    if isinstance(step, Pause):
        return await asyncio.sleep(step.seconds)
    return await client.send(step)
