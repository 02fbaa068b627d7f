"""The studies of ``configs/methods``: the short forms of their suites, their runs and pages."""

from pathlib import Path

import pytest
import yaml
from at_length import at_length

from palimpsest import run_suite
from palimpsest.benchmark.cli import main
from palimpsest.benchmark.store.archive import read_archive
from palimpsest.benchmark.suites.loading import load_suite
from palimpsest.reports.analysis.choosing.coarseness import gaps
from palimpsest.reports.analysis.choosing.cross_fitting import choose
from palimpsest.reports.runs.cells import group
from palimpsest.strategies.base.catalogue import STRATEGIES

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
FOLDER = ROOT / "configs" / "methods"
SUITES = sorted(path.stem for path in FOLDER.glob("*.yaml"))
PAGES = {
    "isolation": ["isolation"],
    "posteriors": ["posteriors"],
    "merging": ["merging"],
    "posteriors-and-merging": ["posteriors", "merging"],
    "which-method": ["which-method"],
}
"""The pages, and the studies whose runs they show."""
STUDIES = sorted({study for studies in PAGES.values() for study in studies})
QUICK = {"posteriors_sgd"}
"""The suites whose short forms are asked each time; the others take some seconds each."""
SMALL = {"data": "digits", "samples": 200, "test_samples": 50, "width": 8, "steps": 3}
TRENDS = {"pic_wide", "smile_wide"}
"""What shows a trend over many values, and is not compared at a chosen one."""


def runs_of(study):
    return ROOT / "docs" / study / "runs.parquet"


def test_every_suite_is_of_a_study():
    assert {name.split("_")[0] for name in SUITES} == {study.split("-")[0] for study in STUDIES}


def short(name):
    """A suite with one seed, tiny networks and three steps a model."""
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
    return load_suite(f"methods/{name}", settings=settings | masked, seeds=1)


@pytest.mark.parametrize("name", at_length(SUITES, {*SUITES} - QUICK))
def test_a_short_form_runs(name, tmp_path):
    suite = short(name)
    results = run_suite(suite, store=tmp_path / "short.db", workers=0)
    assert not results.failed
    strengths = sum(len(s.strengths or (None,)) for s in suite.strategies.values())
    assert len(results.records) == len(suite.scenarios) * strengths
    if name.startswith("posteriors"):
        assert all(record.probes["uncertainty"]["rows"] for record in results.records)


EQUAL = [name for name in SUITES if not name.endswith("_inside") and not name.startswith("which_")]
"""The suites with equally many values for each strategy; elsewhere a grid is as fine as needed."""


@pytest.mark.parametrize("name", EQUAL)
def test_compared_strategies_have_as_many_dial_values(name):
    counts = {
        len(each.strengths)
        for kind, each in load_suite(f"methods/{name}").strategies.items()
        if len(each.strengths) > 1 and kind not in TRENDS
    }
    assert len(counts) <= 1


def test_tempered_and_not_have_the_same_range():
    strategies = load_suite("methods/posteriors_same").strategies
    for kind in ("vcl", "badam"):
        assert strategies[kind].strengths == strategies[f"{kind}_tempered"].strengths


@pytest.mark.parametrize("study", STUDIES)
def test_the_runs_are_whole_seeds_of_suites(study, tmp_path):
    records = read_archive(runs_of(study))
    failed = {record.strategy for record in records if record.status != "done"}
    assert failed <= {"badam", "badam_tempered"}  # long steps diverge
    for name in {record.suite for record in records}:
        known = {(r.scenario, r.strategy, r.strength, r.seed) for r in records if r.suite == name}
        seeds = {seed for *_, seed in known}
        asked = load_suite(f"methods/{name}").runs("cpu", tmp_path)
        cells = {(r.scenario, r.strategy, r.strength, r.seed) for r in asked if r.seed in seeds}
        assert known == cells, name


def test_what_all_are_compared_with_has_fine_grids():
    """A coarse grid of EWC would be in every difference of ``which-method``."""
    records = [r for r in read_archive(runs_of("which-method")) if r.strategy == "ewc"]
    choices = choose(group(records))
    assert len(choices) == 4
    assert [(gaps(choice), choice.open_end) for choice in choices] == 4 * [((), None)]


@pytest.mark.parametrize("page", at_length(PAGES, {"which-method"}))
def test_a_page_is_that_of_its_runs(page, tmp_path):
    made = tmp_path / f"{page}.md"
    stores = [part for study in PAGES[page] for part in ("--store", str(runs_of(study)))]
    with pytest.raises(SystemExit) as exit_:
        template = DOCS / PAGES[page][0] / f"{page}.md.j2"
        main(["page", str(template), *stores, "--out", str(made)])
    assert exit_.value.code == 0
    assert made.read_text() == (ROOT / "docs" / f"{page}.md").read_text()


SCHEDULE = {"seed", "start", "reset_every", "strength_decay", "decay_after", "decay_every"}
INFERENCE = {"infer_from", "neighbours", "samples"}  # of a mask that is not given
UNUSED = {
    "wpl": {"batch"},  # of batched Fisher information, as below
    "freeze_important": {"batch"},
    "fggm": {"batch"},
    "ewc": {"batch", "decay"},  # the latter of the online form
    "laplace": {"prior_precision"},  # of draws, not of training
    "supsup": INFERENCE,
    "ssnet": INFERENCE,
    "exssnet": INFERENCE,
    "smile": {"gate"},  # where experts are routed
    "n_step_kl": {"memory_batch"},  # without a memory
    "td_vcl": {"memory_batch"},
}
"""Numbers that have no effect on the training of the forms that the suites have."""


def numbers(kind):
    """How many numbers one can set that have an effect, without those of ``SCHEDULE``."""
    settings = STRATEGIES[kind].Settings.model_json_schema().get("properties", {})
    types = {
        name: {each.get("type") for each in [about, *about.get("anyOf", [])]}
        for name, about in settings.items()
    }
    found = {name for name, own in types.items() if own & {"number", "integer"}}
    assert UNUSED.get(kind, set()) <= found
    return len(found - SCHEDULE - UNUSED.get(kind, set()))


def test_which_method_asks_of_every_strategy():
    front = yaml.safe_load(
        (DOCS / "which-method" / "which-method.md.j2").read_text().split("---\n")[1]
    )
    rows = [name for names in front["families"].values() for name in names]
    controls = {"exssnet_drawn": "exssnet"}
    assert front["controls"] == [*controls]
    listed = [name for name in rows if name not in controls]
    assert sorted(listed) == sorted({*STRATEGIES} - {"nsas", "wpl_official"})  # those of searches
    assert {*front["names"]} == {*rows}
    assert front["numbers"] == {name: numbers(controls.get(name, name)) for name in rows}
    without_labels = {*listed} - {*front["families"]["Masks on weights"]}
    without_labels -= {*front["families"]["Merging"]}
    for name in front["run"]:
        strategies = load_suite(f"methods/{name}").strategies
        assert {*strategies} == (without_labels if name == "which_class" else {*rows})
        for control, kind in controls.items():
            if control in strategies:  # the method, but for the setting that it asks about
                own = strategies[control].settings.model_dump()
                plain = strategies[kind].settings.model_dump()
                differ = {key for key in own if own[key] != plain[key]} - {"density"}
                assert (differ, own["weights"]) == ({"weights"}, "initial")
    shares = {"turned": (2, 1), "pool": (10, 1 / 2), "task": (5, 1), "class": (5, 1)}
    own = {bed: (models * share - 1) * 32 / models for bed, (models, share) in shares.items()}
    assert front["own"] == pytest.approx(own)  # more than one network's shared weights


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
