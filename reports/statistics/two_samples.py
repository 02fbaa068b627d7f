"""Whether a number differs between two groups of seeds by more than noise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import fsum, sqrt
from statistics import fmean

from palimpsest.benchmark.metrics import Bounds
from palimpsest.reports.statistics.interval import (
    FEWEST_SEEDS,
    ROUNDING,
    Estimate,
    student_estimate,
)
from palimpsest.reports.statistics.pairs import paired_difference


@dataclass(frozen=True)
class SampleComparison:
    """The mean of B minus the mean of A, over seeds.

    Attributes:
        paired: Whether the same seeds were compared with each other.
        difference: ``b - a`` with its interval.
        p: Two-sided p-value of "no difference", of the test that the interval inverts; ``None``
            where there are too few seeds for a test, or all values are equal but for rounding.
        equal: Whether all values are equal bit for bit.
    """

    paired: bool
    seeds_a: int
    seeds_b: int
    a: float
    b: float
    difference: Estimate
    p: float | None
    equal: bool


def compare_samples(
    a: Mapping[int, float], b: Mapping[int, float], bounds: Bounds | None = None
) -> SampleComparison:
    """Compare the values of two groups of seeds.

    Paired by seed where at least half of the smaller group's seeds are in the other, see
    ``compare_paired``; otherwise as two groups, see ``compare_independent``.
    """
    common = sorted(a.keys() & b.keys())
    if common and 2 * len(common) >= min(len(a), len(b)):
        before, after = ({seed: values[seed] for seed in common} for values in (a, b))
        return compare_paired(before, after, bounds)
    one, other = ([values[seed] for seed in sorted(values)] for values in (a, b))
    return compare_independent(one, other, bounds)


def compare_paired(
    a: Mapping[int, float], b: Mapping[int, float], bounds: Bounds | None = None
) -> SampleComparison:
    """Compare values seed by seed: the interval and the test of ``pairs.paired_difference``."""
    found = paired_difference({"": b}, {"": a}, bounds)
    n = len(a)
    moved = [after - before for before, after in zip(a.values(), b.values(), strict=True)]
    same = max(map(abs, moved)) < ROUNDING
    p = None if same else found.p
    means = fmean(list(a.values())), fmean(list(b.values()))
    return SampleComparison(True, n, n, *means, found, p, not any(moved))


def compare_independent(
    a: Sequence[float], b: Sequence[float], bounds: Bounds | None = None
) -> SampleComparison:
    """Compare values of different seeds: Welch's interval and the test that it inverts.

    Student's with Welch's degrees of freedom, for unequal variances: standard error
    ``sqrt(v_a + v_b)``, ``v = s^2 / n``, and degrees of freedom
    ``(v_a + v_b)^2 / (v_a^2 / (n_a - 1) + v_b^2 / (n_b - 1))``.
    Source: Welch, The Generalization of Student's Problem when Several Different Population
    Variances are Involved, Biometrika 34 (1947).
    """
    sizes = len(a), len(b)
    change = fmean(b) - fmean(a)
    found = Estimate(change, n=sum(sizes))
    if min(sizes) >= FEWEST_SEEDS:
        v_a, v_b = (_variance(values) / len(values) for values in (a, b))
        spread = v_a**2 / (sizes[0] - 1) + v_b**2 / (sizes[1] - 1)
        freedom = (v_a + v_b) ** 2 / spread if spread else float(sum(sizes) - 2)
        freedom = max(freedom, min(sizes) - 1.0)  # it is, but for rounding
        found = student_estimate(change, sqrt(v_a + v_b), freedom, sum(sizes), bounds)
    values = {*a, *b}
    same = max(values) - min(values) < ROUNDING
    p = None if same else found.p
    return SampleComparison(False, *sizes, fmean(a), fmean(b), found, p, len(values) == 1)


def _variance(values: Sequence[float]) -> float:
    """The sample variance, with ``n - 1`` in its denominator."""
    mean = fmean(values)
    return fsum((value - mean) ** 2 for value in values) / (len(values) - 1)
