"""The summary for the terminal: no pandas, no figures, no torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmark.store import Record
from reports.runs.cells import group
from reports.statistics.interval import Estimate
from reports.statistics.ratio import REDUCTION

SUMMARY_METRICS = (
    "stability",
    "learning_accuracy",
    "plasticity",
    "forgetting",
    REDUCTION,
)


@dataclass(frozen=True)
class SummaryRow:
    """One variant in one scenario.

    Attributes:
        scenario: The scenario's name.
        variant: The strategy and its strength: ``wpl, strength 1e4``.
        seeds: Number of finished runs that count, one per seed.
        failed: Number of runs that failed.
        metrics: By the names in ``SUMMARY_METRICS``, mean and interval, fractions.
        reason: Why there is no forgetting reduction, where there is none.
    """

    scenario: str
    variant: str
    seeds: int
    failed: int
    metrics: dict[str, Estimate]
    reason: str | None


def summary_rows(records: Sequence[Record]) -> list[SummaryRow]:
    """Return one row a scenario and variant, in the order of the report's tables."""
    return [
        SummaryRow(
            cell.scenario,
            cell.variant.label,
            len(cell.done),
            len(cell.failed),
            {metric: cell.interval(metric) for metric in SUMMARY_METRICS},
            cell.removed.reason,
        )
        for cell in group(records)
    ]
