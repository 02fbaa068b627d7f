"""What the probes recorded inside the runs, as tidy frames (see ``benchmark/probes``)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import fmean
from typing import Any

import pandas as pd

from palimpsest.benchmark.errors import UserError, nearest
from palimpsest.benchmark.metrics import Matrix
from palimpsest.reports.runs.cells import Cell

WHOLE = "all shared blocks"
"""The name of all shared blocks taken together."""

UNCERTAINTY = "uncertainty"
"""The probe that strategies with a posterior always record."""

RUN = ("scenario", "variant", "seed")


def uncertainty_frame(cells: Sequence[Cell]) -> pd.DataFrame:
    """Return one row per run, model, moment and weights.

    Columns: scenario, variant (its label), seed, model, moment (before: right after the model's
    training; after: at the end), weights (mean, or sampled: an average of probabilities over
    draws), and on the model's test samples accuracy, nll (in nats) and ece, as
    ``benchmark/probes/uncertainty.py`` defines them.
    """
    keys = ("model", "moment", "weights")
    return probe_frame(cells, UNCERTAINTY, keys, ("accuracy", "nll", "ece"))


def recorded(
    cell: Cell, probe: str, column: str, wanted: Mapping[str, object]
) -> dict[int, float | None]:
    """Return what a probe recorded in each finished run, by seed.

    Args:
        cell: The runs.
        probe: Its name.
        column: Of its rows.
        wanted: The values that columns of a row must have. The mean of matching rows counts;
            ``None`` if there are none.

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


def of_matrix(
    cells: Sequence[Cell], frame: pd.DataFrame, pick: Callable[[Matrix, int], float | None]
) -> pd.Series:
    """Return an entry of the accuracy matrix for each row of a frame, NaN where there is none."""
    matrices = {
        (cell.scenario, cell.variant.label, record.seed): record.accuracy_matrix
        for cell in cells
        for record in cell.done
    }
    rows = frame[[*RUN, "model"]].itertuples(index=False, name=None)
    found = [pick(matrix, model) if (matrix := matrices[*run]) else None for *run, model in rows]
    return pd.Series(found, index=frame.index, dtype=float)


def probe_frame(
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
