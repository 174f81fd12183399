"""A part of the fault matrix, in which every fault, caller, stage and way comes.

`make faults` runs all of it.
"""

from __future__ import annotations

import pytest

from tests.faults import cuts, leaving, matrix, report

pytestmark = pytest.mark.slow

_BUSY = 6.0  # time limits are stretched: a test machine does other things besides


def test_every_fault_comes_to_its_outcome_and_no_answer_is_generated_twice() -> None:
    results = matrix.run(matrix.sample(matrix.cases()), slack=_BUSY)
    assert [str(result) for result in results if result.problem] == []
    assert {r.fault.name for r in results} == {f.name for f in matrix.FAULTS if not f.heavy}
    assert {r.caller.name for r in results} == {c.name for c in matrix.CALLERS}
    assert max(r.generations for r in results) == 1


def test_whoever_leaves_is_back_at_once_and_the_run_is_stopped_once() -> None:
    chosen = leaving.sample(leaving.cases())
    assert {case.stage.name for case in chosen} == {stage.name for stage in leaving.STAGES}
    results = leaving.run(chosen, slack=_BUSY)
    assert [(case, problem) for case, problem in results if problem] == []


def test_a_cut_recording_is_never_half_an_answer_in_silence() -> None:
    results = cuts.run(cuts.cuts(397))
    assert [(cut, problem) for cut, problem in results if problem] == []


def test_the_tables_of_the_docs_are_current() -> None:
    assert report.page(report.tables()) == report.PAGE.read_text()
