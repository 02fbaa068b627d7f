"""Runs as a pandas frame."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd

from palimpsest.benchmark.errors import UserError
from palimpsest.benchmark.metrics import columns as metric_columns
from palimpsest.benchmark.results.run_settings import differing, settings_of, value_of
from palimpsest.benchmark.store.store import Record

_WHOLE = ("seed", "model", "visit", "steps", "peak_memory", "state_bytes", "shared_parameters")
"""Columns of whole numbers, which may be missing."""


def frame(records: Sequence[Record], by: str = "run") -> pd.DataFrame:
    """Return runs as a tidy table; see ``Results.frame``.

    Raises:
        UserError: ``by`` is none of ``run``, ``model`` and ``moment``.
    """
    makers = {"run": _run, "model": _models, "moment": _moments}
    if by not in makers:
        raise UserError(f"frame: by is {by!r}, expected one of: {', '.join(makers)}")
    settings = differing(records)
    metrics = metric_columns(records[0].metrics, records) if records and by == "run" else []
    rows = [
        {**_cell(record, settings), **row}
        for record in records
        for row in makers[by](record, metrics)
    ]
    columns = list(dict.fromkeys(name for row in rows for name in row)) or [
        *_CELL,
        *_MOMENT * (by == "moment"),
    ]
    table = pd.DataFrame(rows, columns=columns)
    for name in columns:
        if name in settings:
            table[name] = _setting([row[name] for row in rows])
        elif name in _WHOLE:
            table[name] = table[name].astype("Int64")
        elif name == "started":
            table[name] = pd.to_datetime(table[name], utc=True, errors="coerce")
        elif name not in _TEXTS:
            table[name] = table[name].astype("float64")
    return table


_CELL = ("key", "suite", "scenario", "strategy", "kind", "strength", "seed", "status")
_MOMENT = ("visit", "steps", "model", "accuracy", "validation_accuracy")
_TEXTS = {*_CELL, "error", "device"} - {"strength", "seed"}


def _cell(record: Record, settings: Sequence[str]) -> dict[str, Any]:
    """Return the names of a run, and the settings in which it differs from others."""
    values = {name: getattr(record, name) for name in _CELL if name != "kind"}
    own = settings_of(record.spec) if settings else {}
    return {
        **{name: values.get(name, record.spec.strategy.kind) for name in _CELL},
        **{name: value_of(own.get(name)) for name in settings},
    }


def _setting(values: Sequence[Any]) -> pd.Series[Any]:
    """Return the column of a setting: whole numbers, numbers, truth values, or else texts."""
    kinds = {type(value) for value in values if value is not None}
    for fits, kind in (({bool}, "boolean"), ({int}, "Int64"), ({int, float}, "float64")):
        if kinds <= fits:
            return pd.Series(values, dtype=kind)
    texts = [value if isinstance(value, str | None) else str(value) for value in values]
    return pd.Series(texts)


def _run(record: Record, metrics: Sequence[str]) -> Iterator[dict[str, Any]]:
    cost = record.cost
    yield {
        "error": record.error,
        **{name: record.metrics[name] for name in metrics},
        "started": record.started or None,
        "seconds": record.seconds,
        "training_seconds": _total(cost.get("training_seconds")),
        "consolidation_seconds": _total(cost.get("consolidation_seconds")),
        "evaluation_seconds": cost.get("evaluation_seconds"),
        "building_seconds": cost.get("building_seconds"),
        "steps": _total(cost.get("steps")),
        "peak_memory": record.peak_memory,
        "state_bytes": cost.get("state_bytes"),
        "shared_parameters": cost.get("shared_parameters"),
        "free": next((share for share in reversed(record.free_shares) if share is not None), None),
        "device": record.spec.device,
    }


def _models(record: Record, _: Sequence[str]) -> Iterator[dict[str, Any]]:
    """A row per model; models are counted from 0, as everywhere in Python."""
    matrix, validation = record.accuracy_matrix, record.validation_matrix
    for model, final in enumerate(record.final_accuracy):
        yield {
            "model": model,
            "initial": _at(record.initial_accuracy, model),
            "learned": matrix[model][model] if matrix else None,
            "final": final,
            "validation_learned": validation[model][model] if validation else None,
            "validation_final": _at(record.final_validation, model),
            **{
                name: _at(record.cost.get(name, []), model)
                for name in ("training_seconds", "consolidation_seconds", "steps")
            },
            "free": _at(record.free_shares, model),
        }


def _moments(record: Record, _: Sequence[str]) -> Iterator[dict[str, Any]]:
    """A row per moment and model that was evaluated then."""
    for moment in record.moments:
        for model, accuracy in enumerate(moment["accuracy"]):
            if accuracy is not None:
                validation = _at(moment.get("validation_accuracy", ()), model)
                values = (moment["visit"], moment["steps"], model, accuracy, validation)
                yield dict(zip(_MOMENT, values, strict=True))


def _at(values: Sequence[Any], place: int) -> Any:
    return values[place] if place < len(values) else None


def _total(values: Sequence[float | None] | None) -> float | None:
    """The sum over models; ``None`` where nothing was measured."""
    known = [value for value in values or () if value is not None]
    return sum(known) if known else None
