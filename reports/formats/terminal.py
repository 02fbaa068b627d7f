"""The summary for the terminal: no pandas, no figures, no torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from palimpsest.benchmark.metrics import AVERAGE, columns
from palimpsest.benchmark.store.store import Record, SuiteNote
from palimpsest.reports.runs.cells import by_scenario, group
from palimpsest.reports.statistics.interval import Estimate

SUMMARY_METRICS = (
    AVERAGE,
    "stability",
    "learning_accuracy",
    "forgetting",
    "forgetting_reduction",
    "plasticity",
)
"""The most important first: a narrow terminal has no room for the last ones."""

_OF_SEARCHES = ("visit_forgetting", "visit_gain", "visited_error")

SEARCH_METRICS = (*_OF_SEARCHES, *(f"{name}_perplexity" for name in _OF_SEARCHES))
"""Beside average accuracy, of searches; forgetting says nothing without gain and error."""


@dataclass(frozen=True)
class SummaryRow:
    """One variant in one scenario.

    Attributes:
        seeds: Number of finished runs that count, one per seed.
        metrics: Mean and interval by name, fractions but for perplexities: of ``SUMMARY_METRICS``
            and ``SEARCH_METRICS`` those that the scenario's runs have.
    """

    scenario: str
    variant: str
    seeds: int
    failed: int
    metrics: dict[str, Estimate]


def summary_rows(records: Sequence[Record], suites: Sequence[SuiteNote] = ()) -> list[SummaryRow]:
    """Return one row a scenario and variant, in the order of the report's tables."""
    rows = []
    for scenario, cells in by_scenario(group(records, suites)).items():
        done = [record for cell in cells for record in cell.done]
        metrics = columns(SUMMARY_METRICS, done)
        metrics += columns(SEARCH_METRICS, done) if done else []
        rows += [
            SummaryRow(
                scenario,
                cell.variant.label,
                len(cell.done),
                len(cell.failed),
                {metric: cell.interval(metric) for metric in metrics},
            )
            for cell in cells
        ]
    return rows
