"""Accuracy matrices side by side."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure
from numpy.typing import NDArray

from palimpsest.benchmark.metrics import ACCURACY
from palimpsest.reports.figures import figure as report
from palimpsest.reports.figures.drawing.labels import lines_of, wrapped
from palimpsest.reports.figures.drawing.marks import Mark, in_words, note, note_each, note_names
from palimpsest.reports.figures.drawing.plot import Plot
from palimpsest.reports.figures.drawing.rows import rows_of
from palimpsest.reports.figures.drawing.settings import INK
from palimpsest.reports.runs.cells import Cell, dial_of
from palimpsest.reports.runs.frames import matrices_frame, mean_matrix, numbered
from palimpsest.reports.statistics.interval import mean_estimate
from palimpsest.reports.wording.numbers import percent

# Inches: from one matrix to the next, the side of a matrix, a line of its name.
_SLOT, _SIDE, _LINE = 1.5, 1.2, 0.15

_NAME = 22  # letters per line of a name above a matrix


def heatmaps_plot(cells: Sequence[Cell]) -> Plot | None:
    """Show mean accuracy matrices: row i after model i was trained, column j model j.

    Numbers above the diagonal, of models not yet trained, have no colour. ``None`` where no cell
    has an accuracy matrix, as with models that are trained by turns.
    """
    cells = [cell for cell in cells if any(record.accuracy_matrix for record in cell.done)]
    if not cells:
        return None
    matrices = {cell.variant: mean_matrix(cell) for cell in cells}
    rows = rows_of(cells)
    width = max(len(row) for row in rows)
    head = _LINE * lines_of((cell.variant.label for cell in cells), _NAME)
    pitch = head + _SIDE + 0.45

    def draw() -> Figure:
        across, down = 0.5 + _SLOT * width + 0.6, 0.15 + pitch * len(rows)
        figure = Figure(figsize=(across, down))
        # One pair of axes, in inches: a pair per matrix would take seconds to draw.
        ax = figure.add_axes((0, 0, 1, 1))
        ax.set(xlim=(0, across), ylim=(down, 0))
        ax.set_axis_off()
        for i, line in enumerate(rows):
            for j, cell in enumerate(line):
                left, top = 0.5 + _SLOT * j, 0.15 + head + pitch * i
                image = _draw_matrix(ax, cell, 100 * matrices[cell.variant], left, top)
                name = wrapped(cell.variant.label, _NAME)
                title = ax.text(left, top - 0.06, name, fontsize=8, va="bottom")
                note_names([cell.variant.strategy], [title], [cell.variant.label])
                if j == 0:
                    ax.text(
                        left - 0.26, top + _SIDE / 2, "after model", rotation=90,
                        ha="right", va="center",
                    )  # fmt: skip
                if i == len(rows) - 1 or j >= len(rows[i + 1]):
                    ax.text(left + _SIDE / 2, top + _SIDE + 0.2, "of model", ha="center", va="top")
        high = min(0.8 * down, 1.6)
        place = (1 - 0.62 / across, 0.5 - high / down / 2, 0.09 / across, high / down)
        bar = figure.colorbar(image, cax=figure.add_axes(place))
        bar.set_label("accuracy, %")
        bar.ax.tick_params(length=0)
        bar.ax.spines[:].set_visible(False)
        return figure

    dial = dial_of(cell.variant for cell in cells).plural
    return Plot(
        "Accuracy matrices",
        "Test accuracy of each model (column) after each model was trained (row), mean over seeds, "
        f"at the chosen {dial}. Numbers without colour are of models not yet trained.",
        f"Mean accuracy matrices in {cells[0].scenario}",
        numbered(matrices_frame(cells)),
        draw,
    )


def _marks(cell: Cell) -> dict[tuple[int, ...], Mark]:
    """Return the text of each entry of a mean matrix that is defined, by row and column."""
    own, seeds = (cell.variant.strategy,), [record.seed for record in cell.done]
    # (runs, T, T); NaN where a run has no value, and then there is no mean
    matrices = np.array([record.accuracy_matrix for record in cell.done], dtype=float)
    made: dict[tuple[int, ...], Mark] = {}
    for i, j in np.ndindex(*matrices.shape[1:]):
        values = matrices[:, i, j]
        if np.isnan(values).any():
            continue
        found = mean_estimate({"": dict(zip(seeds, values.tolist(), strict=True))}, ACCURACY)
        where = f"model {j + 1} after model {i + 1}" + ", before its own training" * (j > i)
        told = cell.variant.label, where, *in_words(found, percent, "%")
        made[i, j] = Mark(own, told, found)
    return made


def _draw_matrix(
    ax: Axes, cell: Cell, matrix: NDArray[np.float64], left: float, top: float
) -> QuadMesh:
    size, marks, silent = len(matrix), _marks(cell), Mark((cell.variant.strategy,))
    learned = np.where(np.tri(size, dtype=bool), matrix, np.nan)
    unit = _SIDE / size
    edges = np.arange(size + 1) * unit
    image = ax.pcolormesh(
        left + edges,
        top + edges,
        np.ma.masked_invalid(learned),
        cmap="Blues",
        vmin=0,
        vmax=100,
        edgecolor="white",
        linewidth=1,
    )
    places = np.ndindex(size, size)
    note_each([marks.get((i, j), silent) if j <= i else silent for i, j in places], image)
    for place in range(0, size, max(1, size // 5)):
        middle, number = (place + 0.5) * unit, str(place + 1)
        beside, below = (left - 0.06, top + middle), (left + middle, top + _SIDE + 0.05)
        row = ax.text(*beside, number, ha="right", va="center", fontsize=8)
        column = ax.text(*below, number, ha="center", va="top", fontsize=8)
        note(silent, row, column)
    if size <= 6:
        digits = 1 if size <= 3 else 0
        for (i, j), value in np.ndenumerate(matrix):
            if np.isnan(value):
                continue
            color = "#6b6b6b" if j > i else "white" if value > 55 else INK
            x, y = left + (j + 0.5) * unit, top + (i + 0.5) * unit
            text = ax.text(x, y, f"{value:.{digits}f}", color=color, ha="center", va="center")
            # Below the diagonal the entry itself can be touched; above, there is only its number.
            note(marks[i, j] if j > i else silent, text)
    return image


FIGURE = report.Figure(
    "matrices", "models", 3, lambda scope: heatmaps_plot(scope.chosen), "finished runs",
    shows="turns",
)  # fmt: skip
