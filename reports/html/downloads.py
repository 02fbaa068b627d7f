"""The numbers behind a figure or table, packed into a link of the report.

The link is a ``data:`` address of a gzipped CSV file, which needs no script; with one,
``templates/downloads.js`` unpacks it when it is clicked.
"""

from __future__ import annotations

import gzip
from base64 import b64encode
from dataclasses import dataclass

import pandas as pd

from reports.figures.plot import Plot
from reports.statistics.grouped import over_seeds
from reports.statistics.limits import ACCURACY
from reports.tables.table import Table

MANY = 2000
"""From more rows than this on, single seeds are averaged."""

_LIMITS = {"accuracy": ACCURACY}
"""What averaged columns can be; others have no ends."""


@dataclass(frozen=True)
class Download:
    """A file inside the report.

    Attributes:
        file: Its name.
        address: Where the link points.
        note: What a reader should know of it; empty for the whole data.
    """

    file: str
    address: str
    note: str


def download(part: Plot | Table) -> Download:
    """Pack the data of a figure or table."""
    data, note = part.data, ""
    if "seed" in data and len(data) > MANY:
        data, note = averaged(data), "mean, 95 % interval and range over seeds"
    text = data.to_csv(index=False, float_format="%.6g", lineterminator="\n")
    packed = gzip.compress(text.encode(), mtime=0)
    return Download(
        f"{part.name}.csv.gz",
        f"data:application/gzip;base64,{b64encode(packed).decode()}",
        note,
    )


def averaged(data: pd.DataFrame) -> pd.DataFrame:
    """Replace the last column, which was measured, by its mean and interval over seeds.

    Args:
        data: A tidy frame with a column ``seed``.

    Returns:
        A row for each combination of the other columns, see ``grouped.over_seeds``.
    """
    measured = data.columns[-1]
    keys = [column for column in data.columns if column not in {"seed", measured}]
    grouped = data.groupby(keys, sort=False, dropna=False, observed=True)[measured]
    return over_seeds(grouped, _LIMITS.get(str(measured)))
