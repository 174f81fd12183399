"""Recorded requests are answered as real servers did; docs/fidelity.md tells more."""

from __future__ import annotations

import logging

import pytest

from tests.fidelity.compare import sequence, shape_differences
from tests.fidelity.measure import CASSETTES, measure, share

pytestmark = pytest.mark.slow

LEAST = 0.95


@pytest.mark.parametrize("release", ["1.12.1", "1.14.2", "1.16.0"])
def test_recorded_requests_are_answered_alike(
    release: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR, "dify_local"):
        results = measure(CASSETTES / f"dify-{release}")
    assert not caplog.records, "the server has crashed"
    differ = [f"{result.name}: {result.differences[0]}" for result in results if result.differences]
    assert share(results) >= LEAST, "\n".join(differ)
    # What is left out must not become the rule.
    left_out = [result for result in results if result.left_out]
    assert len(left_out) < 0.3 * len(results)


def test_0_15_is_emulated_too() -> None:
    assert share(measure(CASSETTES / "dify-0.15.3")) >= 0.85


def test_the_comparison_sees_differences() -> None:
    ours = {"a": 1, "b": {"c": "x"}, "e": [{"f": 1}]}
    theirs = {"a": "1", "b": {"d": "x"}, "e": [{"f": "1"}]}
    assert len(shape_differences(ours, theirs)) == 4


def test_the_order_of_events_counts_but_not_how_often_they_come() -> None:
    def events(names: str) -> list[dict[str, str]]:
        return [{"event": name} for name in names.split()]

    assert sequence(events("message message ping message_end")) == ["message", "message_end"]
    run = sequence(events("ping workflow_started node_started message node_finished message_end"))
    assert run == ["ping", "workflow_started", "message+node_finished+node_started", "message_end"]
    assert sequence(events("message_end message")) != sequence(events("message message_end"))
