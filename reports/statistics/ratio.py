"""Forgetting removed: how much of fine-tuning's forgetting a strategy avoids, over seeds.

A ratio of means, ``1 - mean_s F(s) / mean_s F_finetune(s)`` over the seeds s that both have. The
mean of the ratios of single seeds is no alternative: one seed on which fine-tuning happens to
forget almost nothing outweighs all others. With 5 seeds, a true share of 0.7 and normal noise of
1.5 points on both, where fine-tuning forgets 3 points, the middle 90 % of 100,000 simulations lie
between -0.50 and 1.19 for the mean of ratios (the lowest at -4426), and between 0.28 and 1.07 for
the ratio of means.

The interval is Fieller's (Some Problems in Interval Estimation, Journal of the Royal Statistical
Society B 16, 1954): all shares r for which Student's test does not reject that ``F - (1 - r)
F_finetune`` has mean zero. It keeps the numerator and denominator of a seed paired, is exact for
normal values, and is bounded where Student's interval of the denominator excludes zero. Coverage
of a true share of 0.7, per cent, where it is bounded, by the coefficient of variation (cv) of both
values of forgetting (4,000 simulations, correlation 0.5; in brackets how often it is bounded):

===========================  ==========  ==========  ==========  ==========
interval, values             3 seeds     5 seeds     10 seeds    20 seeds
===========================  ==========  ==========  ==========  ==========
Fieller, normal, cv 0.2      95 (97)     94 (100)    95 (100)    95 (100)
Fieller, normal, cv 0.5      95 (47)     95 (92)     95 (100)    95 (100)
Fieller, normal, cv 1        94 (17)     95 (40)     95 (80)     96 (99)
Fieller, gamma, cv 0.5       93 (48)     95 (98)     95 (100)    95 (100)
Fieller, gamma, cv 1         89 (12)     95 (45)     96 (97)     95 (100)
Fieller, log-normal, cv 1    95 (22)     96 (64)     97 (96)     96 (100)
delta, gamma, cv 1           85          88          91          93
===========================  ==========  ==========  ==========  ==========

The last is Student's interval with the standard error of the linearised ratio (the delta method),
where Fieller's is bounded.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from palimpsest.benchmark.metrics import CHANGE, LEAST_FORGETTING, METRICS
from palimpsest.benchmark.store.store import Record
from palimpsest.reports.statistics.interval import (
    CONFIDENCE,
    FEWEST_SEEDS,
    ROUNDING,
    Estimate,
    mean_estimate,
    student_p,
)

NOTHING = "nothing to remove"
UNCLEAR = "fine-tuning’s forgetting is not clearly above zero"

Array = NDArray[np.float64]
Pairs = Mapping[int, tuple[float, float]]
"""By seed, a variant's forgetting and fine-tuning's."""


def ratio_pairs(metric: str, records: Iterable[Record]) -> dict[int, tuple[float, float]]:
    """Return the two numbers whose means a metric compares, by seed (``Metric.ratio``)."""
    found = {}
    names = METRICS[metric].ratio or ()
    for record in records:
        own, plain = (record.metrics.get(name) for name in names)
        if own is not None and plain is not None:
            found[record.seed] = (own, plain)
    return found


def removed(pairs: Pairs) -> Estimate:
    """Return ``1 - mean_s F(s) / mean_s F_finetune(s)`` with Fieller's interval.

    It is not defined where fine-tuning forgets less than ``LEAST_FORGETTING`` on average
    (``NOTHING``), nor where its forgetting is not clearly above zero (``UNCLEAR``): its 95 %
    interval reaches zero or, with fewer than ``FEWEST_SEEDS`` seeds, a seed forgets less than
    ``LEAST_FORGETTING``.
    """
    ours, plain = _columns(pairs)
    reason = _reason(plain)
    if reason or not plain.size:
        return Estimate(n=plain.size, reason=reason)
    share = ratio_of_means(ours, plain)
    low, high = (None if end is None else 1 - end for end in (share.high, share.low))
    # Where seeds are shown in place of an interval, none of them has a tiny denominator.
    seeds = tuple((1 - ours / plain).tolist()) if share.n < FEWEST_SEEDS else ()
    found = Estimate(1 - (share.value or 0.0), low, high, share.n, seeds)
    return with_strays(found, {"": pairs})


def with_strays(share: Estimate, pairs: Mapping[str, Pairs]) -> Estimate:
    """Add to a share of ``removed`` the seeds that are far from all others in its two means.

    The share has no value per seed, but one collapsed run in eight moves it as much as it moves
    the mean forgetting.

    Args:
        share: The share, or its mean over scenarios.
        pairs: The forgetting it is computed from, by scenario.
    """
    ours, plain = (
        mean_estimate(
            {n: {s: pair[i] for s, pair in own.items()} for n, own in pairs.items()}, CHANGE
        )
        for i in (0, 1)
    )
    parts = {"fine-tuning’s forgetting": plain}
    if ours != plain:
        parts = {"forgetting": ours, **parts}
    return replace(share, parts=tuple((n, part) for n, part in parts.items() if part.strays))


def difference_of_shares(ours: Pairs, theirs: Pairs) -> Estimate:
    """Return the difference of two shares of ``removed``, with Fieller's interval.

    ``(mean F' - mean F) / mean F_finetune``, which is a ratio of means, too.

    Args:
        ours: Forgetting F and fine-tuning's.
        theirs: Forgetting F' and fine-tuning's, of the same seeds.
    """
    own, plain = _columns(ours)
    if _reason(plain) or not plain.size:
        return Estimate(n=plain.size)
    return ratio_of_means(_columns(theirs)[0] - own, plain)


def quotient(pairs: Pairs, below: str) -> Estimate:
    """Return ``mean_s a(s) / mean_s b(s)`` with Fieller's interval.

    It is not defined where b is not clearly above zero: its mean is not, its 95 % interval reaches
    zero or, with fewer than ``FEWEST_SEEDS`` seeds, that of some seed is not.

    Args:
        pairs: a and b by seed.
        below: What b is called, for the reason.
    """
    a, b = _columns(pairs)
    if not b.size:
        return Estimate()
    few = b.size < FEWEST_SEEDS
    if b.mean() <= 0 or (few and b.min() <= 0) or (not few and ratio_of_means(b, b).low is None):
        reason = f"{below} is not clearly above zero"
        return Estimate(n=b.size, reason=reason)
    found = ratio_of_means(a, b)
    # Where seeds are shown in place of an interval, none of them has a denominator of zero.
    return replace(found, seeds=tuple((a / b).tolist()) if few else ())


def ratio_of_means(numerators: Array, denominators: Array) -> Estimate:
    """Return ``mean(a) / mean(b)`` with Fieller's 95 % interval.

    With ``q = t(97.5 %, n - 1)^2 / n``, sample variances ``s_aa`` and ``s_bb`` and covariance
    ``s_ab``, its ends are the roots r of
    ``(mean(b)^2 - q s_bb) r^2 - 2 (mean(a) mean(b) - q s_ab) r + mean(a)^2 - q s_aa = 0``.

    Args:
        numerators: a, one per seed, (n,).
        denominators: b, of the same seeds; their mean is above zero.

    Returns:
        Without an interval where it is not bounded (``mean(b)^2 <= q s_bb``), and below
        ``FEWEST_SEEDS`` seeds.
    """
    from scipy.special import stdtrit

    n = denominators.size
    a, b = float(numerators.mean()), float(denominators.mean())
    if n < FEWEST_SEEDS:
        return Estimate(a / b, n=n)
    q = float(stdtrit(n - 1, (1 + CONFIDENCE) / 2)) ** 2 / n
    (s_aa, s_ab), (_, s_bb) = np.cov(numerators, denominators)
    square = b**2 - q * s_bb
    if square <= 0:
        return Estimate(a / b, n=n)
    middle = (a * b - q * s_ab) / square
    # Not as a difference of squares, which would lose the digits of a narrow interval.
    spread = s_aa - 2 * middle * s_ab + middle**2 * s_bb
    inside = (a - middle * b) ** 2
    half = sqrt(max(0.0, q * spread - inside) / square)
    # Fieller's interval has all r for which a - r b may have mean zero; r = 0 tests the mean of a.
    p = student_p(a, sqrt(s_aa / n), n - 1)
    if half < ROUNDING:
        return Estimate(a / b, a / b, a / b, n, p=p)
    return Estimate(a / b, middle - half, middle + half, n, p=p)


def scaled(pairs: Pairs) -> dict[int, float]:
    """Return ``1 - F(s) / mean F_finetune`` by seed: the share of the mean forgetting avoided.

    Their mean is the share of ``removed``; a test of their differences is a test of forgetting.
    Empty where that share is not defined. Their spread does not include that of fine-tuning.
    """
    _, plain = _columns(pairs)
    if _reason(plain) or not plain.size:
        return {}
    unit = float(plain.mean())
    return {seed: 1 - own / unit for seed, (own, _) in pairs.items()}


def linearised(pairs: Pairs) -> dict[int, float]:
    """Return ``r - (F(s) - (1 - r) F_finetune(s)) / mean F_finetune`` by seed, r the share.

    Their mean is the share of ``removed``, and their spread over seeds gives its standard error,
    fine-tuning's included (the delta method). They are used between stores and over several
    scenarios, where Fieller's interval does not apply. Empty where the share is not defined.
    """
    ours, plain = _columns(pairs)
    if _reason(plain) or not plain.size:
        return {}
    unit = float(plain.mean())
    kept = float(ours.mean()) / unit
    return {seed: 1 - kept - (own - kept * other) / unit for seed, (own, other) in pairs.items()}


def _columns(pairs: Pairs) -> tuple[Array, Array]:
    """Numerators and denominators in the order of seeds, whatever the order of the runs."""
    table = np.array([pairs[seed] for seed in sorted(pairs)], dtype=float).reshape(-1, 2)
    return table[:, 0], table[:, 1]


def _reason(plain: Array) -> str | None:
    if not plain.size:
        return None
    if plain.mean() < LEAST_FORGETTING:
        return NOTHING
    if plain.size < FEWEST_SEEDS:
        return UNCLEAR if plain.min() < LEAST_FORGETTING else None
    return UNCLEAR if ratio_of_means(plain, plain).low is None else None
