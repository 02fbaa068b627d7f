"""The data of a figure or table, packed into a link of the report.

The link is a ``data:`` URL of a gzipped CSV file, which works without scripts; with scripts,
``templates/downloads.js`` unpacks the file on a click.
"""

from __future__ import annotations

import gzip
from base64 import b64encode
from dataclasses import dataclass

import pandas as pd

from reports.figures.plot import Plot
from reports.formats.data import csv_of
from reports.statistics.grouped import over_seeds
from reports.statistics.limits import ACCURACY
from reports.tables.table import Table

MANY = 2000
"""With more rows than this, data are averaged over seeds."""

_LIMITS = {"accuracy": ACCURACY}
"""The ranges of averaged columns; others are unbounded."""


@dataclass(frozen=True)
class Download:
    """A file inside the report.

    Attributes:
        file: Its name.
        address: The target of the link.
        note: A remark for the reader; empty where the data are complete.
    """

    file: str
    address: str
    note: str


def download(part: Plot | Table) -> Download:
    """Pack the data of a figure or table."""
    data, note = part.data, ""
    if "seed" in data and len(data) > MANY:
        data, note = averaged(data), "mean, 95 % interval and range over seeds"
    text = csv_of(data, float_format="%.6g")
    packed = gzip.compress(text.encode(), mtime=0)
    return Download(
        f"{part.name}.csv.gz",
        f"data:application/gzip;base64,{b64encode(packed).decode()}",
        note,
    )


def averaged(data: pd.DataFrame) -> pd.DataFrame:
    """Replace the last column, the measured one, by its mean and interval over seeds.

    Args:
        data: A tidy frame with a column ``seed``.

    Returns:
        A row for each combination of the other columns, see ``grouped.over_seeds``.
    """
    measured = data.columns[-1]
    keys = [column for column in data.columns if column not in {"seed", measured}]
    grouped = data.groupby(keys, sort=False, dropna=False, observed=True)[measured]
    return over_seeds(grouped, _LIMITS.get(str(measured)))
