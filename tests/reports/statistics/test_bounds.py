import math

import numpy as np
import pytest
from scipy import stats

from palimpsest.benchmark.metrics import ACCURACY, CHANGE, METRICS, Bounds, Metric
from palimpsest.reports.statistics.interval import FEWEST_SEEDS, half_width

VALUES = np.array([0.91, 0.87, 0.93, 0.66, 0.9])


def test_half_width_is_students_as_scipy_has_it():
    low, high = stats.t.interval(0.95, 4, VALUES.mean(), stats.sem(VALUES))
    half = half_width(VALUES.std(ddof=1), 5)
    assert (VALUES.mean() - half, VALUES.mean() + half) == pytest.approx((low, high), abs=1e-12)


def test_half_width_by_hand():
    # s = 0.1, t(0.975, 3) = 3.1824, half = 3.1824 * 0.1 / 2
    assert half_width(0.1, 4) == pytest.approx(0.15912, abs=1e-5)


def test_half_width_of_many_lines_is_that_of_each():
    lines = np.random.default_rng(0).random((7, 4))
    found = half_width(lines.std(axis=1, ddof=1), np.full(7, 4))
    assert found == pytest.approx([float(half_width(line.std(ddof=1), 4)) for line in lines])


@pytest.mark.parametrize("n", range(FEWEST_SEEDS))
def test_few_seeds_have_no_interval(n):
    assert math.isnan(half_width(0.1, n))


def test_what_a_metric_can_be():
    assert (
        METRICS["worst_case_accuracy"].bounds
        == METRICS["stability"].bounds
        == ACCURACY
        == (0, 1, True)
    )
    assert METRICS["plasticity"].bounds == METRICS["forgetting"].bounds == CHANGE == (-1, 1, True)
    assert METRICS["forgetting_reduction"].bounds == (-math.inf, math.inf, True)
    assert ACCURACY.of_difference == CHANGE
    assert Bounds(0, 3, fraction=False).of_difference == (-3, 3, False)


def test_a_metric_of_a_plugin_ends_where_it_says(registries):
    with registries():
        METRICS["steps"] = Metric("steps", len, "steps", unit="steps", bounds=(0, 50))
        assert METRICS["steps"].bounds == (0, 50, False)
