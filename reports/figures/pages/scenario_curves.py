"""Accuracy over training in several scenarios: a column per scenario, a row per panel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from palimpsest.benchmark.errors import UserError
from palimpsest.reports.analysis.digitized import DigitizedCurve
from palimpsest.reports.figures.drawing.canvas import (
    Margins,
    canvas,
    line_keys,
    read_off,
    read_off_key,
    titled,
)
from palimpsest.reports.figures.drawing.curves import draw_curves, mark_phases
from palimpsest.reports.figures.drawing.panels import (
    Panel,
    average,
    earlier_models,
    first_steps,
    new_model,
)
from palimpsest.reports.figures.drawing.plot import BANDS, Plot
from palimpsest.reports.figures.drawing.settings import PALE
from palimpsest.reports.figures.drawing.style import Style
from palimpsest.reports.runs.cells import Cell
from palimpsest.reports.runs.frames import curves_frame
from palimpsest.reports.statistics.interval import mean_estimate
from palimpsest.reports.wording.words import several

_TWO = {"earlier": "A, while B trains", "new": "B", "first": "A, first {} steps"}
_MANY = {
    "earlier": "earlier models",
    "new": "model in training",
    "first": "earlier models,\nfirst {} steps",
}
"""The rows, for two models and for more."""


@dataclass(frozen=True)
class ScenarioColumn:
    """One scenario of the figure.

    Attributes:
        title: Its name for the reader.
        cells: Its runs by variant as it is written.
        references: Published curves to compare with, in a scenario of two models.
    """

    title: str
    cells: Mapping[str, Cell]
    references: Sequence[DigitizedCurve] = ()


@dataclass(frozen=True, eq=False)
class _AxesContent:
    """The contents of one pair of axes.

    Attributes:
        panel: Its curves.
        curves: Their means, with the style of each.
        points: Curves read off a published figure.
        level: The accuracy of A before B, in per cent; ``None`` where it is not shown.
        whole: Whether it shows all of the training, or only the first steps.
    """

    panel: Panel
    curves: Sequence[tuple[Style, pd.DataFrame]]
    points: Sequence[DigitizedCurve]
    level: float | None
    whole: bool


def scenario_curves_plot(
    columns: Sequence[ScenarioColumn],
    styles: Mapping[str, Style],
    names: Mapping[str, str],
    first: int,
) -> Plot:
    """Show earlier models while later ones train, the later ones, and the first steps of training.

    With two models, A and B, all curves are of B's training. With more, earlier models are
    averaged.

    Args:
        columns: The scenarios, of two or more models.
        styles: The style of each variant.
        names: The name of each variant for the reader.
        first: How many first steps have a row of their own; 0 for none.

    Raises:
        UserError: A scenario has one model or no curves, or more than two models and curves to
            compare with.
    """
    frames = [_frame(column) for column in columns]
    two = all(frame["trained"].max() == 1 for frame in frames)
    grid = [
        [
            _spot(row, column, frame, styles, first)
            for column, frame in zip(columns, frames, strict=True)
        ]
        for row in ("earlier", "new", *(["first"] if first else []))
    ]
    headings = [heading.format(first) for heading in (_TWO if two else _MANY).values()]

    def draw() -> Figure:
        keys = line_keys(styles, names, marked=False)
        given = [styles[one.variant] for column in columns for one in column.references]
        if given:
            keys.append(read_off_key(given))
        titles, above = titled([c.title for c in columns], len(columns), Margins())
        left = 0.62 + 0.15 * max(heading.count("\n") for heading in headings)
        # Titles stand above the first row only.
        margins = Margins(left=left, top=above.top, down=0.36)
        figure, axes = canvas([1.55] * len(grid), len(columns), keys, margins)
        for heading, spots, row in zip(headings, grid, axes, strict=False):
            for place, (spot, ax) in enumerate(zip(spots, row, strict=True)):
                _draw(ax, spot, styles)
                if place:
                    ax.tick_params(labelleft=False)
                else:
                    ax.set_ylabel(f"{heading}, %")
        for ax, title in zip(axes[0], titles, strict=True):
            ax.set_title(title, loc="left")
        for ax in axes[-1]:
            ax.set_xlabel("steps of B" if two else "steps")
        return figure

    seeds = sorted({len(cell.done) for column in columns for cell in column.cells.values()})
    how = f"Test accuracy, means over {' to '.join(map(str, seeds))} seeds; bands are {BANDS}. "
    if two:
        how += "The thin grey line is A’s accuracy before B."
    else:
        how += (
            "Steps count from where the second model begins; thin grey lines are where others do. "
            "Earlier models are averaged."
        )
        how += f" Of the first {first} steps all such switches are averaged." if first else ""
    what = "A and of B over the steps of B’s training" if two else "models over training"
    return Plot(
        "",
        how.strip(),
        f"Accuracy of {what} in {several(len(columns), 'panel')}: "
        f"{', '.join(column.title for column in columns)}",
        pd.concat(frames),
        draw,
    )


def _frame(column: ScenarioColumn) -> pd.DataFrame:
    for written, cell in column.cells.items():
        models = {len(record.accuracy_matrix) for record in cell.done}
        if not any(record.curves for record in cell.done):
            raise UserError(f"{cell.scenario!r}, {written}: no finished run has curves")
        if models == {1}:
            raise UserError(
                f"{cell.scenario!r}: this scenario has one model, and curves show what later "
                "models change; name a scenario with two or more"
            )
        if models != {2} and column.references:
            raise UserError(
                f"reference of {cell.scenario!r}: points are shown only in scenarios of two "
                f"models; this one has {max(models)}; leave them out"
            )
    # A strength and the chosen strength may be the same cell.
    return curves_frame(list(dict.fromkeys(column.cells.values())))


def _spot(
    row: str, column: ScenarioColumn, frame: pd.DataFrame, styles: Mapping[str, Style], first: int
) -> _AxesContent:
    panel = {"earlier": earlier_models, "new": new_model}.get(
        row, partial(first_steps, steps=first)
    )(frame)
    mean = average(panel.frame)
    curves = [
        (styles[written], mean[mean["variant"] == cell.variant.label])
        for written, cell in column.cells.items()
    ]
    points = [one for one in column.references if one.model == (row == "new")]
    if row == "first":
        # References with only step 0 in this row are shown only with the whole curve.
        points = [one for one in points if any(0 < x <= first for x in one.steps)]
    level = _before(column) if row != "new" and frame["trained"].max() == 1 else None
    return _AxesContent(panel, curves, points, level, whole=row != "first")


def _before(column: ScenarioColumn) -> float | None:
    """A's accuracy before B: the same for all variants, which share A's training."""
    cell = next(iter(column.cells.values()))
    found = mean_estimate({"": [record.accuracy_matrix[0][0] for record in cell.done]}).value
    return None if found is None else 100 * found


def _draw(ax: Axes, spot: _AxesContent, styles: Mapping[str, Style]) -> None:
    draw_curves(ax, spot.curves)
    mark_phases(ax, spot.panel)
    if spot.level is not None:
        ax.axhline(spot.level, color=PALE, linewidth=0.9, zorder=0)
    x = spot.panel.frame["x"]
    low, high = float(x.min()), float(x.max())
    if spot.whole:
        high = max([high, *(step for one in spot.points for step in one.steps)])
    for one in spot.points:
        near = [(step, y) for step, y in zip(one.steps, one.accuracy, strict=True) if step <= high]
        shown = read_off(styles[one.variant].color)
        ax.plot(*zip(*near, strict=True), clip_on=False, zorder=4, **shown)
    room = 0.015 * (high - low)
    ax.set(xlim=(low - room, high + room), ylim=(0, 101), yticks=np.arange(0, 101, 25))
    ax.xaxis.set_major_locator(MaxNLocator(4, integer=True, steps=[1, 2, 5, 10]))
