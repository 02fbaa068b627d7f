"""One run, start to finish."""

from dataclasses import asdict
from functools import cache

import pytest
import torch
import yaml
from at_length import at_length
from one_run import execute

from palimpsest.benchmark.runs import cost, preparation
from palimpsest.benchmark.runs.failure import FailureKind
from palimpsest.benchmark.suites.loading import load_suite
from palimpsest.benchmark.training import evaluation
from palimpsest.benchmark.training.control import TrainingMonitor
from palimpsest.benchmark.training.evaluation import AccuracyMeter
from palimpsest.strategies.base.catalogue import STRATEGIES as REGISTRY

TWO = {
    "data": "digits",
    "steps": 25,
    "hidden_layers": [2, 3],
    "shared_layers": 2,
    "width": 12,
    "batch_size": 32,
    "samples": 300,
    "curve": {"every": 10, "first": 3},
}
THREE = {
    "family": "model_sequence",
    "models": 3,
    "hidden_layers": 2,
    "pool": 2,
    "width": 12,
    "steps": 15,
    "samples": 300,
}
STRATEGIES = {
    "finetune": {},
    "freeze": {},
    "independent": {},
    "joint": {},
    "ewc": {"strengths": [0, 1e4], "samples": 50},
    "si": {"strengths": [0, 10]},
    "wpl": {"strengths": [0, 1e4], "samples": 50},
}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("runner")


@pytest.fixture(scope="module")
def make_runs(root):
    def make(strategies, scenario=TWO, seeds=(0,)):
        suite = {
            "suite": "test",
            "seeds": list(seeds),
            "scenarios": {"two_models" if scenario.get("family") is None else "it": scenario},
            "strategies": strategies,
        }
        path = root / "suite.yaml"
        path.write_text(yaml.safe_dump(suite))
        return load_suite(str(path)).runs("cpu", root)

    return make


@pytest.fixture(scope="module")
def run_all(make_runs, root):
    """Runs of one seed of all strategies, by strategy and strength; each is done once."""

    @cache
    def run(seed, three):
        runs = make_runs(STRATEGIES, THREE if three else TWO, [seed])
        return {(r.strategy, r.strength): execute(r, root) for r in runs}

    return lambda seed=0, three=False: run(seed, three)


def numbers(record):
    """Return all that must not depend on when and where a run was done."""
    values = asdict(record)
    for name in ("started", "seconds", "peak_memory", "cost"):
        del values[name]
    return values


@pytest.mark.parametrize(
    "strategies",
    [{"finetune": {}}, {"ewc": {"strengths": [100.0], "fisher": "monte_carlo"}}, {"joint": {}}],
    ids=["finetune", "ewc", "joint"],
)
def test_the_same_run_gives_the_same_numbers(make_runs, root, strategies):
    (run,) = make_runs(strategies)
    assert numbers(execute(run, root)) == numbers(execute(run, root))


@pytest.mark.parametrize("left", ["float64", "no gradients"])
def test_what_a_plugin_has_left_in_the_process_changes_no_run(make_runs, root, left):
    (run,) = make_runs({"finetune": {}})
    expected = numbers(execute(run, root))
    try:
        if left == "float64":
            torch.set_default_dtype(torch.float64)
        else:
            torch.set_grad_enabled(False)
        found = numbers(execute(run, root))
        assert torch.is_grad_enabled() == (left == "float64")  # the process's own settings
    finally:
        torch.set_default_dtype(torch.float32)
        torch.set_grad_enabled(True)
    assert found == expected


@pytest.mark.parametrize("three", [False, True])
def test_strategies_that_leave_the_first_model_alone_share_its_row(run_all, three):
    done = run_all(three=three)
    plain = done["finetune", None].accuracy_matrix[0]
    for (strategy, strength), record in done.items():
        if strategy in {"freeze", "ewc", "wpl", "si"}:
            assert record.accuracy_matrix[0] == plain, (strategy, strength)
    # independent evaluates later models with the initial weights
    independent = done["independent", None]
    assert independent.accuracy_matrix[0][0] == plain[0]
    assert independent.accuracy_matrix[0][1:] == independent.initial_accuracy[1:]


