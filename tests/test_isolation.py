"""The suites of the isolation study: their short form, and their page."""

from pathlib import Path

import pytest
from at_length import at_length

from benchmark import run_suite
from benchmark.archive import read_archive
from benchmark.cli import main
from benchmark.suite_loading import load_suite

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "configs" / "methods"
RUNS = ROOT / "docs" / "isolation" / "runs.parquet"
SUITES = sorted(path.stem for path in FOLDER.glob("isolation*.yaml"))
SMALL = {"data": "digits", "samples": 200, "test_samples": 50, "width": 8, "steps": 3}


def short(name):
    """A suite with two seeds, tiny networks and three steps a model."""
    whole = load_suite(f"methods/{name}")
    settings = {
        f"scenarios.{scenario}.{key}": value
        for scenario in whole.scenarios
        for key, value in SMALL.items()
    }
    masked = {
        f"strategies.{name}.mask_steps": 1
        for name, strategy in whole.strategies.items()
        if strategy.kind in ("ssnet", "exssnet")
    }
    return load_suite(f"methods/{name}", settings=settings | masked, seeds=2)


@pytest.mark.parametrize("name", at_length(SUITES, {*SUITES} - {"isolation_turned"}))
def test_a_short_form_runs(name, tmp_path):
    suite = short(name)
    results = run_suite(suite, store=tmp_path / "short.db", workers=0)
    assert not results.failed
    strengths = sum(len(s.strengths or (None,)) for s in suite.strategies.values())
    assert len(results.records) == 2 * len(suite.scenarios) * strengths


def test_the_runs_are_those_of_suites(tmp_path):
    records = read_archive(RUNS)
    assert {record.status for record in records} == {"done"}
    for name in {record.suite for record in records}:
        asked = load_suite(f"methods/{name}").runs("cpu", tmp_path)
        cells = {(run.scenario, run.strategy, run.strength, run.seed) for run in asked}
        known = {(r.scenario, r.strategy, r.strength, r.seed) for r in records if r.suite == name}
        assert known <= cells
        assert name != "isolation_turned" or known == cells


def test_the_page_is_that_of_its_runs(tmp_path):
    made = tmp_path / "isolation.md"
    with pytest.raises(SystemExit) as exit_:
        main(["page", str(FOLDER / "isolation.md.j2"), "--store", str(RUNS), "--out", str(made)])
    assert exit_.value.code == 0
    assert made.read_text() == (ROOT / "docs" / "isolation.md").read_text()
