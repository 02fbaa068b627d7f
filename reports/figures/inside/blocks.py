"""Drawing what probes recorded: a row per variant, and the blocks of the bank side by side."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, floor, log10
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawn
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, NullLocator

from palimpsest.benchmark.metrics import ACCURACY, UNBOUNDED, Bounds
from palimpsest.reports.figures.drawing.intervals import drawn_range
from palimpsest.reports.figures.drawing.labels import wrapped
from palimpsest.reports.figures.drawing.marks import Mark, in_words, note, note_each, note_names
from palimpsest.reports.figures.drawing.plot import Plot
from palimpsest.reports.figures.drawing.settings import INK, PALE
from palimpsest.reports.figures.drawing.style import Style
from palimpsest.reports.figures.figure import Figure, Scope
from palimpsest.reports.runs.cells import Cell, Variant
from palimpsest.reports.runs.frames import numbered
from palimpsest.reports.statistics.interval import Estimate, mean_estimate
from palimpsest.reports.wording.numbers import percent, strength_text

_ACROSS = 5
"""The most blocks side by side."""


@dataclass(frozen=True)
class Series:
    """A variant and how it is drawn."""

    variant: Variant
    style: Style


def probe_figure(
    probe: str,
    place: int,
    frame_of: Callable[[Sequence[Cell]], pd.DataFrame],
    title: str,
    caption: str,
    description: str,
    draw: Callable[[pd.DataFrame, Sequence[Series]], Drawn],
    *,
    shown: Callable[[pd.DataFrame], pd.DataFrame] = lambda frame: frame,
    runs: str = "runs",
) -> Figure:
    """Return the figure of what a probe recorded in a scenario.

    Args:
        probe: The name of the probe.
        place: See ``Figure``.
        frame_of: Returns the recorded numbers of some cells; they are the figure's data.
        title: See ``Plot``.
        caption: Likewise.
        description: Likewise; ``{scenario}`` stands for the scenario.
        draw: Draws the rows of ``shown`` for the variants, from top to bottom.
        shown: Selects the rows that are drawn.
        runs: Which runs the figure needs.
    """

    def build(scope: Scope) -> Plot | None:
        frame = frame_of(scope.done)
        recorded = set(frame["variant"])
        series = [
            Series(cell.variant, scope.styles[cell.variant])
            for cell in scope.done
            if cell.variant.label in recorded
        ]
        selected = shown(frame)
        if selected.empty:
            return None
        return Plot(
            title,
            caption,
            description.format(scenario=scope.scenarios[0]),
            numbered(frame),
            lambda: draw(selected, series),
        )

    needs = f"{runs} with the probe {probe}"
    return Figure(f"inside-{probe}", "inside", place, build, needs, notebook=probe)


def points_by_block(
    frame: pd.DataFrame,
    value: str,
    series: Sequence[Series],
    label: str,
    *,
    scale: float,
    bounds: Bounds,
) -> Drawn:
    """Draw a point with its interval for each variant and block.

    Args:
        frame: Columns variant, seed, block and the value.
        value: The column to draw; averaged over models within a seed, then over seeds.
        series: The variants, from top to bottom.
        label: Of the axis: what it shows and, after a comma, the unit.
        scale: What values are multiplied by.
        bounds: The range of the values before scaling.
    """
    means = means_over_seeds(frame, ["block", "variant"], value, bounds)
    figure, axes = _panels(series, sorted(set(frame["block"]), key=_order), label)
    what, _, unit = label.partition(", ")
    limits: list[float] = []
    for block, ax in axes.items():
        known = [
            (y, one, means[block, one.variant.label])
            for y, one in enumerate(series)
            if (block, one.variant.label) in means
        ]
        rows = [y for y, _, _ in known]
        colors = [one.style.color for _, one, _ in known]
        table = scale * np.array([drawn_range(mean) for _, _, mean in known]).reshape(-1, 3)
        ax.hlines(rows, table[:, 1], table[:, 2], colors=colors, linewidth=1)
        points = ax.scatter(table[:, 0], rows, color=colors, s=18, zorder=3)
        limits += table[:, 1:].ravel().tolist()
        marks = []
        for _, one, mean in known:
            words, *rest = in_words(mean, lambda number: f"{scale * number + 0.0:.3g}", unit)
            marks.append(_mark(one, f"{_title(block)}: {what} {words}", *rest, number=mean))
        note_each(marks, points)
    left, right = min(limits), max(limits)
    margin = 0.05 * (right - left) or 0.05
    for ax in axes.values():
        ax.set_xlim(left - margin, right + margin)
    return figure


def ranges_by_block(frame: pd.DataFrame, series: Sequence[Series], label: str) -> Drawn:
    """Draw median, middle half and middle 90 % for each variant and block, on a log axis.

    Args:
        frame: Columns variant, block, zero and the quantiles, such as ``q0.05``.
        series: The variants, from top to bottom.
        label: Of the axis.
    """
    names = ["q0.05", "q0.25", "q0.5", "q0.75", "q0.95"]
    found = frame.groupby(["block", "variant"], sort=False)[[*names, "zero"]].mean()
    drawn = found[names].to_numpy()
    positive = drawn[drawn > 0]
    right = positive.max() if positive.size else 1.0
    left = max(positive.min(initial=right), right * 1e-8) / 2
    figure, axes = _panels(series, sorted(set(frame["block"]), key=_order), label)
    for block, ax in axes.items():
        ax.set(xscale="log", xlim=(left, right * (right / left) ** 0.35))  # space for the numbers
        ax.set_xticks(_powers(left, right))
        ax.xaxis.set_major_formatter(FuncFormatter(lambda x, _: strength_text(x)))
        ax.xaxis.set_minor_locator(NullLocator())
        for y, one in enumerate(series):
            if (block, one.variant.label) not in found.index:
                continue
            row = found.loc[(block, one.variant.label)]
            far_low, near_low, median, near_high, far_high = np.maximum(row[names], left)
            artists: list[Artist] = [
                *ax.plot([far_low, far_high], [y, y], color=one.style.color, linewidth=1),
                *ax.plot([near_low, near_high], [y, y], color=one.style.color, linewidth=3.5),
            ]
            if row["q0.5"] > 0:
                artists += ax.plot(median, y, "o", color="white", markeredgecolor=one.style.color)
            if row["zero"] > 0:
                text = ax.annotate(
                    f"{100 * row['zero']:.0f} %", (0.99, y), xycoords=("axes fraction", "data"),
                    ha="right", va="center", fontsize=7,
                )  # fmt: skip
                artists.insert(0, text)
            note(_mark(one, _title(block), *_range_words(row)), *artists)
    return figure


def _range_words(row: pd.Series) -> list[str]:
    """The quantiles of a range, and the share that is zero."""
    at = {name: f"{row[name]:.2g}" for name in row.index}
    return [
        f"median {at['q0.5']}",
        f"middle half {at['q0.25']} to {at['q0.75']}",
        f"middle 90 % {at['q0.05']} to {at['q0.95']}",
        f"{100 * row['zero']:.0f} % are exactly 0",
    ]


def _powers(left: float, right: float) -> list[float]:
    """At most three powers of ten, outside the space for the numbers."""
    powers = range(ceil(log10(left)), floor(log10(right)) + 1)
    return [10.0**power for power in powers[:: -(-len(powers) // 3) or 1]]


def accuracy_points(
    frame: pd.DataFrame,
    series: Sequence[Series],
    looks: Mapping[str, tuple[str, str]],
    label: str,
) -> Drawn:
    """Draw three accuracies for each variant.

    Args:
        frame: Columns variant, seed and those of ``looks``; fractions.
        series: The variants, from top to bottom.
        looks: The marker of each accuracy and when it was measured; the first one is hollow.
        label: Of the axis.
    """
    hollow = next(iter(looks))
    height = 0.9 + 0.36 * len(series)
    figure = Drawn(figsize=(8.4, height), layout="constrained")
    ax = figure.subplots()
    _rows(ax, series)
    for place, (value, (marker, when)) in enumerate(looks.items()):
        means = means_over_seeds(frame, ["variant"], value, ACCURACY)
        for y, one in enumerate(series):
            mean = means.get((one.variant.label,))
            if mean is None:
                continue
            middle, low, high = (100 * end for end in drawn_range(mean))
            at = y + 0.27 * (place - 1)
            color = one.style.color
            drawn = ax.plot([low, high], [at, at], color=color, linewidth=1)
            face = "white" if value == hollow else color
            drawn += ax.plot(middle, at, marker, color=face, markeredgecolor=color, markersize=5.5)
            words, *rest = in_words(mean, percent, "%")
            note(_mark(one, f"{when} {words}", *rest, number=mean), *drawn)
    low, high = ax.get_xlim()
    ax.set_xlim(max(low, -1.5), min(high, 101.5))
    ax.set_xlabel(label)
    handles = [
        Line2D([], [], linestyle="", marker=marker, markersize=5.5, markeredgecolor=INK,
               color="white" if value == hollow else INK, label=when)
        for value, (marker, when) in looks.items()
    ]  # fmt: skip
    ax.legend(handles=handles, loc="upper left", bbox_to_anchor=(1.02, 1), borderaxespad=0)
    return figure


def means_over_seeds(
    frame: pd.DataFrame, by: Sequence[str], value: str, bounds: Bounds = UNBOUNDED
) -> Mapping[tuple[Any, ...], Estimate]:
    """Average a value over models within each seed, then over seeds, for each group ``by``.

    Groups without a value are left out.
    """
    per_seed = frame.groupby([*by, "seed"], sort=False)[value].mean().dropna()
    found: dict[tuple[Any, ...], dict[int, float]] = {}
    for (*key, seed), mean in per_seed.items():
        found.setdefault(tuple(key), {})[seed] = mean
    return {key: mean_estimate({"": own}, bounds) for key, own in found.items()}


def _mark(one: Series, *told: str, number: Estimate | None = None) -> Mark:
    return Mark((one.variant.strategy,), (one.variant.label, *told), number)


def _panels(
    series: Sequence[Series], blocks: Sequence[str], label: str
) -> tuple[Drawn, dict[str, Axes]]:
    """Lay out axes for each block, with the variants' names at the left of each row of axes."""
    across = min(len(blocks), _ACROSS)
    down = -(-len(blocks) // across)
    size = (2.2 + 1.68 * across, down * (0.75 + 0.19 * len(series)))
    figure = Drawn(figsize=size, layout="constrained")
    grid = figure.subplots(down, across, squeeze=False, sharey=True)
    for ax in grid.ravel()[len(blocks) :]:
        ax.set_axis_off()
    axes = dict(zip(blocks, grid.ravel(), strict=False))
    for block, ax in axes.items():
        _rows(ax, series)
        ax.set_title(wrapped(_title(block), 20), loc="left")
        ax.locator_params(axis="x", nbins=4)
        ax.label_outer()
    for ax in list(axes.values())[-across:]:
        ax.tick_params(axis="x", labelbottom=True)
    figure.supxlabel(label, fontsize=8.5)
    return figure, axes


def _title(block: str) -> str:
    return block.replace("_", " ")


def _order(block: str) -> tuple[bool, bool, list[Any]]:
    """Sort key: numbers by size, heads after the layers, and all blocks together last."""
    words: list[Any] = re.split(r"(\d+)", block)
    words[1::2] = map(int, words[1::2])
    return " " in block, "head" in block, words


def _rows(ax: Axes, series: Sequence[Series]) -> None:
    """Name the variants from top to bottom, with a line between strategies."""
    ax.set_yticks(range(len(series)), [wrapped(one.variant.label, 34) for one in series])
    ax.set_ylim(len(series) - 0.5, -0.5)
    variants = [one.variant for one in series]
    if names := ax.get_yticklabels():  # only axes at the left show theirs
        note_names((v.strategy for v in variants), names, (v.label for v in variants))
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    ax.grid(axis="x", color="black", alpha=0.1, linewidth=0.6)
    for y in range(1, len(series)):
        if series[y].variant.strategy != series[y - 1].variant.strategy:
            ax.axhline(y - 0.5, color=PALE, linewidth=0.5)
