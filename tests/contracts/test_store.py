"""The results database: nothing is lost, nothing is mixed up."""

import random
import signal
import sqlite3
import threading
import time
from dataclasses import replace

import pytest

from palimpsest.benchmark.cli import main
from palimpsest.benchmark.errors import Remark, UserError
from palimpsest.benchmark.metrics import FINETUNE_FORGETTING, METRICS
from palimpsest.benchmark.runs.failure import Failure, FailureKind
from palimpsest.benchmark.store import database
from palimpsest.benchmark.store.integrity import examine
from palimpsest.benchmark.store.schema import SCHEMA_VERSION, UPGRADES
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


def test_a_metric_is_of_what_was_measured_and_not_of_what_an_older_version_wrote(store):
    store.put(record())
    with sqlite3.connect(store.path) as connection:
        connection.execute("""UPDATE runs SET metrics = '{"forgetting": 0.123}'""")
    (got,) = store.records()
    assert got.metrics["forgetting"] == pytest.approx(0.4)


def test_results_outlive_the_process(tmp_path):
    with Store(tmp_path / "results.db", create=True) as opened:
        opened.put(record())
    with Store(tmp_path / "results.db") as opened:
        assert opened.statuses() == {"k": "done"}


def test_a_run_that_failed_is_replaced_when_it_is_tried_again(store):
    store.put(record(status="failed", failure=Failure.told("no memory")))
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
    store.put(record("f0", "finetune", 0, status="failed", failure=Failure.told("x")))
    store.put(record("w0", "wpl", 0))
    assert {r.key: r.metrics for r in store.records()}["w0"]["forgetting_reduction"] is None


def test_references_count_even_if_only_other_runs_are_asked_for(store):
    store.put(record("f0", "finetune", 0))
    store.put(record("w0", "wpl", 0, ((0.9, 0.1), (0.9, 0.8))))
    (got,) = store.records(["w0"])
    assert got.metrics["forgetting_reduction"] == 1


def test_a_failed_run_has_no_metrics(store):
    store.put(record(status="failed", failure=Failure.told("boom"), accuracy_matrix=[]))
    (got,) = store.records()
    assert got.error == "boom"
    assert set(got.metrics.values()) == {None}


def test_nan_never_enters_the_store(store):
    with pytest.raises(ValueError, match="JSON"):
        store.put(record(matrix=[[float("nan")]]))
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


@pytest.mark.parametrize("create", [False, True])
@pytest.mark.parametrize("version", [0, 1, SCHEMA_VERSION])
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


# Stores of version 1

VERSION_1 = """
CREATE TABLE runs (
    key               TEXT PRIMARY KEY,
    suite             TEXT NOT NULL,
    scenario          TEXT NOT NULL,
    strategy          TEXT NOT NULL,
    strength          REAL,
    seed              INTEGER NOT NULL,
    status            TEXT NOT NULL CHECK (status IN ('done', 'failed')),
    error             TEXT,
    spec              TEXT NOT NULL,
    metrics           TEXT NOT NULL,
    accuracy_matrix   TEXT NOT NULL,
    validation_matrix TEXT NOT NULL,
    initial_accuracy  TEXT NOT NULL,
    curves            TEXT NOT NULL,
    started           TEXT NOT NULL,
    seconds           REAL NOT NULL,
    peak_memory       INTEGER NOT NULL,
    versions          TEXT NOT NULL
);
CREATE INDEX runs_by_cell ON runs (scenario, strategy, strength, seed);
INSERT INTO runs VALUES (
    'old', 'paper', 's', 'wpl', 10.0, 3, 'done', NULL,
    '{"scenario": {"name": "s"}, "strategy": {"strategy": "wpl"}, "seed": 3, "device": "cpu"}',
    '{"forgetting": 0.25}', '[[0.9, 0.1], [0.65, 0.8]]', '[[0.9, null], [0.6, 0.8]]', '[0.1, 0.2]',
    '[{"model": 0, "steps": [0], "accuracy": [[0.1]]}]',
    '2026-01-01T00:00:00+00:00', 4.5, 123456, '{"python": "3.11"}'
);
INSERT INTO runs VALUES (
    'broken', 'paper', 's', 'finetune', NULL, 3, 'failed', 'no memory',
    '{"scenario": {"name": "s"}, "strategy": {"strategy": "finetune"}, "seed": 3}',
    '{}', '[]', '[]', '[]', '[]', '2026-01-01T00:00:00+00:00', 0.5, 99, '{}'
);
PRAGMA user_version = 1;
"""


