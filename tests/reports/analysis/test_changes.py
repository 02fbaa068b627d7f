"""What changed between two stores: against SciPy, and case by case."""

from dataclasses import replace

import numpy as np
import pytest
from fixed_metrics import with_metrics
from scipy import stats

from palimpsest.benchmark.metrics import CHANGE, METRICS, Bounds, Metric
from palimpsest.benchmark.suites.spec import Spec
from palimpsest.reports.analysis.changes import Outcome, compare_stores
from palimpsest.reports.statistics.pairs import compare_pairs as paired
from palimpsest.reports.statistics.two_samples import (
    compare_independent,
    compare_paired,
    compare_samples,
)

RNG = np.random.default_rng(5)
BEFORE, AFTER = 0.8 + 0.02 * RNG.standard_normal((2, 6))


def by_seed(values, first=0):
    return {first + place: float(value) for place, value in enumerate(values)}


def runs(record, values, *, metric="stability", first=0, **settings):
    """Finished runs, one per seed, of which only one metric is defined."""
    made = [record([[0.5]], seed=first + place, **settings) for place in range(len(values))]
    return [with_metrics(one, **{metric: value}) for one, value in zip(made, values, strict=True)]


def verdict(record, a, b, metric="stability"):
    found = compare_stores(runs(record, a, metric=metric), runs(record, b, metric=metric), [metric])
    (change,) = found.changes
    return change.verdict


def test_paired_with_the_test_and_the_interval_of_the_report():
    a, b = by_seed(BEFORE), by_seed(AFTER)
    found, report = compare_paired(a, b, CHANGE), paired({"s": b}, {"s": a}, CHANGE)
    assert found.difference == report.difference
    assert found.p == report.p
    assert (found.a, found.b) == pytest.approx((BEFORE.mean(), AFTER.mean()))
    low, high = stats.ttest_rel(AFTER, BEFORE).confidence_interval(0.95)
    assert (found.difference.low, found.difference.high) == pytest.approx((low, high))


@pytest.mark.parametrize("size", [4, 6])
def test_unpaired_interval_as_scipy_has_it(size):
    a, b = BEFORE[:size], AFTER
    found, expected = compare_independent(a, b), stats.ttest_ind(b, a, equal_var=False)
    low, high = expected.confidence_interval(0.95)
    assert found.p == pytest.approx(expected.pvalue)
    assert (found.difference.low, found.difference.high) == pytest.approx((low, high), rel=1e-9)
    limits = Bounds(-0.001, 0.001)
    assert compare_independent(a, b, limits).difference.low >= -0.001


def test_seeds_that_match_are_paired_and_the_others_left_out():
    found = compare_samples(by_seed(BEFORE), by_seed(AFTER, first=3))
    expected = compare_paired(by_seed(BEFORE[3:], 3), by_seed(AFTER[:3], 3))
    assert found == expected
    assert (found.paired, found.seeds_a, found.seeds_b) == (True, 3, 3)


@pytest.mark.parametrize("first", [4, 5, 6])
def test_where_most_seeds_do_not_match_all_are_compared_unpaired(first):
    found = compare_samples(by_seed(BEFORE), by_seed(AFTER, first))
    assert found == compare_independent(list(BEFORE), list(AFTER))
    assert (found.paired, found.seeds_a, found.seeds_b) == (False, 6, 6)


def test_with_one_seed_on_a_side_the_common_one_is_compared():
    found = compare_samples(by_seed(BEFORE), {3: float(BEFORE[3])})
    assert found.equal
    assert (found.paired, found.seeds_a, found.difference.low, found.p) == (True, 1, None, None)


def test_constant_values_of_other_seeds():
    assert compare_samples({0: 0.5, 1: 0.5}, {2: 0.5, 3: 0.5}).equal
    few = compare_samples({0: 0.5, 1: 0.5}, {2: 0.25, 3: 0.25})
    assert (few.p, few.difference.low, few.equal) == (None, None, False)
    many = compare_samples(by_seed([0.5] * 4), by_seed([0.25] * 4, 9))
    assert (many.p, many.difference.low, many.difference.high) == (0.0, -0.25, -0.25)


