"""Recorded answers, cut off after any byte: never half an answer in silence."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from dify_api import AsyncDifyClient, DifyClient, DifyError, chat, completion, workflows
from dify_api.answers.answer import Answer
from tests.faults.server import CHUNKED, LAST_CHUNK, Case, End, FaultServer, Step, chunk
from tests.support.cassettes import exchange

RECORDINGS = {
    "dify-0.15.3/chat_stream_unicode": chat.send_message("Hello", user="ann"),
    "dify-1.16.0/chat_emoji_streaming": chat.send_message("Hello", user="ann"),
    "dify-1.16.0/agent_streaming_tool": chat.send_message("Hello", user="ann"),
    "dify-1.16.0/completion_ping_streaming": completion.send_message({}, user="ann"),
    "dify-1.16.0/workflow_streaming": workflows.run({}, user="ann"),
}

Cut = tuple[str, int, bool]
"""A recording, after which byte, and whether the body ends there as if it were whole."""

Found = Answer | DifyError


def cuts(every: int) -> list[Cut]:
    """All cuts of all recordings whose place is a multiple of `every`."""
    return [
        (name, place, ends)
        for name in RECORDINGS
        for place in range(0, len(exchange(name).body), every)
        for ends in (False, True)
    ]


def run(chosen: Sequence[Cut]) -> list[tuple[Cut, str]]:
    """Cut, and ask through both clients; for each cut what went wrong, "" if nothing did."""
    with FaultServer() as server, ThreadPoolExecutor(8) as pool:

        def ask(cut: Cut) -> Found:
            with _case(server, cut) as options:
                return DifyClient(**options).send(RECORDINGS[cut[0]])

        async def ask_async(cut: Cut) -> Found:
            async with limit:
                with _case(server, cut) as options:
                    return await AsyncDifyClient(**options).send(RECORDINGS[cut[0]])

        async def ask_all() -> list[Found]:
            return await asyncio.gather(*(_found(ask_async(cut)) for cut in chosen))

        limit = asyncio.Semaphore(16)
        whole = {name: ask((name, len(exchange(name).body), True)) for name in RECORDINGS}
        found = list(pool.map(lambda cut: _failed_or(ask, cut), chosen))
        afound = asyncio.run(ask_all())
    return [
        (cut, _problem(one, whole[cut[0]]) or _problem(other, whole[cut[0]]))
        for cut, one, other in zip(chosen, found, afound, strict=True)
    ]


@contextlib.contextmanager
def _case(server: FaultServer, cut: Cut) -> Iterator[dict[str, str]]:
    name, place, ends = cut
    steps: list[Step] = [LAST_CHUNK] if ends else [End.Cut]
    if place:
        steps.insert(0, chunk(exchange(name).body[:place]))
    key = f"{name.replace('/', '-')}-{place}-{ends}"
    case = server.cases[key] = Case([CHUNKED, *steps])
    yield {"api_key": "key-of-the-matrix", "base_url": server.url(key)}
    assert case.generations == 1


def _failed_or(ask: Callable[[Cut], Found], cut: Cut) -> Found:
    try:
        return ask(cut)
    except DifyError as error:
        return error


async def _found(asking: Awaitable[Found]) -> Found:
    try:
        return await asking
    except DifyError as error:
        return error


def _problem(found: Found, whole: Found) -> str:
    assert isinstance(whole, Answer)
    if isinstance(found, DifyError):
        partial = found.answer.text if found.answer else ""
        return "" if whole.text.startswith(partial) else f"partial {partial!r:.80}"
    same = (found.text, found.outputs) == (whole.text, whole.outputs)
    return "" if same else f"half in silence: {found.text!r:.80}"
