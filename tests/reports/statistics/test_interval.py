from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from palimpsest.benchmark.metrics import ACCURACY, CHANGE, Bounds
from palimpsest.reports.statistics.bootstrap import RESAMPLES, iqm_and_median, seed_weights
from palimpsest.reports.statistics.interval import Estimate, mean_estimate, student_estimate

VALUES = [0.91, 0.87, 0.93, 0.66, 0.9]
STRATA = {"a": VALUES, "b": [0.5, 0.52, 0.4, 0.45], "c": [0.7, 0.71, 0.74, 0.69]}


def ends(found: Estimate) -> tuple[float, float]:
    assert found.low is not None
    assert found.high is not None
    return found.low, found.high


SEEDED = {
    "a": dict(enumerate(VALUES)),
    "b": {3: 0.5, 1: 0.52, 0: 0.4, 9: 0.45},
    "c": {2: 0.7, 0: 0.71, 1: 0.74, 3: 0.69},
}


@pytest.mark.parametrize("values", [VALUES, VALUES[:4]])
def test_a_mean_has_students_interval_as_scipy_has_it(values):
    found = mean_estimate({"": values})
    expected = stats.t.interval(0.95, len(values) - 1, np.mean(values), stats.sem(values))
    assert found.value == pytest.approx(np.mean(values))
    assert ends(found) == pytest.approx(expected, abs=1e-12)
    assert (found.n, found.minimum, found.maximum) == (len(values), min(values), max(values))
    assert found.median == np.median(values)


@pytest.mark.parametrize("shift", [0.85, 0.74, 0.7])
def test_the_p_value_is_that_of_the_interval(shift):
    values = [value - shift for value in VALUES]
    found = mean_estimate({"": values})
    assert found.p == pytest.approx(stats.ttest_1samp(values, 0).pvalue)
    low, high = ends(found)
    assert (found.p < 0.05) == (not low <= 0 <= high)
    assert (-found).p == found.p


def test_without_a_spread_or_an_interval_there_is_no_test():
    assert mean_estimate({"": VALUES[:3]}).p is None
    assert mean_estimate({"": [0.5] * 4}).p == 0
    assert mean_estimate({"": [0.0] * 4}).p == 1


def test_scenarios_with_the_same_seeds_have_the_interval_of_the_seeds_means():
    values = np.random.default_rng(0).random((3, 5))
    found = mean_estimate({str(k): dict(enumerate(row)) for k, row in enumerate(values)})
    means = values.mean(axis=0)
    assert ends(found) == pytest.approx(stats.t.interval(0.95, 4, means.mean(), stats.sem(means)))
    assert found.seeds == pytest.approx(means)
    assert found.n == 15


def test_scenarios_without_a_seed_in_common_have_errors_that_add_up():
    a, b = np.random.default_rng(0).random((2, 5))
    found = mean_estimate({"a": dict(enumerate(a)), "b": dict(enumerate(b, 5))})
    error = np.hypot(stats.sem(a), stats.sem(b)) / 2
    low, high = ends(found)
    assert (high - low) / 2 == pytest.approx(stats.t.ppf(0.975, 4) * error)
    assert found == mean_estimate({"a": list(a), "b": list(b)})  # nothing known to be shared
    assert found.seeds == ()


def test_some_shared_seeds_against_a_plain_loop():
    found = mean_estimate(SEEDED)
    total = 0.0
    for seed in range(10):
        part = 0.0
        for values in SEEDED.values():
            if seed in values:
                n, mean = len(values), np.mean(list(values.values()))
                part += (values[seed] - mean) * np.sqrt(n / (n - 1)) / n / 3
        total += part**2
    low, high = ends(found)
    assert (high - low) / 2 == pytest.approx(stats.t.ppf(0.975, 3) * np.sqrt(total))


@pytest.mark.parametrize(
    ("values", "limits", "expected"),
    [
        ([0.99, 1.0, 0.9, 0.97], ACCURACY, (None, 1.0)),
        ([0.0, 0.02, 0.2, 0.01], ACCURACY, (0.0, None)),
        ([-0.9, 0.9, 0.9, 0.9], CHANGE, (None, 1.0)),
    ],
)
def test_no_interval_leaves_what_the_number_can_be(values, limits, expected):
    free, low, high = mean_estimate({"": values}), *ends(mean_estimate({"": values}, limits))
    assert limits[0] <= low <= np.mean(values) <= high <= limits[1]
    assert (low, high) == (
        free.low if expected[0] is None else expected[0],
        free.high if expected[1] is None else expected[1],
    )


@pytest.mark.parametrize("n", [1, 2, 3])
def test_below_four_seeds_there_are_the_seeds_and_no_interval(n):
    found = mean_estimate({"": dict(enumerate(VALUES[:n]))}, ACCURACY)
    assert (found.low, found.high, found.seeds) == (None, None, tuple(VALUES[:n]))
    assert student_estimate(0.5, 0.1, n - 1, n).low is None
    for other in iqm_and_median({"": VALUES[:n]}):
        assert other.low is None


