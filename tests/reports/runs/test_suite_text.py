"""The suite file in a report makes the runs of the report again."""

from dataclasses import replace

import yaml

from palimpsest.benchmark.store.store import SuiteNote
from palimpsest.benchmark.suites.loading import load_suite
from palimpsest.reports.runs.suite_text import suite_files

SUITE = """
suite: mine
seeds: [3, 5]
probes: [refit]
scenarios:
  turned: {family: two_models, data: digits, second_data: rotated, steps: 20}
  pieces: {family: split, data: digits, epochs: 2, optimizer: {name: adam}}
strategies:
  finetune: {}
  wpl: {strengths: [0.5, 1.0e+4], clip: 3}
  online: {strategy: ewc, form: online, strength: 7}
  buffers: {strategy: replay, memories: [20, 50]}
  replay: {memory: 20}
  lwf: {strategy: "avalanche:LwF", arguments: {alpha: 1.0, temperature: 2.0}}
"""


def test_it_gives_the_same_keys(tmp_path, record):
    (tmp_path / "suite.yaml").write_text(SUITE)
    runs = load_suite(str(tmp_path / "suite.yaml")).runs("cpu", tmp_path)
    records = [replace(record([[0.9]]), **run.cell()) for run in runs]
    texts = suite_files(records[::-1])
    assert list(texts) == ["mine"]
    strategies = yaml.safe_load(texts["mine"])["strategies"]
    assert strategies["wpl"]["strengths"] == [0.5, 1e4]
    assert strategies["buffers"]["memories"] == [20, 50]
    (tmp_path / "again.yaml").write_text(texts["mine"])
    again = load_suite(str(tmp_path / "again.yaml")).runs("cpu", tmp_path)
    assert {run.key for run in again} == {run.key for run in runs}


def test_it_has_the_description_and_the_order_of_the_suite(record):
    records = [record([[0.9]], scenario=s, strategy=t) for s in "abc" for t in ("ewc", "wpl")]
    note = SuiteNote("paper", "Does it help?", ("c", "gone", "b"), ("wpl",))
    content = yaml.safe_load(suite_files(records, [note])["paper"])
    assert content["description"] == "Does it help?"
    assert [*content["scenarios"]] == ["c", "b", "a"]
    assert [*content["strategies"]] == ["wpl", "ewc"]


def test_each_suite_has_its_own(record):
    records = [record([[0.9]], suite=name) for name in ("a", "b")]
    assert list(suite_files(records)) == ["a", "b"]


def test_one_name_for_different_settings_has_none(record):
    records = [record([[0.9]], settings={"fisher": fisher}) for fisher in ("exact", "empirical")]
    assert suite_files(records) == {}
