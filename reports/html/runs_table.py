"""Every run, as compact data for the report's table and its download."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from palimpsest.benchmark.metrics import (
    FINETUNE_FORGETTING,
    METRICS,
    Metric,
    added_metrics,
    columns,
    metric_named,
)
from palimpsest.benchmark.results.run_settings import differing, settings_of, value_of
from palimpsest.benchmark.store.store import Record
from palimpsest.reports.runs.cells import Cell, dial_of
from palimpsest.reports.tables.metrics import MAIN
from palimpsest.reports.wording.numbers import strength_text

DIGITS = 5
"""Decimals of a fraction in the report: enough for a test set of 100,000.

Other numbers have this many significant digits."""


@dataclass(frozen=True)
class RunColumn:
    """A column of the table of runs.

    Attributes:
        name: Its name in the download.
        kind: Fractions are shown in per cent.
        title: Its heading in the table; without one it is only in the download.
        unit: The unit shown in the table.
    """

    name: str
    kind: Literal["text", "number", "fraction", "difference"]
    title: str = ""
    unit: str = ""


def run_columns(cells: Sequence[Cell]) -> list[RunColumn]:
    """Return the columns: names of a run, its metrics, its cost.

    Metrics that no run of the report can have are left out; settings in which the runs differ are
    in the download.
    """
    records = [record for cell in cells for record in cell.runs]
    shown = columns([*MAIN, *(metric.name for metric in added_metrics())], records)
    applicable = columns(METRICS, records)
    suites = {record.suite for record in records}
    dial = dial_of(cell.variant for cell in cells).name
    metrics = [
        RunColumn(
            name, _kind(metric), *((metric.title, metric.unit) if name in shown else ("", ""))
        )
        for name, metric in METRICS.items()
        if name in applicable
    ]
    return [
        *([RunColumn("suite", "text", "suite")] if len(suites) > 1 else []),
        RunColumn("scenario", "text", "scenario"),
        RunColumn("strategy", "text", "strategy"),
        RunColumn("strength", "number", dial),
        RunColumn("seed", "number", "seed"),
        RunColumn("status", "text", "status"),
        *metrics,
        RunColumn(FINETUNE_FORGETTING, "fraction"),
        RunColumn("seconds", "number", "time", "s"),
        RunColumn("key", "text", "key"),
        *([RunColumn("suite", "text")] if len(suites) < 2 else []),
        RunColumn("started", "text"),
        RunColumn("peak_memory", "number"),
        RunColumn("error", "text"),
        *(RunColumn(name, "text") for name in differing(records)),
    ]


def _kind(metric: Metric) -> Literal["number", "fraction", "difference"]:
    if not metric.is_percentage:
        return "number"
    return "difference" if metric.signed else "fraction"


def runs_data(cells: Sequence[Cell]) -> dict[str, Any]:
    """Return all runs for ``scripts/runs.js``.

    Returns:
        ``columns``, the names and kinds of ``run_columns``; ``texts``, every text once; ``rows``,
        one per run, a value per column: a number, ``None``, or the index of a text in ``texts``;
        ``strengths``, pairs of a strength and how it is written; ``dials``, the name of the dial
        of each strategy that has one.
    """
    found = run_columns(cells)
    texts: dict[str, int] = {}
    rows = []
    for cell in cells:
        repeated = {id(record) for record in cell.repeated}
        for record in cell.runs:
            values = _values(cell, record, replaced=id(record) in repeated)
            rows.append(
                [
                    texts.setdefault(value, len(texts)) if isinstance(value, str) else value
                    for value in (values.get(column.name, "") for column in found)
                ]
            )
    strengths = {cell.variant.strength for cell in cells if cell.variant.strength is not None}
    return {
        "columns": [[column.name, column.kind] for column in found],
        "texts": list(texts),
        "rows": rows,
        "dials": {v.strategy: v.dial.name for v in (cell.variant for cell in cells) if v.setting},
        "strengths": [[strength, strength_text(strength)] for strength in sorted(strengths)],
    }


def _values(cell: Cell, record: Record, *, replaced: bool) -> dict[str, Any]:
    return {
        "scenario": cell.scenario,
        "strategy": cell.variant.strategy,
        "strength": record.strength,
        "seed": record.seed,
        "status": "replaced" if replaced else record.status,
        **{name: _rounded(metric_named(name), value) for name, value in record.metrics.items()},
        "seconds": round(record.seconds, 2),
        "key": record.key,
        "suite": record.suite,
        "started": record.started[:19],
        "peak_memory": record.peak_memory,
        "error": record.error or "",
        **_settings(record),
    }


def _settings(record: Record) -> dict[str, str]:
    found = {name: value_of(value) for name, value in settings_of(record.spec).items()}
    return {name: "" if value is None else str(value) for name, value in found.items()}


def _rounded(metric: Metric, value: float | None) -> float | None:
    if value is None:
        return None
    return round(value, DIGITS) if metric.is_percentage else float(f"{value:.{DIGITS}g}")
