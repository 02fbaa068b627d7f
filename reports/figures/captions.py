"""What captions say of intervals."""

from __future__ import annotations

from reports.statistics.interval import FEWEST_SEEDS

BANDS = (
    f"95 % intervals over seeds, below {FEWEST_SEEDS} seeds from the lowest of them to the highest"
)
"""What a caption says of ``drawn`` bands and lines."""


ALONE = f"small points are single seeds, where fewer than {FEWEST_SEEDS} ran"
"""What a caption says of points in place of an interval."""
