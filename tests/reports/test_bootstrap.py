import numpy as np
import pytest
from scipy import stats

from reports.bootstrap import (
    SMOOTHING,
    Estimate,
    iqm_and_median,
    mean_estimate,
    seed_weights,
    student_estimate,
)

VALUES = [0.91, 0.87, 0.93, 0.66, 0.9]
STRATA = {"a": VALUES, "b": [0.5, 0.52, 0.4], "c": [0.7, 0.71, 0.74, 0.69]}


def ends(found: Estimate) -> tuple[float, float]:
    assert found.low is not None
    assert found.high is not None
    return found.low, found.high


@pytest.mark.parametrize("n", [5, 10])
@pytest.mark.parametrize("law", ["normal", "skewed"])
def test_interval_of_a_mean_covers_the_truth_as_often_as_it_says(n, law):
    rng = np.random.default_rng(n)
    shape = (2000, n)
    samples, truth = (
        (rng.normal(0.5, 0.1, shape), 0.5) if law == "normal" else (rng.beta(48, 2, shape), 0.96)
    )
    found = [ends(mean_estimate({"": sample})) for sample in samples]
    covered = np.mean([low <= truth <= high for low, high in found])
    assert 0.92 <= covered <= 0.97


def test_interval_of_a_mean_over_scenarios_covers_the_truth():
    rng = np.random.default_rng(3)
    spreads = {"a": 0.1, "b": 0.02, "c": 0.02}
    covered = []
    for _ in range(1000):
        low, high = ends(mean_estimate({k: rng.normal(0.5, s, 5) for k, s in spreads.items()}))
        covered.append(low <= 0.5 <= high)
    assert 0.92 <= np.mean(covered) <= 0.975


def test_mean_agrees_with_a_plain_loop():
    rng = np.random.default_rng(0)
    error = np.sqrt(sum(np.var(v, ddof=1) / len(v) for v in STRATA.values()))
    pivots = []
    for _ in range(5_000):
        away, variance = 0.0, 0.0
        for values in STRATA.values():
            noise = SMOOTHING * np.std(values, ddof=1) * rng.standard_normal(len(values))
            drawn = rng.choice(values, len(values)) + noise
            away += drawn.mean() - np.mean(values)
            variance += drawn.var(ddof=1) / len(values)
        pivots.append(away / np.sqrt(variance))
    upper, lower = np.quantile(pivots, [0.975, 0.025])
    found = mean_estimate(STRATA)
    middle = np.mean([np.mean(v) for v in STRATA.values()])
    assert found.value == pytest.approx(middle)
    assert found.n == 12
    expected = (middle - upper * error / 3, middle - lower * error / 3)
    width = expected[1] - expected[0]
    assert ends(found) == pytest.approx(expected, abs=0.08 * width)


def test_iqm_and_median_agree_with_a_plain_loop():
    pooled = np.concatenate([*STRATA.values()])
    iqm, median = iqm_and_median(STRATA)
    assert iqm.value == pytest.approx(stats.trim_mean(pooled, 0.25))
    assert median.value == pytest.approx(np.median(pooled))
    rng = np.random.default_rng(1)
    drawn = [
        np.concatenate([rng.choice(values, len(values)) for values in STRATA.values()])
        for _ in range(2000)
    ]
    v = np.array([np.var(values, ddof=1) / len(values) for values in STRATA.values()])
    n = np.array([len(values) for values in STRATA.values()])
    t = stats.t.ppf(0.975, v.sum() ** 2 / (v**2 / (n - 1)).sum())
    for found, statistic in ((iqm, lambda x: stats.trim_mean(x, 0.25)), (median, np.median)):
        half = t * np.std([statistic(sample) for sample in drawn])
        low, high = ends(found)
        assert (high - low) / 2 == pytest.approx(half, rel=0.1)
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


@pytest.mark.parametrize("n", [5, 10])
def test_interval_of_an_iqm_covers_the_truth_as_often_as_it_says(n):
    samples = np.random.default_rng(n).normal(0.5, 0.1, (1000, n))
    found = [ends(iqm_and_median({"": sample})[0]) for sample in samples]
    assert 0.92 <= np.mean([low <= 0.5 <= high for low, high in found]) <= 0.97


def test_resampling_weights_are_shares_of_seeds():
    weights = seed_weights(4)
    assert weights.sum(axis=1) == pytest.approx(1)
    assert weights.mean(axis=0) == pytest.approx(0.25, abs=0.02)


def test_order_of_runs_and_scenarios_changes_nothing():
    turned = {name: STRATA[name][::-1] for name in reversed(STRATA)}
    assert mean_estimate(turned) == mean_estimate(STRATA)
    assert iqm_and_median(turned) == iqm_and_median(STRATA)


def test_turned_round_is_turned_round_exactly():
    found = mean_estimate(STRATA)
    minus = mean_estimate({name: [-v for v in values] for name, values in STRATA.items()})
    low, high = ends(found)
    assert ends(minus) == pytest.approx((-high, -low), abs=1e-12)


def test_scale_and_shift_carry_over():
    low, high = ends(mean_estimate({"": VALUES}))
    scaled = mean_estimate({"": [100 * v - 7 for v in VALUES]})
    assert ends(scaled) == pytest.approx((100 * low - 7, 100 * high - 7))


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
        mean_estimate({"a": [0.1] * 3, "b": [0.3] * 2}),
        iqm_and_median({"a": [0.1] * 3})[0],
    ):
        assert found.low == found.high == found.value


def test_tied_seeds_do_not_blow_up_the_interval():
    # Plain bootstrap-t has an infinite interval here: many resamples have no spread at all.
    low, high = ends(mean_estimate({"": [0.9, 0.9, 0.9, 0.9, 0.8]}))
    half = stats.t.ppf(0.975, 4) * stats.sem([0.9, 0.9, 0.9, 0.9, 0.8])
    assert high - low < 1.5 * 2 * half
