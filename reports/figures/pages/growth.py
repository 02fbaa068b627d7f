"""How forgetting and plasticity grow with the number of models."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from palimpsest.benchmark.errors import UserError
from palimpsest.benchmark.metrics import ACCURACY, CHANGE
from palimpsest.reports.figures.drawing.canvas import Margins, canvas, line_keys
from palimpsest.reports.figures.drawing.intervals import drawn_range
from palimpsest.reports.figures.drawing.labels import lines_of, wrapped
from palimpsest.reports.figures.drawing.plot import BANDS, Plot
from palimpsest.reports.figures.drawing.style import Style
from palimpsest.reports.figures.searches.by_strategy import draw_lines
from palimpsest.reports.runs.cells import Cell
from palimpsest.reports.statistics.interval import mean_estimate

PANELS = {
    "earlier": "earlier models, %",
    "forgotten": "lost by earlier models, points",
    "new": "the new model, %",
}

_MARKER = 4.4  # points, and more where other markers cover it
_NAME = 24  # letters per line of a scenario's name beside its row


def growth_plot(
    scenarios: Mapping[str, Mapping[str, Cell]],
    styles: Mapping[str, Style],
    names: Mapping[str, str],
) -> Plot:
    """Make the figure: a row per scenario, a panel for each of ``PANELS``.

    Args:
        scenarios: For each title the runs by variant as it is written.
        styles: The style of each variant.
        names: The name of each variant for the reader.

    Raises:
        UserError: A scenario has one model only, or a variant no finished runs.
    """
    frame = pd.concat(
        [
            growth_frame(cell).assign(scenario=title, variant=written)
            for title, cells in scenarios.items()
            for written, cell in cells.items()
        ],
        ignore_index=True,
    )

    def draw() -> Figure:
        keys = line_keys(styles, names, marked=True)
        left = 0.5 + 0.15 * lines_of(scenarios, _NAME)
        margins = Margins(left=left, across=0.42, down=0.36)
        figure, grid = canvas([1.9] * len(scenarios), len(PANELS), keys, margins, sharex="row")
        for axes, (title, cells) in zip(grid, scenarios.items(), strict=True):
            for ax, (panel, heading) in zip(axes, PANELS.items(), strict=True):
                here = frame[(frame["scenario"] == title) & (frame["panel"] == panel)]
                lines = here.rename(columns={"models": "x"}).assign(phase=0)
                shown = [(styles[v], lines[lines["variant"] == v]) for v in cells]
                draw_lines(ax, shown, marker=_MARKER)
                if ax in grid[0]:
                    ax.set_title(heading, loc="left")
            axes[0].set_ylabel(wrapped(title, _NAME))
        for ax in grid[-1]:
            ax.set_xlabel("models trained")
        return figure

    return Plot(
        "",
        "After each model: mean accuracy of the models before it; how far these are below what "
        "they had just after their own training; and its own accuracy. Test set, means over seeds; "
        f"bands are {BANDS}.",
        "Accuracy and loss of earlier models and accuracy of the new one over the number of models "
        f"in {', '.join(scenarios)}, for {', '.join(names.values())}",
        frame,
        draw,
    )


def growth_frame(cell: Cell) -> pd.DataFrame:
    """Return the accuracies of one variant after each model: one row per panel and model.

    After model t (counted from 0), ``R`` the accuracy matrix of a seed:

    * ``earlier``: ``mean_{j<t} R[t][j]``,
    * ``forgotten``: ``mean_{j<t} R[j][j] - R[t][j]``,
    * ``new``: ``R[t][t]``.

    Columns: panel, models (t + 1), mean, low and high in per cent (what is drawn: the interval, or
    the lowest and the highest of a few seeds); undefined rows are left out.
    """
    matrices = [np.array(record.accuracy_matrix, dtype=float) for record in cell.done]
    if not matrices or len(matrices[0]) < 2:
        raise UserError(
            f"{cell.scenario!r}, {cell.variant.label}: growth needs finished runs of at least two "
            "models"
        )
    rows = []
    for t in range(len(matrices[0])):
        for panel in PANELS:
            if t == 0 and panel != "new":
                continue
            values = [_value(panel, matrix, t) for matrix in matrices]
            found = mean_estimate({"": values}, CHANGE if panel == "forgotten" else ACCURACY)
            if found.value is not None:
                rows.append((panel, t + 1, *(100 * end for end in drawn_range(found))))
    return pd.DataFrame(rows, columns=["panel", "models", "mean", "low", "high"])


def _value(panel: str, matrix: NDArray[np.float64], t: int) -> float | None:
    now, learned = matrix[t, :t], np.diag(matrix)
    of_panel = {"earlier": now, "forgotten": learned[:t] - now, "new": learned[t : t + 1]}
    found = of_panel[panel].mean()
    return None if np.isnan(found) else float(found)
