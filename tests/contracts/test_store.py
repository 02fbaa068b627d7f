"""The results database: nothing is lost, nothing is mixed up."""

import random
import signal
import sqlite3
import threading
import time
from dataclasses import replace

import pytest
from known_facts import facts_of

from palimpsest.benchmark.errors import Remark, UserError
from palimpsest.benchmark.metrics import FINETUNE_FORGETTING, METRICS
from palimpsest.benchmark.runs.failure import Failure, FailureKind
from palimpsest.benchmark.store import database
from palimpsest.benchmark.store.integrity import examine
from palimpsest.benchmark.store.schema import SCHEMA_VERSION
from palimpsest.benchmark.store.store import Record, Store, SuiteNote
from palimpsest.benchmark.suites.spec import Spec


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
        "spec": Spec(spec),
        "facts": facts_of(strategy),
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


def test_cost_and_probes_come_back_as_they_were_put(store):
    cost = {"steps": [None, 30], "training_seconds": [None, 0.5], "state_bytes": 0}
    probes = {
        "distance": {"rows": [{"model": 1, "block": None, "moved": 0.1}]},
        "importance": {"absent": "finetune has none"},
    }
    store.put(record(cost=cost, probes=probes))
    (got,) = store.records()
    assert (got.cost, got.probes) == (cost, probes)


NOTE = SuiteNote("b", 'Does "x" — help?', ("s2", "s10"), ("wpl", "ewc"))


def test_suites_come_back_in_their_order_and_the_last_of_a_name_counts(store):
    assert store.suites() == []
    changed = replace(NOTE, description="", scenarios=("s10",))
    for note in (NOTE, SuiteNote("a", "", (), ()), changed):
        store.put_suite(note)
    assert store.suites() == [changed, SuiteNote("a", "", (), ())]


@pytest.mark.parametrize("value", ["{", "{}", "[1]", 3])
def test_a_suite_without_a_list_of_scenarios_is_damage(store, value):
    store.put_suite(NOTE)
    with sqlite3.connect(store.path) as connection:
        connection.execute("UPDATE suites SET scenarios = ?", [value])
    connection.close()
    with pytest.raises(UserError, match=r"the store is damaged .suite 'b'"):
        store.suites()


def test_a_failure_and_moments_come_back_as_they_were_put(store):
    failure = Failure(FailureKind.DIVERGED, "DivergedError: NaN", "Traceback ...")
    moments = [{"visit": 3, "steps": 30, "accuracy": [0.5, None]}]
    store.put(record("a", status="failed", failure=failure))
    store.put(record("b", moments=moments))
    broken, run = store.records()
    assert (broken.failure, broken.error) == (failure, "DivergedError: NaN")
    assert (run.failure, run.error, run.moments) == (None, None, moments)


@pytest.mark.parametrize("facts", ["{}", "[]", "{", '{"name": "a", "summary": "", "source": 1}'])
def test_a_run_whose_facts_are_none_is_left_out_and_named(store, facts):
    store.put(record())
    with sqlite3.connect(store.path) as connection:
        connection.execute("UPDATE runs SET facts = ?", [facts])
    with pytest.warns(Remark, match="run 'k': its facts are not those of a strategy"):
        assert store.records() == []


def test_results_outlive_the_process(tmp_path):
    with Store(tmp_path / "results.db", create=True) as opened:
        opened.put(record())
    with Store(tmp_path / "results.db") as opened:
        assert opened.statuses() == {"k": "done"}


def test_a_run_that_failed_is_replaced_when_it_is_tried_again(store):
    store.put(record(status="failed", failure=Failure(FailureKind.ERROR, "no memory")))
    store.put(record())
    assert store.statuses() == {"k": "done"}


def test_metrics_are_complete_when_read(store):
    store.put(record())
    (got,) = store.records()
    assert set(got.metrics) == {*METRICS, FINETUNE_FORGETTING}


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
    store.put(record("f0", "finetune", 0, status="failed", failure=Failure(FailureKind.ERROR, "x")))
    store.put(record("w0", "wpl", 0))
    assert {r.key: r.metrics for r in store.records()}["w0"]["forgetting_reduction"] is None


def test_references_count_even_if_only_other_runs_are_asked_for(store):
    store.put(record("f0", "finetune", 0))
    store.put(record("w0", "wpl", 0, ((0.9, 0.1), (0.9, 0.8))))
    (got,) = store.records(["w0"])
    assert got.metrics["forgetting_reduction"] == 1


def test_a_failed_run_has_no_metrics(store):
    store.put(
        record(status="failed", failure=Failure(FailureKind.ERROR, "boom"), accuracy_matrix=[])
    )
    (got,) = store.records()
    assert got.error == "boom"
    assert set(got.metrics.values()) == {None}


def test_nan_never_enters_the_store(store):
    with pytest.raises(ValueError, match="JSON"):
        store.put(record(matrix=[[float("nan")]]))
    assert store.statuses() == {}


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


