"""Verdicts against any baseline, held against SciPy's paired interval."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import ttest_rel

from palimpsest.benchmark.metrics import NEGLIGIBLE
from palimpsest.reports.analysis.choosing.cross_fitting import choose
from palimpsest.reports.analysis.verdicts import Verdict, judged, verdicts
from palimpsest.reports.runs.cells import group
from palimpsest.reports.statistics.interval import Estimate
from palimpsest.reports.tables.verdicts import verdict_table

SEEDS = 6
NOISE = np.random.default_rng(0).normal(0, 0.02, (9, SEEDS))


def accuracies(name, offset, spread=1.0):
    """Final accuracies of the first model; that of the second is always 0.8."""
    place = sum(map(ord, name)) % len(NOISE)
    return 0.6 + NOISE[0] + offset + spread * NOISE[place]


@pytest.fixture
def judge(record):
    def found(runs, more=()):
        records = [
            record([[0.9, 0.1], [float(value), 0.8]], strategy=name, seed=seed, scenario="one")
            for name, values in runs.items()
            for seed, value in enumerate(values)
        ]
        cells = group([*records, *more])
        return verdicts(choose(cells), cells)

    return found


def by_name(found):
    return {one.name: place for place, one in enumerate(found.contenders)}


def test_a_verdict_is_the_place_of_the_interval():
    def verdict(low, high):
        return judged(Estimate(0.0 if low is None else (low + high) / 2, low, high, 5))

    assert verdict(0.001, 0.2) is Verdict.BETTER
    assert verdict(-0.2, -0.001) is Verdict.WORSE
    assert verdict(-NEGLIGIBLE, NEGLIGIBLE) is Verdict.SAME
    assert verdict(-NEGLIGIBLE, NEGLIGIBLE + 1e-6) is Verdict.UNDETERMINED
    assert verdict(-NEGLIGIBLE - 1e-6, NEGLIGIBLE) is Verdict.UNDETERMINED
    assert verdict(0.0, 0.2) is Verdict.UNDETERMINED
    assert verdict(0.0, 0.0) is Verdict.SAME
    assert verdict(None, None) is Verdict.UNDETERMINED


def test_differences_are_those_of_pairs(judge):
    runs = {
        "finetune": accuracies("finetune", 0.0),
        "ewc": accuracies("ewc", 0.2),
        "si": accuracies("si", 0.01),
        "freeze": accuracies("freeze", -0.2),
    }
    (found,) = judge(runs)
    place = by_name(found)
    assert found.reference == "finetune"
    for ours, mine in runs.items():
        for theirs, other in runs.items():
            own = found.judgements[place[ours], place[theirs]]
            if ours == theirs:
                assert own.verdict is None
                continue
            # Two models: the average moves by half of what the first one does.
            interval = ttest_rel(mine / 2, other / 2).confidence_interval(0.95)
            assert own.difference.value == pytest.approx(np.mean(mine - other) / 2)
            assert (own.difference.low, own.difference.high) == pytest.approx(tuple(interval))
            assert own.stability.value == pytest.approx(np.mean(mine - other))
            assert own.learning_accuracy.value == pytest.approx(0)
            assert own.difference.n == SEEDS
    against = {name: found.judgements[place[name], place["finetune"]].verdict for name in runs}
    assert (against["ewc"], against["freeze"]) == (Verdict.BETTER, Verdict.WORSE)
    assert found.judgements[place["finetune"], place["ewc"]].verdict is Verdict.WORSE


def test_the_best_stand_first_and_those_without_runs_last(judge, record):
    failed = record(strategy="broken", kind="wpl", scenario="one", error="out of memory")
    runs = {"finetune": accuracies("a", 0), "ewc": accuracies("b", 0.2)}
    (found,) = judge(runs, more=[failed])
    assert [one.name for one in found.contenders] == ["ewc", "finetune", "broken"]
    last = found.contenders[-1]
    assert last.reason
    assert last.marks == ("1 of 1 run failed",)
    assert (2, 0) not in found.judgements
    row = verdict_table(found).rows[-1].cells
    assert row[0] == "broken"
    assert row[1] == ""


def test_what_is_one_computation_is_one_row_and_fine_tuning_gives_it_its_name(judge):
    values = accuracies("finetune", 0.0)
    (found,) = judge({"finetune": values, "ewc": values, "si": accuracies("si", 0.2)})
    assert [one.name for one in found.contenders] == ["si", "ewc = finetune"]
    assert found.reference == "finetune"
    assert found.contenders[found.baseline].strategies == ("ewc", "finetune")


def test_a_pair_needs_both_runs(judge):
    (found,) = judge({"finetune": accuracies("a", 0.0)[:5], "ewc": accuracies("b", 0.2)})
    place = by_name(found)
    assert found.judgements[place["ewc"], place["finetune"]].difference.n == 5


def test_over_scenarios_means_are_of_those_that_have_all(judge, record):
    second = [
        record([[0.9, 0.1], [value, 0.8]], strategy=name, seed=seed, scenario="two")
        for name, value in (("finetune", 0.5), ("ewc", 0.7))
        for seed in range(SEEDS)
    ]
    runs = {"finetune": accuracies("a", 0.0), "ewc": accuracies("b", 0.2), "si": accuracies("c", 0)}
    first, other, both = judge(runs, more=second)
    assert [each.scenarios for each in (first, other, both)] == [("one",), ("two",), ("one", "two")]
    place = by_name(both)
    alone = [
        each.judgements[by_name(each)["ewc"], by_name(each)["finetune"]].difference.value
        for each in (first, other)
    ]
    own = both.judgements[place["ewc"], place["finetune"]].difference
    assert own.value == pytest.approx(np.mean(alone))
    assert own.n == 2 * SEEDS
    assert both.contenders[place["si"]].reason == "two: no runs"


def test_what_weakens_a_number_stands_in_its_row(record):
    records = [
        record([[0.9, 0.1], [kept, 0.8]], strategy=name, strength=strength, seed=seed,
               scenario="one")
        for name, strength, kept in (("finetune", None, 0.5), ("wpl", 1.0, 0.6), ("wpl", 10.0, 0.8))
        for seed in range(5)
    ]  # fmt: skip
    records[-1] = replace(records[-1], accuracy_matrix=[[0.9, 0.1], [0.2, 0.1]])
    failed = record(strategy="wpl", strength=100.0, scenario="one", error="out of memory")
    cells = group([*records, failed])
    (found,) = verdicts(choose(cells), cells)
    (wpl,) = (one for one in found.contenders if one.name == "wpl")
    assert wpl.at == "10"
    # Beside 10, strength 1 is lower and 100 failed.
    assert wpl.marks == ("coarse grid", "1 of 11 runs failed", "1 of 5 runs far from the others")
    without = group(records)
    (found,) = verdicts(choose(without), without)
    (wpl,) = (one for one in found.contenders if one.name == "wpl")
    assert "the strongest strength tried" in wpl.marks


def test_upper_bounds_come_last_and_are_not_judged(judge):
    runs = {"finetune": 0.0, "ewc": 0.2, "joint": 0.3, "freeze": -0.2, "independent": 0.25}
    (found,) = judge({name: accuracies(name, offset) for name, offset in runs.items()})
    names = [one.name for one in found.contenders]
    assert names == ["ewc", "finetune", "freeze", "joint", "independent"]
    assert [one.competes for one in found.contenders] == [True, True, True, False, False]
    assert found.reference == "finetune"
    for (ours, theirs), own in found.judgements.items():
        bound = ours != theirs and not found.contenders[ours].competes
        assert (own.verdict is Verdict.BOUND) == bound
    table = verdict_table(found)
    assert [row.cells[1] for row in table.rows] == [
        "better",
        "baseline",
        "worse",
        "a bound",
        "a bound",
    ]
    for row, one in zip(table.rows, found.contenders, strict=True):
        assert row.cells[2] is one.average


def test_a_method_that_computes_what_a_bound_does_competes(judge):
    values = accuracies("a", 0.2)
    (found,) = judge({"finetune": accuracies("b", 0), "independent": values, "freeze": values})
    assert [one.name for one in found.contenders] == ["freeze = independent", "finetune"]
    assert found.contenders[0].competes


def test_the_data_are_the_table_that_is_shown(judge, record):
    runs = {"finetune": accuracies("a", 0.0), "ewc": accuracies("b", 0.2)}
    (found,) = judge(runs, more=[record(strategy="wpl", scenario="one", error="out of memory")])
    table = verdict_table(found)
    data = table.data.set_index("strategy")
    assert [*data.index] == [row.cells[0] for row in table.rows] == ["ewc", "finetune", "wpl"]
    assert data["verdict"].fillna("").to_list() == [row.cells[1] for row in table.rows]
    assert data["remarks"].to_list() == [row.cells[-1] for row in table.rows]
    assert set(data["baseline"]) == {"finetune"}
    assert data["n"].isna().to_list() == [False, True, True]
    shown = table.rows[0].cells[2:6]
    columns = [
        "average_accuracy",
        *(f"difference{of}" for of in ("", "_stability", "_learning_accuracy")),
    ]
    for name, estimate in zip(columns, shown, strict=True):
        ends = data.loc["ewc", [name, f"{name}_low", f"{name}_high"]].to_list()
        assert ends == [estimate.value, estimate.low, estimate.high]