def test_joint_training_fills_the_last_row_only(run_all):
    record = run_all(three=True)["joint", None]
    assert record.accuracy_matrix[:-1] == [[None] * 3] * 2
    assert None not in record.accuracy_matrix[-1]
    assert record.accuracy_matrix[-1] != record.initial_accuracy


def test_matrices_have_the_accuracy_of_every_model_after_every_model(run_all):
    record = run_all(three=True)["finetune", None]
    for matrix in (record.accuracy_matrix, record.validation_matrix):
        assert [len(row) for row in matrix] == [3, 3, 3]
        assert all(0 <= value <= 1 for row in matrix for value in row)
    assert record.accuracy_matrix != record.validation_matrix


def test_curves_are_measured_at_the_steps_asked_for(run_all):
    first, second = run_all()["wpl", 1e4].curves
    assert first["steps"] == second["steps"] == [0, 1, 2, 3, 10, 20, 25]
    assert (first["model"], second["model"]) == (0, 1)
    assert [len(values) for values in second["accuracy"]] == [7, 7]


def test_curves_agree_with_the_matrix(run_all):
    for cell, record in run_all(three=True).items():
        if cell[0] == "joint":
            assert record.curves == []
            continue
        for curve in record.curves:
            ends = [values[-1] for values in curve["accuracy"]]
            assert ends == record.accuracy_matrix[curve["model"]][: curve["model"] + 1], cell


def test_the_record_says_what_was_run(make_runs, root):
    (run,) = make_runs({"ewc": {"strengths": [3.0]}}, seeds=[4])
    record = execute(run, root)
    assert (record.key, record.suite, record.scenario) == (run.key, "test", "two_models")
    assert (record.strategy, record.strength, record.seed) == ("ewc", 3.0, 4)
    assert record.spec == run.spec
    assert record.seconds > 0
    assert record.peak_memory > 0
    assert record.started
    assert record.versions["torch"]


def test_each_model_has_its_own_order_and_all_strategies_the_same(make_runs, root, monkeypatch):
    seeds = []

    class Spy(preparation.InMemoryTraining):
        def __init__(self, **arguments):
            seeds.append(list(arguments["order_seeds"]))
            super().__init__(**arguments)

    monkeypatch.setattr(preparation, "InMemoryTraining", Spy)
    for run in make_runs({"finetune": {}, "independent": {}, "si": {}}, THREE):
        execute(run, root)
    assert len(set(seeds[0])) == 3
    assert seeds[0] == seeds[1] == seeds[2]


# What it takes


def test_every_model_is_timed(run_all):
    for cell, record in run_all(three=True).items():
        found = record.cost
        if cell[0] == "joint":
            assert found["steps"] == [None, None, 45]
            assert found["training_seconds"][:2] == [None, None]
            continue
        assert found["steps"] == [15, 15, 15]
        for name in ("training_seconds", "consolidation_seconds"):
            assert all(seconds > 0 for seconds in found[name]), (cell, name)


def test_evaluating_is_not_counted_as_training(make_runs, root, monkeypatch):
    """A clock on which a training step takes a second and an evaluation a hundred."""
    clock = [0.0]

    def taking(method, seconds):
        def slow(*arguments, **keywords):
            clock[0] += seconds
            return method(*arguments, **keywords)

        return slow

    for module in (evaluation, cost):
        monkeypatch.setattr(module, "now", lambda device: clock[0])
    monkeypatch.setattr(
        TrainingMonitor, "before_backward", taking(TrainingMonitor.before_backward, 1)
    )
    slow = taking(AccuracyMeter.before_eval_exp, 100)
    monkeypatch.setattr(AccuracyMeter, "before_eval_exp", slow)
    (run,) = make_runs({"finetune": {}}, TWO | {"curve": {"every": 1}})
    found = execute(run, root).cost
    assert found["training_seconds"] == [25, 25]
    assert found["consolidation_seconds"] == [0, 0]


