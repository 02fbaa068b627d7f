"""Performance profiles of strategies at their reported strengths, by average accuracy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from palimpsest.benchmark.metrics import AVERAGE
from palimpsest.reports.analysis.choosing.choice import Choice, by_strategy
from palimpsest.reports.analysis.measures import measure
from palimpsest.reports.statistics.profile import Profile, performance_profile

ENOUGH_RUNS = 10
"""With fewer runs of a strategy, the steps of its profile are too coarse to compare."""

_POINTS = 240  # thresholds: more cannot be seen


@dataclass(frozen=True, eq=False)
class Profiles:
    """The strategies with enough runs in some scenarios."""

    scenarios: tuple[str, ...]
    by_strategy: Mapping[str, Profile]

    def frame(self) -> pd.DataFrame:
        """Return one row per strategy and threshold.

        Columns: scenario (names joined by ``; ``), strategy, threshold, share, low, high (of its
        95 % interval), all fractions, and n, the number of runs.
        """
        parts = [
            pd.DataFrame({
                "scenario": "; ".join(self.scenarios),
                "strategy": name,
                "threshold": own.thresholds,
                "share": own.share,
                "low": own.low,
                "high": own.high,
                "n": own.n,
            })
            for name, own in self.by_strategy.items()
        ]  # fmt: skip
        return pd.concat(parts, ignore_index=True)


def profiles(choices: Sequence[Choice], scenarios: Sequence[str]) -> Profiles | None:
    """Return the profiles of the strategies that have enough runs, all at the same thresholds.

    Args:
        choices: What ``cross_fitting.choose`` returned for all cells.
        scenarios: Over which scenarios; a strategy that has no runs in one of them is left out.

    Returns:
        ``None`` where fewer than two strategies have ``ENOUGH_RUNS`` runs.
    """
    found, known = {}, []
    for name, own in by_strategy(choices, scenarios).items():
        cells = {s: own[s].reported if s in own else None for s in scenarios}
        values = measure(cells, AVERAGE).by_seed
        scores = [x for by_seed in values.values() for x in by_seed.values() if x is not None]
        if len(scores) >= ENOUGH_RUNS:
            found[name] = values
            known += scores
    if len(found) < 2:
        return None
    # From the last threshold that all runs are above to the first that none is.
    thresholds = np.linspace(np.nextafter(min(known), -1.0), max(known), _POINTS)
    made = {name: performance_profile(own, thresholds) for name, own in found.items()}
    complete = {name: own for name, own in made.items() if own is not None}
    return Profiles(tuple(scenarios), complete) if len(complete) > 1 else None
