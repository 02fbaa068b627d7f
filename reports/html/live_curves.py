"""Interactive curves of a scenario: every seed, in one copy of the numbers."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from palimpsest.benchmark.store.store import Record
from palimpsest.reports.figures.curves import CurvesPlot
from palimpsest.reports.figures.drawing.panels import Panel
from palimpsest.reports.figures.drawing.rows import CurvesRow
from palimpsest.reports.figures.drawing.style import Style
from palimpsest.reports.html.live import LivePlot, dash
from palimpsest.reports.runs.cells import Cell, Variant
from palimpsest.reports.runs.frames import beginnings
from palimpsest.reports.statistics.interval import half_width

DECIMALS = 4
"""Of an accuracy in the page: a hundredth of a per cent."""


MANY = 400
"""Of more measured steps than this in one training, the page has the first ones and every so
many-th of the others: the page stays below 5 MB for 1,000 runs. Files have all."""

_CLOSE = 100  # first steps that are never left out: most is lost there


def live_curves(plot: CurvesPlot, look: Mapping[Variant, Style]) -> LivePlot:
    """Return the figure of curves with the data of its interactive version."""
    cells = list(dict.fromkeys(cell for row in plot.rows for cell in row.own))
    own = {name: value for name, value in vars(plot).items() if name not in {"rows", "columns"}}
    if any(len(curve["steps"]) > MANY for cell in cells for r in cell.done for curve in r.curves):
        own["caption"] += (
            f" Of the measured steps, here are at most {MANY} of each training, among them the "
            f"first {_CLOSE}; palimpsest report --tables writes all."
        )
    return LivePlot(
        **own, script="curves", live=_layout(plot, cells, look), packed=curves_data(cells)
    )


def _layout(
    plot: CurvesPlot, cells: Sequence[Cell], look: Mapping[Variant, Style]
) -> dict[str, Any]:
    """Return what ``scripts/curves.js`` needs besides the numbers.

    Returns:
        ``scenario``; ``variants``, in the order of ``curves_data``: ``label``, ``strategy``,
        ``strength``, ``color`` and ``dash``; ``rows``: ``title``, and ``lines``, each a place in
        ``variants`` and a label; ``panels``, see ``Panel``; ``margins``: half the width of the
        interval of a mean of n seeds whose standard deviation is 1, nothing where there is none.
    """
    places = {cell.variant: place for place, cell in enumerate(cells)}
    seeds = max(len(cell.done) for cell in cells)
    return {
        "scenario": cells[0].scenario,
        "variants": [
            {
                "label": cell.variant.label,
                "strategy": cell.variant.strategy,
                "strength": cell.variant.strength,
                "color": look[cell.variant].color,
                "dash": dash(look[cell.variant].linestyle),
            }
            for cell in cells
        ],
        "rows": [_row(row, places) for row in plot.rows],
        "panels": [_panel(panel) for panel in plot.columns],
        "margins": [_margin(n) for n in range(seeds + 1)],
    }


def _row(row: CurvesRow, places: Mapping[Variant, int]) -> dict[str, Any]:
    members = [places[cell.variant] for cell in (*row.own, *row.compared)]
    return {"title": row.title or "", "lines": list(zip(members, row.labels, strict=True))}


def _panel(panel: Panel) -> dict[str, Any]:
    names = ("title", "axis", "group", "width", "shaded", "model", "first")
    return {name: getattr(panel, name) for name in names} | {"measured": panel.models}


def _margin(n: int) -> float | None:
    half = float(half_width(1.0, n)) if n else math.nan
    return None if math.isnan(half) else half


def curves_data(cells: Iterable[Cell]) -> dict[str, Any]:
    """Return the measured curves of variants, every seed.

    Returns:
        ``variants``, their labels; ``decimals``, see ``DECIMALS``; ``steps``, each list of steps
        once; ``curves``, one per run and model in training: ``variant`` (a place in the labels),
        ``seed``, ``training`` (the model, counted from 1), ``began`` (steps from where the second
        model began to where this one did; negative for the first of several), ``steps`` (a place
        in the lists, counted from where this model began) and ``accuracy``, a list per model, in
        ``1 / 10 ** decimals``.
    """
    steps: dict[tuple[int, ...], int] = {}
    labels: list[str] = []
    curves: list[dict[str, Any]] = []
    for place, cell in enumerate(cells):
        labels.append(cell.variant.label)
        for record in cell.done:
            curves += ({"variant": place, "seed": record.seed} | one for one in _of(record, steps))
    return {"variants": labels, "decimals": DECIMALS, "steps": list(steps), "curves": curves}


def _of(record: Record, steps: dict[tuple[int, ...], int]) -> Iterable[dict[str, Any]]:
    began = beginnings(record)
    for curve in record.curves:
        kept = shown_steps(len(curve["steps"]))
        yield {
            "training": curve["model"] + 1,
            "began": began[curve["model"]],
            "steps": steps.setdefault(tuple(curve["steps"][i] for i in kept), len(steps)),
            "accuracy": _whole(curve["accuracy"], kept),
        }


def _whole(lines: Sequence[Sequence[float | None]], kept: Sequence[int]) -> list[Any]:
    """Accuracies at some places, in ``1 / 10 ** DECIMALS``."""
    found = np.rint(np.array(lines, dtype=float)[:, kept] * 10**DECIMALS)
    if np.isfinite(found).all():
        return list(found.astype(int).tolist())
    return [[int(value) if np.isfinite(value) else None for value in line] for line in found]


def shown_steps(measured: int) -> Sequence[int]:
    """Return the places of the measured steps that the page has, the last one among them."""
    if measured <= MANY:
        return range(measured)
    every = -(-(measured - _CLOSE) // (MANY - _CLOSE))
    return [*range(_CLOSE), *reversed(range(measured - 1, _CLOSE - 1, -every))]
