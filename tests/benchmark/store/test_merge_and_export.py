"""Runs of several stores in a new one, and as tables for other programs."""

import json
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from command_line import command
from stored_runs import a_record

from palimpsest import open_store
from palimpsest.benchmark.runs.failure import Failure, FailureKind
from palimpsest.benchmark.store.store import Store, SuiteNote
from palimpsest.benchmark.suites.spec import Spec

NOTE = SuiteNote("t", "A question?", ("s",), ("wpl",))


@pytest.fixture
def stores(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    failure = Failure(FailureKind.ERROR, "ValueError: none")
    failed = replace(a_record(2), status="failed", failure=failure, accuracy_matrix=[])
    with Store("a.db", create=True) as store:
        store.put_all([a_record(0), a_record(1), failed], [NOTE])
    with Store("b.db", create=True) as store:
        store.put_all([a_record(1), a_record(2), a_record(3)], [replace(NOTE, name="u")])


def runs(path):
    return {run.seed: run for run in open_store(path)}


def test_each_run_is_there_once_and_a_finished_one_counts_before_a_failed_one(stores, capsys):
    before = Path("a.db").read_bytes(), Path("b.db").read_bytes()
    assert command("merge", "new.db", "a.db", "b.db") == 0
    assert "new.db: 4 runs" in capsys.readouterr().out
    assert runs("new.db") == {seed: a_record(seed) for seed in range(4)}
    assert [note.name for note in open_store("new.db").suites] == ["t", "u"]
    assert (Path("a.db").read_bytes(), Path("b.db").read_bytes()) == before
    assert sorted(path.name for path in Path().iterdir()) == ["a.db", "b.db", "new.db"]


def test_an_archive_becomes_a_store_that_can_be_written(stores):
    pytest.importorskip("pyarrow")
    assert command("archive", "--store", "a.db", "-o", "a.parquet") == 0
    assert command("merge", "new.db", "a.parquet") == 0
    assert runs("new.db") == runs("a.db")
    with Store("new.db", create=True) as store:
        store.put(a_record(9))
    assert 9 in runs("new.db")


def test_different_results_of_one_run_are_refused_with_both_names(stores, capsys):
    with Store("b.db", create=True) as store:
        store.put(replace(a_record(1), accuracy_matrix=[[0.25]]))
    assert command("merge", "new.db", "a.db", "b.db") == 2
    said = capsys.readouterr().err
    assert f"a.db and b.db hold different results of the run {a_record(1).key}" in said
    assert not Path("new.db").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["b.db", "a.db"], "b.db already exists"),
        (["new.db", "none.db"], "there is no store here"),
        (["new.db", "a.db", "a.db"], "named twice"),
        (["none/new.db", "a.db"], "does not exist"),
    ],
)
def test_what_cannot_be_merged_is_said_and_nothing_is_written(stores, capsys, arguments, message):
    before = {path: path.read_bytes() for path in Path().iterdir()}
    assert command("merge", *arguments) == 2
    assert message in capsys.readouterr().err
    assert {path: path.read_bytes() for path in Path().iterdir()} == before


@pytest.mark.parametrize("by", ["run", "model"])
@pytest.mark.parametrize("ending", ["csv", "parquet", "json"])
def test_a_table_is_what_python_has(stores, ending, by):
    pytest.importorskip("pyarrow")
    assert command("export", "b.db", "-o", f"out.{ending}", "--by", by) == 0
    read = {"csv": pd.read_csv, "parquet": pd.read_parquet, "json": pd.read_json}[ending]
    found, known = read(f"out.{ending}"), open_store("b.db").frame(by=by)
    assert list(found.columns) == list(known.columns)
    assert found["key"].tolist() == known["key"].tolist()
    column = "final" if by == "model" else "average_accuracy"
    assert found[column].tolist() == known[column].tolist() == [0.5, 0.5, 0.5]


def test_every_format_and_the_list_of_runs_tell_settings_apart(stores, capsys):
    pytest.importorskip("pyarrow")
    wide = a_record(3)
    data = {**wide.spec.data, "scenario": {**wide.spec.data["scenario"], "width": 20}}
    with Store("b.db", create=True) as store:
        store.put(replace(wide, key="wide", spec=Spec(data)))
    columns = {}
    for ending, read in (
        ("csv", pd.read_csv), ("parquet", pd.read_parquet), ("json", pd.read_json),
    ):  # fmt: skip
        assert command("export", "b.db", "-o", f"out.{ending}") == 0
        table = read(f"out.{ending}")
        columns[ending] = list(table)
        assert table.set_index("key")["scenario.width"]["wide"] == 20
    assert columns["csv"] == columns["parquet"] == columns["json"]
    capsys.readouterr()
    assert command("list", "runs", "--store", "b.db") == 0
    assert "scenario.width" in capsys.readouterr().out
    assert command("list", "runs", "--store", "b.db", "--json") == 0
    rows = {row["key"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["wide"]["settings"] == {"scenario.width": 20}
    assert rows["wide"]["suite"] == wide.suite


def test_only_an_earlier_table_is_written_over(stores, capsys):
    pytest.importorskip("pyarrow")
    assert command("archive", "--store", "a.db", "-o", "mine.parquet") == 0
    Path("mine.csv").write_text("a,b\n1,2\n")
    Path("mine.json").write_text('[{"a": 1}]')
    for ending in ("csv", "parquet", "json"):
        assert command("export", "a.db", "-o", f"out.{ending}") == 0
        assert command("export", "a.db", "-o", f"out.{ending}") == 0
        before = Path(f"mine.{ending}").read_bytes()
        assert command("export", "a.db", "-o", f"mine.{ending}") == 2
        assert Path(f"mine.{ending}").read_bytes() == before
    assert "'palimpsest export' did not write" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["out.txt"], "ends in .csv, .parquet or .json, such as out.csv"),
        (["out.csv", "--by", "moment"], "no rows by moment"),
    ],
)
def test_what_cannot_be_exported_is_said(stores, capsys, arguments, message):
    assert command("export", "a.db", "-o", *arguments) == 2
    assert message in capsys.readouterr().err
    assert not Path(arguments[0]).exists()
