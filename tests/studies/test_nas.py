"""The suites of architecture searches: their short form, the published sizes, and their page."""

import json
from pathlib import Path

import numpy as np
import pytest
from at_length import at_length

from palimpsest import run_suite
from palimpsest.benchmark.cli import main
from palimpsest.benchmark.store.archive import read_archive
from palimpsest.benchmark.suites.loading import load_suite

ROOT = Path(__file__).parents[2]
NAS = ROOT / "configs" / "nas"
TEMPLATE = ROOT / "docs" / "nas" / "nas.md.j2"
RUNS = ROOT / "docs" / "nas" / "runs.parquet"
SUITES = sorted(path.stem for path in NAS.glob("*.yaml"))
LARGE = sorted(path.stem for path in (ROOT / "configs" / "nas_paper").glob("*.yaml"))
SMALL = {"epochs": 2, "visits": 2, "batches": 2, "warm_start": 1, "measured": 2, "batch_size": 8}
IMAGES = {"data": "digits", "samples": 120, "test_samples": 40, "supernet.channels": 2}
TEXT = {"test_samples": 16, "length": 4, "supernet.hidden": 4}


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    """A text of 40 words, in the layout of Penn Treebank."""
    folder = tmp_path_factory.mktemp("text")
    generator = np.random.default_rng(0)
    for split, lines in (("train", 200), ("valid", 60), ("test", 60)):
        words = generator.integers(40, size=(lines, 6))
        rows = [" ".join(f"w{word}" for word in line) for line in words]
        (folder / f"{split}.txt").write_text("\n".join(rows) + "\n")
    return folder


def short(name, text, folder="nas", **more):
    """A suite with two seeds, tiny networks and a few steps."""
    whole = load_suite(f"{folder}/{name}")
    paths = {}
    for scenario, settings in whole.scenarios.items():
        own = TEXT | {"data": f"text:{text}"} if settings.data.startswith("text:") else IMAGES
        if settings.shared:
            one_batch = settings.sampler.name in ("single_path", "fair")
            own = own | SMALL | ({"batches": 1} if one_batch else {})
            if not settings.warm_start:
                own = own | {"warm_start": 0}
            if settings.sampler.name == "controller":
                own = own | {"sampler.steps": 2, "sampler.derived": 2}
        else:
            few = [[0] * 3, [1, 3, 2]] if own is IMAGES else [[0] * 4, [0, 1, 1, 2]]
            own = own | {"steps": 2, "batch_size": 8, "architectures": few}
        paths |= {f"scenarios.{scenario}.{key}": value for key, value in (own | more).items()}
    return load_suite(f"{folder}/{name}", settings=paths, seeds=2)


@pytest.mark.parametrize("name", at_length(SUITES, {*SUITES} - {"recurrent_truth"}))
def test_a_short_form_runs(name, text, tmp_path):
    suite = short(name, text)
    results = run_suite(suite, store=tmp_path / "short.db", workers=0)
    assert not results.failed
    whole = load_suite(f"nas/{name}")
    strengths = sum(len(s.strengths or (None,)) for s in whole.strategies.values())
    assert len(results.records) == 2 * len(whole.scenarios) * strengths


def test_searches_and_their_truth_have_the_same_space_and_data():
    for space in ("convolutional", "recurrent", "cifar"):
        (truth,) = load_suite(f"nas/{space}_truth").scenarios.values()
        for name in SUITES:
            if name.startswith(space):
                for scenario in load_suite(f"nas/{name}").scenarios.values():
                    for setting in ("data", "samples", "validation", "supernet", "words", "length"):
                        assert getattr(scenario, setting) == getattr(truth, setting)


def test_controls_go_on_from_the_weights_of_the_strategies():
    for space in ("convolutional", "recurrent"):
        (warm,) = load_suite(f"nas/{space}_warm").scenarios.values()
        for control in load_suite(f"nas/{space}_warm_controls").scenarios.values():
            ours, theirs = (
                {k: v for k, v in each.of_first_model().items() if k != "test_samples"}
                for each in (control, warm)
            )
            assert ours == theirs


def test_the_runs_are_those_of_the_suites(text, tmp_path):
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "ptb").symlink_to(text)
    asked = [run for name in SUITES for run in load_suite(f"nas/{name}").runs("cpu", tmp_path)]
    records = read_archive(RUNS)
    assert len(records) == len(asked)
    assert {settings_of(record.spec) for record in records} == {
        settings_of(run.spec) for run in asked
    }
    assert {record.status for record in records} == {"done"}


def test_the_page_is_that_of_its_runs(tmp_path):
    made = tmp_path / "nas.md"
    with pytest.raises(SystemExit) as exit_:
        main(["page", str(TEMPLATE), "--store", str(RUNS), "--out", str(made)])
    assert exit_.value.code == 0
    assert made.read_text() == (ROOT / "docs" / "nas.md").read_text()
    for figure in (tmp_path / "nas").iterdir():
        assert figure.read_bytes() == (RUNS.parent / figure.name).read_bytes()


def settings_of(spec):
    """The settings without what differs between machines: files, and where CIFAR-10 was."""
    data = spec.hashed
    scenario = {k: v for k, v in data["scenario"].items() if k != "fingerprints"}
    if scenario["data"] == "folder:cifar10-images.zip":
        scenario["data"] = "cifar10"
    return json.dumps({**data, "scenario": scenario}, sort_keys=True)


@pytest.mark.thorough
@pytest.mark.parametrize("name", LARGE)
def test_the_published_size_takes_a_few_steps(name, tmp_path):
    generator = np.random.default_rng(0)
    for split, count in (("train", 12_000), ("valid", 4_600), ("test", 4_600)):
        words = [f"w{word}" for word in generator.permutation(12_000)[:count]]
        (tmp_path / f"{split}.txt").write_text(" ".join(words) + "\n")
    whole = load_suite(f"nas_paper/{name}")
    (scenario,) = whole.scenarios
    images = {"data": "digits", "samples": 100, "measured_samples": 4, "test_samples": 8}
    data = {"data": f"text:{tmp_path}"} if name == "enas_recurrent" else images
    few = {"epochs": 1, "visits": 2, "batches": 1, "measured": 1, "ranked": 1}
    few |= {"sampler.steps": 1, "sampler.derived": 1}
    paths = {f"scenarios.{scenario}.{key}": value for key, value in (data | few).items()}
    suite = load_suite(f"nas_paper/{name}", settings=paths, seeds=1, strategies=["wpl_official"])
    results = run_suite(suite, store=tmp_path / "large.db", workers=0)
    assert not results.failed
    (run,) = results.records
    assert run.spec.scenario.settings["supernet"] == whole.scenarios[scenario].supernet.model_dump()
