import json
from dataclasses import replace

import pytest

from benchmark import __version__
from benchmark.failure import Failure, FailureKind
from reports.runs.cells import group
from reports.runs.provenance import (
    citation,
    exact_settings,
    failures,
    origin,
    scenario_facts,
    seeds,
)


@pytest.mark.parametrize(
    ("numbers", "text"),
    [([0], "0"), ([1, 0], "0, 1"), ([0, 1, 2, 7], "0 to 2, 7"), ([3, 5, 8, 9], "3, 5, 8, 9")],
)
def test_seeds_in_words(record, numbers, text):
    assert seeds([record([[0.9]], seed=seed) for seed in numbers]) == text


def test_origin_counts_versions_that_differ(record):
    records = [
        record([[0.9]], seed=seed, versions={"torch": f"2.{seed > 1}"}, suite="b" if seed else "a")
        for seed in range(4)
    ]
    found = dict(origin(records, ["x.db", "y.db"]))
    assert found["torch"] == "2.False (2 runs), 2.True (2 runs)"
    assert found["runs from"] == "x.db, y.db"
    assert found["suites"] == "a, b"
    assert found["time"] == "50.0 s in all"
    assert found["report by"] == f"Palimpsest {__version__}"


def test_a_scenario_in_brief(record):
    optimizer = {"name": "sgd", "learning_rate": 0.1, "momentum": 0}
    made = record([[0.9]], scenario_settings={"optimizer": optimizer, "epochs": None, "width": 50})
    facts = scenario_facts(made)
    assert ("optimizer", "sgd, learning rate 0.1") in facts
    assert ("width", "50") in facts
    assert "epochs" not in dict(facts)


def test_what_a_plugin_is_made_of_is_no_setting_of_its_scenario(record):
    digest = {"plugin": "0123456789abcdef", "fingerprints": {"digits": "digits"}}
    made = record([[0.9]], scenario_settings={"width": 50, **digest})
    assert dict(scenario_facts(made)).keys() == {"family", "width", "device"}
    full = dict(exact_settings(group([made])))
    assert json.loads(full["scenario same"])["plugin"] == "0123456789abcdef"


def test_settings_in_full(record):
    names = dict(exact_settings(group([record([[0.9]], settings={"form": "ä"})])))
    assert list(names) == ["scenario same", "strategy finetune"]
    assert json.loads(names["strategy finetune"])["settings"] == {"form": "ä"}


def test_a_message_once_with_its_runs(record):
    runs = [record(error="NaN", seed=seed) for seed in range(12)]
    [found] = failures(group([*runs, record([[0.9]], seed=99)]))
    assert (found.kind, found.message, found.n, found.traceback) == ("error", "NaN", 12, "")
    assert found.runs.startswith("same, finetune, seed 0; ")
    assert found.runs.endswith("seed 9; 2 more")


def test_a_message_has_the_traceback_of_the_first_run_that_has_one(record):
    runs = [
        replace(record(error="x", seed=seed), failure=Failure(FailureKind.ERROR, "x", text))
        for seed, text in enumerate(("", "Traceback of 1", "Traceback of 2"))
    ]
    [found] = failures(group(runs))
    assert (found.n, found.traceback) == (3, "Traceback of 1")


def test_the_citation_names_the_version():
    assert f"Version {__version__}" in citation()
