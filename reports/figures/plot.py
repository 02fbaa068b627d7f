"""A figure of the report with everything that belongs to it, before it is drawn.

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
        name: Unique in a report; letters, digits and hyphens: a file name, and part of the
            identifiers in the report.
        title: Its heading.
        caption: What a reader has to know to read it.
        description: What it shows, in words, for those who cannot see it.
        data: The numbers that are drawn, a tidy frame; fractions.
        draw: Makes the figure. Called inside ``figure_settings``.
    """

    name: str
    title: str
    caption: str
    description: str
    data: pd.DataFrame
    draw: Callable[[], Figure]
