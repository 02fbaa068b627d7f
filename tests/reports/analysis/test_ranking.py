from dataclasses import replace

import numpy as np
import pytest

from palimpsest.benchmark.metrics import ACCURACY
from palimpsest.benchmark.store.store import SuiteNote
from palimpsest.reports.analysis.choosing.cross_fitting import choose
from palimpsest.reports.analysis.ranking import RANKED, ranking, ranking_frame
from palimpsest.reports.analysis.remarks.coincidence import coinciding
from palimpsest.reports.runs.cells import group
from palimpsest.reports.statistics.bootstrap import iqm_and_median
from palimpsest.reports.statistics.interval import mean_estimate
from palimpsest.reports.statistics.pairs import compare_pairs


def tables(records):
    return {(t.scenarios, t.metric): t for t in ranking(choose(group(records)))}


@pytest.fixture(scope="module")
def found(store):
    return tables(store)


def rows(table):
    return {row.strategy: row for row in table.rows}


ALL = ("rotated", "same data", "split")


def test_one_table_a_scenario_and_metric_then_all_together(found):
    assert set(found) == {(s, m) for s in (*[(name,) for name in ALL], ALL) for m in RANKED}
    assert [key[0] for key in found][-1] == ALL


def test_scenarios_are_in_the_order_of_the_suite(record):
    made = [record([[0.9, 0.1], [0.5, 0.8]], scenario=name) for name in ("a", "b", "c")]
    suite = SuiteNote("s", "", ("c", "a", "b"), ())
    spans = dict.fromkeys(t.scenarios for t in ranking(choose(group(made, [suite]))))
    assert [*spans] == [("c",), ("a",), ("b",), ("c", "a", "b")]


def test_estimates_are_those_of_the_chosen_runs(found, store):
    chosen = {c.scenario: c.reported for c in choose(group(store)) if c.strategy == "wpl"}
    strata = {s: {r.seed: r.metrics["stability"] for r in c.done} for s, c in chosen.items()}
    row = rows(found[ALL, "stability"])["wpl"]
    assert row.mean == mean_estimate(strata, ACCURACY)
    assert (row.iqm, row.median) == iqm_and_median(strata, ACCURACY)
    assert row.variants == {s: cell.variant for s, cell in chosen.items()}
    one = rows(found[("split",), "stability"])["wpl"]
    assert one.mean == mean_estimate({"split": strata["split"]}, ACCURACY)


def test_comparisons_are_paired_and_corrected_within_the_column(found, store):
    values = {}
    for choice in choose(group(store)):
        own = {r.seed: r.metrics["average_accuracy"] for r in choice.reported.done}
        values.setdefault(choice.strategy, {})[choice.scenario] = own
    table = found[ALL, "average_accuracy"]
    assert table.baseline == "finetune"
    column = {name: row.against_baseline for name, row in rows(table).items()}
    assert {name for name, c in column.items() if c} == {"ewc", "wpl", "freeze"}
    for name in ("ewc", "wpl", "freeze"):
        expected = compare_pairs(values[name], values["finetune"])
        assert replace(column[name], p_holm=None) == expected
        assert column[name].p <= column[name].p_holm <= min(1, 3 * column[name].p)
    worst = max(("ewc", "wpl", "freeze"), key=lambda name: column[name].p)
    assert column[worst].p_holm == max(c.p_holm for c in column.values() if c)


def test_the_best_competes_and_is_not_compared_with_itself(found):
    for table in found.values():
        competing = [row for row in table.rows if row.competes and row.mean.value is not None]
        means = [row.mean.value for row in competing]
        assert means == sorted(means, reverse=True)
        assert table.best == (competing[0].strategy,)
        assert table.best_text == competing[0].strategy
        assert competing[0].against_best is None
        assert all(row.against_best for row in competing[1:])
        bounds = table.rows[-2:]
        assert {row.facts.name for row in bounds} == {"independent", "joint"}
        for row in bounds:
            assert (row.rank, row.against_baseline, row.against_best) == (None, None, None)


def test_ranks_over_scenarios(found):
    table = found[ALL, "stability"]
    singles = [rows(found[(name,), "stability"]) for name in ALL]
    for name in ("finetune", "ewc", "wpl", "freeze"):
        expected = np.mean([single[name].rank for single in singles])
        assert rows(table)[name].rank == pytest.approx(expected)
    assert table.ranks.p is not None
    assert found[("split",), "stability"].ranks.p is None


