import numpy as np
import pytest
from scipy import stats

from palimpsest.benchmark.metrics import CHANGE
from palimpsest.reports.analysis.verdicts import Verdict, judged
from palimpsest.reports.statistics.interval import Estimate, mean_estimate
from palimpsest.reports.statistics.pairs import compare_pairs, effect_size, holm, rank_biserial
from palimpsest.reports.statistics.ratio import ratio_of_means
from palimpsest.reports.statistics.two_samples import compare_independent

RNG = np.random.default_rng(4)


def runs(*scenarios):
    return {f"s{i}": dict(enumerate(values)) for i, values in enumerate(scenarios)}


def shifted(differences):
    """Two variants that differ so."""
    base = np.random.default_rng(0).random(len(differences))
    return runs(base + differences), runs(base)


def shifted_in(scenarios, differences):
    """The same, alike in so many scenarios."""
    return runs(*[differences] * scenarios), runs(*[np.zeros(len(differences))] * scenarios)


def test_false_alarms_do_not_grow_with_scenarios_that_share_their_seeds():
    rng = np.random.default_rng(8)
    found = []
    for _ in range(400):
        common, own = rng.standard_t(3, (2, 3, 8))
        found.append(
            compare_pairs(runs(*(0.9 * common[:1] + 0.4 * own)), runs(*np.zeros((3, 8)))).p
        )
    assert 0.02 <= np.mean(np.array(found) <= 0.05) <= 0.075


def test_difference_is_the_stratified_mean_with_its_interval():
    ours, theirs = (
        runs([0.9, 0.8, 0.85, 0.9], [0.5, 0.7, 0.6, 0.6]),
        runs([0.8, 0.75, 0.7, 0.7], [0.6, 0.6, 0.6, 0.5]),
    )
    found = compare_pairs(ours, theirs)
    assert found.difference.value == pytest.approx((0.125 + 0.025) / 2)
    moved = {"s0": [0.1, 0.05, 0.15, 0.2], "s1": [-0.1, 0.1, 0.0, 0.1]}
    expected = mean_estimate({name: dict(enumerate(values)) for name, values in moved.items()})
    assert found.difference.low == pytest.approx(expected.low)
    assert found.difference.n == 8


def test_only_pairs_with_both_values_count_in_any_order():
    ours = {"s": {3: 0.9, 1: 0.8, 2: None, 0: 0.7, 7: 0.1}}
    theirs = {"s": {0: 0.6, 1: 0.75, 2: 0.5, 3: 0.7}}
    found = compare_pairs(ours, theirs)
    assert found.difference.n == 3
    assert found.difference.value == pytest.approx((0.2 + 0.05 + 0.1) / 3)
    assert found == compare_pairs({"s": dict(sorted(ours["s"].items()))}, theirs)


def test_turned_round():
    ours, theirs = shifted(RNG.normal(0.5, 1, 6))
    there, back = compare_pairs(ours, theirs), compare_pairs(theirs, ours)
    assert back.p == pytest.approx(there.p)
    assert back.effect == pytest.approx(-there.effect)
    assert back.rank_biserial == pytest.approx(-there.rank_biserial)
    assert back.improvement.value == pytest.approx(1 - there.improvement.value)
    assert back.improvement.low == pytest.approx(1 - there.improvement.high)
    assert back.difference.low == pytest.approx(-there.difference.high)


@pytest.mark.parametrize("n", [5, 20])
def test_equal_variants_do_not_differ(n):
    found = compare_pairs(*shifted(np.zeros(n)))
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
    found = compare_pairs(ours, theirs)
    assert (found.p, found.effect) == (None, None)
    assert found.difference.n == n


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
    found = compare_pairs(*shifted(np.array([0.1, 0.2, 0.0, -0.1, 0.3]))).improvement
    assert found.value == pytest.approx(3.5 / 5)
    # Wilson by its quadratic: |share - p| = z sqrt(p (1 - p) / n) at both ends.
    for end in (found.low, found.high):
        assert abs(0.7 - end) == pytest.approx(1.959964 * np.sqrt(end * (1 - end) / 5), rel=1e-5)
    sure = compare_pairs(*shifted(np.full(5, 0.1))).improvement
    assert sure == Estimate(1.0, pytest.approx(0.5655, abs=1e-4), 1.0, 5)
    by_scipy = stats.binomtest(5, 5).proportion_ci(method="wilson")
    assert sure.low == pytest.approx(by_scipy.low)