@pytest.mark.parametrize("create", [False, True])
@pytest.mark.parametrize("version", [0, SCHEMA_VERSION])
@pytest.mark.parametrize("table", ["theirs (x)", "runs (run_uuid, name, status)"])
def test_another_programs_database_is_left_alone(tmp_path, table, version, create):
    """Whatever version it gives itself, and if it has a table of that name."""
    path = tmp_path / "other.db"
    connection = sqlite3.connect(path)
    connection.executescript(f"CREATE TABLE {table}; PRAGMA user_version = {version}")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(UserError, match="not a Palimpsest store"):
        Store(path, create=create)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_an_empty_file_is_a_store_without_runs_until_one_is_stored(tmp_path):
    path = tmp_path / "empty.db"
    path.touch()
    with Store(path) as opened:
        assert (opened.records(), opened.statuses()) == ([], {})
    assert path.read_bytes() == b""
    with Store(path, create=True) as opened:
        opened.put(record())
    with Store(path) as opened:
        assert opened.statuses() == {"k": "done"}


@pytest.mark.parametrize("name", ["a b?mode=rw#%41.db", "é.db", ":memory:"])
def test_a_file_may_have_any_name(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    with Store(name, create=True) as opened:
        opened.put(record())
    with Store(name) as opened:
        assert opened.statuses() == {"k": "done"}
    assert [path.name for path in tmp_path.iterdir()] == [name]


# Reading, while others write and where they stopped


def test_reading_finds_what_a_killed_process_wrote_last(store, tmp_path):
    store.put(record("a"))
    store.put(record("b"))
    killed = tmp_path / "killed"
    killed.mkdir()
    for path in tmp_path.glob("results.db*"):  # what is on disk before the store is closed
        (killed / path.name).write_bytes(path.read_bytes())
    assert (killed / "results.db-wal").stat().st_size
    with Store(killed / "results.db") as opened:
        assert set(opened.statuses()) == {"a", "b"}


def test_a_store_is_one_file_when_it_has_been_written_whoever_reads_meanwhile(tmp_path):
    path = tmp_path / "results.db"
    with Store(path, create=True) as writer:
        writer.put(record("a"))
        reader = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)
        assert reader.execute("SELECT key FROM runs").fetchall() == [("a",)]
    copy = tmp_path / "copy.db"
    copy.write_bytes(path.read_bytes())
    reader.close()
    with Store(copy) as opened:
        assert set(opened.statuses()) == {"a"}


def test_a_store_that_stays_open_for_reading_sees_what_is_written(tmp_path):
    path = tmp_path / "results.db"
    with Store(path, create=True) as writer:
        writer.put(record("a"))
    with Store(path) as reader:
        assert set(reader.statuses()) == {"a"}
        with Store(path, create=True) as writer:
            writer.put(record("b"))
            assert {run.key for run in reader.records()} == {"a", "b"}
            writer.put(record("c"))
            assert set(reader.statuses()) == {"a", "b", "c"}
        assert {run.key for run in reader.records()} == {"a", "b", "c"}


def test_readers_and_a_writer_do_not_wait_for_each_other(store, tmp_path):
    store.put(record("a"))
    other = sqlite3.connect(store.path)
    other.execute("BEGIN IMMEDIATE")
    with Store(store.path) as reader:
        assert set(reader.statuses()) == {"a"}
    other.close()


# Damage

