"""Means and intervals over seeds of a column of a data frame."""

from __future__ import annotations

from typing import Any

import pandas as pd

from palimpsest.benchmark.metrics import Bounds
from palimpsest.reports.statistics.interval import half_width


def over_seeds(grouped: Any, bounds: Bounds | None) -> pd.DataFrame:
    """Return mean and spread of a grouped column: the same interval as ``mean_estimate``.

    Args:
        grouped: A column, grouped by all but the seeds.
        bounds: The range of its values.

    Returns:
        One row per group: its keys, n, mean, low, high (95 % interval, NaN below
        ``FEWEST_SEEDS``), minimum and maximum.
    """
    found = grouped.agg(n="count", mean="mean", std="std", minimum="min", maximum="max")
    found = found.reset_index()
    half = half_width(found.pop("std"), found["n"])
    ends = found["mean"] - half, found["mean"] + half
    low, high = (end if bounds is None else end.clip(bounds.low, bounds.high) for end in ends)
    found.insert(found.columns.get_loc("mean") + 1, "low", low)
    found.insert(found.columns.get_loc("low") + 1, "high", high)
    return found


def drawn(found: pd.DataFrame) -> pd.DataFrame:
    """Fill in the range from the lowest to the highest seed where there is no interval to draw."""
    return found.assign(
        low=found["low"].fillna(found["minimum"]), high=found["high"].fillna(found["maximum"])
    )
