"""What was measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any


@dataclass
class Results:
    """The figures of a run, by case and contender, one for each round.

    Attributes:
        facts: About the machine, and the versions of what was measured.
        figures: Case -> contender -> a figure for each round.
        titles: Case -> title.
        units: Case -> unit of its figures.
        skipped: Contender -> why it was not measured.
        failed: "case / contender" -> what went wrong.
        requests: Contender -> requests that the server saw for each answer.
        built: Contender -> TLS contexts and sockets made with a model object.
    """

    facts: dict[str, Any] = field(default_factory=dict)
    figures: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    titles: dict[str, str] = field(default_factory=dict)
    units: dict[str, str] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    requests: dict[str, float] = field(default_factory=dict)
    built: dict[str, float] = field(default_factory=dict)

    def add(self, case: str, contender: str, figure: float) -> None:
        """Take the figure of a round."""
        self.figures.setdefault(case, {}).setdefault(contender, []).append(figure)

    def rounds(self, case: str, contender: str) -> Sequence[float]:
        """The figures of all rounds; none where it was not measured."""
        return self.figures.get(case, {}).get(contender, ())

    def median(self, case: str, contender: str) -> float | None:
        """The median of the rounds."""
        figures = self.rounds(case, contender)
        return median(figures) if figures else None
