"""The tests of the report and of ``palimpsest compare``: permutation tests of what is shown.

**Pairs of runs** (the same scenario, the same seed) have the sign-flip test of the mean difference
(``sign_flip``). If two variants do not differ, each seed's difference could as well have had the
other sign, in all scenarios at once: scenarios share seeds, and with them initial weights. So the
sign of a seed is flipped in all its scenarios together. With up to ``EXACT_SEEDS`` seeds all sign
flips are enumerated, with more ``DRAWN`` of them are drawn with fixed random numbers. Sources:
Fisher, The Design of Experiments (1935), section 21; Winkler et al., Multi-level block permutation,
NeuroImage 123 (2015), for whole blocks; Phipson & Smyth, Permutation P-values Should Never Be Zero,
Stat. Appl. Genetics and Molecular Biology 9 (2010), for ``(b + 1) / (m + 1)``.

**Two groups of different seeds** have the permutation test of the difference of their means
(``two_groups``): all ways to divide the runs between both groups, or ``DRAWN`` of them. Source:
Pitman, Significance Tests Which May be Applied to Samples from any Populations, J. Royal
Statistical Society Supplement 4 (1937), and for means in units of their standard errors, which
allows for different variances, Janssen, Statistics & Probability Letters 36 (1997).

Both are exact for any distribution of the runs if nothing differs; with few seeds they cannot
reach 5 %, and the report then says so. False alarms at 5 %, per cent, in 20,000 simulations each
(error: 0.15), with n seeds: flipping whole seeds, and all pairs as if they were independent, as
in earlier versions of the report. Differences of three scenarios, correlated within a seed:

================  ========  ========  ========  ========  ========  ========
law, correlation  n=3       n=5       n=6       n=8       n=10      n=20
================  ========  ========  ========  ========  ========  ========
normal, 0.0       0.0 4.5   0.0 5.0   3.2 4.9   4.5 5.0   5.0 5.1   5.3 5.2
normal, 0.5       0.0 17.0  0.0 17.8  3.1 17.0  4.7 16.9  4.7 16.9  4.9 16.4
normal, 0.9       0.0 30.8  0.0 28.9  3.2 27.6  4.6 26.6  4.8 25.7  5.2 24.9
t(3), 0.0         0.0 5.0   0.0 4.9   3.3 5.1   4.8 5.0   5.0 5.0   5.0 4.7
t(3), 0.5         0.0 16.5  0.0 17.6  3.2 16.5  4.8 16.9  4.9 16.8  5.0 16.6
t(3), 0.9         0.0 28.9  0.0 28.8  3.4 27.3  4.6 26.7  4.9 26.4  4.9 25.3
================  ========  ========  ========  ========  ========  ========

The same for two groups, by their numbers of seeds, and for Welch's t-test, which ``compare`` had
before; "wider": runs of the first group vary three times as much, where the test, which assumes
one distribution, is not exact. With two seeds each no p-value is below a third:

=================  =======  =======  =======  =======  =======  =======  =======
law                3, 3     4, 4     5, 5     10, 10   20, 20   5, 10    10, 5
=================  =======  =======  =======  =======  =======  =======  =======
normal             0.0 3.4  2.8 4.1  4.7 4.4  4.8 4.7  4.7 4.8  4.9 5.1  4.8 5.1
log-normal         0.0 2.6  3.0 3.0  4.8 3.5  4.9 4.0  4.7 4.5  4.8 4.9  4.6 4.7
t(3)               0.0 2.7  3.0 3.2  4.6 3.3  5.2 4.3  4.9 4.5  4.9 4.0  4.7 3.8
normal, one wider  0.0 5.3  5.0 5.2  7.0 5.3  5.9 5.0  5.4 5.0  7.8 5.4  3.8 4.8
=================  =======  =======  =======  =======  =======  =======  =======

An example: differences of -1, -1 and +20 points in three scenarios (each seed within half a point
of them) have a mean of +6.0 points. Its p is 0.062 with 5 seeds, 0.031 with 6, 0.002 with 10 and
0.00001 with 20; Wilcoxon's test of all pairs, which the report once used from 13 pairs on, gives
0.80, 0.77, 0.66 and 0.48.

``python tests/reports/statistics/simulations.py`` reproduces all of these numbers.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import combinations
from math import comb

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

EXACT_SEEDS = 16
"""Up to this many seeds all 2^n sign flips are enumerated."""

EXACT_SPLITS = 50_000
"""Up to this many ways to divide runs between two groups are enumerated."""

DRAWN = 99_999
"""How many are drawn if there are more."""

_SEED = 1935
_CHUNKS = 10
_SLACK = 1e-9  # relative: sums that are equal but for rounding are equal


def sign_flip(parts: Array) -> float:
    """Return the two-sided p-value of the sign-flip test of a mean.

    The share of sign flips whose sum is at least as far from zero as the measured one, which is
    one of them; where m flips are drawn and b of them are, ``(b + 1) / (m + 1)``. Never zero.

    Args:
        parts: What each seed contributes to the mean, (seeds,), in the order of the seeds.
    """
    least = abs(parts.sum()) - _SLACK * np.abs(parts).sum()
    if parts.size <= EXACT_SEEDS:
        return float((np.abs(_signs(parts.size) @ parts) >= least).mean())
    beyond = int((np.abs(_flipped_sums(parts)) >= least).sum())
    return (beyond + 1) / (DRAWN + 1)


def smallest_p(seeds: int) -> float:
    """Return the smallest p-value that ``sign_flip`` can give with n seeds: ``2^(1 - n)``.

    Of all ``2^n`` sign flips, two are as extreme as all seeds pointing one way. Below six seeds
    it is above 0.05: the test cannot reach 5 %. (A t-test could, but it assumes normal
    differences.) Where flips are drawn it is ``1 / (DRAWN + 1)``.
    """
    if seeds <= EXACT_SEEDS:
        return float(min(1.0, 2.0 ** (1 - seeds)))
    return 1 / (DRAWN + 1)


def two_groups(a: Array, b: Array) -> float:
    """Return the two-sided p-value of the permutation test of ``mean(b) - mean(a)``.

    The share of all divisions of the runs into groups of these sizes whose means are at least as
    far apart, in units of Welch's standard error of each division; where m are drawn and k of them
    are, ``(k + 1) / (m + 1)``. Never zero. With groups of equal size these units change nothing.

    Args:
        a: Values of one group, (n_a,), at least two.
        b: Values of the other, (n_b,), at least two.
    """
    small, large = sorted((a, b), key=len)
    middle = float(np.concatenate([a, b]).mean())
    every = np.sort(np.concatenate([a, b]) - middle)
    squares = float((every**2).sum())
    if not squares:
        return 1.0

    def apart(own: Array) -> Array:
        """Squared Welch's t, for the values of the smaller group, (..., n)."""
        n, others = small.size, large.size
        sums, own_squares = own.sum(axis=-1), (own**2).sum(axis=-1)
        spread = (own_squares - sums**2 / n) / (n * (n - 1))
        spread += (squares - own_squares - sums**2 / others) / (others * (others - 1))
        found: Array = sums**2 / np.maximum(spread, _SLACK * squares)
        return found

    least = float(apart(np.sort(small) - middle)) * (1 - 1e-6)
    if comb(every.size, small.size) <= EXACT_SPLITS:
        return float((apart(every[_splits(every.size, small.size)]) >= least).mean())
    dealt = np.array_split(_dealt(every.size, small.size), _CHUNKS)
    beyond = sum(int((apart(every[places]) >= least).sum()) for places in dealt)
    return (beyond + 1) / (DRAWN + 1)


