"""Accuracy that new private parts recover: the probe ``refit``."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from palimpsest.reports.figures.drawing.plot import BANDS
from palimpsest.reports.figures.inside.blocks import accuracy_points, probe_figure
from palimpsest.reports.runs.cells import Cell
from palimpsest.reports.runs.probes import RUN, of_matrix, probe_frame

_WHEN = {
    "learned": ("o", "when learned"),
    "before": ("X", "at the end"),
    "after": (">", "refitted"),
}
"""The accuracies: their markers, and when they were measured."""


def refit_frame(cells: Sequence[Cell]) -> pd.DataFrame:
    """Return one row per run and earlier model.

    Columns: scenario, variant (its label), seed, model, and its test accuracy when it had just
    been trained (learned; NaN where models are trained at once or by turns), at the end (before)
    and with its private parts fitted anew (after).
    """
    frame = probe_frame(cells, "refit", ("model",), ("before", "after"))
    frame.insert(len(RUN) + 1, "learned", of_matrix(cells, frame, lambda m, model: m[model][model]))
    return frame


FIGURE = probe_figure(
    "refit",
    5,
    refit_frame,
    "Lost, or only out of date?",
    "Test accuracy of the earlier models just after their training, at the end, and after "
    "their private parts were refitted to the final shared blocks, which stay as they are. "
    "What refitting recovers was never lost: only the private parts were out of date. Since "
    "refitting also trains them longer, compare with freezing, whose shared blocks never "
    f"changed. Means over the earlier models; lines are {BANDS}.",
    "Accuracy of the earlier models when learned, at the end and refitted, in {scenario}",
    lambda frame, series: accuracy_points(
        frame, series, _WHEN, "accuracy of the earlier models, %"
    ),
)
