"""Soak: one object, hundreds of threads and streams, cuts and cancels at random; nothing may grow.

python -m tests.soak            # minutes
python -m tests.soak --quick    # some 20 seconds
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import random
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from pathlib import Path

from dify_api import DifyError
from langchain_dify import ChatDify
from tests.soak.server import EchoServer

Figures = dict[str, float]
_PAGE = os.sysconf("SC_PAGE_SIZE")


def figures() -> Figures:
    """What may not grow, of this process."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return {
        "MB": pages * _PAGE / 1e6,
        "descriptors": len(os.listdir("/proc/self/fd")),
        "threads": threading.active_count(),
    }


def ask(model: ChatDify, number: int, seen: Counter[str]) -> None:
    """A sync turn: whole, or left in the middle."""
    question, leaves = f"sync-{number}", random.random() < 0.2
    text = ""
    try:
        for chunk in model.stream(question):
            text += chunk.text
            if leaves and text:
                seen["left"] += 1
                return
    except DifyError:
        seen["cut"] += 1
        return
    seen["right" if text == question else "WRONG"] += 1


async def aask(model: ChatDify, number: int, seen: Counter[str]) -> None:
    """An async turn: whole, left, or cancelled at any moment."""
    question, chance = f"async-{number}", random.random()
    task = asyncio.ensure_future(_read(model, question, leaves=chance < 0.1))
    if chance > 0.9:
        asyncio.get_running_loop().call_later(random.random() / 10, task.cancel)
    try:
        text = await task
    except DifyError:
        seen["cut"] += 1
    except asyncio.CancelledError:
        seen["cancelled"] += 1
    else:
        seen["left" if text is None else "right" if text == question else "WRONG"] += 1


async def _read(model: ChatDify, question: str, *, leaves: bool) -> str | None:
    text = ""
    async with aclosing(model.astream(question)) as chunks:  # type: ignore[type-var]
        async for chunk in chunks:
            text += chunk.text
            if leaves and text:
                return None
    return text


async def turns(model: ChatDify, number: int, seen: Counter[str]) -> None:
    """Two turns of one conversation at once: they come one after the other."""
    first = await model.ainvoke(f"turn-{number}")
    conversation = first.response_metadata["conversation_id"]
    said = await asyncio.gather(
        *(model.ainvoke(f"turn-{number}-{n}", conversation_id=conversation) for n in range(2))
    )
    right = sorted(m.text for m in said) == [f"turn-{number}-{n}" for n in range(2)]
    seen["turns right" if right else "WRONG"] += 1


async def load(model: ChatDify, threads: int, streams: int, calls: int, seen: Counter[str]) -> None:
    """One round."""
    loop, limit = asyncio.get_running_loop(), asyncio.Semaphore(streams)

    async def limited(number: int) -> None:
        async with limit:
            await aask(model, number, seen)

    with ThreadPoolExecutor(threads) as pool:
        sync = [loop.run_in_executor(pool, ask, model, n, seen) for n in range(calls)]
        conversations = [turns(model, n, seen) for n in range(max(1, calls // 200))]
        await asyncio.gather(*sync, *(limited(n) for n in range(calls)), *conversations)
    await _settle()


async def _settle() -> None:
    """Wait until what goes on in the background has ended; tasks left over are a leak."""
    until = time.monotonic() + 15
    while len(asyncio.all_tasks()) > 1 and time.monotonic() < until:  # noqa: ASYNC110
        await asyncio.sleep(0.1)


def main() -> int:
    """Run the rounds; 1 if anything grew or was wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak")
    parser.add_argument("--quick", action="store_true", help="some 20 seconds")
    quick = parser.parse_args().quick
    threads, streams, calls, rounds = (40, 100, 150, 3) if quick else (200, 1000, 10_000, 6)
    seen: Counter[str] = Counter()
    measured: list[Figures] = []
    began = time.monotonic()
    with EchoServer() as server:
        model = ChatDify(api_key="app-soak", base_url=server.base_url, max_retries=0)

        async def soak() -> list[int]:
            left_over = []
            for number in range(rounds):
                await load(model, threads, streams, calls, seen)
                left_over.append(len(asyncio.all_tasks()) - 1)
                measured.append({**figures(), "tasks": left_over[-1]})
                shown = ", ".join(f"{name} {value:.0f}" for name, value in measured[-1].items())
                print(f"round {number + 1}: {shown}; {dict(seen)}", flush=True)
            return left_over

        asyncio.run(soak())
        overlaps = server.overlaps
    problems = [f"{name} grew" for name in measured[0] if _grew(name, measured)]
    problems += [f"{seen['WRONG']} wrong answers"] * bool(seen["WRONG"])
    problems += [f"{overlaps} turns at once in one conversation"] * bool(overlaps)
    print(f"{time.monotonic() - began:.0f} s; {', '.join(problems) or 'nothing grew'}")
    return 1 if problems else 0


def _grew(name: str, measured: list[Figures]) -> bool:
    """Whether the last round ended with more than the second, by more than chance."""
    room = {"MB": 40.0, "descriptors": 30.0, "threads": 10.0, "tasks": 0.0}[name]
    return measured[-1][name] > measured[min(1, len(measured) - 1)][name] + room


if __name__ == "__main__":
    sys.exit(main())