def test_order_of_runs_changes_nothing(found, store):
    assert tables(store[::-1]) == found


def matrix(first, second):
    return [[0.95, 0.1], [first, second]]


def small(record, scenario="one", seeds=3, strategies=("finetune", "ewc")):
    return [
        record(
            matrix(0.5 + 0.1 * i + 0.01 * seed, 0.8), scenario=scenario, strategy=name, seed=seed
        )
        for i, name in enumerate(strategies)
        for seed in range(seeds)
    ]


def test_two_strategies_one_scenario(record):
    found = tables(small(record))
    metrics = {"stability", "average_accuracy", "forgetting_reduction"}
    assert set(found) == {(("one",), metric) for metric in metrics}
    ewc, finetune = found[("one",), "stability"].rows
    assert (ewc.strategy, ewc.rank, finetune.rank) == ("ewc", 1, 2)
    assert ewc.against_baseline.difference.value == pytest.approx(0.1)
    assert (ewc.against_baseline.p, ewc.against_baseline.difference.low) == (None, None)
    assert finetune.against_best.difference.value == pytest.approx(-0.1)


def test_missing_seeds_and_failed_runs(record):
    records = [*small(record), record(strategy="ewc", seed=3, error="NaN")]
    records = [r for r in records if (r.strategy, r.seed) != ("finetune", 1)]
    ewc = rows(tables(records)[("one",), "stability"])["ewc"]
    assert (ewc.mean.n, ewc.against_baseline.difference.n) == (3, 2)


def test_one_seed_has_no_interval_and_no_test(record):
    ewc = rows(tables(small(record, seeds=1))[("one",), "stability"])["ewc"]
    assert (ewc.mean.low, ewc.iqm.low, ewc.against_baseline.p) == (None, None, None)
    assert ewc.against_baseline.p_holm is None


def test_only_strategies_of_every_scenario_stand_together(record):
    records = small(record) + small(record, "two", strategies=("finetune", "ewc", "wpl"))
    table = tables(records)[("one", "two"), "stability"]
    assert set(rows(table)) == {"finetune", "ewc"}
    assert table.left_out == {"wpl": "one: no runs"}


def test_a_strategy_without_a_choice_is_left_out_and_said_why(record):
    records = small(record)
    for strength in (1.0, 10.0):
        made = record(matrix(0.5, 0.5), scenario="one", strategy="wpl", strength=strength)
        records.append(replace(made, validation_matrix=[]))
    table = tables(records)[("one",), "stability"]
    assert "wpl" not in rows(table)
    assert "no validation split" in table.left_out["wpl"]


def test_without_finetune_and_where_nothing_competes(record):
    table = tables(small(record, strategies=("ewc", "wpl")))[("one",), "stability"]
    assert table.baseline is None
    assert not any(row.against_baseline for row in table.rows)
    alone = tables(small(record, strategies=("independent",)))[("one",), "stability"]
    assert (alone.best, alone.best_text, alone.ranks.average) == ((), "", {})


def test_a_metric_that_is_undefined_for_some_runs(found):
    joint = rows(found[ALL, "plasticity"])["joint"]
    assert (joint.mean.value, joint.rank) == (None, None)
    assert rows(found[("rotated",), "plasticity"])["joint"].mean.value is not None


def tied(record, first, second):
    """Two strategies with these stabilities and learning accuracies, seed by seed."""
    made = small(record, strategies=("finetune",), seeds=len(first))
    for name, values in (("ewc", first), ("wpl", second)):
        for seed, (stability, learned) in enumerate(values):
            made.append(
                record(matrix(stability, learned), scenario="one", strategy=name, seed=seed)
            )
    return tables(made)[("one",), "stability"]


def test_identical_strategies_share_rank_and_best(record):
    runs = [(0.7, 0.8), (0.71, 0.8), (0.75, 0.8)]
    table = tied(record, runs, runs)
    assert (rows(table)["ewc"].rank, rows(table)["wpl"].rank) == (1.5, 1.5)
    assert table.best == ("ewc", "wpl")
    assert table.best_text == "ewc and wpl, identical"
    assert rows(table)["wpl"].against_best is rows(table)["ewc"].against_best is None
    assert set(ranking_frame([table]).query("best")["strategy"]) == {"ewc", "wpl"}
    # Two different strategies are one pair: nothing is left to correct for.
    plain = rows(table)["finetune"].against_best
    assert plain.p_holm == plain.p


