"""Rankings of searches against the truth: a panel per variant, a point per architecture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from statistics import fmean
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from palimpsest.reports.analysis.ground_truth import Truth, measured, ranking_of
from palimpsest.reports.analysis.searches import truth_for
from palimpsest.reports.figures import figure as report
from palimpsest.reports.figures.drawing.canvas import Margins, canvas, titled
from palimpsest.reports.figures.drawing.marks import Mark, note_each
from palimpsest.reports.figures.drawing.plot import Plot
from palimpsest.reports.figures.drawing.style import Style
from palimpsest.reports.runs.cells import Cell
from palimpsest.reports.statistics.interval import Estimate, mean_estimate
from palimpsest.reports.wording.numbers import decimals, spread
from palimpsest.reports.wording.words import several

_ACROSS = 4
"""Panels side by side."""

_TAU = 0.15
"""Inches: the height of the line with tau above a panel."""

_MANY = 500
"""With more architectures than this, points are small."""


def true_ranking_plot(
    lines: Mapping[str, Cell],
    styles: Mapping[str, Style],
    names: Mapping[str, str],
    truth: Truth,
    title: str = "",
) -> Plot:
    """Make the figure: a panel per search, a point per architecture.

    Args:
        lines: Searches, by their keys in the page or report.
        styles: The style of each line.
        names: The name of each line for the reader.
        truth: The true errors of the same architectures.
        title: The heading.

    Raises:
        UserError: A search has not ranked the truth's architectures.
    """
    frame = pd.concat(
        [ranking_frame(cell, truth).assign(line=line) for line, cell in lines.items()],
        ignore_index=True,
    )
    taus = {line: tau_of(cell, truth) for line, cell in lines.items()}
    across = min(_ACROSS, len(lines))
    scale, unit = (1.0, "perplexity") if truth.perplexity else (100.0, "%")

    def draw() -> Figure:
        down = -(-len(lines) // across)
        heads, margins = titled(
            [names[line] for line in lines], across, Margins(across=0.3, down=0.5)
        )
        margins = replace(margins, top=margins.top + _TAU, down=margins.down + _TAU)
        figure, grid = canvas([1.7] * down, across, margins=margins, sharey=True)
        axes = [ax for row in grid for ax in row]
        for place, (ax, line, head) in enumerate(zip(axes, lines, heads, strict=False)):
            own = frame[(frame["line"] == line) & np.isfinite(frame["ranked"])]
            (points,) = ax.plot(
                scale * own["ranked"], scale * own["truth"], "o", color=styles[line].color,
                markersize=2.2 if len(own) > _MANY else 3.6, alpha=0.7, markeredgewidth=0,
                linestyle="",
            )  # fmt: skip
            strategy = lines[line].variant.strategy
            note_each([_mark(strategy, row, scale, unit) for row in own.to_dict("records")], points)
            ax.margins(0.07)
            ax.set_title(f"{head}\n{_said(taus[line])}", loc="left")
            ax.locator_params(nbins=4)
            if place % across == 0:
                ax.set_ylabel(f"true error, {unit}")
            if place >= len(lines) - across:
                ax.set_xlabel(f"in the search, {unit}")
        for ax in axes[len(lines) :]:
            ax.remove()
        return figure

    lost = int((~np.isfinite(frame["ranked"])).sum())
    left = f" {several(lost, 'point')} without a finite error not drawn." if lost else ""
    return Plot(
        title,
        "Each point is an architecture: its validation error with the weights of the "
        "search, mean over seeds, against its true error, that on the test set when it is trained "
        f"alone ({several(len(truth.by_seed), 'seed')}). Tau is Kendall’s, of each seed’s ranking, "
        f"with its 95 % interval: 1 is the true order, 0 is chance.{left}",
        "True error of architectures against their error in the search, a panel each for "
        f"{', '.join(names[line] for line in lines)}",
        frame,
        draw,
    )


def ranking_frame(cell: Cell, truth: Truth) -> pd.DataFrame:
    """Return what a panel shows: one row per architecture of the truth.

    Columns: architecture, ranked (validation error in the search, the mean over seeds; infinite
    where one is) and truth, fractions or perplexities.
    """
    rankings = [ranking_of(record, truth) for record in cell.done]
    rows = [
        (name, fmean(ranking[name] for ranking in rankings), error)
        for name, error in truth.errors.items()
    ]
    return pd.DataFrame(rows, columns=["architecture", "ranked", "truth"])


def tau_of(cell: Cell, truth: Truth) -> Estimate:
    """Return Kendall's tau of a variant's rankings: the mean over its seeds."""
    asked, values = measured(cell.done, "tau", truth)
    return mean_estimate({"": values}, asked.bounds)


def _said(found: Estimate) -> str:
    if found.value is None:
        return "no tau"
    between = spread(found, decimals) if found.low is not None else ""
    said = " ".join(filter(None, (f"tau {decimals(found.value)}", between)))
    return said.replace("-", "\N{MINUS SIGN}")


def _mark(strategy: str, row: Mapping[str, Any], scale: float, unit: str) -> Mark:
    told = (
        row["architecture"],
        f"true error {scale * row['truth']:.2f} {unit}",
        f"in the search {scale * row['ranked']:.2f} {unit}",
    )
    return Mark((strategy,), told)


def _of_report(scope: report.Scope) -> Plot | None:
    """The rankings of a scenario's searches, where the same report has the truth."""
    found = truth_for(scope.report.cells, scope.done)
    if found is None:
        return None
    _, truth, ranked = found
    lines = {cell.variant.label: cell for cell in ranked}
    styles = {line: scope.styles[cell.variant] for line, cell in lines.items()}
    names = {line: line for line in lines}
    return true_ranking_plot(lines, styles, names, truth, title="Architecture by architecture")


FIGURE = report.Figure(
    "rankings-truth", "architectures", 2, _of_report,
    "searches, and runs that train the same architectures alone", notebook="truth",
)  # fmt: skip
