"""Accuracy over the steps of training: scenarios side by side, A above B."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from benchmark.errors import UserError
from reports.figures.canvas import (
    BAND,
    LINE,
    Margins,
    canvas,
    line_keys,
    read_off,
    read_off_key,
    titled,
)
from reports.figures.captions import BANDS
from reports.figures.looks import Look
from reports.figures.panels import average
from reports.figures.plot import Plot
from reports.figures.reference import Reference
from reports.figures.style import PALE, nested
from reports.runs.cells import Cell
from reports.runs.frames import curves_frame
from reports.statistics.interval import mean_estimate
from reports.wording.words import several


@dataclass(frozen=True)
class Column:
    """One scenario of the figure.

    Attributes:
        title: Its name for the reader.
        cells: Its runs by variant as it is written.
        references: Curves to compare with.
    """

    title: str
    cells: Mapping[str, Cell]
    references: Sequence[Reference]


def curves_plot(
    columns: Sequence[Column],
    looks: Mapping[str, Look],
    names: Mapping[str, str],
    first: int,
    name: str,
    caption: str,
) -> Plot:
    """Make the figure: A while B trains, B, and A over B's first steps.

    Args:
        columns: The scenarios, of two models.
        looks: Of each variant.
        names: Of each variant, for the reader.
        first: How many of the first steps have a row of their own; 0 for none.
        name: Of the file.
        caption: What the page says of it.

    Raises:
        UserError: A scenario has not two models, or its runs have no curves.
    """
    frames = [_frame(column) for column in columns]
    means = [{model: average(_lines(frame, model)) for model in (0, 1)} for frame in frames]
    rows: list[tuple[str, int, int | None]] = [("A, while B trains", 0, None), ("B", 1, None)]
    if first:
        rows.append((f"A, first {first} steps", 0, first))

    def draw() -> Figure:
        keys = line_keys(looks, names, marked=False)
        given = [looks[one.variant] for column in columns for one in column.references]
        if given:
            keys.append(read_off_key(given))
        titles, margins = titled([c.title for c in columns], len(columns), Margins())
        margins = Margins(top=margins.top, across=0.3, down=0.36)  # titles are above the first row
        figure, grid = canvas(len(rows), len(columns), 1.55, keys, margins)
        for axes, (title, model, end) in zip(grid, rows, strict=True):
            for place, (ax, column, mean) in enumerate(zip(axes, columns, means, strict=True)):
                points = [one for one in column.references if one.model == model]
                if end is None:
                    shown = _thinned(mean[model])
                    last = max([shown["x"].max(), *(x for one in points for x in one.steps)])
                else:
                    shown = mean[model][mean[model]["x"] <= end]
                    last = shown["x"].max()
                    # Where all of them start, the whole curve shows.
                    points = [one for one in points if any(0 < x <= last for x in one.steps)]
                _draw(ax, shown, column, looks)
                ax.grid(visible=False, axis="x")
                if model == 0:
                    _level(ax, column)
                _mark(ax, points, looks, last)
                ax.set(xlim=(-0.015 * last, 1.015 * last), ylim=(0, 101), yticks=range(0, 101, 25))
                ax.xaxis.set_major_locator(MaxNLocator(4, integer=True, steps=[1, 2, 5, 10]))
                if place:
                    ax.tick_params(labelleft=False)
                else:
                    ax.set_ylabel(f"{title}, %")
        for ax, heading in zip(grid[0], titles, strict=True):
            ax.set_title(heading, loc="left")
        for ax in grid[-1]:
            ax.set_xlabel("steps of B")
        return figure

    seeds = sorted({len(cell.done) for column in columns for cell in column.cells.values()})
    how = (
        f"Test accuracy, means over {' to '.join(map(str, seeds))} seeds; bands are {BANDS}. The "
        "thin grey line is A’s accuracy before B."
    )
    return Plot(
        name,
        "",
        f"{caption} {how}".strip(),
        f"Accuracy of A and of B over the steps of B’s training in "
        f"{several(len(columns), 'panel')}: {', '.join(column.title for column in columns)}",
        pd.concat(frames),
        draw,
    )


def _frame(column: Column) -> pd.DataFrame:
    for written, cell in column.cells.items():
        models = {len(record.accuracy_matrix) for record in cell.done}
        if not any(record.curves for record in cell.done):
            raise UserError(f"{cell.scenario!r}, {written}: no finished run has curves")
        if models != {2}:
            raise UserError(f"{cell.scenario!r}: curves are for scenarios of two models")
    # A strength and the chosen one may be the same cell.
    return curves_frame(list(dict.fromkeys(column.cells.values())))


def _thinned(mean: pd.DataFrame) -> pd.DataFrame:
    """Leave out places that cannot be told apart, but no end: A may fall in its first steps."""
    places = sorted(set(mean["x"]))
    apart = places[-1] / 100
    kept: list[float] = []
    for x in places:
        if x <= 2 or x - kept[-1] >= apart:
            kept.append(x)
    if kept[-1] > 2:
        kept.pop()
    kept.append(places[-1])
    return mean[mean["x"].isin(kept)]


def _lines(frame: pd.DataFrame, model: int) -> pd.DataFrame:
    """One model's accuracy while B trains, as ``panels.average`` takes it."""
    shown = frame[(frame["trained"] == 1) & (frame["model"] == model)]
    return shown.assign(phase=0, x=shown["step"])


def _draw(ax: Axes, mean: pd.DataFrame, column: Column, looks: Mapping[str, Look]) -> None:
    own = [mean[mean["variant"] == cell.variant.label] for cell in column.cells.values()]
    wide = nested([line[["x", "mean"]] for line in own], LINE)
    for written, line, width in zip(column.cells, own, wide, strict=True):
        look = looks[written]
        ax.fill_between(
            line["x"], line["low"], line["high"], color=look.color, alpha=BAND, linewidth=0
        )
        ax.plot(
            line["x"], line["mean"], color=look.color, linestyle=look.linestyle, linewidth=width
        )


def _level(ax: Axes, column: Column) -> None:
    """Where A was before B: the same for all variants, which share A's training."""
    cell = next(iter(column.cells.values()))
    level = mean_estimate({"": [record.accuracy_matrix[0][0] for record in cell.done]})
    if level.value is not None:
        ax.axhline(100 * level.value, color=PALE, linewidth=0.9, zorder=0)


def _mark(
    ax: Axes, references: Sequence[Reference], looks: Mapping[str, Look], last: float
) -> None:
    for reference in references:
        near = [
            (x, y) for x, y in zip(reference.steps, reference.accuracy, strict=True) if x <= last
        ]
        style = read_off(looks[reference.variant].color)
        ax.plot(*zip(*near, strict=True), clip_on=False, zorder=4, **style)
