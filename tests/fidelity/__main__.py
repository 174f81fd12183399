"""Prints how alike `dify_local` and the recorded servers are."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.fidelity.measure import CASSETTES, PAGE, measure, page, table


def main() -> None:
    directory = Path(sys.argv[1]) if len(sys.argv) > 1 else CASSETTES
    results = [result for folder in sorted(directory.glob("dify-*")) for result in measure(folder)]
    for result in results:
        if result.differences:
            print(f"{result.release} {result.name}")
            for difference in result.differences:
                print(f"    {difference[:300]}")
    print(table(results))
    if len(sys.argv) == 1:
        PAGE.write_text(page(table(results)), encoding="utf-8")


if __name__ == "__main__":
    main()
