"""``palimpsest show run``: everything that is known about one run."""

import json
from dataclasses import replace

import pytest
from known_facts import facts_of

from palimpsest.benchmark.cli import main
from palimpsest.benchmark.metrics import METRICS
from palimpsest.benchmark.runs.failure import Failure, FailureKind
from palimpsest.benchmark.runs.record import Record
from palimpsest.benchmark.store.store import Store
from palimpsest.benchmark.suites.spec import Spec

TRACEBACK = """\
Traceback (most recent call last):
  File "my_reg.py", line 7, in estimate
KeyError: 'x'
"""


def record(key, **changes):
    spec = Spec({
        "scenario": {"name": "turned", "family": "two_models", "width": 50, "plugin": "0123abcd"},
        "strategy": {
            "name": "mine", "strategy": "wpl", "settings": {"fisher": "exact", "strength": 10.0},
        },
        "seed": 3,
        "device": "cpu",
        "versions": {"harness": 1, "scenario": 3},
    })  # fmt: skip
    return Record(
        key=key, suite="quick", scenario="turned", strategy="mine", strength=10.0, seed=3,
        spec=spec, facts=facts_of("wpl"), started="2026-01-01T00:00:00+00:00",
        seconds=75.0, peak_memory=3 * 2**20, versions={"python": "3.11.2", "torch": "2.9"},
        **({"status": "done"} | changes),
    )  # fmt: skip


DONE = record(
    "aa11bb",
    accuracy_matrix=[[0.9, 0.1], [0.5, 0.8]],
    validation_matrix=[[0.7, None], [0.6, 0.55]],
    initial_accuracy=[0.1, 0.12],
    curves=[
        {"model": 0, "steps": [], "accuracy": [[]]},
        {"model": 1, "steps": [0, 5, 10], "accuracy": [[0.9, 0.7, 0.5], [0.1, 0.4, 0.8]]},
    ],
    cost={
        "training_seconds": [None, 12.345678901234567, 54321.0987],
        "state_bytes": 800,
        "lost": 2,
    },
    probes={
        "refit": {"rows": [{"model": 0, "after": 0.123456, "least": None}] * 30},
        "importance": {"absent": "fine-tuning has none"},
    },
    moments=[{"visit": 1, "steps": 20, "accuracy": [0.25, None]}],
)
FAILED = record(
    "aa22cc", status="failed", failure=Failure(FailureKind.ERROR, "KeyError: 'x'", TRACEBACK)
)
OLD = record("dd33", status="failed", failure=Failure(FailureKind.DIVERGED, "DivergedError: NaN"))


