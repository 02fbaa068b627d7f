"""A run by itself, as tests of what a run gives make it and carry it out."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from palimpsest.benchmark.runs.preparation import OnProgress
from palimpsest.benchmark.runs.record import Record
from palimpsest.benchmark.runs.runner import execute_job
from palimpsest.benchmark.suites.loading import load_suite
from palimpsest.benchmark.suites.suite import Run, Suite

TWO_MODELS = {
    "family": "two_models",
    "data": "digits",
    "width": 8,
    "batch_size": 32,
    "samples": 300,
    "optimizer": {"name": "sgd", "learning_rate": 0.2},
}
"""A scenario that trains in moments."""


def suite_of(
    folder: Path,
    scenario: Mapping[str, Any],
    strategy: str = "finetune",
    settings: Mapping[str, Any] | None = None,
    seed: int = 0,
    probes: Sequence[str] = (),
) -> Suite:
    """Return a suite of one run, written to a file in a folder and read from there."""
    suite = {
        "suite": "test",
        "seeds": [seed],
        "scenarios": {"it": dict(scenario)},
        "strategies": {strategy: dict(settings or {})},
        "probes": list(probes),
    }
    path = folder / "suite.yaml"
    path.write_text(yaml.safe_dump(suite))
    return load_suite(path)


def run_of(
    folder: Path,
    scenario: Mapping[str, Any],
    strategy: str = "finetune",
    settings: Mapping[str, Any] | None = None,
    seed: int = 0,
    probes: Sequence[str] = (),
) -> Run:
    """Return the run of ``suite_of``."""
    (run,) = suite_of(folder, scenario, strategy, settings, seed, probes).runs("cpu", folder)
    return run


def execute(
    run: Run, root: Path, scratch: Path | None = None, progress: OnProgress = lambda advance: None
) -> Record:
    """Carry out a run in this process; see ``execute_job``."""
    (record,) = execute_job((run,), root, scratch, progress)
    return record