def test_only_of_fractions_seeds_are_far_from_the_others():
    values = {"": [0.9, 0.91, 0.92, 0.93, 0.1]}
    assert mean_estimate(values, Bounds(0, 1)).strays is not None
    found = mean_estimate(values, Bounds(0, 1, fraction=False))
    assert found.strays is None
    assert found.high == 1  # but its interval ends likewise


def test_minus():
    found = mean_estimate({"": VALUES}, ACCURACY)
    assert -found == replace(
        mean_estimate({"": [-value for value in VALUES]}, Bounds(-1, 0)),
        seeds=tuple(-value for value in found.seeds),
    )


def test_iqm_and_median_agree_with_a_plain_loop_over_whole_seeds():
    pooled = np.concatenate([list(values.values()) for values in SEEDED.values()])
    iqm, median = iqm_and_median(SEEDED)
    assert iqm.value == pytest.approx(stats.trim_mean(pooled, 0.25))
    assert median.value == pytest.approx(np.median(pooled))
    seeds = sorted({seed for values in SEEDED.values() for seed in values})
    drawn = [
        np.repeat(
            [values[s] for values in SEEDED.values() for s in seeds if s in values],
            [row[seeds.index(s)] for values in SEEDED.values() for s in seeds if s in values],
        )
        for row in np.rint(len(seeds) * seed_weights(len(seeds))).astype(int)
    ]
    t = stats.t.ppf(0.975, 3)
    for found, statistic in ((iqm, lambda x: stats.trim_mean(x, 0.25)), (median, np.median)):
        half = t * np.std([statistic(sample) for sample in drawn])
        low, high = ends(found)
        assert (high - low) / 2 == pytest.approx(half, rel=1e-9)
        assert (high + low) / 2 == pytest.approx(found.value)


@pytest.mark.parametrize("n", [1, 2, 3, 4, 7, 8])
def test_iqm_and_median_of_any_count(n):
    values = np.random.default_rng(n).random(n)
    iqm, median = iqm_and_median({"": values})
    assert iqm.value == pytest.approx(stats.trim_mean(values, 0.25))
    assert median.value == pytest.approx(np.median(values))


def test_so_few_runs_that_nothing_is_cut_off_are_the_mean():
    three, two = {"": [0.5, 0.6, 0.9]}, {"": [0.5, 0.6]}
    assert iqm_and_median(three)[0] == mean_estimate(three)
    assert iqm_and_median(two) == (mean_estimate(two),) * 2


def test_bootstrap_error_of_a_mean_gives_nearly_students_interval():
    values = np.array(VALUES)
    error = (seed_weights(5) @ values).std() * np.sqrt(5 / 4)
    expected = stats.t.interval(0.95, 4, 0.854, stats.sem(values))
    assert ends(student_estimate(0.854, error, 4, 5)) == pytest.approx(expected, rel=0.02)
    exact = student_estimate(0.854, stats.sem(values), 4, 5)
    assert ends(exact) == pytest.approx(expected)


def test_resampling_weights_are_shares_of_seeds():
    weights = seed_weights(4)
    assert weights.sum(axis=1) == pytest.approx(1)
    assert weights.mean(axis=0) == pytest.approx(0.25, abs=0.02)
    assert weights.var(axis=0) == pytest.approx((1 / 4) * (3 / 4) / 4, rel=0.15)  # binomial
    assert len(weights) == RESAMPLES == 1000


def test_order_of_runs_and_scenarios_changes_nothing():
    turned = {name: STRATA[name][::-1] for name in reversed(STRATA)}
    assert mean_estimate(turned) == mean_estimate(STRATA)
    assert iqm_and_median(turned) == iqm_and_median(STRATA)
    swapped = {name: dict(reversed(SEEDED[name].items())) for name in reversed(SEEDED)}
    assert mean_estimate(swapped) == mean_estimate(SEEDED)
    assert iqm_and_median(swapped) == iqm_and_median(SEEDED)
    one = dict(enumerate(VALUES))
    assert mean_estimate({"": dict(reversed(one.items()))}).seeds == tuple(VALUES)


def test_undefined_values_are_left_out():
    assert mean_estimate({"": [None, *VALUES, None]}) == mean_estimate({"": VALUES})


def test_one_seed_in_a_scenario_gives_no_interval():
    strata = {"a": VALUES, "b": [0.5]}
    assert mean_estimate(strata) == Estimate(pytest.approx((0.854 + 0.5) / 2), None, None, 6)
    for found in iqm_and_median(strata):
        assert found.value is not None
        assert (found.low, found.high, found.n) == (None, None, 6)


@pytest.mark.parametrize("strata", [{}, {"a": []}, {"a": VALUES, "b": [None]}])
def test_a_scenario_without_values_gives_no_mean(strata):
    found = mean_estimate(strata)
    assert (found.value, found.low) == (None, None)
    assert iqm_and_median(strata) == (found, found)


def test_equal_values_give_an_interval_of_no_width():
    for found in (
        mean_estimate({"a": [0.1] * 5, "b": [0.3] * 4}),
        iqm_and_median({"a": [0.1] * 4})[0],
    ):
        assert found.low == found.high == found.value
