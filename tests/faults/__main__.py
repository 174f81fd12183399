"""Runs the whole matrix, and writes the tables of docs/reliability.md if all is as stated."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator

from tests.faults import cuts, leaving, matrix, report


def _problems() -> Iterator[str]:
    for result in matrix.run(matrix.cases(), slack=2.0):
        if result.problem:
            yield str(result)
    for case, problem in leaving.run(leaving.cases(), slack=2.0):
        if problem:
            yield f"left {case.stage.name} by {case.way} / {case.caller.name}: {problem}"
    every = int(sys.argv[1]) if len(sys.argv) > 1 else 1  # byte; all take some ten minutes
    for cut, problem in cuts.run(cuts.cuts(every)):
        if problem:
            yield f"{cut}: {problem}"


began = time.monotonic()
problems = list(_problems())
for line in problems:
    print(line)
print(f"{len(problems)} problems in {time.monotonic() - began:.0f} s")
if problems:
    sys.exit(1)
report.PAGE.write_text(report.page(report.tables()))
