"""Callers' own HTTP clients, of httpx and of httpx2: every class, and a part of the faults."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from tests.faults import matrix
from tests.faults.callers import Caller, Options
from tests.faults.faults import FAULTS

_BUSY = 6.0  # time limits are stretched: a test machine does other things besides


@pytest.mark.parametrize("name", ["httpx", "httpx2"])
def test_every_class_asks_through_the_client_that_it_is_given(name: str) -> None:
    library, used = pytest.importorskip(name), Counter[str]()

    def own(caller: Caller) -> Options:
        def note(_: object) -> None:
            used[caller.name] += 1

        async def anote(_: object) -> None:
            used[caller.name] += 1

        return _clients(library, caller, [anote if caller.is_async else note])

    results = matrix.run([(FAULTS[0], caller) for caller in matrix.CALLERS], _BUSY, own)
    assert [str(result) for result in results if result.problem] == []
    assert used.keys() == {caller.name for caller in matrix.CALLERS}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["httpx", "httpx2"])
def test_faults_come_to_the_same_outcomes(name: str) -> None:
    library = pytest.importorskip(name)
    chosen = [
        (fault, caller)
        for number, (fault, caller) in enumerate(_cases())
        if number % 5 == 0 or fault.where
    ]
    results = matrix.run(chosen, _BUSY, lambda caller: _clients(library, caller, []))
    assert [str(result) for result in results if result.problem] == []


def _cases() -> list[tuple[Any, Caller]]:
    """Those of the two clients, for it is they who read."""
    return [
        (fault, caller)
        for fault, caller in matrix.cases()
        if "Client." in caller.name
        and not fault.heavy
        # Nobody can end a read that is under way in a sync client of somebody else's.
        and (caller.is_async or "progress_timeout" not in fault.options)
    ]


def _clients(library: Any, caller: Caller, hooks: list[Any]) -> Options:
    settings = {"event_hooks": {"request": hooks}}
    if caller.is_async:
        return {"http_async_client": library.AsyncClient(**settings)}
    return {"http_client": library.Client(**settings)}