def test_a_first_model_that_was_taken_over_has_no_times(make_runs, root, tmp_path):
    first, second = make_runs({"finetune": {}, "wpl": {"samples": 50}})
    costs = [execute(run, root, tmp_path).cost for run in (first, second)]
    assert costs[0]["steps"] == [25, 25]
    assert costs[1]["steps"] == [None, 25]
    assert costs[1]["training_seconds"][0] is None
    assert costs[1]["consolidation_seconds"][0] is None


def test_the_strategys_state_is_counted(run_all):
    held = {cell: record.cost["state_bytes"] for cell, record in run_all().items()}
    assert held["finetune", None] == held["freeze", None] == held["joint", None] == 0
    assert held["wpl", 1e4] > held["wpl", 0] > 0  # at strength 0 no pulls are kept
    assert held["si", 0] > held["wpl", 0]


def test_a_run_that_failed_has_neither_cost_nor_probes(make_runs, root):
    wild = TWO | {"optimizer": {"name": "sgd", "learning_rate": 1e6}}
    (run,) = make_runs({"finetune": {}}, wild)
    record = execute(run, root)
    assert (record.status, record.cost, record.probes) == ("failed", {}, {})


# The first model, trained once


def test_the_first_model_is_kept_once_for_each_seed(make_runs, root, tmp_path):
    for run in make_runs({"finetune": {}, "freeze": {}, "ewc": {}, "si": {}}, seeds=[0, 1]):
        execute(run, root, tmp_path)
    assert len(list(tmp_path.iterdir())) == 2


# What goes wrong


def test_a_run_that_diverges_fails_with_step_and_model(make_runs, root):
    wild = TWO | {
        "optimizer": {"name": "sgd", "learning_rate": 1e6},
        "steps": 60,
        "hidden_layers": [3, 3],
    }
    (run,) = make_runs({"finetune": {}}, wild)
    record = execute(run, root)
    assert record.status == "failed"
    assert "Diverged" in record.error
    assert record.failure.kind is FailureKind.DIVERGED
    assert "step " in record.error
    assert "of model " in record.error
    assert record.accuracy_matrix == []


STILL_FINITE = {
    "badam": "an optimizer of its own, which knows no learning rate",
    "supsup": "trains scores of fixed weights",
    "ssnet": "likewise",
    "exssnet": "likewise",
    "nsas": "needs a supernet",
    "wpl_official": "likewise",
}


DIVERGING = [name for name in REGISTRY if name not in STILL_FINITE]
SOME = {"finetune", "ewc", "si", "laplace", "gpm", "ties"}
"""Of each way to end a model: nothing, an estimate, a path, factors, a basis, a merge."""


@pytest.mark.parametrize("name", at_length(DIVERGING, {*DIVERGING} - SOME))
def test_divergence_reads_as_divergence_whatever_the_strategy_does_with_it(make_runs, root, name):
    """Some raised what torch says of NaN: "atol must be greater than or equal to zero"."""
    settings = {"samples": 20} if name == "wpl_schur" else {}
    wild = {"family": "split", "data": "digits", "experiences": 2, "steps": 30, "width": 16}
    wild |= {"optimizer": {"name": "sgd", "learning_rate": 1e9}, "epochs": None}
    (run,) = make_runs({name: settings}, wild)
    record = execute(run, root)
    assert record.failure.kind is FailureKind.DIVERGED
    assert record.error.startswith("DivergedError: the loss became NaN or infinite by step ")
    assert "; a smaller learning rate or strength" in record.error


def test_an_error_before_anything_diverged_is_told_as_it_is(make_runs, root, monkeypatch):
    """Also where it says that numbers are not finite: these are not the training's."""
    from palimpsest.strategies import WPL

    def broken(self, strategy, **_):
        with torch.no_grad():
            next(strategy.model.parameters()).fill_(float("nan"))
        raise ValueError("what was saved is damaged")

    monkeypatch.setattr(WPL, "before_training_exp", broken)
    (run,) = make_runs({"wpl": {"strengths": [1.0]}})
    assert execute(run, root).error == "ValueError: what was saved is damaged"


