"""The suites of published tables: their protocols, their short form, and the page of their runs."""

import json
from collections import defaultdict
from pathlib import Path
from statistics import fmean

import pytest
import yaml
from at_length import at_length
from one_run import execute

from palimpsest.benchmark.cli import main
from palimpsest.benchmark.store.archive import read_archive
from palimpsest.benchmark.suites.loading import load_suite
from palimpsest.reports.markdown.csv_rows import read_rows

ROOT = Path(__file__).parents[2]
CONFIGS = ROOT / "configs" / "published"
PUBLISHED = ROOT / "docs" / "published"
DOCS = ROOT / "docs"
SUITES = sorted(path.stem for path in CONFIGS.glob("*.yaml"))
KINDS = {"text", "memory", "figure", "data", "run"}

# As published: network, optimizer, length, and what van de Ven & Tolias call lambda, gamma and c.
VAN_DE_VEN = {
    "split": {"experiences": 5, "width": 400, "learning_rate": 1e-3, "steps": 2000},
    "permuted": {"experiences": 10, "width": 1000, "learning_rate": 1e-4, "steps": 5000},
}
STRENGTHS = {
    "split": {
        "task": {"ewc": 1e7, "online": 1e8, "gamma": 0.8, "c": 50},
        "domain": {"ewc": 1e6, "online": 1e8, "gamma": 0.7, "c": 500},
        "class": {"ewc": 1e8, "online": 1e9, "gamma": 0.8, "c": 0.5},
    },
    "permuted": {
        "task": {"ewc": 500, "online": 500, "gamma": 0.8, "c": 5},
        "domain": {"ewc": 500, "online": 1000, "gamma": 0.9, "c": 5},
        "class": {"ewc": 1, "online": 5, "gamma": 1.0, "c": 0.1},
    },
}
# Hidden layers, width, optimizer, learning rate, batch size, and passes over the data.
OTHERS = {
    "zenke_split": (2, 256, "adam", 1e-3, 64, 10),
    "zenke_permuted": (2, 2000, "adam", 1e-3, 256, 20),
    "supsup_permuted": (2, 300, "rmsprop", 1e-4, 128, 1),
    "avalanche_split": (2, 256, "adam", 1e-3, 64, 10),
    "avalanche_permuted_ewc": (1, 512, "sgd", 1e-3, 256, 10),
    "avalanche_permuted_si": (1, 1000, "adam", 1e-3, 256, 10),
    "td_vcl_permuted": (2, 100, "adam", 1e-3, 256, 10),
}


@pytest.mark.parametrize("suite", SUITES)
def test_a_suite_is_shipped_and_says_what_it_is(suite):
    found = load_suite(f"published/{suite}")
    assert found.name == suite
    assert len(found.description) > 40
    for scenario in found.scenarios.values():
        assert (scenario.data, scenario.curve.every) == ("mnist", 0)
        chosen = suite == "avalanche_permuted_trained" or suite.startswith("td_vcl")
        assert scenario.validation == (0.1 if chosen else 0)


