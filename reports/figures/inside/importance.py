"""The importances that protect the shared parameters: the probe ``importance``."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from palimpsest.reports.figures.inside.blocks import probe_figure, ranges_by_block
from palimpsest.reports.runs.cells import Cell
from palimpsest.reports.runs.probes import RUN, probe_frame


def importance_frame(cells: Sequence[Cell]) -> pd.DataFrame:
    """Return one row per run, model just trained and block that it uses.

    Columns: scenario, variant (its label), seed, model, block, mean, zero (share that is exactly
    0), the quantiles q0, q0.01, q0.05, q0.25, q0.5, q0.75, q0.95, q0.99 and q1, and correlation:
    Spearman's, with the exact Fisher information of the model just trained.
    """
    quantiles = ("q0", "q0.01", "q0.05", "q0.25", "q0.5", "q0.75", "q0.95", "q0.99", "q1")
    values = ("mean", "zero", *quantiles, "correlation")
    return probe_frame(cells, "importance", ("model", "block"), values)


def _protected(frame: pd.DataFrame) -> pd.DataFrame:
    """Select blocks of several models, before the last model trains."""
    users = frame.groupby([*RUN, "block"])["model"].transform("nunique")
    return frame[(users > 1) & (frame["model"] < frame["model"].max())]


FIGURE = probe_figure(
    "importance",
    2,
    importance_frame,
    "Importances",
    "Distribution of the importances of each shared block’s parameters before the last model "
    "trains; means over models and seeds of the median (dot), the middle half (thick) and the "
    "middle 90 % (thin). Numbers on the right: the share that is exactly 0, so that nothing "
    "protects it; ranges that include 0 begin at the left edge. Each strategy has its own unit "
    "of importance.",
    "Quantiles of the importances of each shared block in {scenario}, by strategy",
    lambda frame, series: ranges_by_block(frame, series, "importance"),
    shown=_protected,
)
