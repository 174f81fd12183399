"""Runs cases: many at once, each against its own part of the servers, and tells what went wrong."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
import ssl
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import trustme

from dify_api._transport import retry
from dify_api.errors import DifyError
from tests.faults.callers import CALLERS, Caller, Options, error_of, joined
from tests.faults.faults import FAULTS, Fails, Fault
from tests.faults.server import Case, FaultServer

RETRIES = 2
AT_ONCE = 16


@dataclass(frozen=True)
class Result:
    """What a case came to."""

    fault: Fault
    caller: Caller
    seconds: float
    generations: int
    requests: int
    problem: str

    def __str__(self) -> str:
        return f"{self.fault.group}: {self.fault.name} / {self.caller.name}: {self.problem}"


def cases(faults: Iterable[Fault] = FAULTS) -> list[tuple[Fault, Caller]]:
    """Every fault with every caller that it can happen to."""
    return [
        (fault, caller)
        for fault in faults
        for caller in CALLERS
        if caller.asks in fault.asks and (not fault.clients_only or "Client." in caller.name)
    ]


def sample(chosen: Sequence[tuple[Fault, Caller]]) -> list[tuple[Fault, Caller]]:
    """A part of the cases in which every fault and every caller comes, in changing pairs.

    The two clients, sync and async, meet every fault: it is they who read.
    """
    turns: dict[str, Iterator[int]] = {}
    taken = []
    for fault, caller in chosen:
        if fault.heavy:
            continue
        turn = next(turns.setdefault(caller.name, itertools.count()))
        place = CALLERS.index(caller)
        always = caller.name.endswith("Client.send") or fault.name == "none of these"
        always = always or fault.asks == ("search",)  # few can meet those
        if always or (turn + place) % 12 == 0:
            taken.append((fault, caller))
    return taken


@dataclass
class Places:
    """The servers of a run, and the places where there is none."""

    plain: FaultServer
    untrusted: FaultServer
    refused: str
    full: str

    def url(self, fault: Fault, name: str) -> str:
        if fault.where == "untrusted":
            return self.untrusted.url(name)
        if fault.where == "plain":
            return self.plain.url(name).replace("http:", "https:")
        if fault.where == "name":
            return "http://nowhere.invalid/v1"
        if fault.where:
            return f"{getattr(self, fault.where)}/{name}/v1"
        return self.plain.url(name)


@contextlib.contextmanager
def places() -> Iterator[Places]:
    """Start what cases need; nobody waits between two attempts meanwhile."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(tls)
    wait, retry.wait_seconds = retry.wait_seconds, lambda *_, **__: 0.0  # type: ignore[assignment]
    with contextlib.ExitStack() as stack:
        stack.callback(setattr, retry, "wait_seconds", wait)
        closed = socket.create_server(("127.0.0.1", 0))
        refused = f"http://127.0.0.1:{closed.getsockname()[1]}"
        closed.close()
        busy = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        address = busy.getsockname()
        for _ in range(4):  # what the kernel takes on its own account; it answers nobody else
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(address)
        yield Places(
            stack.enter_context(FaultServer()),
            stack.enter_context(FaultServer(tls)),
            refused,
            f"http://127.0.0.1:{address[1]}",
        )


Own = Callable[[Caller], Options]
"""The HTTP clients that a caller brings along."""


def run(
    chosen: Sequence[tuple[Fault, Caller]], slack: float = 1.0, own: Own = lambda _: {}
) -> list[Result]:
    """Run cases, sync callers in threads and async ones in one event loop.

    Args:
        chosen: The cases.
        slack: By how much time limits are stretched, for machines that do other things besides.
        own: The HTTP clients that callers bring along. Default: none.
    """
    with places() as found:
        # First without faults: what is imported at the first call is not the fault's time.
        asyncio.run(_run([(FAULTS[0], caller) for caller in CALLERS], found, 100.0, own))
        return asyncio.run(_run(chosen, found, slack, own))


