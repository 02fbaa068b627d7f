"""How alike the shared blocks represent what they see: the probe ``similarity``."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from palimpsest.benchmark.metrics import ACCURACY
from palimpsest.reports.figures.drawing.plot import BANDS
from palimpsest.reports.figures.inside.blocks import points_by_block, probe_figure
from palimpsest.reports.runs.cells import Cell
from palimpsest.reports.runs.probes import probe_frame


def similarity_frame(cells: Sequence[Cell]) -> pd.DataFrame:
    """Return one row per run, later model (``trained``), earlier model and shared block.

    Columns: scenario, variant (its label), seed, trained, model, block and cka: linear CKA of the
    block's output on the earlier model's test inputs, just after that model's training against
    the end of the later model's training.
    """
    return probe_frame(cells, "similarity", ("trained", "model", "block"), ("cka",))


FIGURE = probe_figure(
    "similarity",
    4,
    similarity_frame,
    "Representations, before and after",
    "Similarity (linear CKA) of each shared block’s output on an earlier model’s test images, "
    "just after that model’s training and at the end: 1 is the same up to rotation and scale. "
    f"Mean over the earlier models; lines are {BANDS}.",
    "Linear CKA of each shared block before and after later models in {scenario}",
    lambda frame, series: points_by_block(
        frame, "cka", series, "linear CKA", scale=1, bounds=ACCURACY
    ),
    shown=lambda frame: frame[frame["trained"] == frame["trained"].max()],
)
