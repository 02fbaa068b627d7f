"""Suites from Python: what the command does, without printing."""

import os
import re
import sqlite3
import subprocess
import sys
import textwrap
from dataclasses import replace

import pandas as pd
import pytest

import palimpsest.reports
import palimpsest.strategies
from palimpsest import UserError, load_suite, open_store, run_suite
from palimpsest.benchmark.metrics import METRICS
from palimpsest.benchmark.results.results import Results
from palimpsest.benchmark.runs.failure import Failure, FailureKind
from palimpsest.benchmark.store.heartbeat import Heartbeat
from palimpsest.benchmark.store.store import Store, SuiteNote
from palimpsest.benchmark.suites.spec import Spec

SUITE = {
    "suite": "small",
    "seeds": 2,
    "scenarios": {"two_models": {"data": "digits", "steps": 20, "width": 8, "curve": {"every": 0}}},
    "strategies": {"finetune": {}, "wpl": {"strengths": [100], "samples": 20}},
}


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A suite that was run once: its results, and all that was told on the way."""
    told = []
    store = tmp_path_factory.mktemp("done") / "small.db"
    results = run_suite(SUITE, store=store, workers=1, progress=told.append)
    return results, told


def test_a_suite_gives_its_runs(done):
    results, _ = done
    assert len(results) == 4
    assert results.failed == ()
    assert {record.strategy for record in results} == {"finetune", "wpl"}
    assert repr(results) == f"<4 runs of {results.path}>"
    assert open_store(results.path) == results


def test_progress_tells_of_every_run(done):
    _, told = done
    ended = [news for news in told if news.record]
    assert [(news.done, news.total) for news in ended] == [(i, 4) for i in (1, 2, 3, 4)]
    assert all(news.job[0].key == news.record.key for news in ended)
    assert {news.job[0].key for news in told} == {news.record.key for news in ended}
    assert all(0 <= news.fraction <= 1 for news in told)


def test_nothing_is_printed_and_nothing_runs_twice(done, capfd):
    results, _ = done
    told = []
    again = run_suite(load_suite(SUITE), store=str(results.path), progress=told.append)
    assert again == results
    assert told == []
    assert capfd.readouterr() == ("", "")


def test_a_program_that_asks_for_it_has_its_runs_in_its_own_process(done, tmp_path, monkeypatch):
    from palimpsest.strategies.finetune import Finetune

    seen = []
    monkeypatch.setattr(Finetune, "__init__", lambda self: seen.append(os.getpid()))
    suite = load_suite(SUITE, strategies=["finetune"])
    runs = run_suite(suite, store=tmp_path / "here.db", workers=0)
    assert seen == [os.getpid()] * 2
    theirs = {r.key: r.accuracy_matrix for r in done[0] if r.strategy == "finetune"}
    assert {r.key: r.accuracy_matrix for r in runs} == theirs


def test_a_store_keeps_what_the_whole_suite_says_before_its_first_run(tmp_path):
    told = SUITE | {"description": "Does it help?", "scenarios": {"z": {}, "a": {}}}
    told["scenarios"] = {name: SUITE["scenarios"]["two_models"] | {"family": "two_models"}
                         for name in told["scenarios"]}  # fmt: skip
    told["strategies"] = dict(reversed(SUITE["strategies"].items()))
    seen = []

    def stop(news):
        with Store(tmp_path / "s.db") as store:
            seen.extend(store.suites())
        raise KeyboardInterrupt

    part = load_suite(told, strategies=["finetune"], seeds=1)
    with pytest.raises(KeyboardInterrupt):
        run_suite(part, store=tmp_path / "s.db", workers=1, progress=stop)
    assert seen == [SuiteNote("small", "Does it help?", ("z", "a"), ("wpl", "finetune"))]


def test_no_run_fails_because_what_is_under_way_cannot_be_written(tmp_path, monkeypatch):
    def full(self):
        tries.append(self)
        raise sqlite3.OperationalError("database or disk is full")

    tries = []
    monkeypatch.setattr(Heartbeat, "_transaction", full)
    suite = load_suite(SUITE, strategies=["finetune"], seeds=1)
    (record,) = run_suite(suite, store=tmp_path / "full.db", workers=1)
    assert record.status == "done"
    assert len(tries) >= 2


def test_a_part_of_a_suite_is_returned_alone(done):
    results, _ = done
    part = run_suite(load_suite(SUITE, strategies=["wpl"], seeds=[1]), store=results.path)
    assert [(record.strategy, record.seed) for record in part] == [("wpl", 1)]
    assert part.records[0].metrics["finetune_forgetting"] is not None  # of the whole store


def test_what_a_program_sets_is_what_an_option_sets():
    by_program = load_suite("quick", seeds=3, settings={"scenarios.turned_digits.width": 7})
    by_option = load_suite("quick", seeds="3", settings=["scenarios.turned_digits.width=7"])
    assert by_program == by_option
    assert load_suite("quick", seeds=range(4, 6)).seeds == (4, 5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seeds": [1, 1]}, r"argument seeds: seeds\.1: expected different seeds"),
        ({"settings": {"scenarios.two_models.widht": 3}}, "argument settings.*'width'"),
        ({"settings": {"scenarios.two": 3}}, "argument settings 'scenarios.two': no 'two' in"),
        ({"settings": {"scenarios": 3}}, "expected scenarios.NAME.KEY"),
        ({"strategies": ["wlp"]}, "did you mean 'wpl'"),
        ({"strategies": []}, "strategies: expected one or more"),
    ],
    ids=str,
)
def test_a_mistake_in_an_argument_is_told(options, message):
    with pytest.raises(UserError, match=message):
        load_suite(SUITE, **options)


def test_a_mapping_is_checked_as_a_file_is_and_left_alone():
    wrong = {**SUITE, "strategies": {"wpl": {"strenghts": [1]}}}
    with pytest.raises(UserError, match=r"suite 'small': strategies\.wpl\.strenghts"):
        load_suite(wrong)
    before = repr(SUITE)
    load_suite(SUITE, seeds=1, settings={"scenarios.two_models.width": 3})
    assert repr(SUITE) == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"workers": -1}, "workers: expected a whole number, 0 or more, got -1"),
        ({"workers": 1.5}, "workers: expected a whole number, 0 or more, got 1.5"),
        ({"retries": -1}, "retries: expected a whole number, 0 or more, got -1"),
        ({"run_timeout": 0}, "run timeout: expected a number of seconds above 0, got 0"),
        ({"run_timeout": 9.5, "workers": 0}, "in this process .workers=0. cannot be ended"),
        ({"scratch": "nowhere"}, "scratch folder nowhere: there is no such folder"),
        ({"device": "tpu"}, "device tpu: expected cpu"),
        ({"store": "no/such/folder/r.db"}, "the folder no/such/folder does not exist"),
        ({"store": "r.parquet"}, "this is an archive, which is read-only"),
        ({"plugins": ["none.py"]}, "this plugin file does not exist"),
        ({"plugins": "none.py"}, "plugins: expected a list of files, got 'none.py' alone"),
    ],
    ids=str,
)
def test_a_mistake_is_told_before_anything_runs(tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=message):
        run_suite(SUITE, **arguments)
    assert list(tmp_path.iterdir()) == []


def test_no_suite_is_a_mistake(tmp_path):
    with pytest.raises(UserError, match="run_suite: no suite was given; expected one or more"):
        run_suite(store=tmp_path / "none.db")
    assert list(tmp_path.iterdir()) == []


def test_a_plugin_is_known_to_the_suite_and_its_runs(tmp_path, registries):
    plugin = tmp_path / "halfway.py"
    plugin.write_text(
        "from palimpsest.strategies import Finetune\n"
        "from palimpsest.strategies.base.facts import Facts\n"
        "class Halfway(Finetune):\n    facts = Facts('halfway', 'none', 'none')\n"
    )
    content = {**SUITE, "seeds": 1, "strategies": {"halfway": {}}}
    with registries():
        with pytest.raises(UserError, match="unknown strategy 'halfway'"):
            load_suite(content)
        suite = load_suite(content, plugins=[str(plugin)])
        (record,) = run_suite(suite, store=tmp_path / "p.db", workers=1)
        assert record.status == "done"
        assert run_suite(content, store=tmp_path / "p.db", plugins=[plugin]).records == (record,)


# Frames


def test_a_frame_has_a_row_per_run_and_numbers_as_numbers(done):
    results, _ = done
    frame = results.frame()
    assert list(frame["key"]) == [record.key for record in results]
    metrics = [name for name in METRICS if not re.search("visit|ranking|truth", name)]
    assert [name for name in METRICS if name in frame] == metrics, "no run is a search"
    assert all(pd.api.types.is_float_dtype(frame[name]) for name in (*metrics, "seconds"))
    assert all(pd.api.types.is_integer_dtype(frame[name]) for name in ("seed", "peak_memory"))
    assert frame["started"].dt.tz is not None
    wpl = frame[frame["strategy"] == "wpl"]
    assert list(wpl["strength"]) == [100.0, 100.0]
    assert frame["strength"].isna().sum() == 2
    assert frame.groupby("kind")["average_accuracy"].mean().notna().all()


def with_settings(record, seed=None, scenario=None, strategy=None, **more):
    """The same run with other settings."""
    data = dict(record.spec.data)
    data["scenario"] = data["scenario"] | (scenario or {})
    own = data["strategy"]
    data["strategy"] = own | {"settings": own["settings"] | (strategy or {})}
    given = {*(scenario or ()), *(strategy or ())}
    data["defaults"] = {
        part: [name for name in names if name.partition(".")[0] not in given]
        for part, names in data["defaults"].items()
    }
    spec = Spec(data | more)
    return replace(record, spec=spec, key=spec.key())


def test_settings_that_differ_are_columns_and_tell_cells_apart(done):
    results, _ = done
    other = with_settings(results.records[0], scenario={"width": 20})
    frame = Results(results.path, (*results.records, other)).frame()
    assert frame["scenario.width"].tolist() == [8, 8, 8, 8, 20]
    assert pd.api.types.is_integer_dtype(frame["scenario.width"])
    assert set(frame["scenario"]) == {"two_models"}
    assert [name for name in frame if name.startswith(("scenario.", "strategy."))] == [
        "scenario.width"
    ]
    both = Results(results.path, (*results.records, other))
    assert both.cell == ["scenario", "strategy", "strength", "scenario.width"]
    counts = both.frame().groupby(both.cell, dropna=False)["seed"].count()
    assert counts.tolist() == [2, 1, 2]
    for by in ("model", "moment"):
        assert "scenario.width" in both.frame(by=by) or by == "moment"
    assert results.cell == ["scenario", "strategy", "strength"]
    assert not [name for name in results.frame() if "." in name]


@pytest.mark.parametrize(
    ("changes", "column", "values"),
    [
        ({"scenario": {"optimizer": {"name": "adam"}}}, "scenario.optimizer", "rmsprop adam"),
        ({"scenario": {"clip_gradient": 2.5}}, "scenario.clip_gradient", "None 2.5"),
        ({"scenario": {"curve": {"every": 7}}}, "scenario.curve.every", "0 7"),
        ({"scenario": {"plugin": "abc"}}, "scenario.plugin", "None abc"),
        ({"scenario": {"augment": {"flip": True}}}, "scenario.augment.flip", "None True"),
        ({"scenario": {"shift": [1, 2]}}, "scenario.shift", "None [1, 2]"),
        (
            {"scenario": {"network": {"name": "n", "arguments": {"width": 4}}, "width": 8}},
            "scenario.network.arguments.width",
            "None 4",
        ),
        ({"scenario": {"fingerprints": {"digits": "x"}}}, "scenario.data.fingerprint.digits", "x"),
        ({"strategy": {"samples": 30}}, "strategy.samples", "20 30"),
        ({"versions": {"harness": 99}}, "results_version", "99"),
        ({"versions": {"scenario": 99}}, "scenario.results_version", "99"),
    ],
)
def test_whatever_differs_under_one_name_is_a_column(done, changes, column, values):
    first = next(record for record in done[0] if record.strategy == "wpl")
    results = Results(done[0].path, (first, with_settings(first, **changes)))
    assert column in results.cell
    found = [None if pd.isna(value) else value for value in results.frame()[column]]
    assert " ".join(map(str, found)).endswith(values)


def test_some_runs_of_a_store_are_chosen_by_their_names(done):
    results, _ = done
    assert {r.strategy for r in results.where(strategies=["wpl"])} == {"wpl"}
    assert len(results.where(suite="small", scenario="two_models")) == 4
    for chosen, nearest in (
        ({"suite": "smal"}, "suite 'smal'; did you mean 'small'"),
        ({"scenario": "two_model"}, "scenario 'two_model'; did you mean 'two_models'"),
        ({"strategies": ["wp"]}, "strategy 'wp'; did you mean 'wpl'"),
    ):
        with pytest.raises(UserError, match=nearest):
            results.where(**chosen)


def test_a_frame_has_a_row_per_run_and_model(done):
    results, _ = done
    frame = results.frame(by="model")
    assert len(frame) == 8
    for record in results:
        own = frame[frame["key"] == record.key]
        assert list(own["model"]) == [0, 1]
        assert list(own["final"]) == record.accuracy_matrix[-1]
        assert list(own["learned"]) == [record.accuracy_matrix[i][i] for i in (0, 1)]
        assert list(own["initial"]) == record.initial_accuracy


def test_what_is_not_known_is_missing(done):
    results, _ = done
    (first, *others) = results
    failed = replace(
        first, status="failed", failure=Failure(FailureKind.ERROR, "no"), accuracy_matrix=[],
        validation_matrix=[], initial_accuracy=[], curves=[], cost={}, started="",
    )  # fmt: skip
    mixed = Results(results.path, (failed, *others))
    frame = mixed.frame()
    assert mixed.failed == (failed,)
    assert frame["average_accuracy"].isna().tolist() == [True, False, False, False]
    assert pd.api.types.is_float_dtype(frame["average_accuracy"])
    assert frame["error"].tolist()[0] == "no"
    assert len(mixed.frame(by="model")) == 6
    assert Results(results.path, ()).frame().empty
    assert list(Results(results.path, ()).frame())[:2] == ["key", "suite"]


@pytest.fixture
def by_turns(done):
    """A run whose models were trained by turns, beside one whose models were not."""
    (first, other, *_) = done[0]
    moments = [
        {"visit": 0, "steps": 5, "accuracy": [0.5, None], "validation_accuracy": [0.25, None]},
        {"visit": 3, "steps": 20, "accuracy": [0.75, 0.5], "validation_accuracy": [1.0, 0.0]},
    ]
    visited = replace(first, accuracy_matrix=[], validation_matrix=[], curves=[], moments=moments)
    return Results(done[0].path, (visited, other))


def test_a_frame_has_a_row_per_run_moment_and_model_that_was_evaluated(by_turns):
    frame = by_turns.frame(by="moment")
    assert set(frame["key"]) == {by_turns.records[0].key}
    columns = ["visit", "steps", "model", "accuracy", "validation_accuracy"]
    assert frame[columns].to_numpy().tolist() == [
        [0, 5, 0, 0.5, 0.25], [3, 20, 0, 0.75, 1.0], [3, 20, 1, 0.5, 0.0],
    ]  # fmt: skip
    assert all(pd.api.types.is_integer_dtype(frame[name]) for name in columns[:3])
    assert by_turns.frame()["average_accuracy"][0] == 0.625
    models = by_turns.frame(by="model")
    assert list(models["final"][:2]) == [0.75, 0.5]
    assert list(models["validation_final"][:2]) == [1.0, 0.0]
    assert models["learned"].isna().tolist() == [True, True, False, False]


def test_a_frame_of_something_else_is_refused(done):
    with pytest.raises(UserError, match="by is 'seed', expected one of: run, model, moment"):
        done[0].frame(by="seed")


# Where it is called from


def test_importing_it_is_light():
    code = (
        "import sys, palimpsest; sys.exit(str(set(sys.modules) & {'torch', 'pandas', 'pydantic'}))"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert told.stderr.strip() == "set()"


@pytest.mark.parametrize(
    "package", [palimpsest, palimpsest.reports, palimpsest.strategies], ids=lambda p: p.__name__
)
def test_dir_lists_what_a_package_offers(package):
    assert dir(package) == sorted(dir(package))
    assert {*getattr(package, "__all__", ())} <= {*dir(package)}
    for name in dir(package):
        assert getattr(package, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'run_suit'"):
        package.run_suit  # noqa: B018


@pytest.mark.thorough
def test_it_works_where_there_is_no_main_module(tmp_path):
    """As in a notebook, where the program that runs is no file, and in workers."""
    code = f"""
        import sys
        from types import ModuleType
        sys.modules["__main__"] = ModuleType("__main__")
        from palimpsest import run_suite
        results = run_suite({SUITE!r}, store="n.db", workers=2)
        print(len(results), len(results.failed))
    """
    told = subprocess.run(
        [sys.executable, "-"], input=textwrap.dedent(code), cwd=tmp_path, capture_output=True,
        text=True, check=False, timeout=300,
    )  # fmt: skip
    assert told.stdout.split() == ["4", "0"], told.stderr
