"""Flows of calls that do not depend on each other, several at a time."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from contextvars import copy_context
from typing import Any, TypeVar

from dify_api._runs.flows import Flow, Stopped, arun, run
from dify_api.client import AsyncDifyClient, DifyClient

T = TypeVar("T")
Finished = Callable[[], object]
"""Called whenever one of several flows has ended."""


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
