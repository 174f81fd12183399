"""What all tests share."""

from __future__ import annotations

import gc
import os
from pathlib import Path

import hypothesis
import pytest
from _pytest.runner import runtestprotocol

from dify_api._transport.turns import TURNS

# Clients are made by the thousand here, and none leaves this machine: one authority in place of
# the hundred of the system saves each of them, also in processes that tests start, some 20 ms.
os.environ["SSL_CERT_FILE"] = str(Path(__file__).parent / "support" / "authority.pem")

# Not whatever else happens to be installed says so; `.ci/versions` has httpx2's turn.
os.environ.setdefault("DIFY_HTTP_LIBRARY", "httpx")


# Turns wait for each other, but no second apart: that rule has tests of its own.
TURNS.interval = 0.0

# Of what is imported and collected, nothing is garbage.
gc.disable()


def pytest_runtest_setup() -> None:
    """Forget the turns that an earlier test left open."""
    TURNS.forget()


def pytest_collection_finish() -> None:
    """Tests that collect garbage need not look through the frameworks and ten thousand tests."""
    gc.collect()
    gc.freeze()
    gc.enable()


def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
    """Run a test in a worker of pytest-xdist, which reports the call, and what has not passed.

    That all was well before and after the call is two thirds of what workers have to tell. No
    public hook keeps a report back; pytest-rerunfailures imports `runtestprotocol`, too.
    """
    if not hasattr(item.config, "workerinput"):
        return None
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    for report in runtestprotocol(item, log=False, nextitem=nextitem):
        if report.when == "call" or not report.passed:
            item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True


hypothesis.settings.register_profile("default", deadline=None)
hypothesis.settings.register_profile("long", deadline=None, max_examples=20_000)  # make fuzz
