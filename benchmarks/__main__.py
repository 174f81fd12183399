"""`python -m benchmarks`: measure everything, write the tables and the plot."""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

from benchmarks import peers, report
from benchmarks.cases import CASES, quick
from benchmarks.runner import run, titles


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small and short: does it work?")
    parser.add_argument("--rounds", type=int, help="figures for each median (default: 5)")
    parser.add_argument("--only", help="names of cases, separated by commas")
    parser.add_argument("--contenders", help="names of contenders, separated by commas")
    parser.add_argument("--output", type=Path, help="folder (default: benchmarks/results)")
    arguments = parser.parse_args()
    try:
        peers.install()
    except (subprocess.CalledProcessError, OSError) as error:
        print(f"without the clients that need a folder of their own: {error}", file=sys.stderr)
    cases = [quick(case) if arguments.quick else case for case in CASES]
    if arguments.only:
        cases = [case for case in cases if case.name in arguments.only.split(",")]
    if arguments.contenders:
        chosen = arguments.contenders.split(",")
        cases = [
            replace(case, contenders=[name for name in case.contenders if name in chosen])
            for case in cases
        ]
    started = time.monotonic()
    imports = not arguments.only or "import" in arguments.only.split(",")
    results = run(cases, arguments.rounds or (1 if arguments.quick else 5), imports)
    results.facts["seconds"] = round(time.monotonic() - started)
    folder = arguments.output or Path(__file__).parent / (
        "results-quick" if arguments.quick else "results"
    )
    print(report.write(results, titles(), folder))
    return 1 if results.failed else 0


if __name__ == "__main__":
    sys.exit(main())
