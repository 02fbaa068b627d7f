from itertools import permutations, product

import numpy as np
import pytest
from scipy import stats

from palimpsest.reports.statistics.ranks import groups, rank


def runs(values):
    """Values by strategy, scenario and seed: (strategies, scenarios, seeds)."""
    return {
        f"s{i}": {f"k{k}": dict(enumerate(row)) for k, row in enumerate(own)}
        for i, own in enumerate(np.asarray(values).tolist())
    }


VALUES = np.random.default_rng(1).random((3, 4, 5)) + np.array([0.6, 0.3, 0.0])[:, None, None]


def test_ranks_are_those_of_every_seed_in_every_scenario():
    found = rank(runs(VALUES))
    expected = stats.rankdata(-VALUES, axis=0).mean(axis=(1, 2))
    assert found.average == pytest.approx({f"s{i}": r for i, r in enumerate(expected)})
    assert list(found.average.values()) == sorted(found.average.values())
    assert (found.scenarios, found.seeds) == (4, 5)


def test_p_is_the_share_of_all_ways_to_permute_whole_seeds():
    values = VALUES[:, :3, :3]
    blocks = stats.rankdata(-values, axis=0).mean(axis=1).T  # (seeds, strategies)
    observed = ((blocks.mean(axis=0) - 2) ** 2).sum()
    ranges, beyond = [], 0
    for orders in product(permutations(range(3)), repeat=3):
        average = np.mean([row[list(order)] for row, order in zip(blocks, orders, strict=True)], 0)
        ranges.append(np.ptp(average))
        beyond += ((average - 2) ** 2).sum() >= observed - 1e-9
    found = rank(runs(values))
    assert found.p == pytest.approx(beyond / 6**3, abs=0.02)
    assert np.mean(np.array(ranges) >= found.critical_difference) <= 0.05 + 0.01
    assert np.mean(np.array(ranges) >= found.critical_difference - 1e-6) > 0.02


def test_with_one_value_a_seed_it_is_friedmans_test():
    values = np.repeat(np.random.default_rng(5).random((4, 1, 12)), 3, axis=1)
    found = rank(runs(values))
    assert found.p == pytest.approx(stats.friedmanchisquare(*values[:, 0]).pvalue, abs=0.03)


@pytest.mark.parametrize("correlation", [0.0, 0.9])
def test_equal_strategies_are_seldom_told_apart_though_scenarios_share_seeds(correlation):
    rng = np.random.default_rng(3)
    alarms, apart = [], []
    for _ in range(60):
        common, own = rng.standard_normal((4, 1, 5)), rng.standard_normal((4, 6, 5))
        found = rank(runs(np.sqrt(correlation) * common + np.sqrt(1 - correlation) * own))
        alarms.append(found.p < 0.05)
        apart.append(len(max(found.groups, key=len, default=())) < 4)
    assert np.mean(alarms) <= 0.12  # Friedman's test of the scenarios' means: 0.9 at 0.9
    assert np.mean(apart) <= 0.12


def test_what_every_seed_shows_is_found():
    found = rank(runs(VALUES * 0.1 + np.array([0.6, 0.3, 0.0])[:, None, None]))
    assert found.p < 0.01
    assert found.average == {"s0": 1, "s1": 2, "s2": 3}


def test_order_of_strategies_scenarios_and_seeds_changes_nothing():
    turned = {
        name: {k: dict(reversed(seeds.items())) for k, seeds in reversed(own.items())}
        for name, own in reversed(runs(VALUES).items())
    }
    assert rank(turned) == rank(runs(VALUES))


def test_only_seeds_that_all_strategies_have_are_ranked():
    some = runs(VALUES)
    some["s1"]["k0"][2] = None
    del some["s2"]["k0"][4]
    expected = runs(VALUES)
    for own in expected.values():
        del own["k0"][2], own["k0"][4]
    assert rank(some) == rank(expected)
    assert rank(some).seeds == 5
    assert rank({"a": {"k": {0: 0.5}}, "b": {"k": {1: 0.5}}}).average == {}


def test_values_equal_but_for_rounding_share_a_rank():
    assert rank(runs([[[0.1 + 0.2]], [[0.3]]])).average == {"s0": 1.5, "s1": 1.5}


@pytest.mark.parametrize(
    "values",
    [VALUES[:2], VALUES[:, :2], VALUES[:, :, :2], np.ones((3, 3, 3))],
    ids=["two strategies", "two scenarios", "two seeds", "all equal"],
)
def test_ranks_without_a_test(values):
    found = rank(runs(values))
    assert len(found.average) == len(values)
    assert (found.p, found.critical_difference, found.groups) == (None, None, ())


def test_nothing_to_rank():
    assert rank({}).average == {}


def test_groups_overlap_and_are_as_large_as_they_go():
    average = {"a": 1.0, "b": 1.8, "c": 2.5, "d": 4.0}
    assert groups(average, 1.6) == (("a", "b", "c"), ("c", "d"))
    assert groups(average, 1.2) == (("a", "b"), ("b", "c"))
    assert groups(average, 0.5) == ()
    assert groups(average, 9) == (("a", "b", "c", "d"),)
