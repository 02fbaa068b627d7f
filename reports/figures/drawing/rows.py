"""The layout of variants in rows: one strategy per row, never too many variants."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from palimpsest.reports.runs.cells import Cell

ROW = 6
"""The most variants in one row of a figure."""


def rows_of(cells: Sequence[Cell]) -> list[list[Cell]]:
    """Lay variants out: a row for each strategy with several strengths, the others together."""
    alone: list[Cell] = []
    rows: list[list[Cell]] = []
    for _, members in groupby(cells, key=lambda cell: cell.variant.strategy):
        row = list(members)
        if len(row) == 1:
            alone += row
        else:
            rows += _chunks(row)
    if len(alone) + sum(map(len, rows)) <= ROW:
        return [list(cells)]
    return [*_chunks(alone), *rows]


def _chunks(cells: Sequence[Cell]) -> list[list[Cell]]:
    return [list(cells[start : start + ROW]) for start in range(0, len(cells), ROW)]
