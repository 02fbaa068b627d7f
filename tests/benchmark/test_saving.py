"""No run is lost that the store does not take: it is held, written beside it, and taken in."""

import json
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from known_facts import facts_of

from palimpsest import load_suite, open_store, run_suite
from palimpsest.benchmark.cli import main
from palimpsest.benchmark.errors import UserError
from palimpsest.benchmark.runs.failure import Failure
from palimpsest.benchmark.store import unsaved_runs as rescue
from palimpsest.benchmark.store.store import Record, Store
from palimpsest.benchmark.store.unsaved_runs import rescued, take_in
from palimpsest.benchmark.store.writer import Saving
from palimpsest.benchmark.suites.spec import Spec

SUITE = {
    "suite": "small",
    "seeds": 2,
    "scenarios": {"two_models": {"data": "digits", "steps": 5, "width": 4, "curve": {"every": 0}}},
    "strategies": {"finetune": {}},
}


def a_run(seed=0, **changes):
    spec = Spec(
        {
            "scenario": {"name": "s", "family": "two_models"},
            "strategy": {"name": "finetune", "strategy": "finetune", "settings": {}},
            "strength": None,
            "seed": seed,
            "device": "cpu",
        }
    )
    facts = facts_of("finetune")
    run = Record(spec.key(), "suite", "s", facts.name, None, seed, "done", spec, facts)
    return replace(run, accuracy_matrix=[[0.1 + 0.2]], seconds=0.5, **changes)


@pytest.fixture(autouse=True)
def own_folders(tmp_path, monkeypatch):
    """The user's own folders, so that tests meet nobody else's runs."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(rescue.tempfile, "gettempdir", lambda: str(tmp_path / "tmp"))


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path / "runs.db", create=True) as opened:
        yield opened


@pytest.fixture
def lock(store):
    """Another program's connection."""
    with closing(sqlite3.connect(store.path, isolation_level=None)) as other:
        yield other


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


@pytest.fixture
def clock(monkeypatch):
    monkeypatch.setattr("palimpsest.benchmark.store.writer._WAIT_SECONDS", 0.0)
    return Clock()


def saver(store, told, clock, hold=60.0):
    return Saving(store, hold, told.append, clock, clock.sleep)


def test_a_run_is_held_while_the_store_is_locked_and_then_written(store, lock, clock):
    told = []
    with saver(store, told, clock) as saving:
        lock.execute("BEGIN IMMEDIATE")
        saving.put(a_run(0))
        saving.put(a_run(1))
        assert (saving.holds, store.statuses()) == (True, {})
        lock.execute("ROLLBACK")
        clock.now += 5
        saving.try_again()
        assert saving.holds  # not all the time
        clock.now += 5
        saving.try_again()
        assert (saving.holds, len(store.statuses())) == (False, 2)
    first, last = told
    assert first.startswith(f"{store.path}: a run cannot be written (database is locked)")
    assert "held in memory" in first
    assert "takes runs again" in last
    assert not rescued(store.path).runs


def test_after_a_time_it_is_written_beside_the_store_and_training_goes_on(store, lock, clock):
    told = []
    with pytest.raises(UserError) as error, saver(store, told, clock) as saving:
        lock.execute("BEGIN IMMEDIATE")
        saving.put(a_run(0))
        clock.now += 61
        saving.put(a_run(1))
        folder = store.path.with_name("runs.db.rescued")
        assert list(rescued(store.path).runs.values()) == [a_run(0)]
        assert [path.parent for path in rescued(store.path).runs] == [folder]
    assert sorted(r.seed for r in rescued(store.path).runs.values()) == [0, 1]
    assert f"2 finished runs are in {folder}" in str(error.value)
    assert "\n" not in str(error.value)
    assert len(told) == 2
    lock.execute("ROLLBACK")
    assert take_in(store, rescued(store.path)) == 2
    assert [run.seed for run in store.records()] == [0, 1]
    assert not folder.exists()


