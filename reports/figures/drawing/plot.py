"""A figure of the report with its caption and data, before it is drawn.

The report, the figure files and the downloads are all made from the same plots.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import pandas as pd
from matplotlib.figure import Figure

from palimpsest.reports.statistics.interval import FEWEST_SEEDS

BANDS = (
    f"95 % intervals over seeds, below {FEWEST_SEEDS} seeds from the lowest of them to the highest"
)
"""What captions say of bands and lines made by ``grouped.drawn``."""

ALONE = f"small points are single seeds, where fewer than {FEWEST_SEEDS} ran"
"""Of points in place of an interval."""

SPREAD = f"Means over seeds with 95 % intervals; {ALONE}."
"""Of ``intervals.draw_intervals``."""


@dataclass(frozen=True, eq=False)
class Plot:
    """One figure.

    Attributes:
        title: Its heading.
        caption: What a reader needs to know to read it.
        description: What it shows, for readers who cannot see it.
        data: The numbers that are drawn, a tidy frame; fractions.
        draw: Makes the figure. Called inside ``figure_settings``.
        name: Unique in a report or page; letters, digits and hyphens, since files and links use it.
    """

    title: str
    caption: str
    description: str
    data: pd.DataFrame
    draw: Callable[[], Figure]
    name: str = field(default="", kw_only=True)
