"""The forgetting of visits of a search over its epochs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from palimpsest.benchmark.metrics.search import BEST
from palimpsest.reports.analysis.searches import (
    FORGETTING,
    diverged,
    epochs_frame,
    measure_of,
)
from palimpsest.reports.figures import figure as report
from palimpsest.reports.figures.drawing.canvas import WIDE, Margins, canvas, line_keys
from palimpsest.reports.figures.drawing.labels import lines_of, wrapped
from palimpsest.reports.figures.drawing.plot import BANDS, Plot
from palimpsest.reports.figures.drawing.rows import compared_rows
from palimpsest.reports.figures.drawing.settings import PALE
from palimpsest.reports.figures.drawing.style import Style
from palimpsest.reports.figures.searches.by_strategy import (
    draw_lines,
    draw_row,
    grid_of,
    searches_of,
)
from palimpsest.reports.runs.cells import Cell, Variant
from palimpsest.reports.statistics.grouped import drawn, over_seeds
from palimpsest.reports.wording.words import several

PANELS = {
    FORGETTING: "mean of the visits",
    f"best_{FORGETTING}": f"the {BEST} best after their visit",
    f"largest_{FORGETTING}": "the largest",
}
"""The panels, by what they show."""

Named = Mapping[str, Cell]
"""The runs of each line, by what the page calls it for itself."""

_NAME = 24  # letters per line of a scenario's name beside its row


def forgetting_plot(
    rows: Mapping[str, Named],
    styles: Mapping[str, Style],
    names: Mapping[str, str],
    block: int = 1,
) -> Plot:
    """Make the figure: a row per title, a panel for each of ``PANELS``, a line per variant.

    Args:
        rows: The lines of each title.
        styles: The style of each line.
        names: The name of each line for the reader.
        block: How many epochs make a point, their mean.

    Raises:
        UserError: A line has no measured visits, or rows of one line differ in their units.
    """
    frame = pd.concat(
        [forgetting_frame(cells, block).assign(row=title) for title, cells in rows.items()],
        ignore_index=True,
    )

    def draw() -> Figure:
        keys = line_keys(styles, names, marked=False)
        margins = Margins(left=0.62 + 0.15 * lines_of(rows, _NAME), across=0.42, down=0.36)
        figure, grid = canvas([1.9] * len(rows), len(PANELS), keys, margins, sharex="row")
        for axes, (title, cells) in zip(grid, rows.items(), strict=True):
            own = frame[frame["row"] == title]
            for ax, here in _panels(axes, own, first=axes is grid[0]):
                draw_lines(ax, [(styles[line], here[here["line"] == line]) for line in cells])
            unit = measure_of(FORGETTING, list(cells.values())).unit
            axes[0].set_ylabel(
                "\n".join(filter(None, (wrapped(title, _NAME), f"err2 − err1, {unit}")))
            )
        for ax in grid[-1]:
            ax.set_xlabel("epoch")
        return figure

    each = "of each epoch" if block == 1 else f"of {block} epochs each"
    lost = diverged([cell for cells in rows.values() for cell in cells.values()])
    return Plot(
        "",
        _how(each, lost),
        f"Error at the end of the epoch minus error after the visit over epochs, in the mean, of "
        f"the best {BEST} and the largest, for {', '.join(names.values())}",
        frame,
        draw,
    )


def _how(each: str, lost: int) -> str:
    """Return how to read the figure, with the epochs of a point and the number of lost runs."""
    left = (
        f" {several(lost, 'run')} with an error that is not finite "
        f"{'is' if lost == 1 else 'are'} left out."
        if lost
        else ""
    )
    return (
        "Error of a visited architecture at the end of the epoch (err2) minus its error right "
        f"after its own visit (err1), {each}: above zero, it has lost by what others trained "
        f"since. Validation data, means over seeds; bands are {BANDS}.{left}"
    )


def forgetting_frame(cells: Named, block: int) -> pd.DataFrame:
    """Return what is drawn: a row per panel, line and point.

    Columns: measure, line, phase (0), x (epoch, from 1), n, mean, low and high in the unit of the
    measure (the interval, or the lowest and the highest of a few seeds).
    """
    parts = []
    for line, cell in cells.items():
        quantity = measure_of(FORGETTING, [cell])
        found = epochs_frame(cell, list(PANELS), block)
        grouped = found.groupby(["measure", "x"])["value"]
        means = drawn(over_seeds(grouped, quantity.bounds))
        means[["mean", "low", "high"]] *= quantity.scale
        parts.append(means.assign(line=line, phase=0))
    columns = ["measure", "line", "phase", "x", "n", "mean", "low", "high"]
    return pd.concat(parts, ignore_index=True)[columns]


def _panels(
    axes: Sequence[Axes], frame: pd.DataFrame, *, first: bool
) -> Iterator[tuple[Axes, pd.DataFrame]]:
    """Yield the panels of a row with the rows of ``frame`` that each shows.

    Args:
        axes: One for each of ``PANELS``.
        frame: See ``forgetting_frame``.
        first: Whether it is the first row, which has the titles.
    """
    for ax, (measure, title) in zip(axes, PANELS.items(), strict=True):
        ax.axhline(0, color=PALE, linewidth=0.9, zorder=0)  # nothing is lost here
        if first:
            ax.set_title(title, loc="left")
        yield ax, frame[frame["measure"] == measure]


def visit_curves_plot(cells: Sequence[Cell], styles: Mapping[Variant, Style]) -> Plot | None:
    """Show what visits lose over the epochs in a scenario; ``None`` where no run was a search."""
    shown = searches_of(cells)
    if not shown:
        return None
    frame = forgetting_frame({cell.variant.label: cell for cell in shown}, 1)
    rows = compared_rows(shown)

    def draw() -> Figure:
        figure, grid = grid_of(rows, len(PANELS), styles)
        for row, axes in zip(rows, grid, strict=True):
            for ax, here in _panels(axes, frame, first=axes is grid[0]):
                draw_row(ax, row, styles, here)
                ax.set_xlabel("epoch" if axes is grid[-1] else "")
        unit = measure_of(FORGETTING, shown).unit
        figure.supylabel(f"err2 − err1, {unit}", fontsize=8.5, x=0.08 / WIDE, ha="left")
        return figure

    return Plot(
        "What visits lose over the epochs",
        _how("of each epoch", diverged(cells)),
        "Error at the end of the epoch minus error after the visit over epochs in "
        f"{cells[0].scenario}: mean, five best and largest, by strategy",
        frame.drop(columns="phase"),
        draw,
    )


FIGURE = report.Figure(
    "visits", "visits", 2, lambda scope: visit_curves_plot(scope.done, scope.styles),
    "searches that measured their visits",
)  # fmt: skip
