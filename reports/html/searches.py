"""The parts of the report that only searches have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from palimpsest.reports.analysis.searches import has_ranked, truth_for
from palimpsest.reports.figures.drawing.plot import Plot
from palimpsest.reports.figures.drawing.style import Style
from palimpsest.reports.figures.true_ranking import true_ranking_plot
from palimpsest.reports.runs.cells import Cell, Variant
from palimpsest.reports.tables.table import Table
from palimpsest.reports.tables.true_ranking import true_ranking_table

VISITS = (
    "Architectures that share weights are trained in turn, a visit each. What an architecture wins "
    "by its own visit (err0 − err1) and what it has lost by the end of the epoch (err2 − err1) "
    "belong together: what learns nothing forgets nothing. Both are of validation data."
)

RANKINGS = (
    "A search is of use if it ranks architectures as their own training would. Each seed’s ranking "
    "is by validation error with the weights that the search shares; the truth is the test error "
    "of the same architectures trained alone. Less forgetting need not rank better."
)


def true_rankings(
    cells: Sequence[Cell], done: Sequence[Cell], look: Mapping[Variant, Style], name: str
) -> list[Table | Plot]:
    """Return how well a scenario's searches rank, where the same report has the truth.

    Args:
        cells: All of the report.
        done: One scenario's cells with finished runs.
        look: The style of every variant.
        name: Unique in the report; the parts' names begin with it.
    """
    found = truth_for(cells, done)
    if found is None:
        return []
    scenario, truth = found
    ranked = {cell.variant.label: cell for cell in done if has_ranked(cell, truth)}
    if not ranked:
        return []
    styles = {line: look[cell.variant] for line, cell in ranked.items()}
    names = {line: line for line in ranked}
    return [
        true_ranking_table(list(ranked.values()), truth, scenario, f"{name}-measures"),
        true_ranking_plot(
            ranked, styles, names, truth, f"{name}-truth", title="Architecture by architecture"
        ),
    ]