def test_verdicts(record):
    a = [0.80, 0.81, 0.82, 0.83, 0.84, 0.85]
    assert verdict(record, a, a) is Outcome.EQUAL
    assert verdict(record, a, [0.81, 0.80, 0.83, 0.82, 0.85, 0.84]) is Outcome.UNDETERMINED
    assert verdict(record, a, [0.805, 0.805, 0.825, 0.825, 0.845, 0.845]) is Outcome.SAME
    assert verdict(record, a, [x + 0.1 for x in a]) is Outcome.IMPROVED
    assert verdict(record, a, [x - 0.1 for x in a]) is Outcome.REGRESSED
    assert verdict(record, a, [0.61, 0.60, 0.61, 0.62, 0.61, 0.63]) is Outcome.REGRESSED
    assert verdict(record, a[:5], [x - 0.1 for x in a[:5]]) is Outcome.REGRESSED
    assert verdict(record, a[:3], [x - 0.1 for x in a[:3]]) is Outcome.UNDETERMINED


@pytest.mark.parametrize(
    ("ends", "expected"),
    [
        ((-0.0099, 0.0099), Outcome.SAME),
        ((-0.0101, 0.005), Outcome.UNDETERMINED),
        ((-0.005, 0.0101), Outcome.UNDETERMINED),
        ((-0.06, 0.06), Outcome.UNDETERMINED),
    ],
)
def test_the_same_is_what_a_whole_interval_shows(record, ends, expected):
    """Twelve differences whose interval ends where it should: symmetric about its middle."""
    shape = np.array([-1.0, 1.0] * 6)
    _, high = stats.t.interval(0.95, 11, 0, stats.sem(shape))
    middle, half = sum(ends) / 2, (ends[1] - ends[0]) / 2
    moved = middle + shape * half / high
    a = 0.8 + 0.001 * np.arange(12)
    found = compare_stores(runs(record, a), runs(record, a + moved), ["stability"])
    (change,) = found.changes
    difference = change.comparison.difference
    assert (difference.low, difference.high) == pytest.approx(ends)
    assert change.verdict == expected
    assert found.undetermined == (expected is Outcome.UNDETERMINED)


def test_a_metric_says_what_is_negligible(record, registries):
    """In other units nobody else knows."""
    a = [100.0 + place for place in range(8)]
    b = [value + (-1) ** place for place, value in enumerate(a)]  # interval -+0.9
    with registries():
        for margin, expected in ((None, Outcome.UNDETERMINED), (0.5, Outcome.UNDETERMINED),
                                 (1, Outcome.SAME)):  # fmt: skip
            METRICS["time"] = Metric("time", len, "x", unit="s", negligible=margin)
            assert verdict(record, a, b, "time") is expected
    assert all(m.negligible == (0.01 if m.is_percentage else None) for m in METRICS.values())


@pytest.mark.parametrize("margin", [0, -1, float("inf"), "1"])
def test_what_is_negligible_is_a_positive_number(margin):
    with pytest.raises(ValueError, match=r"negligible is .*, expected a number above 0"):
        Metric("time", len, "x", unit="s", negligible=margin)


@pytest.mark.parametrize("metric", [m for m in METRICS if m != "forgetting_reduction"])
def test_which_way_is_better(record, metric):
    a = [0.8, 0.81, 0.82, 0.83, 0.84, 0.85]
    better = verdict(record, a, [x - 0.1 for x in a], metric) is Outcome.IMPROVED
    lower = {"forgetting", "intransigence"}  # and of a search, all but what a visit gains
    assert better == (metric in lower or ("visit" in metric and "gain" not in metric))


@pytest.mark.parametrize("n", [1, 3, 4])
@pytest.mark.parametrize("first", [0, 50])
def test_no_verdict_without_an_interval(record, n, first):
    """However far apart."""
    a, b = runs(record, [0.9] * n), runs(record, [0.1] * n, first=first)
    (change,) = compare_stores(a, b, ["stability"]).changes
    assert change.verdict is (Outcome.UNDETERMINED if n < 4 else Outcome.REGRESSED)
    assert change.comparison.p == (None if n < 4 else 0.0)


