"""Forgetting against own gain: less forgetting at the same gain is better."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from palimpsest.benchmark.metrics import Metric
from palimpsest.reports.analysis.quantities import interval
from palimpsest.reports.analysis.searches import FORGETTING, GAIN, measure_of
from palimpsest.reports.figures import figure as report
from palimpsest.reports.figures.drawing.canvas import LINE, MARKER, WIDTH, canvas, line_keys
from palimpsest.reports.figures.drawing.labels import Label
from palimpsest.reports.figures.drawing.marks import Mark, in_words, note_each
from palimpsest.reports.figures.drawing.overlap import keep_visible
from palimpsest.reports.figures.drawing.plot import SPREAD, Plot
from palimpsest.reports.figures.drawing.points import Spot, draw_point, label_points, plane_point
from palimpsest.reports.figures.drawing.settings import PALE
from palimpsest.reports.figures.drawing.style import Style
from palimpsest.reports.figures.searches.by_strategy import searches_of
from palimpsest.reports.runs.cells import Cell, Variant
from palimpsest.reports.statistics.interval import Estimate
from palimpsest.reports.wording.numbers import measured

_HALF = 6.0
"""Inches: the width of a figure beside the verdicts."""


@dataclass(frozen=True)
class GainLine:
    """The points of one line.

    Attributes:
        cells: In their order, such as from a weak strength to a strong one.
        labels: The text beside each point; empty for none.
        style: The style of the line and its points.
    """

    cells: Sequence[Cell]
    labels: Sequence[str]
    style: Style


def gains_plot(
    lines: Mapping[str, GainLine],
    names: Mapping[str, str],
    title: str = "",
    width: float = WIDTH,
) -> Plot:
    """Make the figure: a line per strategy or control, a point per variant.

    Args:
        lines: The lines.
        names: The name of each line for the reader.
        title: The heading.
        width: Inches.

    Raises:
        UserError: A variant has no measured visits, or units differ.
    """
    every = [cell for own in lines.values() for cell in own.cells]
    across, up = (measure_of(measure, every) for measure in (GAIN, FORGETTING))

    def draw() -> Figure:
        styles = {line: own.style for line, own in lines.items()}
        keys = line_keys(styles, names, marked=True)
        figure, ((ax,),) = canvas([3.6], 1, keys, width=width)
        ax.axhline(0, color=PALE, linewidth=0.9, zorder=0)
        ax.axvline(0, color=PALE, linewidth=0.9, zorder=0)
        _draw(ax, lines, names, across, up)
        ax.set_xlabel(f"own gain (err0 − err1), {across.unit}")
        ax.set_ylabel(f"forgetting (err2 − err1), {up.unit}")
        return figure

    return Plot(
        title,
        "Own gain is the error of an architecture before its visit minus that right "
        "after it, forgetting the error at the end of the epoch minus that right after the visit, "
        "on validation data. Further down is less forgetting, further right is more gain: what "
        "learns nothing forgets nothing, so compare points above one another. Lines go through all "
        f"variants of a strategy. {SPREAD}",
        "Forgetting of visited architectures against the gain by their own visit, for "
        f"{', '.join(names[line] for line in lines)}",
        _frame(lines, names, across, up),
        draw,
    )


def _draw(
    ax: Axes, lines: Mapping[str, GainLine], names: Mapping[str, str], across: Metric, up: Metric
) -> None:
    labels: list[Label] = []
    paths: list[list[Spot]] = []
    drawn = []
    for line, own in lines.items():
        color = own.style.color
        path: list[Spot] = []
        for cell, text in zip(own.cells, own.labels, strict=True):
            x, y = (interval(measure, cell, None) for measure in (across, up))
            point = plane_point(x, y, (across.scale, up.scale))
            if point is None:
                continue
            path.append(point.spot)
            mark = draw_point(ax, point, own.style, color)
            drawn.append((point, mark))
            note_each([_mark(cell, names[line], text, (x, y), (across, up))], mark)
            if text:
                labels.append(Label(text, *point.spot, own.style.ink))
        if len(path) > 1:
            ax.plot(
                *zip(*path, strict=True), color=color, linestyle=own.style.linestyle,
                linewidth=LINE, zorder=2,
            )  # fmt: skip
            paths.append(path)
    ax.margins(0.06)
    ax.autoscale_view()
    ax.set(xlim=ax.get_xlim(), ylim=ax.get_ylim())
    keep_visible(ax, [mark for _, mark in drawn], MARKER)
    label_points(ax, [(point, MARKER) for point, _ in drawn], labels, paths)


def _mark(
    cell: Cell,
    name: str,
    text: str,
    found: tuple[Estimate, Estimate],
    quantities: tuple[Metric, Metric],
) -> Mark:
    told = [
        f"{quantity.title}: {words[0]}"
        for quantity, one in zip(quantities, found, strict=True)
        for words in (in_words(one, measured(quantity), quantity.unit),)
    ]
    head = f"{name}, {text}" if text and text not in name else name
    return Mark((cell.variant.strategy,), (head, *told), found[1])


def _frame(
    lines: Mapping[str, GainLine], names: Mapping[str, str], across: Metric, up: Metric
) -> pd.DataFrame:
    rows = [
        (names[line], cell.scenario, cell.variant.label, x.value, x.low, x.high, y.value, y.low,
         y.high, y.n)
        for line, own in lines.items()
        for cell in own.cells
        for x, y in ((interval(across, cell, None), interval(up, cell, None)),)
    ]  # fmt: skip
    ends = [f"{what}{end}" for what in ("gain", "forgetting") for end in ("", "_low", "_high")]
    return pd.DataFrame(rows, columns=["line", "scenario", "variant", *ends, "n"])


def strategy_gains_plot(cells: Sequence[Cell], styles: Mapping[Variant, Style]) -> Plot | None:
    """Show forgetting against own gain, a line per strategy."""
    shown = searches_of(cells)
    if not shown:
        return None
    lines: dict[str, GainLine] = {}
    for strategy in dict.fromkeys(cell.variant.strategy for cell in shown):
        own = [cell for cell in shown if cell.variant.strategy == strategy]
        style = styles[own[0].variant]
        base = Style(style.base, style.linestyle, style.marker, style.base)
        lines[strategy] = GainLine(own, [cell.variant.value for cell in own], base)
    names = {strategy: strategy for strategy in lines}
    return gains_plot(lines, names, "Forgetting and own gain", _HALF)


FIGURE = report.Figure(
    "gains", "answer", 3, lambda scope: strategy_gains_plot(scope.done, scope.styles),
    "searches that measured their visits",
)  # fmt: skip
