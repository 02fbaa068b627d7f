import json
import re

import pytest

from palimpsest.benchmark.metrics import METRICS
from palimpsest.reports.html.runs_table import run_columns, runs_data
from palimpsest.reports.runs.cells import group
from palimpsest.reports.tables.metrics import MAIN


def table(records):
    data = json.loads(json.dumps(runs_data(group(records)), allow_nan=False))
    return [
        {
            name: data["texts"][value] if kind == "text" else value
            for (name, kind), value in zip(data["columns"], row, strict=True)
        }
        for row in data["rows"]
    ]


def test_what_stands_in_a_row(record):
    made = record([[0.9, 0.1], [0.5, 0.81234567]], strategy="wpl", strength=1e4, seed=3)
    [row] = table([made])
    assert row["strategy"] == "wpl"
    assert (row["strength"], row["seed"], row["status"]) == (1e4, 3, "done")
    assert row["learning_accuracy"] == pytest.approx(0.81235, abs=1e-9)
    assert row["plasticity"] is None
    assert (row["key"], row["error"], row["seconds"]) == (made.key, "", 12.5)
    metrics = [name for name in METRICS if not re.search("visit|ranking|truth", name)]
    assert [name for name in METRICS if name in row] == metrics, "no run is a search"


def test_a_text_is_kept_once(record):
    name = "n" * 10_000
    records = [record(error=name, scenario=name, seed=seed) for seed in range(100)]
    assert len(json.dumps(runs_data(group(records)))) < 40_000


def test_titled_columns_are_the_table(record):
    cells = group([record([[0.9, 0.1], [0.5, 0.8]])])
    titled = [column.name for column in run_columns(cells) if column.title]
    assert [name for name in titled if name in METRICS] == [
        name for name in METRICS if name in MAIN
    ]
    assert titled[:5] == ["scenario", "strategy", "strength", "seed", "status"]
    assert titled[-1] == "key"