@pytest.fixture
def show(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with Store("runs.db", create=True) as store:
        for run in (DONE, FAILED, OLD):
            store.put(run)

    def call(*arguments, code=0):
        with pytest.raises(SystemExit) as left:
            main(["show", "run", *arguments, "--store", "runs.db"])
        found = capsys.readouterr()
        assert left.value.code == code, found.err
        return found.err if code else found.out

    return call


def test_everything_that_is_known_of_a_run(show):
    out = show("aa11")
    for text in (
        "done: turned mine 10 seed 3\n",
        "key          aa11bb\n",
        "time         1 min 15 s\n",
        "peak memory  3 MiB, of the whole process\n  lost before  2 times\n",
        "average accuracy      65.0\xa0%\n",
        "forgetting            40.0\xa0points\n",
        "plasticity            –\n",
        "\n      90.0    10.0\n      50.0    80.0\n",
        "Accuracy on the test set before training, %\n      10.0    12.0\n",
        "\n      70.0       –\n      60.0    55.0\n",
        "model 1: 0 points\n",
        "model 2: 3 points, steps 0 to 10; accuracy, %: model 1 90.0 to 50.0, model 2 10.0 to ",
        "visit 1, steps 20, accuracy [0.25, –]\n",
        "training seconds  [–, 12.35, 54321]\n",
        "state bytes       800\n",
        "model 1, after 0.1235, least –\n",
        "... and 10 more",
        "Probe importance\nfine-tuning has none\n",
        "Scenario turned\n  family: two_models\n  width: 50\n  (from a plugin, digest 0123abcd)",
        "Strategy mine: wpl\n  fisher: exact\n  strength: 10.0\n",
        "torch    2.9\n",
        "results  harness 1, scenario 3\n",
    ):
        assert text in out, (text, out)


def test_where_the_time_of_a_run_went(show):
    assert "of it" not in show("aa11")  # of an earlier version
    cost = {
        "training_seconds": [None, 4.2, 3.0],
        "consolidation_seconds": [0.5, 0.5, None],
        "evaluation_seconds": 50.0,
        "building_seconds": 2.0,
    }
    with Store("runs.db", create=True) as store:
        store.put(replace(DONE, key="ff55", cost=cost))
    assert (
        "  of it        training 7.2 s, after each model's last step 1.0 s, evaluation 50.0 s, "
        "loading the data and building the models 2.0 s, other 14.8 s\n"
    ) in show("ff55")


def test_the_traceback_of_one_that_failed(show):
    out = show("aa22cc")
    assert out.startswith("failed: turned mine 10 seed 3\n")
    assert f"Failure (error)\nKeyError: 'x'\n\n{TRACEBACK}" in out
    assert "Metrics" not in out
    out = show("dd33")
    assert "Failure (diverged)\nDivergedError: NaN\n\nno traceback was kept\n" in out


def test_json_has_all_of_it(show):
    found = json.loads(show("aa11bb", "--json"))
    assert found["metrics"]["average_accuracy"] == pytest.approx(0.65)
    assert found["metrics"].keys() >= METRICS.keys()
    assert found["spec"] == DONE.spec.data
    assert found["failure"] is None
    for name in ("curves", "cost", "probes", "moments", "versions", "validation_matrix", "started"):
        assert found[name] == getattr(DONE, name)
    failed = json.loads(show("aa22", "--json"))
    assert failed["failure"] == {
        "kind": "error",
        "message": "KeyError: 'x'",
        "traceback": TRACEBACK,
    }


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("aa", "runs.db: 'aa' begins the keys of 2 runs (aa11bb, aa22cc); give more of the key"),
        ("aa11bc", "no run has a key that begins with 'aa11bc'; did you mean 'aa11bb'?"),
        ("zzz", "'palimpsest list runs --store runs.db' lists all"),
        ("", "no run has a key that begins with ''"),
    ],
)
def test_a_key_that_says_too_little_or_nothing(show, key, message):
    assert message in show(key, code=2)


def test_what_is_free_is_shown_by_tensor_and_over_all(show):
    tensors = {
        "blocks.shared_0.weight": {"parameters": 6, "free": [0.5, 0.25]},
        "blocks.shared_0.bias": {"parameters": 2, "free": [1.0, None]},
    }
    with Store("runs.db", create=True) as store:
        store.put(replace(DONE, key="ee44", cost={"capacity": tensors}))
    lines = show("ee44").splitlines()
    start = lines.index("Free for later models of what is shared, %, after each model") + 1
    assert [line.split() for line in lines[start : start + 3]] == [
        ["blocks.shared_0.weight", "50.0", "25.0"],
        ["blocks.shared_0.bias", "100.0", "–"],
        ["all", "62.5", "–"],
    ]


def test_the_classes_of_each_experience_are_shown(show):
    with Store("runs.db", create=True) as store:
        store.put(replace(DONE, key="ee55", cost={"classes": [["cat", "ant"], ["bee", "dog"]]}))
    lines = show("ee55").splitlines()
    start = lines.index("Classes of each experience") + 1
    assert [line.split(maxsplit=1) for line in lines[start : start + 2]] == [
        ["1", "cat, ant"],
        ["2", "bee, dog"],
    ]
    assert "Cost" not in lines
