"""Whether models need the same rows of the shared weights: the probe ``overlap``."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from palimpsest.benchmark.metrics import ACCURACY
from palimpsest.reports.figures.drawing.plot import BANDS
from palimpsest.reports.figures.inside.blocks import points_by_block, probe_figure
from palimpsest.reports.runs.cells import Cell
from palimpsest.reports.runs.probes import WHOLE, probe_frame


def overlap_frame(cells: Sequence[Cell]) -> pd.DataFrame:
    """Return one row per run, later model, earlier model and shared block, and one for all blocks.

    Columns: scenario, variant (its label), seed, model, earlier, block and jaccard: of the rows
    that matter most to either model, the share that matters most to both.
    """
    frame = probe_frame(cells, "overlap", ("model", "earlier", "block"), ("jaccard",))
    return frame.fillna({"block": WHOLE})


FIGURE = probe_figure(
    "overlap",
    3,
    overlap_frame,
    "Do models need the same rows?",
    "Of the 30 % of rows of each shared weight that have most Fisher information right after "
    "a model’s training, the share that it has in common with an earlier model: both divided "
    "by either. Sets drawn by chance have 0.18. Mean over all pairs of models; "
    f"lines are {BANDS}.",
    "Overlap of the rows that models need most, by shared block, in {scenario}",
    lambda frame, series: points_by_block(
        frame, "jaccard", series, "rows in common (Jaccard)", scale=1, bounds=ACCURACY
    ),
)
