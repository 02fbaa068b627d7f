"""A search that is interrupted goes on to the same numbers, bit for bit."""

import json
from pathlib import Path

import pytest
import torch
import yaml

import palimpsest.benchmark.runs.checkpoints.training as training
from palimpsest import run_suite
from palimpsest.benchmark.results.results import read_runs
from palimpsest.benchmark.runs.checkpoints.paths import CheckpointSettings
from palimpsest.benchmark.runs.record import columns_of
from palimpsest.benchmark.runs.runner import execute_job

HERE = Path(__file__).parent
TIMES = {"started", "seconds", "peak_memory", "versions"}


class Killed(KeyboardInterrupt):
    """Stands in for a kill: nothing is left but the files."""


def numbers(record):
    """Everything that does not depend on the clock."""
    assert record.error is None
    found = {name: value for name, value in columns_of(record).items() if name not in TIMES}
    cost = json.loads(found.pop("cost"))
    return found, cost["steps"], cost["state_bytes"]


DECAY = {"learning_rate_decay": 0.5}
CONTROLLER = {"name": "controller", "steps": 3, "hidden": 4, "derived": 3, "learning_rate": 0.1}


@pytest.mark.parametrize(
    ("strategy", "changes", "without"),
    [
        (
            {"wpl": {"strengths": [1], "samples": 20}},
            DECAY | {"warm_start": 1},
            [],
        ),
        pytest.param(
            {"ewc": {"strengths": [1], "samples": 20}},
            {"sampler": "fair", "measured": 2},
            ["batches"],
            marks=pytest.mark.thorough,
        ),
        pytest.param(
            {"si": {"strengths": [1]}},
            {"sampler": "single_path"},
            ["batches"],
            marks=pytest.mark.thorough,
        ),
        pytest.param(
            {"finetune": {}},
            {"sampler": CONTROLLER, "warm_start": 1},
            [],
            marks=pytest.mark.thorough,
        ),
        pytest.param(
            {"nsas": {"along": "opposites", "weights": "similarity"}},
            {},
            [],
            marks=pytest.mark.thorough,
        ),
        pytest.param(
            {
                "wpl_official": {
                    "strengths": [1],
                    "strength_decay": 0.5,
                    "decay_every": 4,
                    "decay_after": 1,
                }
            },
            {"optimizer_state": "fresh"},
            [],
            marks=pytest.mark.thorough,
        ),
        pytest.param(
            {"l2": {"strengths": [1]}},
            {"shared": False, "steps": 3},
            ["epochs", "visits", "batches"],
            marks=pytest.mark.thorough,
        ),
    ],
    ids=["uniform", "fair", "single_path", "controller", "opposites", "falling", "alone"],
)
def test_it_goes_on(monkeypatch, tmp_path, make_runs, strategy, changes, without):
    (run,) = make_runs(strategy, without=without, **changes)
    (expected,) = execute_job((run,), HERE)
    kills = 0
    save = training.save

    def save_and_die(*arguments):
        nonlocal kills, saved
        save(*arguments)
        saved += 1
        if saved > 1:
            kills += 1
            raise Killed

    monkeypatch.setattr(training, "save", save_and_die)
    said = []
    for _ in range(40):
        saved = 0
        torch.manual_seed(0)
        try:
            (found,) = execute_job(
                (run,),
                HERE,
                None,
                lambda advance: said.append(advance.message),
                CheckpointSettings(tmp_path / "kept", 2, 60.0),
            )
            break
        except Killed:
            pass
    assert numbers(found) == numbers(expected)
    assert kills >= 2
    assert not [text for text in said if text and "goes on from" not in text]
    if run.spec.strategy.kind == "wpl":
        assert any("step" in text for text in said if text)  # in the middle of the warm-start


def test_workers_and_one_process_give_the_same(tmp_path, make_runs, registries):
    runs = make_runs({"finetune": {}, "freeze": {}}, visits=2)
    here = [execute_job((run,), HERE)[0] for run in runs]
    scenario = {**runs[0].spec.scenario.settings}
    suite = {
        "suite": "search",
        "seeds": 1,
        "scenarios": {"it": scenario},
        "strategies": {"finetune": {}, "freeze": {}},
    }
    path = tmp_path / "suite.yaml"
    path.write_text(yaml.safe_dump(suite))
    store = tmp_path / "runs.db"
    run_suite(path, store=store, workers=2, plugins=[HERE / "toy.py"])
    found = {record.strategy: record for record in read_runs(store)}
    for record in here:
        assert found[record.strategy].probes == record.probes
        assert record.probes["search"]["ranking"]
