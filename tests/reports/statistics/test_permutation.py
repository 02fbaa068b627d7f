"""The permutation tests: against SciPy, by hand, and how often they cry wolf."""

import numpy as np
import pytest
from scipy import stats

from reports.statistics.permutation import (
    DRAWN,
    EXACT_SEEDS,
    sign_flip,
    smallest_p,
    smallest_p_of_groups,
    two_groups,
)

RNG = np.random.default_rng(4)


def by_scipy(values):
    return stats.permutation_test(
        (values,), np.mean, permutation_type="samples", n_resamples=np.inf
    ).pvalue


@pytest.mark.parametrize("n", [2, 7, 12])
def test_sign_flips_as_scipy_has_them(n):
    values = RNG.normal(0.5, 1, n)
    assert sign_flip(values) == pytest.approx(by_scipy(values), abs=1e-12)
    assert sign_flip(-values) == sign_flip(values)


def test_drawn_sign_flips_agree_with_all_of_them():
    values = RNG.normal(0.35, 1, EXACT_SEEDS + 1)
    p = sign_flip(values)
    assert p == pytest.approx(by_scipy(values), abs=5 * np.sqrt(p / DRAWN))
    assert sign_flip(-values) == p


def test_many_equal_sums_are_counted_in_spite_of_rounding():
    # Of 2^6 ways, those with all, or all but one, of the same sign: 2 + 12.
    assert sign_flip(np.array([0.1] * 5 + [-0.1])) == 14 / 64


@pytest.mark.parametrize("n", [1, 2, 3, 5, 8, EXACT_SEEDS, EXACT_SEEDS + 1, 40])
def test_no_p_value_is_zero_and_the_smallest_is_reached(n):
    p = sign_flip(np.linspace(0.1, 0.3, n))
    assert p >= smallest_p(n) > 0
    # Of drawn signs, some may all point one way, too.
    assert p == pytest.approx(smallest_p(n), abs=0 if n <= EXACT_SEEDS else 5 / DRAWN)


def test_signs_that_were_drawn_count_what_was_measured_as_one_of_them():
    assert sign_flip(np.ones(60)) == 1 / (DRAWN + 1)  # none of those drawn is as extreme


def test_below_six_seeds_nothing_is_decided():
    assert smallest_p(5) > 0.05 > smallest_p(6)
    assert smallest_p(0) == smallest_p(1) == 1


@pytest.mark.parametrize("sizes", [(2, 2), (3, 5), (6, 6), (2, 8), (4, 7)])
def test_two_groups_as_scipy_has_them(sizes):
    a, b = RNG.normal(0, 1, sizes[0]), RNG.normal(1, 1, sizes[1])
    expected = stats.permutation_test(
        (a, b),
        lambda x, y, axis: np.abs(stats.ttest_ind(x, y, axis=axis, equal_var=False).statistic),
        vectorized=True,
        alternative="greater",
        n_resamples=np.inf,
    )
    assert two_groups(a, b) == pytest.approx(expected.pvalue, abs=1e-12)
    assert two_groups(b, a) == two_groups(a, b)
    assert two_groups(a, b) >= smallest_p_of_groups(*sizes)


@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_the_unit_of_two_groups_does_not_matter(scale):
    rng = np.random.default_rng(0)
    for _ in range(5):
        a, b = rng.normal(0, 1, 3), rng.normal(1, 3, 7)
        assert two_groups(scale * a, scale * b) == two_groups(a, b)


def test_of_groups_of_one_size_it_is_the_test_of_the_difference_of_means():
    a, b = RNG.normal(0, 1, 5), RNG.normal(1, 3, 5)
    expected = stats.permutation_test(
        (a, b), lambda x, y: abs(np.mean(x) - np.mean(y)), alternative="greater", n_resamples=np.inf
    )
    assert two_groups(a, b) == pytest.approx(expected.pvalue, abs=1e-12)


def test_drawn_deals_agree_with_all_of_them():
    a, b = RNG.normal(0, 1, 11), RNG.normal(0.8, 1, 11)
    expected = stats.permutation_test(
        (a, b), lambda x, y: abs(np.mean(x) - np.mean(y)), alternative="greater", n_resamples=4999
    )
    assert two_groups(a, b) == pytest.approx(expected.pvalue, abs=0.02)
    assert two_groups(np.zeros(12), np.ones(12)) >= smallest_p_of_groups(12, 12) == 1 / (DRAWN + 1)


def test_smallest_p_of_groups_is_reached():
    assert two_groups(np.array([0, 1]), np.array([2, 3])) == smallest_p_of_groups(2, 2) == 2 / 6
    assert two_groups(np.arange(3.0), np.array([7.0, 8])) == smallest_p_of_groups(3, 2) == 1 / 10


@pytest.mark.parametrize("n", [3, 5, 6, 8])
def test_two_groups_of_one_law_seldom_differ(n):
    rng = np.random.default_rng(n)
    found = [two_groups(*rng.standard_t(3, (2, n))) <= 0.05 for _ in range(400)]
    assert np.mean(found) <= 0.08
