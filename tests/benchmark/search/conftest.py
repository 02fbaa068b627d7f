"""Runs of the tiny supernet of ``toy.py``."""

from pathlib import Path

import pytest

from palimpsest.benchmark.plugins import load_files
from palimpsest.benchmark.suites.loading import load_suite

HERE = Path(__file__).parent
TOY = {
    "family": "toy_search",
    "data": "digits",
    "samples": 130,
    "test_samples": 60,
    "epochs": 2,
    "visits": 4,
    "batches": 3,
    "batch_size": 20,
    "measured_samples": 10,
    "optimizer": {"name": "sgd", "learning_rate": 0.2, "momentum": 0.9},
}


@pytest.fixture(scope="module")
def make_runs(registries):
    """Runs of one scenario, by the strategies' settings."""

    def make(strategies=None, seeds=1, probes=(), without=(), **changes):
        changed = TOY | changes
        scenario = {name: value for name, value in changed.items() if name not in without}
        suite = {
            "suite": "search",
            "seeds": seeds,
            "scenarios": {"it": scenario},
            "strategies": strategies or {"finetune": {}},
            "probes": list(probes),
        }
        return load_suite(suite).runs("cpu", Path("/nowhere"))

    with registries():
        load_files([HERE / "toy.py", HERE.parents[1] / "seams" / "methods.py"])
        yield make