def test_equal_means_are_told_together_whatever_their_order_and_rounding(record):
    runs = [(0.7, 0.8), (0.1 + 0.6, 0.7), (0.75, 0.8), (0.72, 0.8)]
    for other in (runs[::-1], [runs[2], runs[0], runs[3], runs[1]]):
        for first, second in ((runs, other), (other, runs)):
            table = tied(record, first, second)
            assert table.best_text == "ewc and wpl, equal in the mean"
            plain = rows(table)["finetune"].against_best
            p_values = {
                rows(t)["finetune"].against_best.p for t in (table, tied(record, second, first))
            }
            assert p_values == {plain.p}
            assert plain.p_holm == min(1, 3 * plain.p)  # of three strategies there are three pairs


def test_identical_ones_are_named_among_equal_ones(record):
    runs = [(0.7, 0.8), (0.71, 0.8), (0.75, 0.8)]
    made = small(record, strategies=("finetune",))
    for name, values in (("ewc", runs), ("si", runs[::-1]), ("wpl", runs)):
        made += [
            record(matrix(*pair), scenario="one", strategy=name, seed=seed)
            for seed, pair in enumerate(values)
        ]
    table = tables(made)[("one",), "stability"]
    assert table.best == ("ewc", "si", "wpl")
    assert table.best_text == "ewc and wpl (identical) and si, equal in the mean"


def test_p_values_against_the_best_are_corrected_for_every_pair(record):
    """It was picked by the same runs: any pair could have been one that is compared."""
    rng = np.random.default_rng(3)
    values = 0.7 + 0.02 * rng.standard_normal((6, 10))
    made = [
        record(matrix(float(value), 0.8), strategy=f"s{i}", scenario="one", seed=seed)
        for i, own in enumerate(values)
        for seed, value in enumerate(own)
    ]
    against = [row.against_best for row in tables(made)[("one",), "stability"].rows]
    found = sorted((one for one in against if one is not None), key=lambda one: one.p)
    assert len(found) == 5
    least = 0.0
    for place, one in enumerate(found):  # six strategies, fifteen pairs
        least = max(least, min(1, (15 - place) * one.p))
        assert one.p_holm == pytest.approx(least)


def test_coinciding_strategies_by_scenario(record):
    same = [
        record(matrix(0.5 + 0.01 * seed, 0.8), scenario=scenario, strategy=name, seed=seed,
               strength=strength)
        for scenario in ("one", "two")
        for name in ("ewc", "wpl")
        for strength in (1.0, 10.0)
        for seed in range(2)
    ]  # fmt: skip
    different = record(matrix(0.9, 0.8), scenario="two", strategy="wpl", strength=10.0, seed=2)
    partner = record(matrix(0.8, 0.8), scenario="two", strategy="ewc", strength=10.0, seed=2)
    other = small(record, strategies=("finetune",))
    found = coinciding(group([*same, different, partner, *other]))
    assert found == {"one": [("ewc", "wpl")]}


def test_coinciding_needs_a_run_in_common(record):
    runs = [record(matrix(0.5, 0.8), strategy=n, seed=i) for i, n in enumerate(("ewc", "wpl"))]
    assert coinciding(group(runs)) == {}


def test_frame_has_a_row_a_strategy(found):
    frame = ranking_frame(list(found.values()))
    assert len(frame) == sum(len(table.rows) for table in found.values())
    row = frame[(frame["scenario"] == "split") & (frame["metric"] == "stability")]
    row = row.set_index("strategy").loc["wpl"]
    expected = rows(found[("split",), "stability"])["wpl"]
    assert row["mean_low"] == expected.mean.low
    assert row["strengths"] == expected.variants["split"].value
    assert row["p_holm_baseline"] == expected.against_baseline.p_holm
    assert row["difference_baseline_high"] == expected.against_baseline.difference.high
    assert frame.columns.is_unique
    ewc = frame[(frame["scenario"] == "split") & (frame["strategy"] == "ewc")].iloc[0]
    table = rows(found[("split",), ewc["metric"]])
    assert ewc["improvement_best"] == table["ewc"].against_best.improvement.value
