import json
from dataclasses import replace

import pytest

from palimpsest import __version__
from palimpsest.benchmark.runs.failure import Failure, FailureKind
from palimpsest.benchmark.suites.spec import Spec
from palimpsest.reports.analysis.remarks.caveats import caveats
from palimpsest.reports.runs.cells import group
from palimpsest.reports.runs.provenance import (
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


def test_memory_says_of_what_it_is(record):
    run = record([[0.9]])
    assert dict(origin([run], []))["most memory of a process"] == "300 MiB"
    gpu = replace(run, spec=Spec({**run.spec.data, "device": "cuda"}), peak_memory=2**20)
    found = dict(origin([run, gpu], []))
    assert found["most memory of a process"] == "300 MiB"
    assert found["most memory allocated on a device"] == "1 MiB"


def test_processors_are_named_and_mixed_ones_are_a_caveat(record):
    made = [
        record([[0.9]], seed=seed, versions={"processor": name} if name else {"torch": "2"})
        for seed, name in enumerate(("Xeon, AVX-512", "Xeon, AVX-512", "EPYC, AVX2", ""))
    ]
    assert dict(origin(made, []))["processor"] == (
        "Xeon, AVX-512 (2 runs), EPYC, AVX2 (1 run), unknown (1 run)"
    )
    (caveat,) = (text for text in caveats(group(made), [], []) if "processors" in text)
    assert "(EPYC, AVX2; Xeon, AVX-512)" in caveat
    # What old runs did not record is not known to differ.
    same = [made[0], made[1], made[3]]
    assert not any("processor" in text for text in caveats(group(same), [], []))


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