@pytest.fixture
def old(tmp_path):
    path = tmp_path / "old.db"
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.executescript(VERSION_1)
    connection.close()
    return path


def raw(path, columns="*"):
    connection = sqlite3.connect(path)
    rows = connection.execute(f"SELECT {columns} FROM runs ORDER BY key").fetchall()
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    connection.close()
    return version, rows


def test_a_store_of_version_1_is_brought_up_to_date_and_loses_nothing(old):
    _, before = raw(old)
    with Store(old, create=True) as opened:
        broken, run = opened.records()
    version, after = raw(old)
    assert version == SCHEMA_VERSION == 6
    assert after == [(*row, "{}", "{}", "{}", "[]") for row in before]
    assert (run.key, run.strength, run.seed, run.seconds) == ("old", 10.0, 3, 4.5)
    assert run.accuracy_matrix == [[0.9, 0.1], [0.65, 0.8]]
    assert run.validation_matrix == [[0.9, None], [0.6, 0.8]]
    assert run.curves == [{"model": 0, "steps": [0], "accuracy": [[0.1]]}]
    assert run.metrics["forgetting"] == 0.25
    assert (run.cost, run.probes, run.failure, run.moments) == ({}, {}, None, [])
    assert broken.failure == Failure(FailureKind.ERROR, "no memory")


VERSION_2 = f"{VERSION_1}{UPGRADES[1]}; PRAGMA user_version = 2;"


def test_a_store_of_version_2_is_read_as_it_is_and_then_brought_up_to_date(tmp_path):
    path = tmp_path / "two.db"
    connection = sqlite3.connect(path)
    connection.executescript(VERSION_2)
    connection.execute("UPDATE runs SET error = 'DivergedError: NaN' WHERE key = 'broken'")
    connection.commit()
    connection.close()
    before = path.read_bytes()
    diverged = Failure(FailureKind.DIVERGED, "DivergedError: NaN")
    with Store(path) as opened:
        assert [run.failure for run in opened.records()] == [diverged, None]
    assert path.read_bytes() == before
    _, rows = raw(path)
    with Store(path, create=True) as opened:
        assert [run.failure for run in opened.records()] == [diverged, None]
    assert raw(path) == (SCHEMA_VERSION, [(*row, "{}", "[]") for row in rows])


VERSION_3 = f"{VERSION_2}{UPGRADES[2]}; PRAGMA user_version = 3;"


def test_a_store_of_version_3_knows_no_suites_until_one_is_run(tmp_path):
    path = tmp_path / "three.db"
    connection = sqlite3.connect(path)
    connection.executescript(VERSION_3)
    connection.close()
    before = path.read_bytes()
    with Store(path) as opened:
        assert (opened.suites(), len(opened.records())) == ([], 2)
    assert path.read_bytes() == before
    _, rows = raw(path)
    with Store(path, create=True) as opened:
        opened.put_suite(NOTE)
        assert opened.suites() == [NOTE]
    assert raw(path) == (SCHEMA_VERSION, rows)


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


VERSION_4 = f"{VERSION_3}{UPGRADES[3]}; PRAGMA user_version = 4;"


@pytest.mark.parametrize("before", [VERSION_3, VERSION_4], ids=["suites", "under way"])
def test_a_store_of_this_version_has_all_tables(tmp_path, before):
    path = tmp_path / "other.db"
    connection = sqlite3.connect(path)
    connection.executescript(f"{before}; PRAGMA user_version = {SCHEMA_VERSION};")
    connection.close()
    with pytest.raises(UserError, match="not a Palimpsest store"):
        Store(path)


def test_a_store_of_version_4_knows_nothing_under_way_and_is_read_as_it_is(tmp_path):
    path = tmp_path / "four.db"
    connection = sqlite3.connect(path)
    connection.executescript(VERSION_4)
    connection.close()
    before = path.read_bytes()
    with Store(path) as opened:
        assert (opened.under_way(), opened.latest()[0]) == ([], 2)
        assert [run.key for run in opened.failed(9)] == ["broken"]
    assert path.read_bytes() == before
    _, rows = raw(path)
    with Store(path, create=True) as opened:
        assert opened.under_way() == []
    assert raw(path) == (SCHEMA_VERSION, rows)


