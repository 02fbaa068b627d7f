"""The shipped suite ``two_models`` on real MNIST: what the project promises of it, in small."""

import json

import pytest

from palimpsest.benchmark.cli import main
from palimpsest.benchmark.store.store import Store

pytestmark = pytest.mark.thorough  # real MNIST


@pytest.fixture(scope="module")
def runs(tmp_path_factory, real_data):
    root = real_data("MNIST")
    store = tmp_path_factory.mktemp("mnist") / "results.db"
    options = ["--store", str(store), "--data-root", str(root), "--seeds", "1", "--workers", "1"]
    options += ["--strategies", "finetune,wpl", "--set", "strategies.wpl.strengths=[1000000]"]
    for scenario in ("cold_start", "turned_digits"):
        options += ["--set", f"scenarios.{scenario}.steps=800"]  # of 1500
    with pytest.raises(SystemExit) as left:
        main(["run", "two_models", "--quiet", *options])
    assert left.value.code == 0
    with pytest.MonkeyPatch.context() as patch:
        lines = []
        patch.setattr("builtins.print", lambda text, **_: lines.append(text))
        with pytest.raises(SystemExit):
            main(["list", "runs", "--store", str(store), "--json"])
    return json.loads(lines[0])


def metric(runs, scenario, strategy, name, strength=None):
    (found,) = [
        run["metrics"][name]
        for run in runs
        if (run["scenario"], run["strategy"], run["strength"]) == (scenario, strategy, strength)
    ]
    return found


@pytest.mark.parametrize("scenario", ["cold_start", "turned_digits"])
def test_fine_tuning_forgets(runs, scenario):
    assert metric(runs, scenario, "finetune", "forgetting") >= 0.12


def test_wpl_forgets_nothing_in_the_cold_start_and_it_costs_b_nothing(runs):
    assert metric(runs, "cold_start", "wpl", "forgetting", 1e6) < 0.01
    plain = metric(runs, "cold_start", "finetune", "learning_accuracy")
    assert metric(runs, "cold_start", "wpl", "learning_accuracy", 1e6) > plain - 0.01


def test_wpl_forgets_little_when_b_learns_other_data_and_it_costs_b_something(runs):
    assert metric(runs, "turned_digits", "wpl", "forgetting", 1e6) < 0.025
    plain = metric(runs, "turned_digits", "finetune", "learning_accuracy")
    assert metric(runs, "turned_digits", "wpl", "learning_accuracy", 1e6) < plain - 0.02


def test_the_cold_start_does_its_damage_in_the_first_steps(runs):
    run = next(r for r in runs if r["scenario"] == "cold_start" and r["strategy"] == "finetune")
    assert run["metrics"]["minimum_accuracy"] < run["metrics"]["stability"] - 0.05


def test_the_full_quadratic_protects_behind_adam(tmp_path, real_data):
    """Weights that B hardly needs must not take all that the penalty asks for: A fell to 15 %."""
    store, options = tmp_path / "results.db", ["--data-root", str(real_data("MNIST")), "--quiet"]
    suite = tmp_path / "schur.yaml"
    suite.write_text(
        "suite: schur\nseeds: 1\nscenarios:\n"
        "  cold_start: {family: two_models, data: mnist, width: 50, steps: 200,\n"
        "    optimizer: {name: adam, learning_rate: 0.001}, curve: {every: 0}}\n"
        "strategies:\n  finetune: {}\n"
        "  wpl_schur: {private: fixed, samples: 50, strengths: [100]}\n"
    )
    with pytest.raises(SystemExit) as left:
        main(["run", str(suite), "--store", str(store), "--workers", "1", *options])
    assert left.value.code == 0
    plain, held = sorted(Store(store).records(), key=lambda run: run.strategy != "finetune")
    assert held.metrics["stability"] > plain.metrics["stability"] + 0.01