def test_weights_that_a_merge_made_too_large_are_a_failure(make_runs, root):
    """No loss is computed with them, and the first of outputs that are NaN would count."""
    (run,) = make_runs({"task_arithmetic": {"scales": [1e30]}})
    record = execute(run, root)
    assert record.failure.kind is FailureKind.DIVERGED
    assert "outputs of model 1 are NaN or infinite after step " in record.error
    assert " of model 2;" in record.error


def test_an_exception_in_a_strategy_is_recorded(make_runs, root, monkeypatch):
    from palimpsest.strategies import WPL

    def broken(self, strategy, parameters):
        raise ValueError("no importance today")

    monkeypatch.setattr(WPL, "estimate", broken)
    (run,) = make_runs({"wpl": {"strengths": [1.0]}})
    record = execute(run, root)
    assert (record.status, record.error) == ("failed", "ValueError: no importance today")
    assert record.key == run.key
    assert set(record.metrics.values()) == {None}
    assert record.failure.kind is FailureKind.ERROR
    last = record.failure.traceback.splitlines()
    assert 'File "/' not in record.failure.traceback  # of no machine
    assert 'File "palimpsest/benchmark/runs/runner.py", line ' in record.failure.traceback
    assert last[-1] == "ValueError: no importance today"
    assert last[-2].strip() == 'raise ValueError("no importance today")'


def test_a_failed_run_leaves_no_first_model_behind(make_runs, root, tmp_path):
    wild = TWO | {"optimizer": {"name": "sgd", "learning_rate": 1e6}, "steps": 60}
    (run,) = make_runs({"finetune": {}}, wild)
    assert execute(run, root, tmp_path).status == "failed"
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_exception_of_the_run_is_passed_on(make_runs, root):
    def interrupt(_):
        raise KeyboardInterrupt

    (run,) = make_runs({"finetune": {}}, TWO | {"steps": 60, "curve": {"every": 0}})
    with pytest.raises(KeyboardInterrupt):
        execute(run, root, progress=interrupt)


# Avalanche's own strategies

AVALANCHE = {
    "Naive": {},
    "LwF": {"alpha": 1.0, "temperature": 2.0},
    "Replay": {"mem_size": 50},
    "JointTraining": {},
    "EWC": {"ewc_lambda": 1.0},
}


@pytest.mark.parametrize("kind", AVALANCHE)
def test_avalanches_strategies_run_for_the_same_number_of_steps(make_runs, root, kind):
    entry = {"strategy": f"avalanche:{kind}", "arguments": AVALANCHE[kind]}
    (run,) = make_runs({"it": entry})
    record = execute(run, root)
    assert record.status == "done", record.error
    assert all(value > 0.15 for value in record.accuracy_matrix[-1])
    assert record.cost["state_bytes"] is None
    if kind == "JointTraining":
        assert record.cost["steps"] == [None, 50]
    else:
        assert [curve["steps"][-1] for curve in record.curves] == [25, 25]
        assert record.cost["steps"] == [25, 25]


# Settings of the scenario


@pytest.mark.parametrize(
    "change",
    [
        {"optimizer": {"name": "adam"}},
        {"optimizer": {"name": "adamw", "weight_decay": 0.1}},
        {"optimizer": {"name": "sgd", "momentum": 0.9, "nesterov": True}},
        {"warmup": 10},
        {"activation": "tanh"},
        {"network": "cnn", "width": 4},
        {"second_data": "rotated"},
        {"second_data": "permuted"},
        {"shared_layers": 0},
        {"steps": None, "epochs": 1},
        {"batch_size": 400},
    ],
    ids=str,
)
def test_settings_of_the_scenario_have_an_effect(make_runs, root, run_all, change):
    (run,) = make_runs({"finetune": {}}, TWO | change)
    record = execute(run, root)
    assert record.status == "done", record.error
    plain = run_all()["finetune", None]
    assert record.accuracy_matrix != plain.accuracy_matrix
    assert record.key != plain.key
