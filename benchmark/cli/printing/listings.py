"""Tables of rows, and the facts of metrics."""

from __future__ import annotations

import json
from typing import Any

from palimpsest.benchmark.cli.printing.output import say
from palimpsest.benchmark.metrics import Metric
from palimpsest.strategies.base.facts import ROLES

_WIDEST_IN_FILES = 100
"""Widest cell, in characters, in a file or a pipe; only longer text, such as errors, is wrapped."""


def print_rows(rows: list[dict[str, Any]], as_json: bool) -> None:
    """Print rows with the same columns as a table, or as JSON."""
    if as_json:
        say(json.dumps(rows, indent=1))
        return
    if not rows:
        return
    from rich.table import Table

    from palimpsest.benchmark.cli.printing.console import table_console

    console = table_console(len(rows[0]) * _WIDEST_IN_FILES)
    widest = None if console.is_terminal else _WIDEST_IN_FILES
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in rows[0]:
        table.add_column(name, overflow="fold", max_width=widest)
    for row in rows:
        table.add_row(*(str(value) for value in row.values()))
    console.print(table, markup=False, highlight=False, soft_wrap=True)


def needs(metric: Metric) -> str:
    """Say what a metric is computed from: ``accuracy matrix, runs of joint``."""
    parts = [name.replace("_", " ") for name in metric.needs]
    parts += [] if metric.reference is None else [f"a run of {ROLES[metric.reference]}"]
    return ", ".join(parts)


def facts(metric: Metric) -> dict[str, str]:
    """Describe a metric in words, without its meaning and formula."""
    low, high = (f"{metric.scale * end:g}" for end in metric.bounds[:2])
    found = {
        "Unit": metric.unit or "none",
        "Bounds": f"{low} to {high}",
        "Better": metric.better,
        "Negligible": negligible(metric),
        "Needs": needs(metric),
    }
    if metric.reference is not None:
        found["Needs"] += " with the same scenario and seed"
    return found | ({"Source": metric.source} if metric.source else {})


def negligible(metric: Metric) -> str:
    """Say which difference of two values does not matter."""
    if metric.negligible is None:
        return "not known"
    size = metric.scale * metric.negligible
    unit = metric.difference_unit
    return f"{size:g} {'point' if unit == 'points' and size == 1 else unit}".rstrip()