def test_a_full_disk_is_met_the_same_way(store, clock):
    connection = store._file.connection
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count = {pages}")
    big = replace(a_run(), curves=[{"model": 0, "steps": [*range(9999)], "accuracy": []}])
    told = pytest.raises(UserError, match=r"disk is full.*1 finished run is in")
    with told, saver(store, [], clock) as saving:
        saving.put(big)
    assert list(rescued(store.path).runs.values()) == [big]


def test_what_was_rescued_meanwhile_is_taken_in_at_the_end(store, lock, clock):
    with saver(store, [], clock, hold=0.0) as saving:
        lock.execute("BEGIN IMMEDIATE")
        saving.put(a_run())
        assert len(rescued(store.path).runs) == 1
        lock.execute("ROLLBACK")
    assert len(store.statuses()) == 1
    assert not rescued(store.path).runs


def test_an_interrupt_waits_for_nothing(store, lock, clock):
    before = clock.now
    with pytest.raises(KeyboardInterrupt), saver(store, [], clock) as saving:
        lock.execute("BEGIN IMMEDIATE")
        saving.put(a_run())
        raise KeyboardInterrupt
    assert len(rescued(store.path).runs) == 1
    assert clock.now == before


@pytest.mark.parametrize("place", ["between tries", "in a try"])
def test_an_interrupt_of_the_wait_at_the_end_loses_nothing(store, lock, clock, monkeypatch, place):
    calls = []

    def interrupted(*_):
        calls.append(1)
        if place == "between tries" or len(calls) == 2:
            raise KeyboardInterrupt
        raise UserError("the store is locked")

    if place == "between tries":
        monkeypatch.setattr(clock, "sleep", interrupted)
    else:
        monkeypatch.setattr(store, "put", interrupted)
    told = []
    with pytest.raises(KeyboardInterrupt), saver(store, told, clock) as saving:
        lock.execute("BEGIN IMMEDIATE")
        saving.put(a_run())
    assert len(rescued(store.path).runs) == 1
    assert "the next run takes them in" in told[-1]


def test_where_nothing_can_be_written_beside_the_store_it_is_in_a_folder_of_the_user(
    store, lock, clock, tmp_path
):
    store.path.with_name("runs.db.rescued").touch()  # no folder can be there
    told = pytest.raises(UserError, match=r"state/palimpsest/runs\.db-")
    with told as error, saver(store, [], clock, hold=0.0) as saving:
        lock.execute("BEGIN IMMEDIATE")
        saving.put(a_run())
    (path,) = rescued(store.path).runs
    assert path.is_relative_to(tmp_path / "state")
    assert str(path.parent) in str(error.value)
    assert path.parent.stat().st_mode & 0o077 == 0


def test_where_nothing_can_be_written_at_all_runs_stay_in_memory(store, lock, clock, monkeypatch):
    def full(*_):
        raise UserError("no space")

    told = []
    monkeypatch.setattr(rescue, "write_files", full)
    lost = pytest.raises(UserError, match=r"1 finished run is lost \(no space")
    with lost, saver(store, told, clock, hold=0.0) as saving:
        lock.execute("BEGIN IMMEDIATE")
        saving.put(a_run(0))
        assert saving.holds
        lock.execute("ROLLBACK")
        clock.now += 10
        saving.try_again()
        assert not saving.holds
        lock.execute("BEGIN IMMEDIATE")
        saving.put(a_run(1))
    assert any("stay in memory" in each for each in told)
    assert not store.path.with_name("runs.db.rescued").exists()


def test_a_failure_comes_back_as_it_was(store):
    run = replace(a_run(), status="failed", failure=Failure.told("boom"), accuracy_matrix=[])
    rescue.rescue(store.path, run)
    assert list(rescued(store.path).runs.values()) == [run]


def test_a_finished_run_of_the_store_is_kept(store):
    store.put(a_run(suite="theirs"))
    rescue.rescue(store.path, a_run())
    assert take_in(store, rescued(store.path)) == 0
    assert [run.suite for run in store.records()] == ["theirs"]
    assert not store.path.with_name("runs.db.rescued").exists()