@pytest.mark.parametrize("kind", STRENGTHS)
@pytest.mark.parametrize("incremental", ["task", "domain", "class"])
def test_settings_are_those_of_van_de_ven_and_tolias(kind, incremental):
    suite = load_suite(f"published/{kind}_mnist_{incremental}")
    own, theirs = VAN_DE_VEN[kind], STRENGTHS[kind][incremental]
    (scenario,) = suite.scenarios.values()
    assert (scenario.family, scenario.incremental) == (kind, incremental)
    assert (scenario.experiences, scenario.hidden_layers) == (own["experiences"], 2)
    assert (scenario.width, scenario.batch_size) == (own["width"], 128)
    assert (scenario.pixels, scenario.activation) == ("unit", "relu")
    optimizer = scenario.optimizer
    assert (optimizer.name, optimizer.learning_rate) == ("adam", own["learning_rate"])
    assert optimizer.betas == (0.9, 0.999)
    assert scenario.optimizer_state == "kept"
    assert scenario.outputs == ("seen" if incremental == "class" else "all")
    assert scenario.steps == own["steps"]
    assert kind == "permuted" or scenario.shuffle_classes
    found = suite.strategies
    assert "joint" in found  # trains as many steps as all experiences have
    assert found["ewc"].strengths == (theirs["ewc"],)
    assert found["ewc_online"].strengths == pytest.approx((theirs["online"] * theirs["gamma"],))
    assert found["ewc_online"].settings.decay == theirs["gamma"]
    assert found["si"].strengths == (2 * theirs["c"],)
    assert found["si"].settings.damping == 0.1
    for name in ("ewc", "ewc_online"):
        assert found[name].settings.fisher == "predicted"
        assert found[name].settings.samples >= 60_000
    lwf = found["lwf_mean"].settings
    assert (lwf.balance, lwf.outputs, lwf.temperature) == ("experiences", "seen", 2)
    assert lwf.over_classes == "mean"  # in their program until May 2019
    assert found["lwf_mean"].strengths == (lwf.temperature**2,)  # a factor in their program


def test_the_fisher_suite_compares_the_five_of_van_de_ven_2025():
    suite = load_suite("published/fisher_2025")
    assert suite.scenarios == load_suite("published/split_mnist_task").scenarios
    found = {name: s.settings for name, s in suite.strategies.items()}
    assert {name: s.fisher for name, s in found.items()} == {
        "exact": "exact",
        "exact_500": "exact",
        "sampled": "monte_carlo",
        "empirical": "empirical",
        "batched": "batched",
    }
    assert found["batched"].batch == 128
    assert found["exact_500"].samples == 500
    assert all(s.samples >= 12_000 for name, s in found.items() if name != "exact_500")
    assert {(s.form, s.decay) for s in found.values()} == {("online", 1.0)}
    for strategy in suite.strategies.values():
        assert strategy.strengths == tuple(10.0**i for i in range(14))


@pytest.mark.parametrize(("incremental", "strength"), [("domain", 1e10), ("class", 1e9)])
def test_settings_are_those_of_the_program_of_2022(incremental, strength):
    suite = load_suite(f"published/split_mnist_2022_{incremental}")
    (scenario,) = suite.scenarios.values()
    (before,) = load_suite(f"published/split_mnist_{incremental}").scenarios.values()
    assert scenario == before.model_copy(update={"outputs": "all"})
    assert suite.strategies["ewc"].strengths == (strength,)
    assert suite.strategies["ewc"].settings.fisher == "exact"
    assert suite.strategies["ewc"].settings.samples >= 60_000
    if incremental == "domain":
        assert suite.strategies["si"].strengths == (2 * 50_000,)


@pytest.mark.parametrize("name", OTHERS)
def test_settings_are_those_of_the_other_programs(name):
    for scenario in load_suite(f"published/{name}").scenarios.values():
        optimizer = scenario.optimizer
        assert OTHERS[name] == (
            scenario.hidden_layers,
            scenario.width,
            optimizer.name,
            optimizer.learning_rate,
            scenario.batch_size,
            scenario.epochs,
        )


def test_betas_of_td_vcl_are_those_that_validation_data_of_another_seed_choose():
    suite, grid = (load_suite(f"published/td_vcl_permuted{end}") for end in ("", "_betas"))
    assert suite.scenarios == grid.scenarios
    assert not set(suite.seeds) & set(grid.seeds)
    accuracies = defaultdict(dict)
    for record in read_archive(DOCS / "published" / "runs.parquet"):
        if record.suite == grid.name:
            assert record.validation_matrix is not None
            accuracies[record.strategy][record.strength] = fmean(record.validation_matrix[-1])
    for name, strategy in grid.strategies.items():
        assert suite.strategies[name].settings.log_variance == strategy.settings.log_variance
        found = accuracies[name]
        assert suite.strategies[name].strengths == (max(found, key=found.__getitem__),)