async def _run(
    chosen: Sequence[tuple[Fault, Caller]], found: Places, slack: float, own: Own
) -> list[Result]:
    loop, limit = asyncio.get_running_loop(), asyncio.Semaphore(AT_ONCE)
    with ThreadPoolExecutor(AT_ONCE) as pool:

        async def ask(name: str, fault: Fault, caller: Caller) -> tuple[Case, Outcome, float]:
            case = Case(fault.script(caller.asks), refuses=fault.refuses)
            servers = (found.plain, found.untrusted)
            for server in servers:
                server.cases[name] = case
            options = {
                "api_key": "key-of-the-matrix",
                "base_url": found.url(fault, name),
                "max_retries": RETRIES,
                **fault.options,
                **own(caller),
            }
            began = time.monotonic()
            if caller.is_async:
                outcome = await _aoutcome(caller, options)
            else:
                outcome = await loop.run_in_executor(pool, _outcome, caller, options)
            seconds = time.monotonic() - began
            for server in servers:
                del server.cases[name]
            return case, outcome, seconds

        async def one(number: int, fault: Fault, caller: Caller) -> Result:
            async with limit:
                case, outcome, seconds = await ask(f"case-{number}", fault, caller)
            problem = _problem(fault, caller, case, outcome, seconds, slack)
            return Result(fault, caller, seconds, case.generations, case.requests, problem)

        return await asyncio.gather(
            *(one(number, fault, caller) for number, (fault, caller) in enumerate(chosen))
        )


Outcome = tuple[str | None, str, BaseException | None]
"""The whole text or None, the pieces seen, the error."""


def _outcome(caller: Caller, options: dict[str, Any]) -> Outcome:
    pieces: list[str] = []
    try:
        if caller.stream is None:
            return caller.text(options), "", None
        for piece in caller.stream(options):
            pieces.append(piece)  # noqa: PERF402  # kept for when it raises
    except Exception as error:  # noqa: BLE001 - judged by `_problem`
        return None, "".join(pieces), error
    return joined(pieces), "", None


async def _aoutcome(caller: Caller, options: dict[str, Any]) -> Outcome:
    pieces: list[str] = []
    try:
        if caller.stream is None:
            return await caller.text(options), "", None
        async for piece in caller.stream(options):
            pieces.append(piece)  # noqa: PERF401  # kept for when it raises
    except Exception as error:  # noqa: BLE001 - judged by `_problem`
        return None, "".join(pieces), error
    return joined(pieces), "", None


def _problem(
    fault: Fault,
    caller: Caller,
    case: Case,
    outcome: Outcome,
    seconds: float,
    slack: float,
) -> str:
    """What is not as stated; "" if all is."""
    expected = fault.outcome_of(caller.asks)
    said, streamed, error = outcome
    if case.generations > 1:
        return f"{case.generations} generations"
    if case.requests > 1 + RETRIES:
        return f"{case.requests} requests"
    if seconds > fault.limit * slack:
        return f"took {seconds:.1f} s"
    if isinstance(expected, Fails):
        if error is None:
            return f"said {said!r:.60}, not {expected}"
        try:
            found = error_of(error)
        except BaseException:  # noqa: BLE001 - of no server
            return f"raised {error!r:.200}, not {expected}"
        return _problem_of(found, expected, streamed)
    if error is not None:
        return f"raised {error!r:.200}, not {expected}"
    return "" if said == expected.text else f"said {said!r:.60}, not {expected.text!r:.60}"


def _problem_of(error: DifyError, expected: Fails, streamed: str) -> str:
    if not isinstance(error, expected.kind):
        return f"raised {error!r:.200} with {error.answer!r:.60}, not {expected}"
    partial = error.answer.text if error.answer else ""
    if partial != expected.partial:
        return f"holds {partial!r:.60}, not {expected.partial!r}"
    if streamed and not expected.partial.startswith(streamed):
        return f"streamed {streamed!r:.60} before {expected.partial!r}"
    return ""
