import numpy as np
import pytest
from scipy import stats

from reports.bootstrap import Estimate, mean_estimate
from reports.comparison import (
    SIGN_FLIP,
    WILCOXON,
    compare,
    effect_size,
    holm,
    rank_biserial,
    smallest_p,
)

RNG = np.random.default_rng(4)


def runs(*scenarios):
    return {f"s{i}": dict(enumerate(values)) for i, values in enumerate(scenarios)}


def shifted(differences):
    """Two variants that differ so."""
    base = np.random.default_rng(0).random(len(differences))
    return runs(base + differences), runs(base)


def test_few_pairs_take_scipys_exact_permutation_test():
    differences = RNG.normal(0.5, 1, 7)
    expected = stats.permutation_test(
        (differences,), np.mean, permutation_type="samples", n_resamples=np.inf
    )
    found = compare(*shifted(differences))
    assert found.test == SIGN_FLIP
    assert found.p == pytest.approx(expected.pvalue, abs=1e-12)


def test_scenarios_count_alike_in_the_permutation_test():
    first, second = RNG.normal(0.5, 1, 2), RNG.normal(0.2, 1, 5)

    def statistic(flipped, axis):
        return (flipped[..., :2].mean(axis=axis) + flipped[..., 2:].mean(axis=axis)) / 2

    expected = stats.permutation_test(
        (np.concatenate([first, second]),),
        statistic,
        permutation_type="samples",
        vectorized=True,
        n_resamples=np.inf,
    )
    found = compare(runs(first, second), runs(0 * first, 0 * second))
    assert found.p == pytest.approx(expected.pvalue, abs=1e-12)


def test_many_pairs_take_scipys_wilcoxon_test_without_equal_pairs():
    differences = np.array([*RNG.normal(0.5, 1, 20), 0.0, 0.0])
    found = compare(*shifted(differences))
    assert found.test == WILCOXON
    assert found.p == pytest.approx(stats.wilcoxon(differences[:20]).pvalue)


def test_difference_is_the_stratified_mean_with_its_interval():
    ours, theirs = runs([0.9, 0.8, 0.85], [0.5, 0.7]), runs([0.8, 0.75, 0.7], [0.6, 0.6])
    found = compare(ours, theirs)
    assert found.difference.value == pytest.approx((0.1 + 0.0) / 2)
    expected = mean_estimate({"s0": [0.1, 0.05, 0.15], "s1": [-0.1, 0.1]})
    assert found.difference.low == pytest.approx(expected.low)
    assert found.difference.n == 5


def test_only_pairs_with_both_values_count_in_any_order():
    ours = {"s": {3: 0.9, 1: 0.8, 2: None, 0: 0.7, 7: 0.1}}
    theirs = {"s": {0: 0.6, 1: 0.75, 2: 0.5, 3: 0.7}}
    found = compare(ours, theirs)
    assert found.difference.n == 3
    assert found.difference.value == pytest.approx((0.2 + 0.05 + 0.1) / 3)
    assert found == compare({"s": dict(sorted(ours["s"].items()))}, theirs)


def test_turned_round():
    ours, theirs = shifted(RNG.normal(0.5, 1, 6))
    there, back = compare(ours, theirs), compare(theirs, ours)
    assert back.p == pytest.approx(there.p)
    assert back.effect == pytest.approx(-there.effect)
    assert back.rank_biserial == pytest.approx(-there.rank_biserial)
    assert back.improvement.value == pytest.approx(1 - there.improvement.value)
    assert back.improvement.low == pytest.approx(1 - there.improvement.high)
    assert back.difference.low == pytest.approx(-there.difference.high)


@pytest.mark.parametrize("n", [5, 20])
def test_equal_variants_do_not_differ(n):
    found = compare(*shifted(np.zeros(n)))
    assert (found.p, found.effect, found.rank_biserial) == (1.0, 0.0, 0.0)
    assert (found.difference.low, found.difference.high) == (0.0, 0.0)
    assert found.improvement.value == 0.5


@pytest.mark.parametrize(
    ("ours", "theirs", "n"),
    [
        (runs([0.5]), runs([0.4]), 1),
        (runs([0.5, 0.6], [0.5]), runs([0.4, 0.3], [None]), 2),
        ({}, {}, 0),
        ({"a": {0: 0.5, 1: 0.6}}, {"b": {0: 0.5, 1: 0.6}}, 0),
    ],
)
def test_no_test_without_pairs_in_every_scenario(ours, theirs, n):
    found = compare(ours, theirs)
    assert (found.test, found.p, found.effect) == (None, None, None)
    assert found.difference.n == n


def test_smallest_p_is_reached_where_all_pairs_point_one_way():
    for n in (2, 3, 5, 8):
        found = compare(*shifted(np.linspace(0.1, 0.3, n)))
        assert found.p == found.smallest_p == smallest_p(n) == 2.0 ** (1 - n)
    assert smallest_p(5) > 0.05 > smallest_p(6)
    assert smallest_p(0) == 1


def test_false_alarms_are_as_rare_as_the_level_says():
    rng = np.random.default_rng(8)
    found = [compare(*shifted(rng.normal(0, 1, 8))).p <= 0.05 for _ in range(500)]
    assert 0.02 <= np.mean(found) <= 0.07


def test_holm_by_hand_and_in_any_order():
    # Holm: 4 * 0.005, 3 * 0.01, 2 * 0.03, then not below the one before.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.04, 0.005, 0.01, 0.03]) == pytest.approx([0.06, 0.02, 0.03, 0.06])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([None, 0.02, None]) == [None, 0.02, None]
    assert holm([]) == []


def test_effect_size_against_the_textbook():
    differences = np.array([0.1, 0.3, 0.2, 0.4])
    plain = differences.mean() / differences.std(ddof=1)
    # Hedges 1981, table 1: the exact J of 3 degrees of freedom is 0.7236.
    assert effect_size(differences) == pytest.approx(0.7236 * plain, rel=1e-4)
    assert effect_size(differences * 10) == pytest.approx(effect_size(differences))


def test_effect_size_is_unbiased():
    samples = np.random.default_rng(2).normal(0.8, 1, (20_000, 5))
    assert np.mean([effect_size(sample) for sample in samples]) == pytest.approx(0.8, abs=0.02)


def test_effect_size_where_it_is_not_defined():
    assert effect_size(np.array([0.1, 0.2])) is None
    assert effect_size(np.array([0.2, 0.2, 0.2])) is None


def test_rank_biserial_by_hand():
    # Ranks 1, 2, 3, 4 of 0.1, -0.2, 0.3, 0.4: (8 - 2) / 10.
    assert rank_biserial(np.array([0.1, -0.2, 0.3, 0.4, 0.0])) == pytest.approx(0.6)


def test_improvement_by_hand():
    found = compare(*shifted(np.array([0.1, 0.2, 0.0, -0.1, 0.3]))).improvement
    assert found.value == pytest.approx(3.5 / 5)
    # Wilson by its quadratic: |share - p| = z sqrt(p (1 - p) / n) at both ends.
    for end in (found.low, found.high):
        assert abs(0.7 - end) == pytest.approx(1.959964 * np.sqrt(end * (1 - end) / 5), rel=1e-5)
    sure = compare(*shifted(np.full(5, 0.1))).improvement
    assert sure == Estimate(1.0, pytest.approx(0.5655, abs=1e-4), 1.0, 5)
    by_scipy = stats.binomtest(5, 5).proportion_ci(method="wilson")
    assert sure.low == pytest.approx(by_scipy.low)
