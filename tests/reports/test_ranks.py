import numpy as np
import pytest
from scipy import stats

from reports.ranks import critical_difference, groups, rank

SCORES = {
    "a": [0.9, 0.8, 0.7, 0.6],
    "b": [0.8, 0.7, 0.7, 0.5],
    "c": [0.1, 0.9, 0.2, 0.1],
}


@pytest.mark.parametrize(
    ("k", "q"),
    [(2, 1.960), (3, 2.343), (4, 2.569), (5, 2.728), (6, 2.850), (7, 2.949), (8, 3.031),
     (9, 3.102), (10, 3.164)],
)  # fmt: skip
def test_critical_difference_against_the_table_of_demsar(k, q):
    assert critical_difference(k, 10) == pytest.approx(q * np.sqrt(k * (k + 1) / 60), abs=1e-3)


def test_critical_difference_of_demsars_example():
    # Demsar 2006, section 3.2.2: four classifiers, 14 data sets, CD = 1.25; the largest
    # difference, 3.143 - 1.964, is smaller.
    average = {"C4.5": 3.143, "C4.5+m": 2.000, "C4.5+cf": 2.893, "C4.5+m+cf": 1.964}
    difference = critical_difference(4, 14)
    assert difference == pytest.approx(1.25, abs=5e-3)
    assert groups(average, difference) == (("C4.5+m+cf", "C4.5+m", "C4.5+cf", "C4.5"),)


def test_friedman_is_scipys_and_ranks_share_ties():
    found = rank(SCORES)
    # Ranks: a 1, 2, 1.5, 1; b 2, 3, 1.5, 2; c 3, 1, 3, 3.
    assert found.average == pytest.approx({"a": 1.375, "b": 2.125, "c": 2.5})
    assert list(found.average) == ["a", "b", "c"]
    assert found.scenarios == 4
    expected = stats.friedmanchisquare(*SCORES.values())
    assert (found.statistic, found.p) == pytest.approx((expected.statistic, expected.pvalue))


def test_friedman_by_the_formula():
    rng = np.random.default_rng(1)
    table = rng.random((5, 9))
    found = rank({str(i): row for i, row in enumerate(table)})
    n, k = 9, 5
    average = np.array(list(found.average.values()))
    square = 12 * n / (k * (k + 1)) * ((average**2).sum() - k * (k + 1) ** 2 / 4)
    assert found.statistic == pytest.approx(square)


def test_order_of_strategies_and_scenarios_changes_nothing():
    turned = {name: SCORES[name][::-1] for name in reversed(SCORES)}
    assert rank(turned) == rank(SCORES)


def test_scores_equal_but_for_rounding_share_a_rank():
    assert rank({"a": [0.1 + 0.2], "b": [0.3]}).average == {"a": 1.5, "b": 1.5}


@pytest.mark.parametrize(
    "scores",
    [
        {"a": [1, 2, 3], "b": [2, 3, 4]},
        {"a": [1, 2], "b": [2, 3], "c": [1, 1]},
        {"a": [1, 1, 1], "b": [1, 1, 1], "c": [1, 1, 1]},
    ],
    ids=["two strategies", "two scenarios", "all equal"],
)
def test_ranks_without_a_test(scores):
    found = rank(scores)
    assert len(found.average) == len(scores)
    assert (found.statistic, found.p, found.critical_difference) == (None, None, None)
    assert found.groups == ()


def test_nothing_to_rank():
    assert rank({}).average == {}


def test_groups_overlap_and_are_as_large_as_they_go():
    average = {"a": 1.0, "b": 1.8, "c": 2.5, "d": 4.0}
    assert groups(average, 1.6) == (("a", "b", "c"), ("c", "d"))
    assert groups(average, 1.2) == (("a", "b"), ("b", "c"))
    assert groups(average, 0.5) == ()
    assert groups(average, 9) == (("a", "b", "c", "d"),)
