"""The results database: nothing is lost, nothing is mixed up."""

import sqlite3

import pytest

from benchmark.errors import UserError
from benchmark.metrics import METRICS
from benchmark.store import Record, Store


def record(key="k", strategy="finetune", seed=0, matrix=((0.9, 0.1), (0.5, 0.8)), **changes):
    spec = {
        "scenario": {"name": "s", "family": "two_models"},
        "strategy": {"name": strategy, "strategy": strategy, "settings": {}},
        "strength": None,
        "seed": seed,
        "device": "cpu",
    }
    values = {
        "key": key,
        "suite": "suite",
        "scenario": "s",
        "strategy": strategy,
        "strength": None,
        "seed": seed,
        "status": "done",
        "error": None,
        "spec": spec,
        "metrics": {"forgetting": 0.4},
        "accuracy_matrix": [list(row) for row in matrix],
    }
    return Record(**values | changes)


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path / "results.db", create=True) as opened:
        yield opened


def test_a_run_comes_back_as_it_was_put(store):
    put = record(
        curves=[{"model": 0, "steps": [0, 5], "accuracy": [[0.1, 0.9]]}],
        validation_matrix=[[0.9, None], [0.5, 0.8]],
        initial_accuracy=[0.1, 0.1],
        seconds=1.5,
        peak_memory=2**33,
        versions={"python": "3.11"},
        started="2026-01-01T00:00:00+00:00",
    )
    store.put(put)
    (got,) = store.records()
    for name in ("spec", "curves", "validation_matrix", "initial_accuracy", "seconds"):
        assert getattr(got, name) == getattr(put, name)
    assert got.peak_memory == 2**33
    assert got.accuracy_matrix == put.accuracy_matrix


def test_results_outlive_the_process(tmp_path):
    with Store(tmp_path / "results.db", create=True) as opened:
        opened.put(record())
    with Store(tmp_path / "results.db") as opened:
        assert opened.statuses() == {"k": "done"}


def test_a_run_that_failed_is_replaced_when_it_is_tried_again(store):
    store.put(record(status="failed", error="no memory"))
    store.put(record())
    assert store.statuses() == {"k": "done"}


def test_metrics_are_complete_when_read(store):
    store.put(record())
    (got,) = store.records()
    assert set(got.metrics) == set(METRICS)


def test_metrics_against_references_pair_the_same_seed(store):
    store.put(record("f0", "finetune", 0, ((0.9, 0.1), (0.5, 0.8))))
    store.put(record("f1", "finetune", 1, ((0.9, 0.1), (0.8, 0.8))))
    store.put(record("i1", "independent", 1, ((0.9, 0.1), (0.9, 0.7))))
    store.put(record("w0", "wpl", 0, ((0.9, 0.1), (0.7, 0.6))))
    store.put(record("w1", "wpl", 1, ((0.9, 0.1), (0.9, 0.6))))
    metrics = {r.key: r.metrics for r in store.records()}
    assert metrics["w0"]["forgetting_reduction"] == pytest.approx(0.5)
    assert metrics["w1"]["forgetting_reduction"] == pytest.approx(1.0)
    assert metrics["w1"]["plasticity"] == pytest.approx(-0.1)
    assert metrics["w0"]["plasticity"] is None


def test_a_failed_reference_is_no_reference(store):
    store.put(record("f0", "finetune", 0, status="failed", error="x"))
    store.put(record("w0", "wpl", 0))
    assert {r.key: r.metrics for r in store.records()}["w0"]["forgetting_reduction"] is None


def test_references_count_even_if_only_other_runs_are_asked_for(store):
    store.put(record("f0", "finetune", 0))
    store.put(record("w0", "wpl", 0, ((0.9, 0.1), (0.9, 0.8))))
    (got,) = store.records(["w0"])
    assert got.metrics["forgetting_reduction"] == 1


def test_a_failed_run_has_no_metrics(store):
    store.put(record(status="failed", error="boom", accuracy_matrix=[]))
    (got,) = store.records()
    assert got.error == "boom"
    assert set(got.metrics.values()) == {None}


def test_nan_never_enters_the_store(store):
    with pytest.raises(ValueError, match="JSON"):
        store.put(record(metrics={"forgetting": float("nan")}))
    assert store.statuses() == {}


def test_it_uses_the_write_ahead_log(store):
    with sqlite3.connect(store.path) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_a_missing_store_is_the_users_mistake(tmp_path):
    with pytest.raises(UserError, match=r"palimpsest run SUITE"):
        Store(tmp_path / "nothing.db")
    assert not (tmp_path / "nothing.db").exists()


def test_a_file_that_is_no_database_is_left_alone(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("my notes, which are longer than a header of a database would be" * 9)
    before = path.read_bytes()
    with pytest.raises(UserError, match="not a Palimpsest store"):
        Store(path, create=True)
    assert path.read_bytes() == before


def test_another_programs_database_is_left_alone(tmp_path):
    path = tmp_path / "other.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE theirs (x)")
    with pytest.raises(UserError, match="not a Palimpsest store"):
        Store(path, create=True)


def test_a_store_of_a_newer_version_is_refused(tmp_path):
    path = tmp_path / "new.db"
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(UserError, match="upgrade palimpsest-bench"):
        Store(path)
