"""Figures of one run: medians, and ratios between two systems. Pure.

A ratio is the median of the ratios of each round's two neighbouring samples: what slows the machine for a while slows both.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import median
from typing import Any

Sample = dict[str, float]
Samples = dict[str, list[Sample]]
"""By system, one sample per round; a sample has figures by name."""


@dataclass
class Results:
    """Everything that one run measured, by measure, and facts about the machine."""

    machine: dict[str, str] = field(default_factory=dict)
    measures: dict[str, Samples] = field(default_factory=dict)

    def has(self, measure: str, *systems: str) -> bool:
        """Whether these systems have been measured."""
        found = self.measures.get(measure, {})
        return all(found.get(system) for system in systems)

    def middle(self, measure: str, system: str, figure: str) -> float:
        """The median over the rounds."""
        return median(sample[figure] for sample in self.measures[measure][system])

    def ratio(self, measure: str, figure: str, over: str, under: str) -> float:
        """`over` divided by `under`: the median of the rounds' ratios."""
        samples = self.measures[measure]
        pairs = zip(samples[over], samples[under], strict=True)
        return median(a[figure] / b[figure] for a, b in pairs)

    def as_json(self) -> dict[str, Any]:
        """For `--json`."""
        return {"machine": self.machine, "measures": self.measures}
