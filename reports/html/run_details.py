"""Details of a single run beyond its row in the table, as compact data."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from palimpsest.benchmark.store.store import Record
from palimpsest.reports.runs.cells import Cell
from palimpsest.reports.runs.probes import WHOLE
from palimpsest.reports.wording.numbers import percent

_DECIMALS = 4  # of an accuracy: more than a page of a run shows
_SIGNIFICANT = 3  # digits of what a probe measured
_MEDIAN = "q0.5"


def run_details(cells: Sequence[Cell]) -> dict[str, Any]:
    """Return the details of all runs, in the order of ``runs_table.runs_data``.

    Returns:
        ``facts``, pairs of a name and a text, each pair once; ``runs``, one dict per run with the
        places in ``facts`` of its ``settings`` and ``made`` (versions), ``matrix`` (accuracies
        on the test set, a row for each model trained), ``initial``, ``moments``, ``probes`` (a
        name, columns and rows each), ``classes`` (of each experience), ``cost``, and ``traceback``.
        What a run does not have is left out.
    """
    facts: dict[tuple[str, str], int] = {}

    def places(pairs: Iterator[tuple[str, str]]) -> list[int]:
        return [facts.setdefault(pair, len(facts)) for pair in pairs]

    runs = [
        {
            "settings": places(_flat(record.spec.without("defaults").data)),
            "made": places(_flat(record.versions)),
        }
        | _measured(record)
        for cell in cells
        for record in cell.runs
    ]
    return {"facts": list(facts), "runs": runs}


def _measured(record: Record) -> dict[str, Any]:
    failure = record.failure
    found = {
        "matrix": [_rounded(row) for row in record.accuracy_matrix],
        "initial": _rounded(record.initial_accuracy),
        "moments": [
            [moment["visit"], moment["steps"], _rounded(moment["accuracy"])]
            for moment in record.moments
        ],
        "probes": [
            [name, *_probe(told["rows"])]
            for name, told in record.probes.items()
            if told.get("rows")
        ],
        "classes": [
            [str(number), ", ".join(names)]
            for number, names in enumerate(record.cost.get("classes", ()), 1)
        ],
        "cost": [pair for pair in _costs(record) if pair[1] not in {"null", "[]"}],
        "traceback": "" if failure is None else failure.traceback,
    }
    return {name: value for name, value in found.items() if value}


def _costs(record: Record) -> Iterator[tuple[str, str]]:
    apart = {"capacity", "classes"}
    yield from _flat({name: value for name, value in record.cost.items() if name not in apart})
    if record.free_shares:
        yield "free after each model, %", ", ".join(map(percent, record.free_shares))


def _probe(rows: Sequence[Mapping[str, Any]]) -> tuple[list[str], list[list[Any]]]:
    """What a probe recorded, as columns and rows; of quantiles the median alone."""
    keys = [key for key in rows[0] if key == _MEDIAN or not re.fullmatch(r"q[\d.]+", key)]
    columns = ["median" if key == _MEDIAN else key.replace("_", " ") for key in keys]
    return columns, [[_told(key, row.get(key)) for key in keys] for row in rows]


def _told(key: str, value: Any) -> Any:
    if key in {"model", "trained"}:
        return value + 1
    if key == "block" and value is None:
        return WHOLE
    return float(f"{value:.{_SIGNIFICANT}g}") if isinstance(value, float) else value


def _rounded(row: Sequence[float | None]) -> list[float | None]:
    return [None if value is None else round(value, _DECIMALS) for value in row]


def _flat(values: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, str]]:
    """Yield dotted names and texts of nested values."""
    for key, value in values.items():
        name = f"{above}{key}"
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{name}.")
        elif isinstance(value, float):
            yield name, f"{value:.6g}"
        else:
            yield name, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
