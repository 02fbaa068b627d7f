"""Stores that may not be written, are damaged, or are none: read, or refused in a sentence."""

import os
import random
import shutil
import sqlite3
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest
from known_facts import facts_of

from palimpsest.benchmark.cli import main
from palimpsest.benchmark.errors import UserError
from palimpsest.benchmark.store.access import copied
from palimpsest.benchmark.store.integrity import examine
from palimpsest.benchmark.store.store import Record, Store
from palimpsest.benchmark.suites.spec import Spec

NOBODY = 65534


def a_run(seed):
    spec = Spec({"scenario": {"name": "s"}, "strategy": {"strategy": "wpl"}, "seed": seed})
    curves = [{"model": 0, "steps": [*range(200)], "accuracy": [[0.5] * 200]}]
    own = spec.key(), "t", "s", "wpl", 1.0, seed, "done", spec, facts_of("wpl")
    return Record(*own, [[0.5]], curves=curves)


@pytest.fixture
def folder(monkeypatch):
    """One that other users reach, unlike pytest's own."""
    made = Path(tempfile.mkdtemp())
    made.chmod(0o755)
    (made / "tmp").mkdir()
    (made / "tmp").chmod(0o777)
    monkeypatch.setattr(tempfile, "tempdir", str(made / "tmp"))
    yield made
    shutil.rmtree(made)


@pytest.fixture
def interrupted(folder):
    """A store as a killed process leaves it: its runs are in the log beside it."""
    there = folder / "there"
    there.mkdir()
    with Store(folder / "runs.db", create=True) as store:
        for seed in range(9):
            store.put(a_run(seed))
        for path in folder.glob("runs.db*"):
            shutil.copyfile(path, there / path.name)
    return there / "runs.db"


@contextmanager
def without_permission(folder):
    """Nothing in a folder may be written; root becomes another user for the time."""
    for path in folder.iterdir():
        path.chmod(0o444)
    folder.chmod(0o555)
    root = os.geteuid() == 0
    if root:
        os.seteuid(NOBODY)
    try:
        if not os.access(folder, os.R_OK, effective_ids=True):
            pytest.skip("the folder for temporary files is this user's alone")
        yield
    finally:
        if root:
            os.seteuid(0)
        folder.chmod(0o755)


def content(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("index", [True, False], ids=["with index", "without index"])
def test_a_store_with_a_log_is_read_whole_where_nothing_may_be_written(interrupted, index):
    if not index:
        interrupted.with_name("runs.db-shm").unlink()
    before = content(interrupted.parent)
    with without_permission(interrupted.parent), Store(interrupted) as store:
        assert sorted(run.seed for run in store.records()) == [*range(9)]
    assert content(interrupted.parent) == before


def test_a_copy_is_made_again_when_the_log_has_grown(interrupted):
    log, index = (interrupted.with_name(f"runs.db{each}") for each in ("-wal", "-shm"))
    index.unlink()
    whole = log.read_bytes()
    log.write_bytes(whole[: len(whole) // 2])
    with without_permission(interrupted.parent), Store(interrupted) as store:
        assert 0 < len(store.statuses()) < 9
        others = os.geteuid()
        os.seteuid(os.getuid())
        log.chmod(0o644)
        log.write_bytes(whole)
        os.seteuid(others)
        assert len(store.statuses()) == 9


COMMANDS = {
    "report": ["report", "STORE", "-o", "out.html"],
    "list": ["list", "runs", "--store", "STORE"],
    "compare": ["compare", "STORE", "good.db"],
    "archive": ["archive", "--store", "STORE", "-o", "out.parquet"],
    "watch": ["watch", "STORE"],
    "show": ["show", "run", "0", "--store", "STORE"],
    "page": ["page", "page.md.j2", "--store", "STORE", "-o", "out.md"],
    "run": ["run", "quick", "--store", "STORE"],
}


def foreign(path):
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE theirs (x)")
    connection.close()


NO_STORES = {
    "random bytes": lambda path, good: path.write_bytes(random.Random(0).randbytes(9_000)),
    "a page": lambda path, good: path.write_bytes(good[:4096]),
    "half": lambda path, good: path.write_bytes(good[: len(good) // 8192 * 4096]),
    "another program's": lambda path, good: foreign(path),
    "a folder": lambda path, good: path.mkdir(),
    "a pipe": lambda path, good: os.mkfifo(path),
    "a loop": lambda path, good: path.symlink_to(path),
    "missing": lambda path, good: None,
}


@pytest.mark.parametrize("kind", NO_STORES)
@pytest.mark.parametrize("command", COMMANDS)
def test_no_command_has_more_than_a_sentence_for_what_is_no_store(
    tmp_path, monkeypatch, capsys, command, kind
):
    monkeypatch.chdir(tmp_path)
    with Store("good.db", create=True) as store:
        for seed in range(9):
            store.put(a_run(seed))
    Path("page.md.j2").write_text("A page.\n")
    NO_STORES[kind](Path("bad.db"), Path("good.db").read_bytes())
    if (command, kind) == ("run", "missing"):
        pytest.skip("it would be made")
    before = sorted(tmp_path.iterdir())
    arguments = [each.replace("STORE", "bad.db") for each in COMMANDS[command]]
    with pytest.raises(SystemExit) as left:
        main(arguments)
    said = capsys.readouterr().err
    assert left.value.code == 2
    assert said.startswith("palimpsest: bad.db: ")
    assert said.count("\n") == 1
    assert sorted(tmp_path.iterdir()) == before


def test_a_log_cut_anywhere_gives_the_runs_before_the_cut(interrupted):
    log = interrupted.with_name("runs.db-wal")
    interrupted.with_name("runs.db-shm").unlink()
    whole, found = log.read_bytes(), []
    for end in [0, 1, 31, 33, *range(5_000, len(whole), 20_000), len(whole) - 1, len(whole)]:
        log.write_bytes(whole[:end])
        with Store(interrupted) as store:
            found.append(sorted(run.seed for run in store.records()))
    assert found[-1] == [*range(9)]
    assert found[-2] == [*range(8)]
    assert found == sorted(found)
    assert all(seeds == [*range(len(seeds))] for seeds in found)


@pytest.mark.parametrize("read", [copied, examine], ids=["copied", "examine"])
def test_a_log_that_is_moved_into_its_store_while_both_are_copied(tmp_path, monkeypatch, read):
    """What was in the log is read, if it is gone when its turn comes."""
    path = tmp_path / "runs.db"
    with Store(path, create=True) as store:
        store.put(a_run(0))
    writer = Store(path, create=True)
    writer.put(a_run(1))
    real = shutil.copyfile

    def copyfile(source, target):
        found = real(source, target)
        if writer is not None and Path(source) == path:
            writer.close()
        return found

    monkeypatch.setattr("palimpsest.benchmark.store.access.shutil.copyfile", copyfile)
    found = read(path)
    if isinstance(found, sqlite3.Connection):
        assert found.execute("SELECT count(*) FROM runs").fetchone() == (2,)
        found.close()
    else:
        assert (len(found.records), found.problems) == (2, [])


def test_a_store_that_is_written_all_the_time_is_not_copied_in_halves(tmp_path, monkeypatch):
    path = tmp_path / "runs.db"
    Store(path, create=True).close()
    real = shutil.copyfile

    def copyfile(source, target):
        os.utime(path)
        return real(source, target)

    monkeypatch.setattr("palimpsest.benchmark.store.access.shutil.copyfile", copyfile)
    with pytest.raises(UserError, match="another process writes all the time"):
        copied(path)
