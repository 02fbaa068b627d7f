import math

import numpy as np
import pytest
from scipy import stats

from reports.statistics import Interval, half_width, mean_interval

VALUES = [0.91, 0.87, 0.93, 0.66, 0.9]


def test_interval_is_students_as_scipy_has_it():
    found = mean_interval(VALUES)
    low, high = stats.t.interval(0.95, len(VALUES) - 1, np.mean(VALUES), stats.sem(VALUES))
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-12)
    assert found.minimum == 0.66


def test_interval_by_hand():
    # s = 0.1 * sqrt(2), t(0.975, 1) = 12.706, half = 12.706 * s / sqrt(2) = 1.2706
    found = mean_interval([0.4, 0.6])
    assert found.mean == pytest.approx(0.5)
    assert found.half == pytest.approx(1.2706, abs=1e-4)


def test_undefined_values_are_left_out():
    assert mean_interval([None, 0.4, None, 0.6]) == mean_interval([0.4, 0.6])


@pytest.mark.parametrize("values", [[], [None, None]])
def test_no_values_no_mean(values):
    found = mean_interval(values)
    assert found == Interval(0)
    assert found.low is None
    assert found.high is None


def test_one_seed_has_no_interval():
    found = mean_interval([0.5])
    assert (found.n, found.mean, found.half, found.low) == (1, 0.5, None, None)


def test_equal_values_have_an_interval_of_no_width():
    assert mean_interval([0.5, 0.5, 0.5]).half == 0


def test_half_width_of_many_lines_is_that_of_each():
    rng = np.random.default_rng(0)
    lines = rng.random((7, 4))
    found = half_width(lines.std(axis=1, ddof=1), np.full(7, 4))
    assert found == pytest.approx([mean_interval(line).half for line in lines.tolist()])
    assert math.isnan(half_width(float("nan"), 1))


def test_interval_covers_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(1)
    samples = rng.normal(0.5, 0.1, (2000, 5))
    half = half_width(samples.std(axis=1, ddof=1), np.full(2000, 5))
    covered = np.abs(samples.mean(axis=1) - 0.5) <= half
    assert covered.mean() == pytest.approx(0.95, abs=0.015)