def test_a_store_of_version_1_is_read_as_it_is(old):
    before = old.read_bytes()
    with Store(old) as opened:
        assert opened.statuses() == {"old": "done", "broken": "failed"}
        broken, run = opened.records()
    assert (run.key, run.strength, run.cost, run.probes) == ("old", 10.0, {}, {})
    assert (run.moments, broken.error) == ([], "no memory")
    assert run.metrics["forgetting"] == 0.25
    assert old.read_bytes() == before


def test_an_updated_store_takes_new_runs_and_is_updated_once(old):
    for key in ("new", "newer"):
        with Store(old, create=True) as opened:
            opened.put(record(key, cost={"state_bytes": 8}))
    with Store(old) as opened:
        assert set(opened.statuses()) == {"old", "broken", "new", "newer"}
        assert {r.key: r.cost for r in opened.records()}["newer"] == {"state_bytes": 8}


def test_an_updated_store_has_the_columns_of_a_new_one(old, store):
    with Store(old, create=True):
        pass
    for table in ("runs", "suites", "processes", "under_way", "claims"):
        assert columns(old, table) == columns(store.path, table) != []
    with Store(old) as opened:
        assert {run.key for run in opened.records()} == {"old", "broken"}


def columns(path, table):
    connection = sqlite3.connect(path)
    found = connection.execute(f"PRAGMA table_info({table})").fetchall()
    connection.close()
    return found


def test_a_store_is_copied_before_it_is_brought_up_to_date(old, tmp_path):
    before = raw(old)
    content = old.read_bytes()
    for copy in ("old.db.v1.bak", "old.db.v1-2.bak"):  # the second time it was put back meanwhile
        old.write_bytes(content)
        with Store(old, create=True) as opened:
            assert opened.kept == tmp_path / copy
        assert raw(tmp_path / copy) == before
        with Store(old, create=True) as opened:
            assert opened.kept is None
    assert not list(tmp_path.glob("*.part*"))


def test_the_copy_has_what_a_killed_process_left_in_the_log(old, tmp_path):
    killed = tmp_path / "killed"
    killed.mkdir()
    connection = sqlite3.connect(old)
    connection.execute("UPDATE runs SET seconds = 77 WHERE key = 'old'")
    connection.commit()
    for path in tmp_path.glob("old.db*"):
        (killed / path.name).write_bytes(path.read_bytes())
    connection.close()
    with Store(killed / "old.db", create=True) as opened:
        assert opened.record("old").seconds == 77
        with Store(opened.kept) as copy:
            assert copy.record("old").seconds == 77


def test_nothing_is_changed_where_the_result_is_not_right(old, monkeypatch, tmp_path):
    before = raw(old)
    monkeypatch.setitem(UPGRADES, 3, f"{UPGRADES[3]}; DELETE FROM runs WHERE key = 'old'")
    with pytest.raises(UserError, match="cannot be brought up to date from version 1"):
        Store(old, create=True)
    assert raw(old) == before
    assert not list(tmp_path.glob("*.bak*"))


def test_a_dry_run_brings_nothing_up_to_date(old, tmp_path, capsys):
    before = old.read_bytes()
    with pytest.raises(SystemExit) as left:
        main(["run", "quick", "--store", str(old), "--dry-run"])
    assert left.value.code == 0
    assert old.read_bytes() == before
    assert sorted(tmp_path.iterdir()) == [old]


def test_an_update_that_is_interrupted_changes_nothing(old, monkeypatch):
    before = raw(old)
    monkeypatch.setitem(UPGRADES, 1, f"{UPGRADES[1]}; ALTER TABLE nothing ADD COLUMN x")
    with pytest.raises(UserError, match="nothing"):
        Store(old, create=True)
    assert raw(old) == before


def test_two_processes_may_update_a_store_at_once(old):
    other = sqlite3.connect(old, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    for statement in ";".join(UPGRADES.values()).split(";"):
        other.execute(statement)
    other.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    opened = []
    waiting = threading.Thread(target=lambda: opened.append(_keys(old)))
    waiting.start()
    time.sleep(0.2)
    other.execute("COMMIT")
    waiting.join()
    other.close()
    assert opened == [{"old", "broken"}]


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
    "a claim": lambda store: store.claim(["key"], "me", lambda process: False),
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