def smallest_p_of_groups(a: int, b: int) -> float:
    """Return the smallest p-value that ``two_groups`` can give with groups of these sizes.

    One of all ways to divide the runs; two for groups of equal size, which can be swapped.
    """
    ways = comb(a + b, a)
    return (2 if a == b else 1) / ways if ways <= EXACT_SPLITS else 1 / (DRAWN + 1)


@lru_cache(maxsize=4)
def _signs(n: int) -> Array:
    """All signs of n values with the first one positive, (2^(n - 1), n)."""
    others = max(n - 1, 0)
    bits = np.arange(2**others)[:, None] >> np.arange(others) & 1
    return np.hstack([np.ones((2**others, min(n, 1))), 1.0 - 2.0 * bits])


@lru_cache(maxsize=4)
def _drawn(n: int) -> NDArray[np.uint8]:
    """``DRAWN`` random sign flips of n values: a bit per value, in rows of 8, (n / 8, DRAWN)."""
    bits = np.random.default_rng([_SEED, n]).integers(0, 2, (DRAWN, n), dtype=np.int8)
    return np.ascontiguousarray(np.packbits(bits, axis=1).T)


def _flipped_sums(parts: Array) -> Array:
    """The sums under each drawn flip; those of 8 values are looked up, which is 5 times as fast."""
    signs = 1.0 - 2.0 * np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1)
    sums = np.zeros(DRAWN)
    for row, flips in enumerate(_drawn(parts.size)):
        own = parts[8 * row : 8 * row + 8]
        sums += (signs[:, : own.size] @ own)[flips]
    return sums


@lru_cache(maxsize=4)
def _splits(n: int, k: int) -> NDArray[np.intp]:
    """All ways to choose k of n positions, (n over k, k)."""
    return np.array(list(combinations(range(n), k)), dtype=np.intp)


@lru_cache(maxsize=2)
def _dealt(n: int, k: int) -> NDArray[np.intp]:
    """``DRAWN`` random ways to choose k of n positions, (DRAWN, k)."""
    rng = np.random.default_rng([_SEED, n, k])
    parts = (rng.random((len(part), n)) for part in np.array_split(np.arange(DRAWN), _CHUNKS))
    return np.concatenate([np.argpartition(part, k - 1, axis=1)[:, :k] for part in parts])
