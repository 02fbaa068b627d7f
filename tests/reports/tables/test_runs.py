"""The table of all runs, for files."""

import io
from dataclasses import replace

import pandas as pd
import pytest

from palimpsest.benchmark.metrics import METRICS
from palimpsest.reports.formats.export import Exports
from palimpsest.reports.runs.cells import group
from palimpsest.reports.tables.runs import runs_table


@pytest.fixture
def runs(record):
    matrix = [[0.9, 0.1], [0.5, 0.95]]
    return [
        record(matrix, seed=0),
        record(matrix, strategy="=wpl", kind="wpl", strength=1e4, seed=0),
        record(strategy="=wpl", kind="wpl", strength=1e4, seed=1, error="-x became NaN"),
    ]


def test_a_row_per_run_with_numbers_in_columns(runs):
    data = runs_table(group(runs)).data
    assert list(data["strategy"]) == ["finetune", "=wpl", "=wpl"]
    assert list(data["kind"]) == ["finetune", "wpl", "wpl"]
    assert list(data["dial"].fillna("")) == ["", "strength", "strength"]
    assert list(data["strength"].dropna()) == [1e4, 1e4]
    assert list(data["status"]) == ["done", "done", "failed"]
    assert list(data["key"]) == [run.key for run in runs]
    applying = [name for name in METRICS if "visit" not in name]
    assert {*applying, "error", "seconds", "peak_memory", "state_bytes"} <= {*data}
    assert list(data["stability"][:2]) == [0.5, 0.5]
    assert all(data[name].dtype == "float64" for name in applying)


def test_names_are_those_of_the_other_tables(record):
    settings = [{"learning_rate": rate} for rate in (0.1, 0.2)]
    found = runs_table(group([record([[0.9]], scenario_settings=own) for own in settings])).data
    assert list(found["scenario"]) == ["same (learning_rate 0.1)", "same (learning_rate 0.2)"]
    assert found["dial"].isna().all()


def test_a_run_that_a_newer_one_replaces_says_so(record):
    run = record([[0.9]])
    older = replace(run, key="old", started="2020-01-01T00:00:00+00:00")
    data = runs_table(group([older, replace(run, started="2021-01-01T00:00:00+00:00")])).data
    assert dict(zip(data["key"], data["status"], strict=True)) == {
        run.key: "done", "old": "replaced",
    }  # fmt: skip


def test_it_is_a_file_of_data_only(runs, tmp_path):
    pytest.importorskip("pyarrow")
    outputs = Exports(tmp_path, ["csv", "parquet", "latex"], ["png"]).outputs([], group(runs))
    found = {output.path.name: output.content for output in outputs}
    assert set(found) == {"index.csv", "runs.csv", "runs.parquet"}
    assert b"runs,table,runs.csv runs.parquet,Every run," in found["index.csv"]
    text = pd.read_csv(io.BytesIO(found["runs.csv"]))
    assert list(text["strategy"]) == ["finetune", "'=wpl", "'=wpl"]
    assert text["error"][2] == "'-x became NaN"
    back = pd.read_parquet(io.BytesIO(found["runs.parquet"]))
    assert list(back["strategy"]) == ["finetune", "=wpl", "=wpl"]
    assert [
        output.path.name for output in Exports(tmp_path, ["latex"], []).outputs([], group(runs))
    ] == ["index.csv"]
