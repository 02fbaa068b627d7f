"""How far the shared parameters moved: the probe ``distance``."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

import pandas as pd

from palimpsest.benchmark.metrics import Bounds
from palimpsest.reports.figures.drawing.plot import BANDS
from palimpsest.reports.figures.inside.blocks import points_by_block, probe_figure
from palimpsest.reports.runs.cells import Cell
from palimpsest.reports.runs.probes import WHOLE, probe_frame


def distance_frame(cells: Sequence[Cell]) -> pd.DataFrame:
    """Return one row per run, new model and shared block, and one for all shared blocks together.

    Columns: scenario, variant (its label), seed, model, block, moved, relative, from_anchor and
    weighted, as ``benchmark/probes/distance.py`` defines them; NaN where there is no anchor.
    """
    values = ("moved", "relative", "from_anchor", "weighted")
    frame = probe_frame(cells, "distance", ("model", "block"), values)
    return frame.fillna({"block": WHOLE})


FIGURE = probe_figure(
    "distance",
    1,
    distance_frame,
    "How far shared parameters moved",
    "Distance between the shared parameters before and after a new model’s training, relative "
    f"to their norm before it: mean over the new models; lines are {BANDS}. "
    "Independent models each start from the initial weights, and move freely.",
    "Relative movement of each shared block in {scenario}, by strategy",
    lambda frame, series: points_by_block(
        frame, "relative", series, "relative distance, %", scale=100, bounds=Bounds(0.0, inf)
    ),
)
