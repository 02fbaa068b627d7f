"""What protection costs, from what the runs recorded."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from palimpsest.benchmark.suites.spec import Spec
from palimpsest.reports.analysis.cost import cost_frame, seconds_per_step
from palimpsest.reports.runs.cells import group
from palimpsest.reports.tables.cost import cost_table

MATRIX = [[0.9, 0.1], [0.5, 0.8]]


def cost(step, consolidation=0.0, state=0, first=(None, None)):
    return {
        "training_seconds": [first[0], 100 * step],
        "steps": [first[1], 100],
        "consolidation_seconds": [None, consolidation],
        "state_bytes": state,
    }


def row(records, strategy, scenario="same"):
    frame = cost_frame(group(records)).set_index(["scenario", "variant"])
    return frame.loc[(scenario, strategy)]


def test_ratios_are_paired_by_seed_and_averaged_as_logarithms(record):
    plain, own = [0.001, 0.004, 0.002, 0.002], [0.002, 0.004, 0.006, 0.003]
    records = [
        replace(record(MATRIX, strategy=name, seed=seed), cost=cost(step))
        for name, steps in (("finetune", plain), ("wpl", own))
        for seed, step in enumerate(steps)
    ]
    found = row(records, "wpl")
    logs = np.log(np.array(own) / np.array(plain))
    low, high = stats.t.interval(0.95, 3, logs.mean(), stats.sem(logs))
    assert found["ratio"] == pytest.approx(np.exp(logs.mean()))
    assert (found["ratio_low"], found["ratio_high"]) == pytest.approx((np.exp(low), np.exp(high)))
    assert found["seconds_per_step"] == pytest.approx(0.0035)
    assert found["n"] == 4
    assert row(records, "finetune")["ratio"] == 1


def test_a_seed_without_fine_tuning_has_no_ratio(record):
    records = [
        replace(record(MATRIX, strategy="finetune", seed=0), cost=cost(0.001)),
        replace(record(MATRIX, strategy="wpl", seed=0), cost=cost(0.002)),
        replace(record(MATRIX, strategy="wpl", seed=1), cost=cost(0.009)),
    ]
    found = row(records, "wpl")
    assert found["ratio"] == pytest.approx(2)
    assert np.isnan(found["ratio_low"])
    assert np.isnan(row(records[1:], "wpl")["ratio"])


def test_another_scenarios_fine_tuning_is_no_reference(record):
    records = [
        replace(record(MATRIX, strategy="finetune", scenario="other"), cost=cost(0.001)),
        replace(record(MATRIX, strategy="wpl"), cost=cost(0.002)),
    ]
    assert np.isnan(row(records, "wpl")["ratio"])


def test_only_new_models_count(record):
    one = replace(record(MATRIX), cost=cost(0.003, first=(99.0, 10)))
    assert seconds_per_step(one.cost) == pytest.approx(0.003)
    three = {
        "training_seconds": [9.0, 1.0, 3.0],
        "steps": [10, 100, 300],
        "consolidation_seconds": [7.0, 0.2, 0.4],
        "state_bytes": 5,
    }
    found = row([replace(record([[0.5] * 3] * 3), cost=three)], "finetune")
    assert found["seconds_per_step"] == pytest.approx(0.01)
    assert found["consolidation_seconds"] == pytest.approx(0.3)
    assert found["state_bytes"] == 5


def test_avalanches_classes_have_no_known_state(record):
    found = row([replace(record(MATRIX), cost=cost(0.01, state=None))], "finetune")
    assert np.isnan(found["state_bytes"])
    assert found["peak_memory"] == 300 * 2**20


def test_a_single_model_has_no_new_one(record):
    alone = {"training_seconds": [1.0], "steps": [10], "consolidation_seconds": [0.1]}
    found = row([replace(record([[0.9]]), cost=alone | {"state_bytes": 0})], "finetune")
    assert np.isnan(found["seconds_per_step"])
    assert found["n"] == 0


def test_failed_variants_are_left_out(record):
    assert cost_frame(group([record(error="diverged")])).empty


def test_the_peak_is_shown_only_where_it_is_not_the_whole_process(record):
    """On a CPU it is mostly libraries, and the same for every strategy."""
    run = replace(record(MATRIX), cost=cost(0.01, state=2**20))
    gpu = replace(run, spec=Spec({**run.spec.data, "device": "cuda:0"}))
    titles = {}
    for name, made in (("cpu", run), ("gpu", gpu)):
        table = cost_table(group([made]))
        titles[name] = {c.title: entry.text for c, entry in table.entries(table.rows[0])}
    assert titles["cpu"]["state"] == titles["gpu"]["state"] == "1.00"
    assert "peak on the device" not in titles["cpu"]
    assert titles["gpu"]["peak on the device"] == "300"
