"""The suites of the study of posteriors: their short form, and their page."""

from pathlib import Path

import pytest
from at_length import at_length

from benchmark import run_suite
from benchmark.archive import read_archive
from benchmark.cli import main
from benchmark.suite_loading import load_suite

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "configs" / "methods"
RUNS = ROOT / "docs" / "posteriors" / "runs.parquet"
SUITES = sorted(path.stem for path in FOLDER.glob("posteriors*.yaml"))
SMALL = {"data": "digits", "samples": 200, "test_samples": 50, "width": 8, "steps": 3}


def short(name):
    """A suite with one seed, tiny networks and three steps a model."""
    settings = {
        f"scenarios.{scenario}.{key}": value
        for scenario in load_suite(f"methods/{name}").scenarios
        for key, value in SMALL.items()
    }
    return load_suite(f"methods/{name}", settings=settings, seeds=1)


@pytest.mark.parametrize("name", at_length(SUITES, {*SUITES} - {"posteriors_sgd"}))
def test_a_short_form_runs(name, tmp_path):
    suite = short(name)
    results = run_suite(suite, store=tmp_path / "short.db", workers=0)
    assert not results.failed
    strengths = sum(len(s.strengths or (None,)) for s in suite.strategies.values())
    assert len(results.records) == len(suite.scenarios) * strengths
    for record in results.records:
        assert record.probes["uncertainty"]["rows"]


def test_compared_strategies_have_as_many_dial_values():
    for name in SUITES:
        strategies = load_suite(f"methods/{name}").strategies
        counts = {
            kind: len(each.strengths)
            for kind, each in strategies.items()
            if each.dial is not None and kind != "replay"  # the control of a memory, of one size
        }
        assert set(counts.values()) <= {3}, (name, counts)


def test_tempered_and_not_have_the_same_range():
    strategies = load_suite("methods/posteriors_same").strategies
    for kind in ("vcl", "badam"):
        assert strategies[kind].strengths == strategies[f"{kind}_tempered"].strengths


def test_the_runs_are_those_of_suites(tmp_path):
    records = read_archive(RUNS)
    failed = {record.strategy for record in records if record.status != "done"}
    assert failed <= {"badam", "badam_tempered"}  # long steps diverge
    for name in {record.suite for record in records}:
        asked = load_suite(f"methods/{name}").runs("cpu", tmp_path)
        cells = {(run.scenario, run.strategy, run.strength, run.seed) for run in asked}
        known = {(r.scenario, r.strategy, r.strength, r.seed) for r in records if r.suite == name}
        assert known <= cells


def test_the_page_is_that_of_its_runs(tmp_path):
    made = tmp_path / "posteriors.md"
    with pytest.raises(SystemExit) as exit_:
        main(["page", str(FOLDER / "posteriors.md.j2"), "--store", str(RUNS), "--out", str(made)])
    assert exit_.value.code == 0
    assert made.read_text() == (ROOT / "docs" / "posteriors.md").read_text()
