"""Leaving an answer: in every way, at every stage, through everything that answers.

Whoever leaves is back at once, and the run is stopped, once, if it was going on.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from tests.faults.callers import CALLERS, Caller
from tests.faults.faults import ANSWERS
from tests.faults.matrix import Places, places
from tests.faults.server import CHUNKED, Case, End, Frames, Script, chunk, frames, whole

SYNC_WAYS = ("break", "close", "error")
ASYNC_WAYS = ("break", "error", "cancel", "timeout")
AT_ONCE = 16


@dataclass(frozen=True)
class Stage:
    """Where an answer is when it is left.

    Attributes:
        name: As the docs call it.
        script: What the server has done until then, and does after.
        stops: Whether the run is stopped.
        limit: Seconds within which the leaver is back.
        shows: Whether text has come, so that a loop over it can be left.
        stop: What the server answers to the stop.
        connects: Whether there is a connection at all.
    """

    name: str
    script: Callable[[Frames], Script]
    stops: bool
    limit: float = 2.0
    shows: bool = True
    stop: Script = (whole(b'{"result": "success"}'),)
    connects: bool = True


def _middle(f: Frames) -> Script:
    return [CHUNKED, chunk(f.begin + f.tokens[0]), End.Hold]


STAGES = [
    Stage("connecting", lambda _: [], stops=False, shows=False, connects=False),
    Stage(
        "before the headers",
        lambda f: [End.Wait, *_middle(f)],
        stops=True,
        shows=False,
    ),
    Stage(
        "before the first event",
        lambda f: [CHUNKED, End.Wait, *_middle(f)[1:]],
        stops=True,
        shows=False,
    ),
    Stage("in the middle", _middle, stops=True),
    Stage("in the middle, and the stop is refused", _middle, True, stop=[whole(b"{}", 500)]),
    Stage("in the middle, and the stop gets no reply", _middle, True, 5.0, stop=[End.Hold]),
    Stage(
        "in the middle, and the reply to the stop dribbles",
        _middle,
        True,
        5.0,
        stop=[b"HTTP/1.1 200 OK\r\n", End.Dribble(b"x: " + b"x" * 2_000)],
    ),
    Stage(
        "after the end, the connection still open",
        lambda f: [CHUNKED, chunk(f.all), End.Hold],
        stops=False,
    ),
]


@dataclass(frozen=True)
class Leaving:
    """A case."""

    stage: Stage
    way: str
    caller: Caller


def cases() -> list[Leaving]:
    """Every way at every stage that it is possible at."""
    found = []
    for stage in STAGES:
        for caller in CALLERS:
            if caller.asks not in ANSWERS:
                continue
            for way in ASYNC_WAYS if caller.is_async else SYNC_WAYS:
                in_loop = way in ("break", "close", "error")
                if in_loop and (caller.stream is None or not stage.shows):
                    continue
                found.append(Leaving(stage, way, caller))
    return found


def sample(chosen: Sequence[Leaving]) -> list[Leaving]:
    """A part in which all stages, ways and callers come."""
    return [case for number, case in enumerate(chosen) if number % 5 == 0]


def run(chosen: Sequence[Leaving], slack: float = 1.0) -> list[tuple[Leaving, str]]:
    """Run cases; for each, what is not as stated, "" if all is."""
    with places() as found:
        return asyncio.run(_run(chosen, found, slack))


async def _run(chosen: Sequence[Leaving], found: Places, slack: float) -> list[tuple[Leaving, str]]:
    limit, loop = asyncio.Semaphore(AT_ONCE), asyncio.get_running_loop()
    seen: list[tuple[Leaving, Case, str]] = []
    with ThreadPoolExecutor(2 * AT_ONCE) as pool:

        async def one(number: int, leaving: Leaving) -> None:
            stage, caller, name = leaving.stage, leaving.caller, f"leaving-{number}"
            case = Case(stage.script(frames(caller.asks)), stop=stage.stop)
            found.plain.cases[name] = case
            url = found.plain.url(name) if stage.connects else f"{found.full}/{name}/v1"
            options = {"api_key": "key-of-the-matrix", "base_url": url}
            async with limit:
                if caller.is_async:
                    seconds = await _leave_async(leaving, case, options, pool)
                else:
                    seconds = await loop.run_in_executor(pool, _leave, leaving, options)
                case.released.set()
                if stage.stops:
                    await loop.run_in_executor(pool, case.stopped.wait, 15.0)
            late = seconds > stage.limit * slack
            seen.append((leaving, case, f"back after {seconds:.1f} s" if late else ""))

        await asyncio.gather(*(one(number, leaving) for number, leaving in enumerate(chosen)))
    # Looked at only now: a stop too many would have come by.
    return [(leaving, problem or _problem(leaving, case)) for leaving, case, problem in seen]


def _problem(leaving: Leaving, case: Case) -> str:
    if case.generations > 1:
        return f"{case.generations} generations"
    wanted = ["t1"] if leaving.stage.stops else []
    return "" if case.stops == wanted else f"stops {case.stops}, not {wanted}"


class _ConsumerError(Exception):
    pass


def _leave(leaving: Leaving, options: dict[str, Any]) -> float:
    """Leave a sync stream; seconds that it took."""
    assert leaving.caller.stream is not None
    pieces = leaving.caller.stream(options)
    _first(pieces)
    began = time.monotonic()
    if leaving.way == "close":
        pieces.close()
    elif leaving.way == "error":
        with contextlib.suppress(_ConsumerError):
            pieces.throw(_ConsumerError)
    del pieces
    return time.monotonic() - began


def _first(pieces: Any) -> None:
    for piece in pieces:
        if piece:
            return


async def _leave_async(
    leaving: Leaving, case: Case, options: dict[str, Any], pool: ThreadPoolExecutor
) -> float:
    """Leave an async call or stream; seconds that it took."""
    if leaving.way in ("break", "error"):
        return await _leave_loop(leaving, options)
    shown = asyncio.Event()
    task = asyncio.ensure_future(_follow(leaving.caller, options, shown))
    if leaving.caller.stream is not None and leaving.stage.shows:
        await shown.wait()
    elif leaving.stage.connects:
        await asyncio.get_running_loop().run_in_executor(pool, case.sent.wait, 60.0)
    else:
        await asyncio.sleep(0)  # it has begun, and connects
    began = time.monotonic()
    if leaving.way == "cancel":
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
    else:
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(task, 0.01)
    return time.monotonic() - began


async def _follow(caller: Caller, options: dict[str, Any], shown: asyncio.Event) -> None:
    if caller.stream is None:
        await caller.text(options)
        return
    async with aclosing(caller.stream(options)) as pieces:
        async for piece in pieces:
            if piece:
                shown.set()


async def _leave_loop(leaving: Leaving, options: dict[str, Any]) -> float:
    began = 0.0
    assert leaving.caller.stream is not None
    with contextlib.suppress(_ConsumerError):
        async with aclosing(leaving.caller.stream(options)) as pieces:
            async for piece in pieces:
                if piece:
                    began = time.monotonic()
                    if leaving.way == "error":
                        raise _ConsumerError
                    break
    return time.monotonic() - began
