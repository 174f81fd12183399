"""The tables of docs/reliability.md."""

from __future__ import annotations

from pathlib import Path

from tests.faults import cuts, leaving, matrix
from tests.faults.callers import ALL_ASKS, CALLERS
from tests.faults.faults import FAULTS, Fault

PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"
BEGIN = "<!-- written by `python -m tests.faults` -->\n"
END = "<!-- end -->"
_WHAT = {"message": "messages", "run": "workflows", "search": "searches"}


def page(tables: str) -> str:
    """The page with its tables."""
    before, _, rest = PAGE.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}{tables}{END}{after}"


def tables() -> str:
    """Every fault with its outcome, its time limit and the number of its cases."""
    all_cases = matrix.cases()
    counts: dict[str, int] = {}
    for fault, _ in all_cases:
        counts[_key(fault)] = counts.get(_key(fault), 0) + 1
    ways = leaving.cases()
    lines = [
        f"{len(all_cases):,} cases of {len(FAULTS)} faults and {len(CALLERS)} callers; "
        f"{len(ways)} cases of leaving; {2 * len(cuts.cuts(1)):,} cuts of recordings.",
        "",
    ]
    for group in dict.fromkeys(fault.group for fault in FAULTS):
        lines += [f"| {group} | outcome | within | cases |", "|---|---|---|---|"]
        rows = [fault for fault in FAULTS if fault.group == group]
        lines += _status_rows(rows, counts) if group == "status" else _rows(rows, counts)
        lines.append("")
    lines += ["| left | the run | back within | cases |", "|---|---|---|---|"]
    for stage in leaving.STAGES:
        number = sum(1 for case in ways if case.stage is stage)
        stopped = "stopped once" if stage.stops else "not stopped: there is none"
        lines.append(f"| {stage.name} | {stopped} | {stage.limit:g} s | {number} |")
    return "\n".join([*lines, ""])


def _key(fault: Fault) -> str:
    return f"{fault.group}: {fault.name}"


def _rows(faults: list[Fault], counts: dict[str, int]) -> list[str]:
    return [
        f"| {_cell(fault.name)} | {_outcome(fault)} | {fault.limit:g} s | {counts[_key(fault)]} |"
        for fault in faults
    ]


def _status_rows(faults: list[Fault], counts: dict[str, int]) -> list[str]:
    """One row for all statuses that come to the same."""
    rows: dict[str, list[Fault]] = {}
    for fault in faults:
        name = fault.name.partition(", Retry-After")[0]
        kind = "" if name.isdigit() else name
        rows.setdefault(f"{_outcome(fault)}{kind}", []).append(fault)
    lines = []
    for same in rows.values():
        names = dict.fromkeys(fault.name.partition(", Retry-After")[0] for fault in same)
        number = sum(counts[_key(fault)] for fault in same)
        lines.append(
            f"| {', '.join(names)} | {_outcome(same[0])} | {same[0].limit:g} s | {number} |"
        )
    return lines


def _outcome(fault: Fault) -> str:
    outcomes = {
        asks: str(fault.outcome_of(asks))
        for asks in ALL_ASKS
        if asks in fault.asks and (not isinstance(fault.outcome, dict) or asks in fault.outcome)
    }
    if len(set(outcomes.values())) == 1:
        return _cell(next(iter(outcomes.values())))
    return _cell("; ".join(f"{_WHAT[asks]}: {text}" for asks, text in outcomes.items()))


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", "\\n")