def test_what_is_not_decided_beside_other_tests_is_undetermined_too(record):
    """Each difference has p = 0.02 alone: two tests are decided, eight are not."""
    shape = np.array([-3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0])
    moved = 0.01 * (shape - stats.t.isf(0.01, 6) * stats.sem(shape))
    assert stats.ttest_1samp(moved, 0).pvalue == pytest.approx(0.02)
    a, b = [], []
    for place in range(8):
        values = 0.8 + 0.01 * np.arange(7)
        a += runs(record, values, scenario=f"{place}")
        b += runs(record, values + moved, scenario=f"{place}")
    found = compare_stores(a, b, ["stability"])
    assert found.counts == {Outcome.UNDETERMINED: 8}
    assert [change.comparison.p for change in found.changes] == pytest.approx([0.16] * 8)
    assert compare_stores(a[:14], b[:14], ["stability"]).counts == {Outcome.REGRESSED: 2}


def test_what_few_seeds_measured_takes_no_part_in_the_correction(record):
    many = [0.8 + 0.01 * place for place in range(6)]
    a, b = runs(record, many, scenario="x"), runs(record, [x - 0.1 for x in many], scenario="x")
    few = [run for place in range(9) for run in runs(record, [0.5, 0.6], scenario=f"{place}")]
    moved = [with_metrics(run, stability=0.4) for run in few]
    found = compare_stores(a + few, b + moved, ["stability"])
    assert found.counts == {Outcome.REGRESSED: 1, Outcome.UNDETERMINED: 9}


def test_rounding_is_no_change(record):
    a = [0.8, 0.7, 0.6]
    assert verdict(record, a, [x * (1 - 1e-16) - 1e-15 for x in a]) is Outcome.SAME


def test_many_cells_do_not_cry_wolf(record):
    cells, seeds = 100, 14
    values = np.random.default_rng(1).normal(0.8, 0.02, (2, cells, seeds))
    a, b = (
        [run for place in range(cells) for run in runs(record, side[place], scenario=f"{place}")]
        for side in values
    )
    alone = [paired(*({"": by_seed(side[i])} for side in values)).p for i in range(cells)]
    assert min(alone) < 0.05
    found = compare_stores(a, b, ["stability"])
    assert not found.regressed
    assert found.counts[Outcome.UNDETERMINED] > 90  # intervals of 14 seeds: -+1.6 points
    smallest = min(change.comparison.p for change in found.changes)
    assert smallest == pytest.approx(min(1, cells * min(alone)))


def test_equal_numbers_are_not_among_the_tests(record):
    a = [0.80, 0.81, 0.83, 0.80, 0.82, 0.81, 0.85]
    same = runs(record, a, scenario="same")
    alone, among = (
        compare_stores(
            runs(record, a, scenario="x") + more,
            runs(record, [0.7, 0.72, 0.71, 0.7, 0.7, 0.8, 0.9], scenario="x") + more,
        )
        for more in ([], same)
    )
    p = {c.comparison.p for found in (alone, among) for c in found.changes if c.scenario == "x"}
    assert len(p) == 1
    assert p != {None}


def test_cells_match_by_settings_whatever_the_results_version(record):
    def version(one, number):
        return replace(
            one,
            key=f"{one.seed}-{number}",
            spec=Spec(one.spec.data | {"versions": {"harness": number, "scenario": number}}),
        )

    a = [version(one, 1) for one in runs(record, [0.8, 0.7])]
    b = [version(one, 2) for one in runs(record, [0.8, 0.7])]
    found = compare_stores(a, b)
    assert (found.cells, found.one_sided) == (1, ())
    assert found.counts == {Outcome.EQUAL: 1}
    assert found.changes[0].scenario == "same"


def test_probes_only_look_on(record):
    def probed(*probes):
        made = runs(record, [0.8, 0.7])
        return [replace(one, spec=Spec(one.spec.data | {"probes": list(probes)})) for one in made]

    found = compare_stores(probed("x"), probed("x", "y"))
    assert (found.cells, found.one_sided) == (1, ())
    assert found.changes[0].scenario == "same"


def test_the_newest_run_of_a_seed_counts(record):
    old = runs(record, [0.1], started="2026-01-01")
    new = runs(record, [0.8], started="2026-02-01")
    found = compare_stores(new + old, runs(record, [0.8]))
    assert found.counts == {Outcome.EQUAL: 1}


def test_other_settings_do_not_match_and_are_named(record):
    def made(width):
        settings = {"width": width, "steps": 9}
        return runs(record, [0.8, 0.7], scenario_settings=settings)

    found = compare_stores(made(50), made(100))
    assert (found.cells, found.changes) == (0, ())
    assert [(gap.side, gap.scenario, gap.what) for gap in found.one_sided] == [
        ("b", "same (width 100)", "cell"),
        ("a", "same (width 50)", "cell"),
    ]