DAMAGE = {
    "half": lambda whole: whole[: len(whole) // 2],
    "a header": lambda whole: whole[:100],
    "less than a header": lambda whole: whole[:7],
    "random bytes": lambda whole: random.Random(0).randbytes(len(whole)),
    "a random header": lambda whole: whole[:16] + random.Random(0).randbytes(84) + whole[100:],
    "random pages": lambda whole: whole[:4096] + random.Random(0).randbytes(len(whole) - 4096),
    "a page of zeros": lambda whole: whole[:4096] + bytes(4096) + whole[8192:],
    "broken JSON": lambda whole: whole.replace(b'"strategy": {"name"', b'"strategy": ["name"'),
    "another key": lambda whole: whole.replace(b'"strategy": {"name"', b'"strategi": {"name"'),
}


def damage_a_store(path, damage):
    """Write a store of 40 runs and return its bytes, damaged."""
    with Store(path, create=True) as opened:
        for seed in range(40):
            opened.put(record(f"k{seed}", seed=seed))
    return DAMAGE[damage](path.read_bytes())


@pytest.mark.parametrize("damage", ["broken JSON", "another key"])
def test_damaged_runs_are_left_out_and_told(tmp_path, damage):
    path = tmp_path / "results.db"
    damaged = damage_a_store(path, damage)
    path.write_bytes(damaged)
    with pytest.warns(Remark) as told, Store(path) as opened:
        kept = opened.records()
    assert len(kept) + len(told) == 40
    assert told
    assert path.read_bytes() == damaged


@pytest.mark.parametrize("damage", [*DAMAGE][:-2])
def test_a_damaged_store_is_refused_in_a_sentence_and_left_as_it_is(tmp_path, damage):
    path = tmp_path / "results.db"
    damaged = damage_a_store(path, damage)
    assert damaged != path.read_bytes()
    path.write_bytes(damaged)
    with pytest.raises(UserError) as error, Store(path) as opened:
        opened.records()
    assert "\n" not in str(error.value)
    assert path.read_bytes() == damaged
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("damage", ["half", "random pages", "a page of zeros"])
def test_nothing_is_written_into_a_damaged_store(tmp_path, damage):
    path = tmp_path / "results.db"
    damaged = damage_a_store(path, damage)
    path.write_bytes(damaged)
    with pytest.raises(UserError, match="the store is damaged"):
        Store(path, create=True)
    assert path.read_bytes() == damaged


def test_a_store_of_a_newer_version_is_refused(tmp_path):
    path = tmp_path / "new.db"
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(UserError, match="upgrade palimpsest-bench"):
        Store(path)


@pytest.mark.parametrize("create", [False, True])
@pytest.mark.parametrize(
    "other",
    [
        "CREATE VIEW runs AS SELECT * FROM kept",
        "CREATE VIRTUAL TABLE runs USING fts5({columns})",
    ],
    ids=["a view", "a virtual table"],
)
def test_runs_that_are_no_table_are_no_store(tmp_path, other, create):
    path = tmp_path / "other.db"
    Store(path, create=True).close()
    connection = sqlite3.connect(path)
    columns = [row[1] for row in connection.execute("PRAGMA table_info(runs)")]
    connection.executescript(
        "PRAGMA journal_mode = DELETE; ALTER TABLE runs RENAME TO kept;"
        + other.format(columns=", ".join(columns))
    )
    connection.close()
    before = path.read_bytes()
    with pytest.raises(UserError, match="not a Palimpsest store"):
        Store(path, create=create)
    with pytest.raises(UserError, match="not a Palimpsest store"):
        examine(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("change", ["DROP TABLE leases", "ALTER TABLE runs DROP COLUMN facts"])
def test_a_store_has_all_tables_and_columns(tmp_path, change):
    path = tmp_path / "other.db"
    Store(path, create=True).close()
    connection = sqlite3.connect(path)
    connection.execute(change)
    connection.close()
    with pytest.raises(UserError, match="not a Palimpsest store"):
        Store(path)


def test_two_processes_may_make_a_store_at_once(tmp_path):
    path = tmp_path / "new.db"
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    opened = []
    waiting = threading.Thread(target=lambda: opened.append(_keys(path)))
    waiting.start()
    time.sleep(0.2)
    other.execute("COMMIT")
    waiting.join()
    other.close()
    assert opened == [set()]


def _keys(path):
    with Store(path, create=True) as store:
        return set(store.statuses())


class Interrupted(BaseException):
    pass


@pytest.fixture
def interrupted_soon():
    """A signal comes in a moment."""

    def interrupt(number, frame):
        raise Interrupted

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.1)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


WAITING = {
    "a run": lambda store: store.put(record()),
    "a suite": lambda store: store.put_suite(SuiteNote("s", "", (), ())),
    "runs": lambda store: store.put_all([record()], []),
    "a lease": lambda store: store.lease(["key"], "me", lambda process: False),
    "opening": lambda store: Store(store.path, create=True),
}


@pytest.mark.parametrize("what", WAITING)
def test_an_interrupt_is_heard_while_another_process_holds_a_lock(
    tmp_path, monkeypatch, what, request
):
    monkeypatch.setattr("palimpsest.benchmark.store.connection.AT_A_TIME", 0.05)
    with Store(tmp_path / "runs.db", create=True) as store:
        other = sqlite3.connect(store.path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        request.getfixturevalue("interrupted_soon")
        with pytest.raises(Interrupted):
            WAITING[what](store)
        other.rollback()
        other.close()
        assert store.records() == []
        WAITING["a run"](store)
        assert len(store.records()) == 1


def test_a_lock_that_lasts_is_said(tmp_path):
    with Store(tmp_path / "runs.db", create=True, patience=0.0) as store:
        other = sqlite3.connect(store.path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(UserError, match=r"a run cannot be written \(database is locked\)"):
            store.put(record())
        other.close()


def test_a_store_that_another_process_makes_meanwhile_is_a_store(tmp_path, monkeypatch):
    path = tmp_path / "runs.db"
    path.touch()
    real = database.check_version

    def late(connection, *rest):
        version = real(connection, *rest)
        if not version:
            monkeypatch.setattr(database, "check_version", real)
            maker = threading.Thread(target=lambda: Store(path, create=True).close())
            maker.start()
            maker.join(1)
            makers.append(maker)
        return version

    makers = []
    monkeypatch.setattr(database, "check_version", late)
    with Store(path, create=True) as store:
        makers[0].join()
        assert store.records() == []