WRONG = {
    "another program's": lambda text: '{"a": 1}',
    "truncated": lambda text: text[:-30],
    "empty": lambda text: "",
    "a list": lambda text: "[]",
    "deep": lambda text: "[" * 100_000,
    "newer": lambda text: text.replace('rescued": 1', 'rescued": 2'),
    "another seed": lambda text: text.replace('"seed": 0', '"seed": 7'),
    "another key": lambda text: text.replace('"key": "', '"key": "0'),
    "no number": lambda text: text.replace("[[0.3", "[[NaN, 0.3"),
    "a wrong type": lambda text: text.replace('"seconds": 0.5', '"seconds": "0.5"'),
    "a field too much": lambda text: text.replace('"seconds"', '"x": 1, "seconds"'),
    "a field missing": lambda text: text.replace('"seconds": 0.5, ', ""),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_what_is_not_a_rescued_run_is_refused_in_a_sentence_and_kept(store, wrong):
    folder = rescue.rescue(store.path, a_run())
    (path,) = folder.iterdir()
    text = WRONG[wrong](path.read_text())
    assert text != path.read_text()
    path.write_text(text)
    found = rescued(store.path)
    (sentence,) = found.refused
    assert found.runs == {}
    assert sentence.startswith(f"{path}: not a rescued run")
    assert "\n" not in sentence
    take_in(store, found)
    assert path.read_text() == text


def test_the_folder_for_temporary_files_may_hold_nobody_elses_runs(store, monkeypatch, tmp_path):
    *_, folder = rescue._folders(store.path)
    folder.mkdir()
    run = rescue.rescue(store.path, a_run()) / f"{a_run().key}.json"
    run.rename(folder / run.name)
    assert len(rescued(store.path).runs) == 1
    monkeypatch.setattr(rescue.os, "geteuid", lambda: folder.stat().st_uid)
    link = folder.with_name("link")
    folder.rename(link)
    folder.symlink_to(link)
    assert rescued(store.path).runs == {}
    assert "not this user's folder" in rescued(store.path).refused[0]


@pytest.mark.thorough
def test_a_suite_whose_store_is_locked_is_complete_after_the_next_run(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    Path("small.yaml").write_text(json.dumps(SUITE))
    for wait in ("writer._WAIT_SECONDS", "heartbeat._PATIENCE"):
        monkeypatch.setattr(f"palimpsest.benchmark.store.{wait}", 0.0)
    monkeypatch.setattr("palimpsest.benchmark.store.store._LAST_WAIT", 0)
    Store("runs.db", create=True).close()
    other = sqlite3.connect("runs.db", isolation_level=None, check_same_thread=False)
    told = []

    def lock(news):
        told.append(news)
        if not other.in_transaction:
            other.execute("BEGIN IMMEDIATE")

    with pytest.raises(UserError, match=r"2 finished runs are in .*runs\.db\.rescued"):
        run_suite("small.yaml", store="runs.db", workers=1, progress=lock, hold=0)
    assert [news.done for news in told if news.record] == [1, 2]
    assert sum("held in memory" in news.message for news in told) == 1
    other.close()
    command = ["run", "small.yaml", "--store", "runs.db"]
    Path("runs.db.rescued/mine.json").write_text("{}")
    for arguments in ([*command, "--dry-run"], command):
        with pytest.raises(SystemExit) as left:
            main(arguments)
        assert left.value.code == 0
        printed = capsys.readouterr()
        assert "mine.json: not a rescued run" in printed.err
        assert len(list(Path("runs.db.rescued").iterdir())) == (3 if arguments != command else 1)
    assert "Nothing to do" in printed.out
    known = run_suite(load_suite(SUITE), store="fresh.db", workers=1)
    assert [r.accuracy_matrix for r in open_store("runs.db")] == [r.accuracy_matrix for r in known]