def test_a_setting_that_only_a_newer_version_knows_does_not_matter(record):
    old = runs(record, [0.8], scenario_settings={"steps": 9})
    new = runs(record, [0.8], scenario_settings={"steps": 9, "clip": None})
    other = runs(record, [0.8], scenario_settings={"steps": 8, "clip": None})
    assert compare_stores(old, new).cells == 1
    assert compare_stores(old, other).cells == 0
    assert compare_stores(old, new + other).cells == 0  # which of the two would it be?


def test_other_devices_and_strengths_do_not_match(record):
    a = runs(record, [0.8], strategy="wpl", strength=1.0)
    cuda = [replace(one, spec=Spec(one.spec.data | {"device": "cuda"})) for one in a]
    assert compare_stores(a, cuda).cells == 0
    assert compare_stores(a, runs(record, [0.8], strategy="wpl", strength=2.0)).cells == 0


def test_a_run_that_fails_where_it_did_not_is_a_regression(record):
    done, failed = runs(record, [0.8, 0.7]), record(seed=1, error="boom")
    found = compare_stores(done, [done[0], failed])
    assert [(run.seed, run.verdict, run.error) for run in found.runs] == [
        (1, Outcome.REGRESSED, "boom")
    ]
    assert found.regressed
    mended = compare_stores([done[0], failed], done)
    assert [run.verdict for run in mended.runs] == [Outcome.IMPROVED]
    assert not mended.regressed
    assert not compare_stores([failed], [failed]).runs


def test_whether_a_run_fails_is_for_the_newest_to_say(record):
    done = runs(record, [0.8])
    assert not compare_stores(done, [record(seed=0, error="x", started="2020"), *done]).runs
    assert compare_stores(done, [record(seed=0, error="x", started="2030"), *done]).regressed


def test_what_only_one_side_has_is_told(record):
    a = runs(record, [0.8, 0.7, 0.6]) + runs(record, [0.8], strategy="wpl", strength=1.0)
    b = runs(record, [0.8, 0.7]) + runs(record, [0.8], strategy="freeze")
    a[0] = with_metrics(a[0], stability=0.8, plasticity=0.1)
    found = compare_stores(a, b)
    assert [(gap.side, gap.variant, gap.what, gap.seeds) for gap in found.one_sided] == [
        ("a", "finetune", "seeds", (2,)),
        ("a", "finetune", "plasticity", (0,)),
        ("a", "wpl, strength 1", "cell", (0,)),
        ("b", "freeze", "cell", (0,)),
    ]
    assert not found.regressed


def test_a_store_equals_itself(store):
    found = compare_stores(store, store)
    assert set(found.counts) == {Outcome.EQUAL}
    assert (found.runs, found.one_sided, found.regressed) == ((), (), False)
    assert found.cells == 31


def edited(runs, plugin=None, content=None, started="2026-02-01"):
    """Runs as an edited plugin, or edited data of a scenario's own, would have made them."""
    made = []
    for one in runs:
        data = dict(one.spec.data)
        data["strategy"] = {**data["strategy"], **({"plugin": plugin} if plugin else {})}
        data["scenario"] = {**data["scenario"], **({"content": content} if content else {})}
        other = replace(one, spec=Spec(data), started=started)
        made.append(with_metrics(other, **{k: v for k, v in one.metrics.items() if v is not None}))
    return made


@pytest.mark.parametrize("what", ["plugin", "content"])
def test_an_edited_plugin_is_compared_with_what_it_was(record, what):
    before = edited(runs(record, [0.90, 0.91, 0.92, 0.93, 0.94]), **{what: "aa"})
    after = edited(runs(record, [0.10, 0.11, 0.12, 0.13, 0.14]), **{what: "bb"})
    found = compare_stores(before, after)
    assert (found.cells, found.one_sided) == (1, ())
    assert found.regressed


def test_of_an_edited_plugin_only_the_newest_runs_count(record):
    old = edited(runs(record, [0.1, 0.1]), plugin="aa", started="2026-01-01")
    new = edited(runs(record, [0.8]), plugin="bb")
    found = compare_stores([*new, *old], runs(record, [0.8]))
    assert found.counts == {Outcome.EQUAL: 1}
    assert not found.one_sided
