"""What the probes recorded inside the runs, as tidy frames (see ``benchmark/probes``)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import fmean
from typing import Any

import pandas as pd

from palimpsest.benchmark.errors import UserError, nearest
from palimpsest.reports.runs.cells import Cell

WHOLE = "all shared blocks"
"""The name of all shared blocks taken together."""

UNCERTAINTY = "uncertainty"
"""The probe that strategies with a posterior record without being asked."""

RUN = ("scenario", "variant", "seed")


def distance_frame(cells: Sequence[Cell]) -> pd.DataFrame:
    """Return one row per run, new model and shared block, and one for all shared blocks together.

    Columns: scenario, variant (its label), seed, model, block, moved, relative, from_anchor and
    weighted, as ``benchmark/probes/distance.py`` defines them; NaN where there is no anchor.
    """
    values = ("moved", "relative", "from_anchor", "weighted")
    frame = _frame(cells, "distance", ("model", "block"), values)
    return frame.fillna({"block": WHOLE})


def importance_frame(cells: Sequence[Cell]) -> pd.DataFrame:
    """Return one row per run, model just trained and block that it uses.

    Columns: scenario, variant (its label), seed, model, block, mean, zero (share that is exactly
    0), the quantiles q0, q0.01, q0.05, q0.25, q0.5, q0.75, q0.95, q0.99 and q1, and correlation:
    Spearman's, with the exact Fisher information of the model just trained.
    """
    quantiles = ("q0", "q0.01", "q0.05", "q0.25", "q0.5", "q0.75", "q0.95", "q0.99", "q1")
    values = ("mean", "zero", *quantiles, "correlation")
    return _frame(cells, "importance", ("model", "block"), values)


def similarity_frame(cells: Sequence[Cell]) -> pd.DataFrame:
    """Return one row per run, later model (``trained``), earlier model and shared block.

    Columns: scenario, variant (its label), seed, trained, model, block and cka: linear CKA of the
    block's output on the earlier model's test inputs, just after that model's training against
    the end of the later model's training.
    """
    return _frame(cells, "similarity", ("trained", "model", "block"), ("cka",))


def overlap_frame(cells: Sequence[Cell]) -> pd.DataFrame:
    """Return one row per run, later model, earlier model and shared block, and one for all blocks.

    Columns: scenario, variant (its label), seed, model, earlier, block and jaccard: of the rows
    that matter most to either model, the share that matters most to both.
    """
    frame = _frame(cells, "overlap", ("model", "earlier", "block"), ("jaccard",))
    return frame.fillna({"block": WHOLE})


def uncertainty_frame(cells: Sequence[Cell]) -> pd.DataFrame:
    """Return one row per run, model, moment and weights.

    Columns: scenario, variant (its label), seed, model, moment (before: right after the model's
    training; after: at the end), weights (mean, or sampled: an average of probabilities over
    draws), and on the model's test samples accuracy, nll (in nats) and ece, as
    ``benchmark/probes/uncertainty.py`` defines them.
    """
    keys = ("model", "moment", "weights")
    return _frame(cells, UNCERTAINTY, keys, ("accuracy", "nll", "ece"))


def recorded(
    cell: Cell, probe: str, column: str, wanted: Mapping[str, object]
) -> dict[int, float | None]:
    """Return what a probe recorded in each finished run, by seed.

    Args:
        cell: The runs.
        probe: Its name.
        column: Of its rows.
        wanted: What columns of a row have to be; the mean of those that fit counts, and ``None``
            stands where there are none.

    Raises:
        UserError: The probe has no such column, or none of the runs has the probe's rows.
    """
    rows = {r.seed: r.probes.get(probe, {}).get("rows", []) for r in cell.done}
    known = {name for own in rows.values() for row in own for name in row}
    if not known:
        raise UserError(
            f"{cell.variant.label} in {cell.scenario} has no rows of the probe {probe!r}"
        )
    for name in (column, *wanted):
        if name not in known:
            raise UserError(f"the probe {probe!r} records no {name!r}; {nearest(name, known)}")
    found: dict[int, float | None] = {}
    for seed, own in rows.items():
        fitting = [row[column] for row in own if all(row[n] == v for n, v in wanted.items())]
        values = [value for value in fitting if value is not None]
        found[seed] = fmean(values) if values else None
    return found


def refit_frame(cells: Sequence[Cell]) -> pd.DataFrame:
    """Return one row per run and earlier model.

    Columns: scenario, variant (its label), seed, model, and its test accuracy when it had just
    been trained (learned; NaN where models are trained at once or by turns), at the end (before)
    and with its private parts fitted anew (after).
    """
    frame = _frame(cells, "refit", ("model",), ("before", "after"))
    frame.insert(
        len(RUN) + 1, "learned", _of_matrix(cells, frame, lambda m, model: m[model][model])
    )
    return frame


def unmerged_frame(cells: Sequence[Cell]) -> pd.DataFrame:
    """Return one row per run and model.

    Columns: scenario, variant (its label), seed, model, and its test accuracy as its training left
    it (unmerged), merged with those before it (merged), and at the end (NaN where models are
    trained by turns).
    """
    frame = _frame(cells, "unmerged", ("model",), ("unmerged", "merged"))
    frame["end"] = _of_matrix(cells, frame, lambda matrix, model: matrix[-1][model])
    return frame


_Matrix = Sequence[Sequence[float | None]]


def _of_matrix(
    cells: Sequence[Cell], frame: pd.DataFrame, pick: Callable[[_Matrix, int], float | None]
) -> pd.Series:
    """Return an entry of the accuracy matrix for each row of a frame, NaN where there is none."""
    matrices = {
        (cell.scenario, cell.variant.label, record.seed): record.accuracy_matrix
        for cell in cells
        for record in cell.done
    }
    found = [
        pick(matrix, model) if (matrix := matrices[scenario, variant, seed]) else None
        for scenario, variant, seed, model in zip(
            *(frame[column] for column in (*RUN, "model")), strict=True
        )
    ]
    return pd.Series(found, index=frame.index, dtype=float)


def _frame(
    cells: Sequence[Cell], probe: str, keys: Sequence[str], values: Sequence[str]
) -> pd.DataFrame:
    """Collect a probe's rows from all finished runs; a row holds its own keys."""
    rows: list[dict[str, Any]] = [
        {"scenario": cell.scenario, "variant": cell.variant.label, "seed": record.seed, **row}
        for cell in cells
        for record in cell.done
        for row in record.probes.get(probe, {}).get("rows", [])
    ]
    frame = pd.DataFrame(rows, columns=[*RUN, *keys, *values])
    return frame.astype(dict.fromkeys(values, float))
