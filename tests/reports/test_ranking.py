from dataclasses import replace

import numpy as np
import pytest

from reports.bootstrap import iqm_and_median, mean_estimate
from reports.cells import group
from reports.choice import choose
from reports.comparison import compare
from reports.ranking import METRICS, coinciding, ranking, ranking_frame
from reports.statistics import ACCURACY


def tables(records):
    return {(t.scenarios, t.metric): t for t in ranking(choose(group(records)))}


@pytest.fixture(scope="module")
def found(store):
    return tables(store)


def rows(table):
    return {row.strategy: row for row in table.rows}


ALL = ("rotated", "same data", "split")


def test_one_table_a_scenario_and_metric_then_all_together(found):
    assert set(found) == {(s, m) for s in (*[(name,) for name in ALL], ALL) for m in METRICS}
    assert [key[0] for key in found][-1] == ALL


def test_estimates_are_those_of_the_chosen_runs(found, store):
    chosen = {c.scenario: c.cell for c in choose(group(store)) if c.strategy == "wpl"}
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
        own = {r.seed: r.metrics["average_accuracy"] for r in choice.cell.done}
        values.setdefault(choice.strategy, {})[choice.scenario] = own
    table = found[ALL, "average_accuracy"]
    assert table.finetune == "finetune"
    column = {name: row.against_finetune for name, row in rows(table).items()}
    assert {name for name, c in column.items() if c} == {"ewc", "wpl", "freeze"}
    for name in ("ewc", "wpl", "freeze"):
        expected = compare(values[name], values["finetune"])
        assert replace(column[name], p_holm=None) == expected
        assert column[name].p <= column[name].p_holm <= min(1, 3 * column[name].p)
    worst = max(("ewc", "wpl", "freeze"), key=lambda name: column[name].p)
    assert column[worst].p_holm == max(c.p_holm for c in column.values() if c)


def test_the_best_competes_and_is_not_compared_with_itself(found):
    for table in found.values():
        competing = [row for row in table.rows if row.competes and row.mean.value is not None]
        means = [row.mean.value for row in competing]
        assert means == sorted(means, reverse=True)
        assert table.best == competing[0].strategy
        assert competing[0].against_best is None
        assert all(row.against_best for row in competing[1:])
        bounds = table.rows[-2:]
        assert {row.kind for row in bounds} == {"independent", "joint"}
        for row in bounds:
            assert (row.rank, row.against_finetune, row.against_best) == (None, None, None)


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
    assert set(found) == {(("one",), "stability"), (("one",), "average_accuracy")}
    ewc, finetune = found[("one",), "stability"].rows
    assert (ewc.strategy, ewc.rank, finetune.rank) == ("ewc", 1, 2)
    assert ewc.against_finetune.difference.value == pytest.approx(0.1)
    assert ewc.against_finetune.smallest_p == 0.25
    assert finetune.against_best.difference.value == pytest.approx(-0.1)


def test_missing_seeds_and_failed_runs(record):
    records = [*small(record), record(strategy="ewc", seed=3, error="NaN")]
    records = [r for r in records if (r.strategy, r.seed) != ("finetune", 1)]
    ewc = rows(tables(records)[("one",), "stability"])["ewc"]
    assert (ewc.mean.n, ewc.against_finetune.difference.n) == (3, 2)


def test_one_seed_has_no_interval_and_no_test(record):
    ewc = rows(tables(small(record, seeds=1))[("one",), "stability"])["ewc"]
    assert (ewc.mean.low, ewc.iqm.low, ewc.against_finetune.p) == (None, None, None)
    assert ewc.against_finetune.p_holm is None


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
    assert table.finetune is None
    assert not any(row.against_finetune for row in table.rows)
    alone = tables(small(record, strategies=("independent",)))[("one",), "stability"]
    assert (alone.best, alone.ranks.average) == (None, {})


def test_a_metric_that_is_undefined_for_some_runs(found):
    joint = rows(found[ALL, "plasticity"])["joint"]
    assert (joint.mean.value, joint.rank) == (None, None)
    assert rows(found[("rotated",), "plasticity"])["joint"].mean.value is not None


def test_equal_strategies_share_a_rank(record):
    records = small(record, strategies=("finetune",))
    twins = [
        record(matrix(0.7, 0.8), scenario="one", strategy=name, seed=seed)
        for name in ("ewc", "wpl")
        for seed in range(3)
    ]
    table = tables([*records, *twins])[("one",), "stability"]
    assert (rows(table)["ewc"].rank, rows(table)["wpl"].rank) == (1.5, 1.5)
    assert table.best == "ewc"
    assert rows(table)["wpl"].against_best.p == 1


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
    assert row["strength"] == expected.variants["split"].strength
    assert row["p_holm_finetune"] == expected.against_finetune.p_holm
    assert row["difference_finetune_high"] == expected.against_finetune.difference.high
    assert frame.columns.is_unique
    ewc = frame[(frame["scenario"] == "split") & (frame["strategy"] == "ewc")].iloc[0]
    table = rows(found[("split",), ewc["metric"]])
    assert ewc["improvement_best"] == table["ewc"].against_best.improvement.value
