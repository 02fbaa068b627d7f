"""How captions explain intervals."""

from __future__ import annotations

from palimpsest.reports.statistics.interval import FEWEST_SEEDS

BANDS = (
    f"95 % intervals over seeds, below {FEWEST_SEEDS} seeds from the lowest of them to the highest"
)
"""For bands and lines made by ``grouped.drawn``."""

ALONE = f"small points are single seeds, where fewer than {FEWEST_SEEDS} ran"
"""For points in place of an interval."""

SPREAD = f"Means over seeds with 95 % intervals; {ALONE}."
"""For ``intervals.draw_intervals``."""
