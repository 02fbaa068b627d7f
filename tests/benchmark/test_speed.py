"""The measuring program: that it works and compares like with like, never how fast anything is."""

import json

import pytest
import torch

from benchmark.cli import main
from benchmark.preparation import TRAINING, prepare
from benchmark.speed import importance
from benchmark.speed.measure import Case, Stopwatch, measure
from benchmark.speed.training import train_by_avalanche, train_by_harness, train_by_loop
from benchmark.suite_loading import load_suite

TINY = [
    *(
        f"scenarios.{name}.{setting}"
        for name in ("split", "split_adam", "two_models", "two_models_curves")
        for setting in ("data=digits", "samples=150", "width=8")
    ),
    "scenarios.many_models.samples=40",
    "scenarios.many_models.epochs=1",
    "scenarios.many_models.width=8",
]
TRAINERS = {
    "loop": train_by_loop,
    "avalanche": train_by_avalanche,
    "palimpsest": train_by_harness,
}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("data")


def run_of(scenario, strategy, root):
    runs = load_suite("speed", settings=TINY).runs("cpu", root)
    return next(r for r in runs if (r.scenario, r.strategy) == (scenario, strategy))


# The comparison is fair


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("scenario", ["split", "split_adam", "two_models"])
def test_all_three_train_the_same_model_on_the_same_batches(scenario, root):
    run = run_of(scenario, "finetune", root)
    start = prepare(run, root).scenario.model.state_dict()
    ends = {name: train(run, root)[1].state_dict() for name, train in TRAINERS.items()}
    for name, value in ends["loop"].items():
        assert torch.equal(value, ends["palimpsest"][name])
        if scenario.startswith("split"):
            assert torch.equal(value, ends["avalanche"][name])
        else:  # Avalanche's multi-task module copies outputs about, which rounds differently
            torch.testing.assert_close(value, ends["avalanche"][name], rtol=1e-4, atol=1e-6)
    assert not all(torch.equal(start[name], ends["loop"][name]) for name in start)


@pytest.mark.parametrize("workload", list(importance._WORKLOADS))
@pytest.mark.parametrize("estimator", ["exact", "empirical"])
def test_both_estimate_the_same_importance(workload, estimator):
    make, layers = importance._WORKLOADS[workload]
    torch.manual_seed(0)
    model, x = make(6)
    y = torch.arange(6)
    parameters = {
        f"{name}.{p}": value
        for name, module in model.eval().named_modules()
        if isinstance(module, layers)
        for p, value in module.named_parameters(recurse=False)
    }
    assert parameters
    fast = importance.ours(model, parameters, x, y, estimator)
    slow = importance.loop(model, parameters, x, y, estimator)
    for name, value in slow.items():
        assert value.abs().max() > 0
        torch.testing.assert_close(fast[name], value, rtol=1e-5, atol=1e-7 * float(value.max()))


# The arithmetic of rates and ratios


def case(method, implementation, seconds):
    left = list(seconds)
    return Case("w", method, implementation, {"train": 100}, lambda: {"train": left.pop(0)})


def test_rates_are_medians_and_ratios_are_taken_within_a_repeat():
    rows = measure(
        [
            case("finetune", "loop", [1, 10, 2]),
            case("finetune", "avalanche", [10, 50, 10]),
            case("finetune", "palimpsest", [2, 10, 4]),
        ],
        repeats=3,
    )
    loop, stock, ours = rows
    assert [row.samples_per_second for row in rows] == [50, 10, 25]
    assert (loop.ratio_to_loop, stock.ratio_to_avalanche) == (1, 1)
    assert ours.ratio_to_loop == 0.5
    assert ours.ratio_to_avalanche == 5
    assert loop.ratio_to_avalanche == 5


def test_a_penalty_is_compared_with_the_plain_loop_and_avalanches_own():
    rows = measure(
        [
            case("finetune", "loop", [1]),
            case("finetune", "avalanche", [4]),
            case("ewc", "avalanche", [8]),
            case("ewc", "palimpsest", [2]),
            case("wpl", "palimpsest", [2]),
        ],
        repeats=1,
    )
    ewc, wpl = rows[-2:]
    assert (ewc.ratio_to_loop, ewc.ratio_to_avalanche) == (0.5, 4)
    assert (wpl.ratio_to_loop, wpl.ratio_to_avalanche) == (0.5, None)


def test_all_cases_are_measured_once_a_repeat_in_turn():
    order = []

    def timed(name):
        def run():
            order.append(name)
            return {"train": 1}

        return Case("w", name, "palimpsest", {"train": 1}, run)

    measure([timed("a"), timed("b")], repeats=2)
    assert order == ["a", "b", "a", "b"]


def test_a_stopwatch_measures_from_its_last_reading():
    watch = Stopwatch("cpu")
    sum(range(200_000))
    first = watch.seconds()
    assert 0 < watch.seconds() < first


# The command


@pytest.mark.filterwarnings("ignore")
@pytest.mark.thorough
def test_the_command_measures_everything(tmp_path, capsys):
    settings = [word for setting in TINY for word in ("--set", setting)]
    with pytest.raises(SystemExit) as left:
        main(["speed", "--json", "--repeats", "1", "--data-root", str(tmp_path), *settings])
    assert left.value.code == 0
    rows = json.loads(capsys.readouterr().out)
    assert {tuple(row) for row in rows} == {
        (
            "workload",
            "method",
            "phase",
            "implementation",
            "samples_per_second",
            "ratio_to_loop",
            "ratio_to_avalanche",
        )
    }
    assert all(row["samples_per_second"] > 0 for row in rows)
    found = {(r["workload"], r["method"], r["phase"], r["implementation"]) for r in rows}
    assert len(found) == len(rows)
    for workload in ("split", "two_models"):
        for phase in ("train", "evaluate"):
            assert (workload, "finetune", phase, "loop") in found
            for method in ("finetune", "ewc", "si"):
                assert (workload, method, phase, "avalanche") in found
            for method in ("finetune", "ewc", "si", "wpl"):
                assert (workload, method, phase, "palimpsest") in found
    assert ("two_models_curves", "finetune", "train", "palimpsest") in found
    for phase in ("after 1 model", "after 50 models"):
        assert {("many_models", m, phase, "palimpsest") for m in ("ewc", "wpl")} <= found
    for row in rows:
        if row["implementation"] == "loop":
            assert row["ratio_to_loop"] == 1
        elif row["workload"] != "many_models":
            assert row["ratio_to_loop"] > 0


def test_a_wrong_setting_is_a_sentence(tmp_path, capsys):
    with pytest.raises(SystemExit) as left:
        main(["speed", "--data-root", str(tmp_path), "--set", "scenarios.split.widht=3"])
    assert left.value.code == 2
    assert "width" in capsys.readouterr().err


# Steady in the number of models


@pytest.mark.parametrize("method", ["ewc", "wpl", "si"])
def test_memory_does_not_grow_with_the_models_that_share(method, root):
    ready = prepare(run_of("many_models", method, root), root)
    plugin = ready.strategy.plugins[0]
    trunk = [n for n, _ in ready.scenario.model.named_parameters() if "trunk" in n]

    def held():
        stored = [plugin.importances, plugin.anchors]
        return sum(tensors[name].numel() for tensors in stored for name in trunk)

    sizes = []
    for experience in ready.scenario.train[:4]:
        ready.strategy.train(experience, **TRAINING)
        sizes.append(held())
        assert len(plugin.importances) == len(trunk) + 2 * len(sizes)  # and a head a model
    assert len(set(sizes)) == 1
