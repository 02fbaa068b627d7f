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
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, NullLocator

from palimpsest.benchmark.metrics import ACCURACY, UNBOUNDED, Bounds
from palimpsest.reports.figures.drawing.labels import wrapped
from palimpsest.reports.figures.drawing.marks import Mark, in_words, note, note_each, note_names
from palimpsest.reports.figures.drawing.plot import Plot
from palimpsest.reports.figures.drawing.settings import INK, PALE
from palimpsest.reports.figures.drawing.style import Style
from palimpsest.reports.figures.figure import Scope
from palimpsest.reports.runs.cells import Variant
from palimpsest.reports.runs.frames import numbered
from palimpsest.reports.statistics.grouped import drawn, over_seeds
from palimpsest.reports.statistics.interval import Estimate, mean_estimate
from palimpsest.reports.wording.numbers import percent, strength_text

_ACROSS = 5
"""The most blocks side by side."""


@dataclass(frozen=True)
class Series:
    """A variant and how it is drawn."""

    variant: Variant
    style: Style


def probe_plot(
    scope: Scope,
    frame: pd.DataFrame,
    title: str,
    caption: str,
    description: str,
    draw: Callable[[Sequence[Series]], Figure],
) -> Plot | None:
    """Return the figure of what a probe recorded in a scenario.

    Args:
        scope: The scenario.
        frame: What was recorded; shown is a variant with a row.
        title: See ``Plot``.
        caption: Likewise.
        description: Likewise.
        draw: Draws the variants, from top to bottom.

    Returns:
        The figure; ``None`` where nothing was recorded.
    """
    seen = set(frame["variant"])
    series = [
        Series(cell.variant, scope.styles[cell.variant])
        for cell in scope.done
        if cell.variant.label in seen
    ]
    if not series:
        return None
    return Plot(title, caption, description, numbered(frame), lambda: draw(series))


def points_by_block(
    frame: pd.DataFrame,
    value: str,
    series: Sequence[Series],
    label: str,
    *,
    scale: float,
    bounds: Bounds,
) -> Figure:
    """Draw a point with its interval for each variant and block.

    Args:
        frame: Columns variant, seed, block and the value.
        value: The column to draw; averaged over models within a seed, then over seeds.
        series: The variants, from top to bottom.
        label: Of the axis.
        scale: What values are multiplied by.
        bounds: The range of the values before scaling.
    """
    found = block_means(frame, ["block", "variant"], value, bounds)
    figure, axes = _panels(series, sorted(set(frame["block"]), key=_order), label)
    estimates = _estimates(frame, ["block", "variant"], value, bounds)
    what, _, unit = label.partition(", ")
    for block, ax in axes.items():
        known = [one for one in series if (block, one.variant.label) in estimates]
        points = _points(ax, found[found["block"] == block], series, scale)
        marks = []
        for one in known:
            own = estimates[block, one.variant.label]
            mean, *rest = in_words(own, lambda number: f"{scale * number + 0.0:.3g}", unit)
            marks.append(_mark(one, f"{_title(block)}: {what} {mean}", *rest, number=own))
        note_each(marks, points)
    left, right = scale * found["low"].min(), scale * found["high"].max()
    margin = 0.05 * (right - left) or 0.05
    for ax in axes.values():
        ax.set_xlim(left - margin, right + margin)
    return figure


def ranges_by_block(frame: pd.DataFrame, series: Sequence[Series], label: str) -> Figure:
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
) -> Figure:
    """Draw three accuracies for each variant.

    Args:
        frame: Columns variant, seed and those of ``looks``; fractions.
        series: The variants, from top to bottom.
        looks: The marker of each accuracy and when it was measured; the first one is hollow.
        label: Of the axis.
    """
    hollow = next(iter(looks))
    height = 0.9 + 0.36 * len(series)
    figure = Figure(figsize=(8.4, height), layout="constrained")
    ax = figure.subplots()
    _rows(ax, series)
    for place, (value, (marker, when)) in enumerate(looks.items()):
        estimates = _estimates(frame, ["variant"], value, ACCURACY)
        found = block_means(frame, ["variant"], value, ACCURACY).set_index("variant")
        for y, one in enumerate(series):
            row = 100 * found.loc[one.variant.label, ["mean", "low", "high"]]
            at = y + 0.27 * (place - 1)
            color = one.style.color
            drawn = ax.plot(row[["low", "high"]], [at, at], color=color, linewidth=1)
            face = "white" if value == hollow else color
            drawn += ax.plot(
                row["mean"], at, marker, color=face, markeredgecolor=color, markersize=5.5
            )
            if (own := estimates.get(one.variant.label)) is not None:
                mean, *rest = in_words(own, percent, "%")
                note(_mark(one, f"{when} {mean}", *rest, number=own), *drawn)
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


def block_means(
    frame: pd.DataFrame, by: list[str], value: str, bounds: Bounds = UNBOUNDED
) -> pd.DataFrame:
    """Average a value over models within each seed, then over seeds.

    Returns:
        One row per group, in order of appearance: ``by``, mean, low and high (what is drawn, see
        ``grouped.drawn``).
    """
    per_seed = frame.groupby([*by, "seed"], sort=False)[value].mean()
    found = over_seeds(per_seed.groupby(level=by, sort=False), bounds)
    return drawn(found)[[*by, "mean", "low", "high"]]


def _estimates(
    frame: pd.DataFrame, by: list[str], value: str, bounds: Bounds
) -> Mapping[Any, Estimate]:
    """The same means as ``block_means`` with their seeds, by group; undefined ones are left out."""
    per_seed = frame.groupby([*by, "seed"], sort=False)[value].mean().dropna()
    found: dict[Any, dict[int, float]] = {}
    for (*key, seed), mean in per_seed.items():
        found.setdefault(tuple(key) if len(by) > 1 else key[0], {})[seed] = mean
    return {key: mean_estimate({"": own}, bounds) for key, own in found.items()}


def _mark(one: Series, *told: str, number: Estimate | None = None) -> Mark:
    return Mark((one.variant.strategy,), (one.variant.label, *told), number)


def _panels(
    series: Sequence[Series], blocks: Sequence[str], label: str
) -> tuple[Figure, dict[str, Axes]]:
    """Lay out axes for each block, with the variants' names at the left of each row of axes."""
    across = min(len(blocks), _ACROSS)
    down = -(-len(blocks) // across)
    size = (2.2 + 1.68 * across, down * (0.75 + 0.19 * len(series)))
    figure = Figure(figsize=size, layout="constrained")
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


def _points(
    ax: Axes,
    found: pd.DataFrame,
    series: Sequence[Series],
    scale: float,
) -> PathCollection:
    rows = found.set_index("variant")
    known = [(y, one) for y, one in enumerate(series) if one.variant.label in rows.index]
    places = [y for y, _ in known]
    colors = [one.style.color for _, one in known]
    table = scale * rows.loc[[one.variant.label for _, one in known]]
    ax.hlines(places, table["low"], table["high"], colors=colors, linewidth=1)
    return ax.scatter(table["mean"], places, color=colors, s=18, zorder=3)