def test_more_training_is_what_the_trained_suite_adds():
    suite = load_suite("published/avalanche_permuted_trained")
    (before,) = load_suite("published/avalanche_permuted_ewc").scenarios.values()
    found = suite.scenarios
    for scenario in found.values():
        same = {"epochs": before.epochs, "batch_size": before.batch_size, "width": before.width}
        assert same.items() <= scenario.model_dump().items()
    rates = {n: (s.optimizer.name, s.optimizer.learning_rate) for n, s in found.items()}
    assert rates == {"domain": ("sgd", 0.1), "adam": ("adam", 1e-4)}


@pytest.mark.parametrize("suite", at_length(SUITES, {*SUITES} - {"split_mnist_class"}))
def test_a_short_form_runs(suite, tmp_path):
    small = {"data": "digits", "samples": 200, "width": 8, "steps": 2, "epochs": None}
    whole = load_suite(f"published/{suite}")
    paths = {f"scenarios.{name}.{key}": value
             for name in whole.scenarios for key, value in small.items()}  # fmt: skip
    short = load_suite(f"published/{suite}", settings=paths, seeds=1)
    runs = {(run.scenario, run.strategy): run for run in short.runs("cpu", tmp_path)}
    assert len(runs) == len(whole.scenarios) * len(whole.strategies)
    for run in runs.values():
        record = execute(run, tmp_path)
        assert record.status == "done", record.error


def test_every_published_number_has_its_source():
    rows = read_rows(PUBLISHED, "published.csv")
    keys = [(r["source"], r["benchmark"], r["scenario"], r["method"]) for r in rows]
    assert len(set(keys)) == len(keys)
    template = (PUBLISHED / "published.md.j2").read_text()
    for row in rows:
        assert row["how"] in KINDS
        assert 0 < row["mean"] <= 100
        assert str(row["source"]).lower() in template.lower()
        assert row["sem"] == "" or 0 < row["sem"] < 5


def test_the_published_runs_are_of_the_suites(tmp_path):
    records = read_archive(DOCS / "published" / "runs.parquet")
    asked = {
        run.key: run.suite
        for suite in SUITES
        for run in load_suite(f"published/{suite}").runs("cpu", tmp_path)
    }
    for record in records:
        assert asked[record.key] == record.suite
        assert record.status == "done", record.error
    front = next(
        yaml.safe_load_all((PUBLISHED / "published.md.j2").read_text().split("\n---\n")[0])
    )
    assert sorted(front["run"]) == sorted({record.suite for record in records})


def test_the_runs_on_cifar_are_of_the_suite(tmp_path):
    asked = {without_data(run.spec) for run in load_suite("cifar").runs("cpu", tmp_path)}
    records = read_archive(DOCS / "cifar" / "runs.parquet")
    assert {without_data(record.spec) for record in records} == asked
    assert len(records) == len(asked)


@pytest.mark.parametrize(
    ("template", "name"),
    [
        (PUBLISHED / "published.md.j2", "published"),
        (PUBLISHED.parent / "cifar" / "cifar.md.j2", "cifar"),
    ],
)
def test_a_page_is_that_of_its_runs(template, name, tmp_path):
    made, runs = tmp_path / f"{name}.md", DOCS / name / "runs.parquet"
    with pytest.raises(SystemExit) as exit_:
        main(["page", str(template), "--store", str(runs), "--out", str(made)])
    assert exit_.value.code == 0
    assert made.read_text() == (DOCS / f"{name}.md").read_text()


def test_the_page_names_every_suite():
    text = (DOCS / "published.md").read_text()
    for suite in SUITES:
        assert f"configs/published/{suite}.yaml" in text


def without_data(spec):
    """The settings but for where the images are: published runs took them from a zip file."""
    own = spec.hashed["scenario"]
    scenario = {k: v for k, v in own.items() if k not in {"data", "fingerprints"}}
    return json.dumps({**spec.hashed, "scenario": scenario}, sort_keys=True)
