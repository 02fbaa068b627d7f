import numpy as np
import pytest

from palimpsest.benchmark.metrics import ACCURACY
from palimpsest.reports.statistics.collapse import GAP, Strays, strays
from palimpsest.reports.statistics.interval import mean_estimate
from palimpsest.reports.wording.numbers import apart, percent


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ([0.9, 0.91, 0.2, 0.92, 0.9], Strays(1, below=True)),
        ([0.9, 0.2, 0.3, 0.92, 0.9], Strays(2, below=True)),
        ([0.1, 0.12, 0.11, 0.95], Strays(1, below=False)),
        ([0.9, 0.91, 0.9 - GAP - 0.001, 0.92], Strays(1, below=True)),
        ([0.9, 0.91, 0.9 - GAP + 0.001, 0.92], None),
        ([0.9, 0.6, 0.5, 0.75, 0.2], None),  # as far apart as the rest is wide
        ([0.0, 0.5, 0.75, 1.0], None),  # exactly as far
        ([0.9, 0.9, 0.2, 0.2], None),  # which half is right?
        ([0.9, 0.2], None),
        ([0.9], None),
        ([], None),
    ],
)
def test_the_rule_by_hand(values, found):
    assert strays(values) == found
    assert strays(values[::-1]) == found
    turned = None if found is None else Strays(found.count, not found.below)
    assert strays([-value for value in values]) == turned


def test_it_finds_collapses_and_not_much_else():
    rng = np.random.default_rng(3)
    plain = rng.normal(0.8, 0.05, (1000, 5))
    assert not any(strays(row) for row in plain)
    assert np.mean([strays(row) is not None for row in rng.normal(0.6, 0.1, (1000, 5))]) < 0.1
    collapsed = rng.random((1000, 5)) < 0.15
    some = (collapsed.sum(axis=1) > 0) & (collapsed.sum(axis=1) < 3)
    values = np.where(collapsed, rng.normal(0.4, 0.1, (1000, 5)), plain + 0.1)
    found = [strays(row) for row in values[some]]
    assert np.mean([one is not None for one in found]) > 0.97
    counted = [
        one is not None and one.count == n
        for one, n in zip(found, collapsed[some].sum(1), strict=True)
    ]
    assert np.mean(counted) > 0.9


def test_a_number_says_it_with_its_median():
    found = mean_estimate({"": [0.9, 0.91, 0.2, 0.92, 0.9]}, ACCURACY)
    assert apart(found, percent) == "1 of 5 seeds far below, median\xa090.0"
    assert apart(-found, percent) == "1 of 5 seeds far above, median\xa0−90.0"
    assert apart(mean_estimate({"": [0.9, 0.91, 0.92, 0.9]}, ACCURACY), percent) == ""


def test_seconds_are_no_fractions():
    assert mean_estimate({"": [1.0, 1.1, 9.0, 1.0]}).strays is None
