"""Whether a number differs between two groups of seeds by more than noise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import fsum, sqrt

from scipy.special import stdtr, stdtrit

from reports.statistics import CONFIDENCE

ROUNDING = 1e-12
"""Differences of metrics below this come from rounding: accuracies are counts of samples."""


@dataclass(frozen=True)
class Difference:
    """The mean of B minus the mean of A, over seeds.

    Attributes:
        paired: Whether the same seeds were compared with each other.
        seeds_a: How many seeds of A count.
        seeds_b: How many seeds of B count.
        a: Mean of A.
        b: Mean of B.
        half: Half the width of the 95 % interval of ``b - a``, ``None`` where noise cannot be
            judged.
        p: Two-sided p-value of "no difference", ``None`` where nothing was tested: noise cannot
            be judged, the values are equal, or they differ by rounding.
        equal: Whether all values are equal to the last bit.
    """

    paired: bool
    seeds_a: int
    seeds_b: int
    a: float
    b: float
    half: float | None
    p: float | None
    equal: bool


def difference(a: Mapping[int, float], b: Mapping[int, float]) -> Difference:
    """Compare the values of two groups of seeds.

    Paired by seed where two seeds match at least, see ``paired_difference``; else unpaired, see
    ``welch_difference``. With one seed on a side there is no noise to be seen: then the seed
    that both have is compared, if there is one.

    Args:
        a: Values before by seed, at least one.
        b: Values after by seed, at least one.
    """
    common = sorted(a.keys() & b.keys())
    if len(common) >= 2 or (common and min(len(a), len(b)) < 2):
        return paired_difference([a[seed] for seed in common], [b[seed] for seed in common])
    return welch_difference([a[seed] for seed in sorted(a)], [b[seed] for seed in sorted(b)])


def paired_difference(a: Sequence[float], b: Sequence[float]) -> Difference:
    """Compare values seed by seed: Student's t on ``d = b - a``.

    ``t = mean(d) / (s_d / sqrt(n))`` with ``n - 1`` degrees of freedom. Where all differences
    are the same and not zero, p is 0: what every seed shows alike is no noise.
    Source: Student, The Probable Error of a Mean, Biometrika 6 (1908).

    Args:
        a: Values before, one a seed.
        b: Values after, of the same seeds.
    """
    n = len(a)
    d = [after - before for before, after in zip(a, b, strict=True)]
    half, p = _test(_mean(d), _variance(d) / n, n - 1, d) if n > 1 else (None, None)
    return Difference(True, n, n, _mean(a), _mean(b), half, p, not any(d))


def welch_difference(a: Sequence[float], b: Sequence[float]) -> Difference:
    """Compare values of different seeds: Welch's t, which lets their variances differ.

    ``t = (mean(b) - mean(a)) / sqrt(v_a + v_b)`` with ``v = s^2 / n`` and
    ``(v_a + v_b)^2 / (v_a^2 / (n_a - 1) + v_b^2 / (n_b - 1))`` degrees of freedom.
    Source: Welch, The Generalization of Student's Problem when Several Different Population
    Variances are Involved, Biometrika 34 (1947).

    Args:
        a: Values before, one a seed.
        b: Values after, of other seeds.
    """
    sizes = len(a), len(b)
    change = _mean(b) - _mean(a)
    half = p = None
    if min(sizes) > 1:
        v_a, v_b = _variance(a) / sizes[0], _variance(b) / sizes[1]
        spread = v_a**2 / (sizes[0] - 1) + v_b**2 / (sizes[1] - 1)
        freedom = (v_a + v_b) ** 2 / spread if spread else float(sum(sizes) - 2)
        half, p = _test(change, v_a + v_b, freedom, [change])
    return Difference(False, *sizes, _mean(a), _mean(b), half, p, len({*a, *b}) == 1)


def _test(
    change: float, variance: float, freedom: float, differences: Sequence[float]
) -> tuple[float, float | None]:
    """Half the width of the interval of a change with this squared standard error, and its p."""
    error = sqrt(variance)
    half = float(stdtrit(freedom, (1 + CONFIDENCE) / 2)) * error
    if max(map(abs, differences)) < ROUNDING:
        return half, None
    if error < ROUNDING:
        return half, 0.0
    return half, 2 * float(stdtr(freedom, -abs(change) / error))


def _mean(values: Sequence[float]) -> float:
    return fsum(values) / len(values)


def _variance(values: Sequence[float]) -> float:
    """The sample variance, with ``n - 1`` in its denominator."""
    mean = _mean(values)
    return fsum((value - mean) ** 2 for value in values) / (len(values) - 1)
