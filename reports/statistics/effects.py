"""Effect sizes of paired differences."""

from __future__ import annotations

from math import lgamma, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_ROUNDING = 1e-12  # a spread below this is rounding: differences of metrics are of order 0.01 to 1


def effect_size(differences: Array) -> float | None:
    """Return Cohen's ``d_z = mean / s`` of differences, times Hedges' small-sample correction.

    ``J = G(f/2) / (sqrt(f/2) G((f - 1)/2))``, ``f = n - 1``, G the gamma function. Over several
    scenarios ``s`` includes the differences between them. Sources: Cohen, Statistical Power
    Analysis (1988), section 2.3.5; Hedges, J. Educational Statistics 6 (1981).

    It has no interval, since pairs of several scenarios are not independent.

    Args:
        differences: One per pair, (n,).

    Returns:
        In standard deviations; ``None`` with fewer than three pairs, where J is zero, and where
        all pairs differ by the same nonzero amount, where it is infinite.
    """
    n = differences.size
    if n < 3:
        return None
    if not differences.any():
        return 0.0
    deviation = float(differences.std(ddof=1))
    if deviation < _ROUNDING:
        return None
    half = (n - 1) / 2
    correction = np.exp(lgamma(half) - lgamma(half - 0.5)) / sqrt(half)
    return float(correction * differences.mean() / deviation)


def rank_biserial(differences: Array) -> float:
    """Return the matched-pairs rank-biserial correlation: ``(W+ - W-) / (W+ + W-)``.

    ``W+`` and ``W-`` are the sums of the ranks of positive and negative differences by size;
    zeros are left out. 1: ours is greater in every pair; 0 where all pairs are equal.
    Source: Kerby, The Simple Difference Formula, Comprehensive Psychology 3 (2014).

    Args:
        differences: One per pair, (n,).
    """
    from scipy.stats import rankdata

    known = differences[differences != 0]
    if not known.size:
        return 0.0
    ranks: Any = rankdata(np.abs(known))
    return float((ranks * np.sign(known)).sum() / ranks.sum())
