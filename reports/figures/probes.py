"""Plots of what the probes recorded inside the runs (see ``benchmark/probes``)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import inf

import pandas as pd

from palimpsest.reports.figures.drawing.blocks import (
    Series,
    accuracy_points,
    points_by_block,
    ranges_by_block,
)
from palimpsest.reports.figures.drawing.captions import BANDS
from palimpsest.reports.figures.drawing.plot import Plot
from palimpsest.reports.figures.drawing.style import Style
from palimpsest.reports.runs.cells import Cell, Variant
from palimpsest.reports.runs.frames import numbered
from palimpsest.reports.runs.probes import (
    RUN,
    distance_frame,
    importance_frame,
    overlap_frame,
    refit_frame,
    similarity_frame,
    unmerged_frame,
)
from palimpsest.reports.statistics.limits import ACCURACY, Limits

_REFITTED = {
    "learned": ("o", "when learned"),
    "before": ("X", "at the end"),
    "after": (">", "refitted"),
}
_MERGED = {
    "unmerged": ("o", "unmerged"),
    "merged": (">", "just merged"),
    "end": ("X", "at the end"),
}
"""The accuracies of a probe: their markers, and when they were measured."""


def inside_plots(cells: Sequence[Cell], styles: Mapping[Variant, Style], name: str) -> list[Plot]:
    """Return a plot for each probe with records in the runs of a scenario.

    Args:
        cells: One scenario's cells with finished runs.
        styles: Of each variant.
        name: Unique in the report; the plots' names begin with it.
    """
    frames = {
        "distance": distance_frame(cells),
        "importance": importance_frame(cells),
        "overlap": overlap_frame(cells),
        "similarity": similarity_frame(cells),
        "refit": refit_frame(cells),
        "unmerged": unmerged_frame(cells),
    }
    makers = {
        "distance": _distance_plot,
        "importance": _importance_plot,
        "overlap": _overlap_plot,
        "similarity": _similarity_plot,
        "refit": _refit_plot,
        "unmerged": _unmerged_plot,
    }
    plots: list[Plot | None] = []
    for probe, frame in frames.items():
        seen = set(frame["variant"])
        series = [
            Series(cell.variant, styles[cell.variant])
            for cell in cells
            if cell.variant.label in seen
        ]
        if series:
            plots.append(makers[probe](series, frame, f"{name}-{probe}", cells[0].scenario))
    return [plot for plot in plots if plot is not None]


def _distance_plot(series: Sequence[Series], frame: pd.DataFrame, name: str, scenario: str) -> Plot:
    return Plot(
        name,
        "How far shared parameters moved",
        "Distance between the shared parameters before and after a new model’s training, relative "
        f"to their norm before it: mean over the new models; lines are {BANDS}. "
        "Independent models each start from the initial weights, and move freely.",
        f"Relative movement of each shared block in {scenario}, by strategy",
        numbered(frame),
        lambda: points_by_block(
            frame, "relative", series, "relative distance, %", scale=100, limits=Limits(0.0, inf)
        ),
    )


def _importance_plot(
    series: Sequence[Series], frame: pd.DataFrame, name: str, scenario: str
) -> Plot | None:
    users = frame.groupby([*RUN, "block"])["model"].transform("nunique")
    met = frame[(users > 1) & (frame["model"] < frame["model"].max())]
    if met.empty:
        return None
    return Plot(
        name,
        "Importances",
        "Distribution of the importances of each shared block’s parameters before the last model "
        "trains; means over models and seeds of the median (dot), the middle half (thick) and the "
        "middle 90 % (thin). Numbers on the right: the share that is exactly 0, so that nothing "
        "protects it; ranges that include 0 begin at the left edge. Each strategy has its own unit "
        "of importance.",
        f"Quantiles of the importances of each shared block in {scenario}, by strategy",
        numbered(frame),
        lambda: ranges_by_block(met, series, "importance"),
    )


def _overlap_plot(series: Sequence[Series], frame: pd.DataFrame, name: str, scenario: str) -> Plot:
    return Plot(
        name,
        "Do models need the same rows?",
        "Of the 30 % of rows of each shared weight that have most Fisher information right after "
        "a model’s training, the share that it has in common with an earlier model: both divided "
        "by either. Sets drawn by chance have 0.18. Mean over all pairs of models; "
        f"lines are {BANDS}.",
        f"Overlap of the rows that models need most, by shared block, in {scenario}",
        numbered(frame),
        lambda: points_by_block(
            frame, "jaccard", series, "rows in common (Jaccard)", scale=1, limits=ACCURACY
        ),
    )


def _similarity_plot(
    series: Sequence[Series], frame: pd.DataFrame, name: str, scenario: str
) -> Plot:
    last = frame[frame["trained"] == frame["trained"].max()]
    return Plot(
        name,
        "Representations, before and after",
        "Similarity (linear CKA) of each shared block’s output on an earlier model’s test images, "
        "just after that model’s training and at the end: 1 is the same up to rotation and scale. "
        f"Mean over the earlier models; lines are {BANDS}.",
        f"Linear CKA of each shared block before and after later models in {scenario}",
        numbered(frame),
        lambda: points_by_block(last, "cka", series, "linear CKA", scale=1, limits=ACCURACY),
    )


def _refit_plot(series: Sequence[Series], frame: pd.DataFrame, name: str, scenario: str) -> Plot:
    return Plot(
        name,
        "Lost, or only out of date?",
        "Test accuracy of the earlier models just after their training, at the end, and after "
        "their private parts were refitted to the final shared blocks, which stay as they are. "
        "What refitting recovers was never lost: only the private parts were out of date. Since "
        "refitting also trains them longer, compare with freezing, whose shared blocks never "
        f"changed. Means over the earlier models; lines are {BANDS}.",
        f"Accuracy of the earlier models when learned, at the end and refitted, in {scenario}",
        numbered(frame),
        lambda: accuracy_points(frame, series, _REFITTED, "accuracy of the earlier models, %"),
    )


def _unmerged_plot(series: Sequence[Series], frame: pd.DataFrame, name: str, scenario: str) -> Plot:
    return Plot(
        name,
        "What merging costs",
        "Test accuracy of each model as its own training left it, merged with those before it, and "
        "at the end, when all are merged. The first is what the models could do apart: the rest "
        f"is the price of one set of weights. Means over the models; lines are {BANDS}.",
        f"Accuracy of models unmerged, merged and at the end, in {scenario}",
        numbered(frame),
        lambda: accuracy_points(frame, series, _MERGED, "accuracy of the models, %"),
    )
