"""The suites of the study of merging: their short form, and their page."""

from pathlib import Path

import pytest
from at_length import at_length

from benchmark import run_suite
from benchmark.archive import read_archive
from benchmark.cli import main
from benchmark.suite_loading import load_suite

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "configs" / "methods"
RUNS = ROOT / "docs" / "merging" / "runs.parquet"
SUITES = sorted(path.stem for path in FOLDER.glob("merging*.yaml"))
SMALL = {"data": "digits", "samples": 200, "test_samples": 50, "width": 8, "steps": 3}


def short(name):
    """A suite with one seed, tiny networks and three steps a model."""
    settings = {
        f"scenarios.{scenario}.{key}": value
        for scenario in load_suite(f"methods/{name}").scenarios
        for key, value in SMALL.items()
    }
    return load_suite(f"methods/{name}", settings=settings, seeds=1)


@pytest.mark.parametrize("name", at_length(SUITES, {*SUITES} - {"merging_rotated"}))
def test_a_short_form_runs(name, tmp_path):
    suite = short(name)
    results = run_suite(suite, store=tmp_path / "short.db", workers=0)
    assert not results.failed
    strengths = sum(len(s.strengths or (None,)) for s in suite.strategies.values())
    assert len(results.records) == len(suite.scenarios) * strengths


def test_compared_strategies_have_as_many_dial_values():
    for name in {*SUITES} - {"merging_inside"}:
        strategies = load_suite(f"methods/{name}").strategies
        counts = {
            kind: len(each.strengths)
            for kind, each in strategies.items()
            if each.dial is not None and not kind.endswith("_wide")
        }
        assert set(counts.values()) == {3}, (name, counts)


TWO_MODELS = """
suite: two
seeds: 1
scenarios:
  two: {data: digits, family: two_models, second_data: permuted, samples: 200, test_samples: 100,
        hidden_layers: [3, 3], shared_layers: 2, width: 16, steps: 20, curve: {every: 0}}
strategies:
  task_arithmetic: {scale: 0.5}
  running_average: {}
  opcm: {alpha: 0.5}
  in_sequence: {strategy: task_arithmetic, start: merged, scale: 0.5}
  all_of_it: {strategy: task_arithmetic, start: merged, scale: 1}
  finetune: {}
"""


def test_of_two_models_most_merges_are_the_same(tmp_path):
    """What the suite ``merging`` therefore leaves out."""
    (tmp_path / "two.yaml").write_text(TWO_MODELS)
    results = run_suite(load_suite(tmp_path / "two.yaml"), store=tmp_path / "two.db", workers=0)
    found = {record.strategy: record.accuracy_matrix for record in results.records}
    half = found["task_arithmetic"]
    assert half == found["running_average"] == found["opcm"] == found["in_sequence"]
    assert half != found["finetune"] == found["all_of_it"]


def test_the_runs_are_those_of_suites(tmp_path):
    records = read_archive(RUNS)
    assert {record.status for record in records} == {"done"}
    for name in SUITES:
        asked = load_suite(f"methods/{name}").runs("cpu", tmp_path)
        known = {(r.scenario, r.strategy, r.strength, r.seed) for r in records if r.suite == name}
        seeds = {seed for *_, seed in known}
        cells = {(r.scenario, r.strategy, r.strength, r.seed) for r in asked if r.seed in seeds}
        assert known == cells


def test_the_page_is_that_of_its_runs(tmp_path):
    made = tmp_path / "merging.md"
    with pytest.raises(SystemExit) as exit_:
        main(["page", str(FOLDER / "merging.md.j2"), "--store", str(RUNS), "--out", str(made)])
    assert exit_.value.code == 0
    assert made.read_text() == (ROOT / "docs" / "merging.md").read_text()
