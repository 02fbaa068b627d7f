"""Runs as a pandas frame."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd

from benchmark.store import Record

_WHOLE = ("seed", "model", "steps", "peak_memory", "state_bytes")
"""Columns of whole numbers, which may be missing."""


def frame(records: Sequence[Record], by: str = "run") -> pd.DataFrame:
    """Return runs as a tidy table; see ``Results.frame``.

    Raises:
        ValueError: ``by`` is neither ``run`` nor ``model``.
    """
    if by not in {"run", "model"}:
        raise ValueError(f"by={by!r}: expected 'run' or 'model'")
    rows = [_run(record) for record in records]
    if by == "model":
        rows = [row for record in records for row in _models(record)]
    columns = list(dict.fromkeys(name for row in rows for name in row)) or list(_CELL)
    table = pd.DataFrame(rows, columns=columns)
    for name in columns:
        if name in _WHOLE:
            table[name] = table[name].astype("Int64")
        elif name == "started":
            table[name] = pd.to_datetime(table[name], utc=True, errors="coerce")
        elif name not in _TEXTS:
            table[name] = table[name].astype("float64")
    return table


_CELL = ("key", "suite", "scenario", "strategy", "kind", "strength", "seed", "status")
_TEXTS = {*_CELL, "error", "device"} - {"strength", "seed"}


def _cell(record: Record) -> dict[str, Any]:
    """What a run is."""
    values = {name: getattr(record, name) for name in _CELL if name != "kind"}
    return {name: values.get(name, record.spec.strategy.kind) for name in _CELL}


def _run(record: Record) -> dict[str, Any]:
    cost = record.cost
    return {
        **_cell(record),
        "error": record.error,
        **record.metrics,
        "started": record.started or None,
        "seconds": record.seconds,
        "training_seconds": _total(cost.get("training_seconds")),
        "consolidation_seconds": _total(cost.get("consolidation_seconds")),
        "steps": _total(cost.get("steps")),
        "peak_memory": record.peak_memory,
        "state_bytes": cost.get("state_bytes"),
        "device": record.spec.device,
    }


def _models(record: Record) -> Iterator[dict[str, Any]]:
    """A row per model; models are counted from 0, as everywhere in Python."""
    matrix, validation = record.accuracy_matrix, record.validation_matrix
    for model in range(len(matrix)):
        yield {
            **_cell(record),
            "model": model,
            "initial": _at(record.initial_accuracy, model),
            "learned": matrix[model][model],
            "final": matrix[-1][model],
            "validation_learned": validation[model][model] if validation else None,
            "validation_final": validation[-1][model] if validation else None,
            **{
                name: _at(record.cost.get(name, []), model)
                for name in ("training_seconds", "consolidation_seconds", "steps")
            },
        }


def _at(values: Sequence[Any], place: int) -> Any:
    return values[place] if place < len(values) else None


def _total(values: Sequence[float | None] | None) -> float | None:
    """The sum over models; ``None`` where nothing was measured."""
    known = [value for value in values or () if value is not None]
    return sum(known) if known else None
