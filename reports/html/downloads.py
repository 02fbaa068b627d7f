"""Downloads of the report: the data of a figure or table, and a table in LaTeX.

Each is a ``data:`` URL of a gzipped file, which works without scripts. With scripts,
``scripts/downloads.js`` unpacks the file on a click, and saves figures as pictures.
"""

from __future__ import annotations

import gzip
import json
from base64 import b64encode
from dataclasses import dataclass

import pandas as pd

from palimpsest.benchmark.metrics import ACCURACY
from palimpsest.reports.figures.drawing.plot import Plot
from palimpsest.reports.formats.data import csv_of
from palimpsest.reports.formats.latex import latex
from palimpsest.reports.html.live import LivePlot
from palimpsest.reports.statistics.grouped import over_seeds
from palimpsest.reports.tables.table import Table

MANY = 2000
"""With more rows than this, data are averaged over seeds."""

_LIMITS = {"accuracy": ACCURACY}
"""The ranges of averaged columns; others are unbounded."""


@dataclass(frozen=True)
class Download:
    """A file inside the report.

    Attributes:
        format: Its format, for the reader.
        file: Its name.
        address: The target of the link.
        note: A remark for the reader; empty where the data are complete.
    """

    format: str
    file: str
    address: str
    note: str


def downloads(part: Plot | Table) -> list[Download]:
    """Pack the data of a figure or table, and a table in LaTeX."""
    if isinstance(part, LivePlot) and part.packed:
        text = json.dumps(part.packed, separators=(",", ":"), ensure_ascii=False)
        return [_packed("JSON", f"{part.name}.json", text)]
    found = [_csv(part)]
    if isinstance(part, Table):
        found.append(_packed("LaTeX", f"{part.name}.tex", latex(part)))
    return found


def _csv(part: Plot | Table) -> Download:
    data, note = part.data, ""
    if "seed" in data and len(data) > MANY:
        data, note = averaged(data), "mean, 95 % interval and range over seeds"
    text = csv_of(data, float_format="%.6g")
    return _packed("CSV", f"{part.name}.csv", text, note)


def _packed(kind: str, file: str, text: str, note: str = "") -> Download:
    packed = gzip.compress(text.encode(), mtime=0)
    address = f"data:application/gzip;base64,{b64encode(packed).decode()}"
    return Download(kind, f"{file}.gz", address, note)


def averaged(data: pd.DataFrame) -> pd.DataFrame:
    """Replace the last column, the measured one, by its mean and interval over the column ``seed``.

    Returns:
        A row for each combination of the other columns, see ``grouped.over_seeds``.
    """
    measured = data.columns[-1]
    keys = [column for column in data.columns if column not in {"seed", measured}]
    grouped = data.groupby(keys, sort=False, dropna=False, observed=True)[measured]
    return over_seeds(grouped, _LIMITS.get(str(measured)))
