"""What all tests share."""

from __future__ import annotations

import gc
import os
from pathlib import Path

import hypothesis

from dify_api._transport.turns import TURNS

# Clients are made by the thousand here, and none leaves this machine: one authority in place of
# the hundred of the system saves each of them, also in processes that tests start, some 20 ms.
os.environ["SSL_CERT_FILE"] = str(Path(__file__).parent / "support" / "authority.pem")


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


hypothesis.settings.register_profile("default", deadline=None)
hypothesis.settings.register_profile("long", deadline=None, max_examples=20_000)  # make fuzz
