"""What all tests share."""

from __future__ import annotations

import gc
import os
from pathlib import Path

import hypothesis
import pytest

from dify_api._transport.turns import TURNS

# Clients are made by the thousand here, and none leaves this machine: one authority in place of
# the hundred of the system saves each of them, also in processes that tests start, some 20 ms.
os.environ["SSL_CERT_FILE"] = str(Path(__file__).parent / "support" / "authority.pem")

# Not whatever else happens to be installed says so; `.ci/versions` has httpx2's turn.
os.environ.setdefault("DIFY_HTTP_LIBRARY", "httpx")


@pytest.fixture(autouse=True)
def turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Turns wait for each other, but no second apart: that rule has tests of its own."""
    TURNS.forget()  # what an earlier test left open
    monkeypatch.setattr(TURNS, "interval", 0.0)


def pytest_collection_finish() -> None:
    """Tests that collect garbage need not look through the frameworks and ten thousand tests."""
    gc.collect()
    gc.freeze()


hypothesis.settings.register_profile("default", deadline=None)
hypothesis.settings.register_profile("long", deadline=None, max_examples=20_000)  # make fuzz
