"""mypy and pyright know the exact result of every operation."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.types
CODE = Path(__file__).with_name("inference.py")
ROOT = CODE.parents[3]


@pytest.mark.parametrize("checker", [["mypy", "--strict"], ["pyright"]], ids=lambda c: c[0])
def test_results_are_inferred(checker: list[str]) -> None:
    run = subprocess.run(
        [sys.executable, "-m", *checker, str(CODE)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
