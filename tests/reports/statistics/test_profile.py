"""Performance profiles, against a slow reference and the interval of means."""

import numpy as np
import pytest

from palimpsest.benchmark.metrics import ACCURACY
from palimpsest.reports.statistics.interval import mean_estimate
from palimpsest.reports.statistics.profile import performance_profile

RNG = np.random.default_rng(11)


def scores(sizes, first=0):
    return {
        name: {first + seed: float(value) for seed, value in enumerate(RNG.beta(9, 3, size))}
        for name, size in sizes.items()
    }


def slow(strata, tau):
    """The definition, run by run."""
    shares = []
    for runs in strata.values():
        known = [score for score in runs.values() if score is not None]
        shares.append(sum(1 for score in known if score > tau) / len(known))
    return sum(shares) / len(shares)


@pytest.mark.parametrize("sizes", [{"a": 12}, {"a": 6, "b": 6, "c": 6}, {"a": 4, "b": 9}])
def test_shares_are_counted_and_bands_are_the_interval_of_means(sizes):
    strata = scores(sizes)
    strata["a"][99] = None
    values = sorted(x for runs in strata.values() for x in runs.values() if x is not None)
    thresholds = [0.0, *values, 1.0]  # at a score itself, it is not above
    found = performance_profile(strata, thresholds)
    assert found.n == sum(sizes.values())
    assert (found.share[0], found.share[-1]) == (1, 0)
    for place, tau in enumerate(thresholds):
        assert found.share[place] == pytest.approx(slow(strata, tau), abs=1e-12)
        above = {
            name: {s: None if x is None else float(x > tau) for s, x in runs.items()}
            for name, runs in strata.items()
        }
        expected = mean_estimate(above, ACCURACY)
        ends = found.low[place], found.high[place]
        assert ends == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_bands_have_the_error_of_a_bootstrap_of_whole_seeds():
    """Resampled seed by seed, with all scenarios of a seed together."""
    n, strata = 16, {}
    common = RNG.normal(0.7, 0.1, 16)
    for name in "abc":
        strata[name] = dict(enumerate((common + RNG.normal(0, 0.05, n)).tolist()))
    taus = [0.65, 0.7, 0.75]
    found = performance_profile(strata, taus)
    drawn = RNG.integers(0, n, (4000, n))
    for tau, share, low in zip(taus, found.share, found.low, strict=True):
        by_seed = np.mean([[runs[s] > tau for s in range(n)] for runs in strata.values()], axis=0)
        error = by_seed[drawn].mean(axis=1).std() * np.sqrt(n / (n - 1))
        assert share - low == pytest.approx(2.1314 * error, rel=0.05)  # t of 15


def test_few_seeds_have_no_band_and_no_runs_no_profile():
    found = performance_profile(scores({"a": 3}), [0.5])
    assert np.isnan(found.low).all()
    assert np.isnan(found.high).all()
    assert performance_profile({"a": {0: 0.5}, "b": {0: None}}, [0.5]) is None
    assert performance_profile({}, [0.5]) is None
