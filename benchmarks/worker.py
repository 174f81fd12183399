"""The process that measures one contender: tasks in and figures out, a line of JSON each.

A contender keeps its process for the whole run, warmed up, and waits without cost while the
others have their turn.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from benchmarks import answers

if TYPE_CHECKING:
    from benchmarks.contenders import Contender


@dataclass(frozen=True)
class Task:
    """What to measure.

    Attributes:
        measure: Name of one of the functions below.
        base_url: The answer's place on the server.
        tokens: Tokens of the answer.
        times: Answers to get, one after the other (or, with `streams`, in all).
        streams: Answers at a time, on the event loop.
    """

    measure: str
    base_url: str
    tokens: int
    times: int = 1
    streams: int = 1


class Worker:
    """Measures one contender. All figures are in seconds of CPU unless they say otherwise."""

    def __init__(self, contender: type[Contender]) -> None:
        self._new = lru_cache(contender)
        self._loop = asyncio.new_event_loop()

    def run(self, task: Task) -> dict[str, float]:
        """Carry out a task.

        Raises:
            AssertionError: If the contender did not get the whole answer.
        """
        measure: Callable[[Contender, Task], dict[str, float]] = getattr(self, task.measure)
        contender = self._await(self._built(task.base_url))
        return measure(contender, task)

    async def _built(self, base_url: str) -> Contender:
        return self._new(base_url)  # on the loop, where aiohttp wants to be

    def _await(self, awaitable: Any) -> Any:
        return self._loop.run_until_complete(awaitable)

    def stream(self, contender: Contender, task: Task) -> dict[str, float]:
        clock = _Clock()
        for _ in range(task.times):
            _check("".join(contender.stream()), task)
        return clock.read()

    def astream(self, contender: Contender, task: Task) -> dict[str, float]:
        async def read() -> None:
            _check("".join([piece async for piece in contender.astream()]), task)

        return self._concurrently(read, task)

    def invoke(self, contender: Contender, task: Task) -> dict[str, float]:
        clock = _Clock()
        for _ in range(task.times):
            _check(contender.invoke(), task)
        return clock.read()

    def ainvoke(self, contender: Contender, task: Task) -> dict[str, float]:
        async def call() -> None:
            _check(await contender.ainvoke(), task)

        return self._concurrently(call, task)

    def _concurrently(self, answer: Callable[[], Any], task: Task) -> dict[str, float]:
        async def take_turns(turns: int) -> None:
            for _ in range(turns):
                await answer()

        async def all_streams() -> None:
            turns = max(1, task.times // task.streams)
            await asyncio.gather(*(take_turns(turns) for _ in range(task.streams)))

        clock = _Clock()
        self._await(all_streams())
        return clock.read()

    def first_token(self, contender: Contender, task: Task) -> dict[str, float]:
        """Median seconds of wall time from the call to the first text."""
        delays = []
        for _ in range(task.times):
            start = time.perf_counter()
            pieces = contender.stream()
            first = _first_text(pieces)
            delays.append(time.perf_counter() - start)
            _check(first + "".join(pieces), task)
        return {"seconds": sorted(delays)[len(delays) // 2]}

    def afirst_token(self, contender: Contender, task: Task) -> dict[str, float]:
        """`first_token` on the event loop."""

        async def delay() -> float:
            start = time.perf_counter()
            pieces = contender.astream()
            first = await _afirst_text(pieces)
            delay = time.perf_counter() - start
            _check(first + "".join([piece async for piece in pieces]), task)
            return delay

        delays = sorted(self._await(delay()) for _ in range(task.times))
        return {"seconds": delays[len(delays) // 2]}

    def construct(self, contender: Contender, task: Task) -> dict[str, float]:
        """Seconds of CPU per model object; TLS contexts and HTTP clients that it builds."""
        with _Counted() as built:
            contender.construct()
        clock, made = _Clock(), []
        while not made or (time.perf_counter() - clock.started < 0.05 and len(made) < task.times):
            made.append(contender.construct())
        return {"cpu": clock.read()["cpu"] / len(made), "built": built.count}

    def memory(self, contender: Contender, task: Task) -> dict[str, float]:
        """Bytes of resident memory per open stream."""

        async def opened() -> AsyncIterator[str]:
            pieces = contender.astream()
            await _afirst_text(pieces)
            return pieces

        async def per_stream() -> float:
            warm = [await opened() for _ in range(3)]
            before = _resident()
            streams = await asyncio.gather(*(opened() for _ in range(task.streams)))
            after = _resident()
            for stream in (*warm, *streams):
                await stream.aclose()  # type: ignore[attr-defined]  # all are generators
            return (after - before) / task.streams

        return {"bytes": self._await(per_stream())}


class _Clock:
    """CPU and wall time from its making on."""

    def __init__(self) -> None:
        gc.collect()
        self.started, self._cpu = time.perf_counter(), time.process_time()

    def read(self) -> dict[str, float]:
        cpu = time.process_time() - self._cpu
        return {"cpu": cpu, "wall": time.perf_counter() - self.started}


class _Counted:
    """Counts the TLS contexts and sockets that are made inside it."""

    def __init__(self) -> None:
        self.count = 0
        self._active = False
        sys.addaudithook(self._hear)

    def __enter__(self) -> _Counted:
        import ssl

        self._active = True
        self._new, original = ssl.SSLContext.__new__, ssl.SSLContext.__new__

        def counted(cls: type[ssl.SSLContext], *args: Any, **kwargs: Any) -> ssl.SSLContext:
            self.count += 1
            return original(cls, *args, **kwargs)

        ssl.SSLContext.__new__ = counted  # type: ignore[method-assign, assignment]  # to count
        return self

    def __exit__(self, *_error: object) -> None:
        import ssl

        self._active = False
        ssl.SSLContext.__new__ = self._new  # type: ignore[method-assign]  # as it was

    def _hear(self, event: str, _args: Any) -> None:
        if self._active and event == "socket.__new__":
            self.count += 1


def _check(text: str, task: Task) -> None:
    expected = answers.text(task.tokens)
    assert text == expected, f"{len(text)} characters instead of {len(expected)}"


def _first_text(pieces: Any) -> str:
    return next(piece for piece in pieces if piece)


async def _afirst_text(pieces: Any) -> str:
    async for piece in pieces:
        if piece:
            return str(piece)
    raise AssertionError("no text at all")


def _resident() -> int:
    gc.collect()
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def main(name: str) -> None:
    """Say whether `name` can be measured, then carry out tasks until stdin ends."""
    from benchmarks.contenders import load

    # What a contender prints must not get between the lines of the answers.
    answers_to, sys.stdout = sys.stdout, sys.stderr
    try:
        worker = Worker(load(name))
    except ImportError as error:
        print(json.dumps({"skipped": str(error)}), file=answers_to, flush=True)
        return
    print(json.dumps({}), file=answers_to, flush=True)
    for line in sys.stdin:
        try:
            figures: dict[str, Any] = worker.run(Task(**json.loads(line)))
        except Exception as error:  # noqa: BLE001  # the parent is told, and reports it
            figures = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(figures), file=answers_to, flush=True)


def as_line(task: Task) -> str:
    """A task as the line that a worker reads."""
    return json.dumps(asdict(task)) + "\n"


if __name__ == "__main__":
    main(sys.argv[1])
