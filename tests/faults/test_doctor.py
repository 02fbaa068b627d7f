"""What doctor finds in damaged stores and saves of them; the damaged file stays as it is."""

import random
import sqlite3
from pathlib import Path

import pytest
from stored_runs import a_record

from palimpsest.benchmark.cli import main
from palimpsest.benchmark.store import unsaved_runs as beside
from palimpsest.benchmark.store.integrity import examine
from palimpsest.benchmark.store.store import Store, SuiteNote

RUNS = [a_record(seed) for seed in range(30)]
NOTE = SuiteNote("t", "A question?", ("s",), ("wpl",))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    path = tmp_path_factory.mktemp("whole") / "runs.db"
    with Store(path, create=True) as store:
        store.put_all(RUNS, [NOTE])
    return path.read_bytes()


@pytest.fixture
def damaged(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)

    def write(content):
        Path("runs.db").write_bytes(content)

    return write


def doctor(*arguments):
    with pytest.raises(SystemExit) as left:
        main(["doctor", "runs.db", *arguments])
    return left.value.code


def saved():
    """The runs that doctor saves, each as it was."""
    before = Path("runs.db").read_bytes()
    assert doctor("--save", "new.db") == 1
    assert Path("runs.db").read_bytes() == before
    assert not list(Path.cwd().glob("runs.db-*"))
    with Store("new.db") as store:
        found = {run.seed: run for run in store.records()}
    Path("new.db").unlink()
    assert all(run == RUNS[seed] for seed, run in found.items())
    return set(found)


def test_a_healthy_store_is_healthy(damaged, whole, capsys):
    damaged(whole)
    assert doctor() == 0
    assert capsys.readouterr().out == (
        "runs.db: healthy; 30 runs (0 of them failed) and 1 suite can be read\n"
    )


def test_one_of_which_a_page_is_damaged_keeps_the_others(damaged, whole):
    pages, kept = len(whole) // 4096, []
    for page in range(2, pages):
        damaged(
            whole[: page * 4096] + random.Random(page).randbytes(4096) + whole[page * 4096 + 4096 :]
        )
        found = examine(Path("runs.db"))
        assert found.problems
        kept.append(len(found.records))
    assert max(kept) == 30  # of an index
    assert sorted(kept)[len(kept) // 4] >= 24


@pytest.mark.parametrize("share", [0.5, 0.7, 0.95])
def test_one_that_was_cut_off_keeps_what_was_before(damaged, whole, share, capsys):
    damaged(whole[: int(len(whole) * share)])
    assert 30 * share - 8 <= len(saved()) < 30
    assert f"of its {len(whole):,} bytes are there" in capsys.readouterr().out


def test_a_row_that_cannot_be_parsed_is_named_and_the_others_are_saved(damaged, whole, capsys):
    damaged(whole)
    with sqlite3.connect("runs.db") as connection:
        connection.execute("UPDATE runs SET curves = '[' WHERE seed = 3")
        connection.execute("UPDATE runs SET key = 'another' WHERE seed = 4")
        connection.execute("UPDATE runs SET spec = CAST(x'ff' AS TEXT) WHERE seed = 5")
        connection.execute("UPDATE suites SET scenarios = '{'")
        connection.execute("PRAGMA journal_mode = DELETE")
    connection.close()
    assert saved() == {*range(30)} - {3, 4, 5}
    said = capsys.readouterr().out
    assert f"run '{RUNS[3].key}' cannot be read" in said
    assert "run 'another' cannot be read (its key does not fit its settings)" in said
    assert "suite 't' cannot be read" in said


def test_runs_beside_it_are_saved_with_the_others(damaged, whole, capsys):
    damaged(whole[: len(whole) // 2])
    beside.save_beside(Path("runs.db"), RUNS[29])
    assert 29 in saved()
    assert "1 rescued run;" in capsys.readouterr().out


def test_runs_that_lie_only_beside_it_are_told_and_saved(damaged, capsys):
    beside.save_beside(Path("runs.db"), RUNS[29])
    assert doctor() == doctor("--save", "new.db") == 1
    said = capsys.readouterr().out
    assert "runs.db: missing; 0 runs" in said
    assert "1 rescued run;" in said
    with Store("new.db") as store:
        assert store.records() == [RUNS[29]]


def test_nothing_is_written_over(damaged, whole, capsys):
    damaged(whole)
    Path("new.db").write_text("mine")
    assert doctor("--save", "new.db") == doctor("--save", "runs.db") == 2
    assert Path("new.db").read_text() == "mine"
    assert "already exists" in capsys.readouterr().err


def test_one_whose_first_page_is_damaged_has_nothing(damaged, whole, capsys):
    damaged(whole[:100] + bytes(3996) + whole[4096:])
    assert doctor() == 1
    assert "nothing of it can be read" in capsys.readouterr().out


@pytest.mark.parametrize("content", [b"notes", b"", None], ids=["notes", "empty", "missing"])
def test_what_is_no_store_is_refused(damaged, content, capsys):
    if content is not None:
        damaged(content)
    assert doctor() == (0 if content == b"" else 2)
    assert capsys.readouterr().err.count("\n") == (0 if content == b"" else 1)


def test_another_programs_database_and_a_newer_store_are_refused(damaged, whole, capsys):
    for statement in ("DROP TABLE runs", "PRAGMA user_version = 99"):
        damaged(whole)
        connection = sqlite3.connect("runs.db")
        connection.execute(statement)
        connection.commit()
        connection.close()
        assert doctor() == 2
    first, second = capsys.readouterr().err.splitlines()
    assert "not a Palimpsest store" in first
    assert "upgrade palimpsest-bench" in second
