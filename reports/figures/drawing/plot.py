"""A figure of the report with its caption and data, before it is drawn.

The report, the figure files and the downloads are all made from the same plots.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd
from matplotlib.figure import Figure


@dataclass(frozen=True, eq=False)
class Plot:
    """One figure.

    Attributes:
        name: Unique in a report; letters, digits and hyphens: it is used in file names and in the
            identifiers of the report.
        title: Its heading.
        caption: What a reader needs to know to read it.
        description: What it shows, for readers who cannot see it.
        data: The numbers that are drawn, a tidy frame; fractions.
        draw: Makes the figure. Called inside ``figure_settings``.
    """

    name: str
    title: str
    caption: str
    description: str
    data: pd.DataFrame
    draw: Callable[[], Figure]