@pytest.mark.parametrize("n", [2, 3, 4, 5, 10])
def test_the_interval_the_p_value_and_the_verdict_say_the_same(n):
    rng = np.random.default_rng(n)
    for shift in rng.normal(0, 0.03, 200):
        moved = np.round(shift + rng.normal(0, 0.02, n), 2)
        found = compare_pairs(*shifted(moved), CHANGE)
        word = judged(found.difference)
        if n < 4:
            assert (found.p, word) == (None, Verdict.UNDETERMINED)
            continue
        assert (word in {Verdict.BETTER, Verdict.WORSE}) == (found.p < 0.05)
        if np.ptp(moved):
            assert found.p == pytest.approx(stats.ttest_1samp(moved, 0).pvalue)


@pytest.mark.parametrize("n", [4, 5, 10])
def test_so_they_do_over_several_scenarios(n):
    """The test is of the means of whole seeds, which the scenarios share."""
    rng = np.random.default_rng(n)
    decided = 0
    for shift in rng.normal(0, 0.03, 200):
        moved = np.round(shift + rng.normal(0, 0.02, n) + rng.normal(0, 0.02, (3, n)), 2)
        found = compare_pairs(runs(*(0.5 + moved)), runs(*np.full((3, n), 0.5)), CHANGE)
        certain = judged(found.difference) in {Verdict.BETTER, Verdict.WORSE}
        assert certain == (found.p < 0.05)
        decided += certain
        if np.ptp(moved.mean(axis=0)) > 1e-9:
            assert found.p == pytest.approx(stats.ttest_1samp(moved.mean(axis=0), 0).pvalue)
    assert 40 < decided < 160


@pytest.mark.parametrize("sizes", [(4, 4), (4, 9), (10, 6)])
def test_so_they_do_between_different_seeds(sizes):
    rng = np.random.default_rng(sizes)
    decided = 0
    for shift in rng.normal(0, 0.04, 200):
        a = 0.5 + np.round(rng.normal(0, 0.03, sizes[0]), 2)
        b = 0.5 + np.round(shift + rng.normal(0, 0.01, sizes[1]), 2)
        found = compare_independent(list(a), list(b), CHANGE)
        certain = found.difference.low > 0 or found.difference.high < 0
        assert found.p is None or certain == (found.p < 0.05)
        decided += certain
        if np.ptp(a) and np.ptp(b):
            assert found.p == pytest.approx(stats.ttest_ind(b, a, equal_var=False).pvalue)
    assert 40 < decided < 180


@pytest.mark.parametrize("n", [4, 5, 10])
def test_so_they_do_of_a_ratio_of_means(n):
    """Where Fieller's interval is bounded; elsewhere there is neither interval nor test."""
    rng = np.random.default_rng(n)
    decided = bounded = 0
    for shift in rng.normal(0, 0.05, 300):
        below = rng.normal(0.1, 0.06, n)
        above = shift + 0.5 * (below - 0.1) + rng.normal(0, 0.03, n)
        found = ratio_of_means(above, below)
        assert (found.p is None) == (found.low is None)
        if found.p is None:
            continue
        bounded += 1
        certain = found.low > 0 or found.high < 0
        assert certain == (found.p < 0.05)
        decided += certain
        assert found.p == pytest.approx(stats.ttest_1samp(above, 0).pvalue)
    assert bounded > 150
    assert 0.2 < decided / bounded < 0.9
