"""How well searches rank architectures, as a table."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

import pandas as pd

from palimpsest.reports.analysis.ground_truth import measured, ranking
from palimpsest.reports.analysis.searches import truth_for
from palimpsest.reports.runs.cells import Cell
from palimpsest.reports.statistics.interval import mean_estimate
from palimpsest.reports.tables.table import (
    BRACKETS,
    Column,
    Table,
    Value,
    strategy_column,
    variant_row,
)
from palimpsest.reports.wording.numbers import decimals
from palimpsest.reports.wording.numbers import measured as written
from palimpsest.reports.wording.words import several

_MEANINGS = {
    "tau": "Kendall’s, of the ranking by validation error with the true one: 1 is the true order, "
    "0 is chance",
    "spearman": "rank correlation, likewise",
    "tau_best_quarter": "Kendall’s tau among the quarter that is truly best",
    "regret": "true error of the architecture ranked first, minus the lowest there is",
    "regret_best_five": "the same of the truly best one among the five ranked first",
    "expected": "true error of what the search draws, weighted by the controller’s probabilities",
}


def true_ranking_table(report: Sequence[Cell], searches: Sequence[Cell]) -> Table | None:
    """Show measures of the rankings of every variant, those of ``_MEANINGS``.

    ``None`` where the report does not have the truth.
    """
    found = truth_for(report, searches)
    if found is None:
        return None
    scenario, truth, cells = found
    columns = [strategy_column(cells)]
    controlled = any("probability" in row for c in cells for r in c.done for row in ranking(r))
    measures = [name for name in _MEANINGS if controlled or name != "expected"]
    for measure in measures:
        quantity, _ = measured(cells[0].done, measure, truth)
        unit = quantity.unit or ("perplexity" if _of_errors(measure) else "")
        columns.append(
            Column(
                quantity.title.replace("spearman", "Spearman"),
                unit,
                _MEANINGS[measure],
                written(quantity),
            )
        )
    columns.append(Column("seeds"))
    rows, data = [], []
    for cell in cells:
        values: list[Value] = []
        for measure in measures:
            asked, by_seed = measured(cell.done, measure, truth)
            mean = mean_estimate({"": by_seed}, asked.bounds)
            values.append(mean)
            data.append((cell.scenario, cell.variant.label, measure, mean.n, *mean.ends))
        rows.append(variant_row(cell, [*values, len(cell.done)]))
    between = truth.agreement
    alike = f" Two of these seeds agree with tau {decimals(fmean(between))}." if between else ""
    return Table(
        "Rankings against the truth",
        f"The truth is the test error of {len(truth.errors):,} architectures when each is trained "
        f"alone: scenario {scenario}, mean over {several(len(truth.by_seed), 'seed')}.{alike} "
        f"Means over the seeds of scenario {cells[0].scenario}. {BRACKETS}",
        columns,
        rows,
        pd.DataFrame(data, columns=["scenario", "variant", "measure", "n", "mean", "low", "high"]),
    )


def _of_errors(measure: str) -> bool:
    return "regret" in measure or measure == "expected"
