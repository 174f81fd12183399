"""Recorded requests to knowledge bases are answered as the real servers answered them."""

from __future__ import annotations

import pytest

from tests.dify_local.knowledge_fidelity import RELEASES, compare
from tests.support.cassettes import ROOT

_LEAST = 0.97


@pytest.mark.parametrize("release", [name for name in RELEASES if (ROOT / name).is_dir()])
def test_recorded_requests_are_answered_alike(release: str) -> None:
    report = compare(ROOT / release, RELEASES[release])
    print(f"{release}: {report.compared - len(report.differing)} of {report.compared} alike")
    assert report.compared >= 25
    assert report.share >= _LEAST, report.differing
