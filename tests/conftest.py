"""What all tests share."""

from __future__ import annotations

import hypothesis
import pytest

from dify_api._transport.turns import TURNS


@pytest.fixture(autouse=True)
def turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Turns wait for each other, but no second apart: that rule has tests of its own."""
    TURNS.forget()  # what an earlier test left open
    monkeypatch.setattr(TURNS, "interval", 0.0)


hypothesis.settings.register_profile("default", deadline=None)
hypothesis.settings.register_profile("long", deadline=None, max_examples=20_000)  # make fuzz
