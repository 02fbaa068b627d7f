"""Drawing curves of accuracy over training: means, bands, starts of models, shared axes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PolyCollection

from palimpsest.reports.figures.drawing.canvas import BAND, LINE
from palimpsest.reports.figures.drawing.overlap import nested
from palimpsest.reports.figures.drawing.panels import Panel
from palimpsest.reports.figures.drawing.settings import PALE
from palimpsest.reports.figures.drawing.style import Style


def draw_curves(
    ax: Axes, curves: Sequence[tuple[Style, pd.DataFrame]], marker: float = 0.0
) -> None:
    """Draw means and their bands; where lines coincide, the lower ones are wider.

    Args:
        ax: Axes in per cent or points over steps or models.
        curves: Styles and means: columns phase (lines break between phases), x, mean, low and
            high.
        marker: Points, the size of a marker at each x; 0 for none.
    """
    lines, bands, styles = [], [], []
    for style, mean in curves:
        for _, phase in mean.groupby("phase"):
            x = phase["x"].to_numpy()
            low, high = (phase[end].to_numpy() for end in ("low", "high"))
            lines.append(np.column_stack([x, phase["mean"]]))
            bands.append(np.column_stack([[*x, *x[::-1]], [*low, *high[::-1]]]))
            styles.append(style)
    if not lines:
        return
    colors = [style.color for style in styles]
    widths = nested(lines, LINE)
    # Two collections: an artist per line would take most of the report's time.
    ax.add_collection(PolyCollection(bands, facecolors=colors, alpha=BAND, linewidths=0), False)
    ax.add_collection(
        LineCollection(
            lines, colors=colors, linestyles=[style.linestyle for style in styles],
            linewidths=widths, capstyle="projecting", joinstyle="round",
        ),
        False,
    )  # fmt: skip
    for line, style, width in zip(lines, styles, widths, strict=True):
        if marker:
            ax.plot(
                *line.T, style.marker, color=style.color, markersize=marker + width - LINE,
                linestyle="", markeredgecolor="white", markeredgewidth=0.4,
            )  # fmt: skip
        elif len(line) == 1:
            ax.plot(*line[0], ".", color=style.color)
    # Not by setting dataLim: what is drawn later would then replace the limits, not widen them.
    ax.update_datalim(np.concatenate([*lines, *bands]))


def mark_phases(ax: Axes, panel: Panel) -> None:
    """Mark the starts of models, and the part that another panel enlarges."""
    for start in panel.starts:
        ax.axvline(start, color=PALE, linewidth=0.6, zorder=0)
    if panel.shaded:
        ax.axvspan(0, panel.shaded, color="black", alpha=0.07, linewidth=0, zorder=0)
    ax.grid(visible=False, axis="x")


def share_accuracies(axes: Sequence[Axes]) -> None:
    """Give panels that will be compared the same accuracy axis, of at least 5 points."""
    ends = np.array([ax.dataLim.intervaly for ax in axes])
    ends = ends[np.isfinite(ends).all(axis=1)]
    low, high = (ends.min(), ends.max()) if len(ends) else (0.0, 100.0)
    missing = max(0.0, 5 - (high - low)) / 2
    margin = 0.04 * (high - low) + missing
    for ax in axes:
        ax.set_ylim(max(-1.5, low - margin), min(101.5, high + margin))


def share_steps(axes: Sequence[Axes]) -> None:
    """Give panels of one sequence the same axis of steps, whenever their models began."""
    ends = np.array([ax.dataLim.intervalx for ax in axes])
    if np.isfinite(ends).any():
        low, high = np.min(ends[np.isfinite(ends)]), np.max(ends[np.isfinite(ends)])
        margin = 0.015 * (high - low)
        for ax in axes:
            ax.set_xlim(low - margin, high + margin)
