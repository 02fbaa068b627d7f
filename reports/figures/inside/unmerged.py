"""The price of merging: the probe ``unmerged``."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from palimpsest.reports.figures.drawing.plot import BANDS
from palimpsest.reports.figures.inside.blocks import accuracy_points, probe_figure
from palimpsest.reports.runs.cells import Cell
from palimpsest.reports.runs.probes import of_matrix, probe_frame

_WHEN = {
    "unmerged": ("o", "unmerged"),
    "merged": (">", "just merged"),
    "end": ("X", "at the end"),
}
"""The accuracies: their markers, and when they were measured."""


def unmerged_frame(cells: Sequence[Cell]) -> pd.DataFrame:
    """Return one row per run and model.

    Columns: scenario, variant (its label), seed, model, and its test accuracy as its training left
    it (unmerged), merged with those before it (merged), and at the end (NaN where models are
    trained by turns).
    """
    frame = probe_frame(cells, "unmerged", ("model",), ("unmerged", "merged"))
    frame["end"] = of_matrix(cells, frame, lambda matrix, model: matrix[-1][model])
    return frame


FIGURE = probe_figure(
    "unmerged",
    6,
    unmerged_frame,
    "What merging costs",
    "Test accuracy of each model as its own training left it, merged with those before it, and "
    "at the end, when all are merged. The first is what the models could do apart: the rest "
    f"is the price of one set of weights. Means over the models; lines are {BANDS}.",
    "Accuracy of models unmerged, merged and at the end, in {scenario}",
    lambda frame, series: accuracy_points(frame, series, _WHEN, "accuracy of the models, %"),
    runs="merged runs",
)
