"""From runs to tidy pandas frames. Accuracies and metrics of them are fractions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from palimpsest.benchmark.metrics import METRICS
from palimpsest.benchmark.store.store import Record
from palimpsest.reports.runs.cells import Cell

_MODELS = ("trained", "model")
"""Columns with the place of a model."""

CURVE_COLUMNS = ("scenario", "variant", "seed", "trained", "model", "step", "position", "accuracy")


def summary_frame(cells: Sequence[Cell]) -> pd.DataFrame:
    """Return one row per scenario, variant and metric.

    Columns: scenario, variant, metric, n (seeds with a value), mean, low, high (95 %
    interval, NaN below ``FEWEST_SEEDS``), median, minimum and maximum over seeds, far_off
    (how many seeds are far from all others, see ``reports/statistics/collapse.py``) and reason (why
    forgetting reduction has no value).
    """
    rows = []
    for cell in cells:
        for metric in METRICS:
            found = cell.interval(metric)
            far = found.strays.count if found.strays else 0
            ends = found.low, found.high
            seeds = found.median, found.minimum, found.maximum
            values = (found.value, *ends, *seeds)
            rows.append(
                (cell.scenario, cell.variant.label, metric, found.n, *values, far, found.reason)
            )
    numbers = ["mean", "low", "high", "median", "minimum", "maximum"]
    columns = ["scenario", "variant", "metric", "n", *numbers, "far_off", "reason"]
    return pd.DataFrame(rows, columns=columns).astype(dict.fromkeys(numbers, float))


def curves_frame(cells: Sequence[Cell]) -> pd.DataFrame:
    """Return one row per measured accuracy.

    Columns: scenario, variant (its label), seed, trained (the model in training), model (the
    one that was measured), step (of that training, 0 before its first), position (steps
    since the second model began: negative while the first trained) and accuracy.
    """
    lines = [
        (cell.scenario, cell.variant.label, record.seed, *line)
        for cell in cells
        for record in cell.done
        for line in _lines(record)
    ]
    frame = pd.DataFrame(lines, columns=list(CURVE_COLUMNS))
    frame = frame.explode(["step", "position", "accuracy"], ignore_index=True)
    # There may be hundreds of thousands of rows; categories sort and compare faster than text.
    whole = dict.fromkeys(("seed", "trained", "model", "step", "position"), int)
    return frame.astype({**whole, "scenario": "category", "variant": "category", "accuracy": float})


def beginnings(record: Record) -> dict[int, int]:
    """Return where the training of each model with curves began.

    Returns:
        By model, steps since the second model began: negative for the first of several.
    """
    lengths = {curve["model"]: max(curve["steps"], default=0) for curve in record.curves}
    first = lengths.get(0, 0) if len(record.accuracy_matrix) > 1 else 0
    return {
        own: sum(steps for model, steps in lengths.items() if model < own) - first
        for own in lengths
    }


def numbered(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a frame for readers, to whom the first model is model 1.

    In frames for programs, models are counted from 0, as everywhere in Python.

    Args:
        frame: With the column ``model``, ``trained``, or both.
    """
    return frame.assign(**{name: frame[name] + 1 for name in _MODELS if name in frame})


def mean_matrix(cell: Cell) -> NDArray[np.float64]:
    """Return the mean accuracy matrix over seeds, (T, T), NaN where a seed has no value."""
    matrices: list[Any] = [record.accuracy_matrix for record in cell.done]
    return np.asarray(np.array(matrices, dtype=float).mean(axis=0), dtype=float)


def matrices_frame(cells: Sequence[Cell]) -> pd.DataFrame:
    """Return one row per entry of the mean accuracy matrices.

    Columns: scenario, variant (its label), trained (the last model trained), model (the one
    that was measured) and accuracy.
    """
    rows = [
        (cell.scenario, cell.variant.label, i, j, accuracy)
        for cell in cells
        for (i, j), accuracy in np.ndenumerate(mean_matrix(cell))
    ]
    return pd.DataFrame(rows, columns=["scenario", "variant", "trained", "model", "accuracy"])


def _lines(record: Record) -> Iterator[tuple[int, int, list[int], list[int], list[float | None]]]:
    """For each line the trained model, the measured model, steps, positions and accuracies."""
    began = beginnings(record)
    for curve in (curve for curve in record.curves if curve["steps"]):
        trained, steps = curve["model"], list(curve["steps"])
        for model, accuracy in enumerate(curve["accuracy"]):
            yield trained, model, steps, [began[trained] + step for step in steps], accuracy
