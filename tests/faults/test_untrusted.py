"""Files that somebody else has written or damaged: every reader reads them, or says why not."""

import copy
import io
import json
import os
import random
import shutil
import sqlite3
import warnings
from contextlib import closing
from pathlib import Path

import pytest
import torch

from palimpsest.benchmark.cli import main
from palimpsest.benchmark.cli.printing.run_listing import runs_json
from palimpsest.benchmark.errors import UserError
from palimpsest.benchmark.executors.slurm.job_folder import job_folders
from palimpsest.benchmark.files.untrusted import MOST_LEVELS, opened, parsed
from palimpsest.benchmark.orchestration.loop import run_suite
from palimpsest.benchmark.runs.checkpoints.encoding import Encoded
from palimpsest.benchmark.runs.checkpoints.storage import RefusedError, load, save
from palimpsest.benchmark.runs.record_files import write_run
from palimpsest.benchmark.store.archive import archive, read_runs, read_suites
from palimpsest.benchmark.store.integrity import examine
from palimpsest.benchmark.store.store import Store
from palimpsest.benchmark.store.unsaved_runs import unsaved_runs
from palimpsest.benchmark.suites.loading import load_suite

SUITE = {
    "suite": "s",
    "seeds": 1,
    "probes": ["distance"],
    "scenarios": {
        "it": {
            "family": "split", "data": "digits", "experiences": 2, "steps": 4, "width": 4,
            "curve": {"every": 2},
        }
    },
    "strategies": {"finetune": {}, "freeze": {}},
}  # fmt: skip
DEEP = 10_000
WRONG = [None, True, -1, 10**30, "x", [], {}, [[]], {"a": None}, "\ud800", 1e308]


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A store of two runs."""
    path = tmp_path_factory.mktemp("good") / "runs.db"
    run_suite(SUITE, store=path, workers=0)
    return path


def deep(kind="["):
    return "[" * DEEP + "]" * DEEP if kind == "[" else '{"a":' * DEEP + "1" + "}" * DEEP


def altered(path, statement, *values):
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(statement, values)


def read_all(path):
    """Let everything that reads a store read it; anything but ``UserError`` is a fault."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for read in (use_runs, read_suites, use_store, examine, unsaved_runs):
            try:
                read(path)
            except UserError as error:
                assert len(str(error)) < 2_000
                assert "\n" not in str(error)


def use_runs(path):
    runs = read_runs(path)
    for run in runs:
        assert dict(run.metrics) is not None
        assert run.free_shares is not None
        assert [run.spec.scenario, run.spec.strategy, run.spec.probes, run.spec.seed]
    runs_json(runs)


def use_store(path):
    with Store(path) as opened_store:
        opened_store.latest()
        opened_store.failed(3)
        opened_store.statuses()
        opened_store.active_processes()


def damaged(content, chance):
    """Change some bytes, cut some off, or put some in."""
    content = bytearray(content)
    for _ in range(chance.randint(1, 8)):
        place = chance.randrange(len(content))
        how = chance.random()
        if how < 0.7:
            content[place] ^= chance.choice([255, chance.randrange(1, 256)])
        elif how < 0.85:
            del content[place : place + chance.randint(1, 400)]
        else:
            content[place:place] = bytes(chance.randrange(256) for _ in range(9))
    return bytes(content)


def replaced(value, chance):
    """Put something else in a place of some JSON, however deep."""
    whole = [copy.deepcopy(value)]
    place, at = whole, 0
    while place[at] and isinstance(place[at], list | dict) and chance.random() < 0.85:
        place = place[at]
        at = chance.choice(list(place) if isinstance(place, dict) else range(len(place)))
    if chance.random() < 0.2 and place is not whole:
        del place[at]
    else:
        place[at] = chance.choice(WRONG)
    return whole[0]


@pytest.mark.parametrize("seed", range(2))
def test_no_reader_fails_on_a_damaged_archive(store, tmp_path, seed):
    chance = random.Random(seed)
    content = archive(read_runs(store))
    for number in range(30):
        path = tmp_path / f"{number}.parquet"
        path.write_bytes(damaged(content, chance))
        read_all(path)


def test_no_reader_fails_on_rescued_runs_with_other_values(store, tmp_path):
    chance = random.Random(0)
    record = read_runs(store)[0]
    folder = tmp_path / "runs.db.rescued"
    write_run(folder, record)
    (file,) = folder.iterdir()
    good = json.loads(file.read_bytes())
    shutil.copy(store, tmp_path / "runs.db")
    for _ in range(60):
        file.write_text(json.dumps(replaced(good, chance)))
        read_all(tmp_path / "runs.db")
    for _ in range(30):
        file.write_bytes(damaged(json.dumps(good).encode(), chance))
        read_all(tmp_path / "runs.db")
    for text in (deep().encode(), deep("{").encode(), b'{"palimpsest.rescued": "\xff"}'):
        file.write_bytes(text)
        assert len(unsaved_runs(tmp_path / "runs.db").refused) == 1


def test_no_reader_fails_on_a_damaged_checkpoint(store, tmp_path, monkeypatch):
    chance = random.Random(0)
    job = (load_suite(SUITE).runs("cpu", tmp_path)[0],)
    path = tmp_path / "of.checkpoint"
    save(path, job, {"seconds": 1.0}, Encoded([1, 2], [{"a": 1}], [torch.zeros(3)]))
    content = path.read_bytes()
    assert load(path, job) is not None
    for _ in range(60):
        path.write_bytes(damaged(content, chance))
        with pytest.raises(RefusedError):
            load(path, job)
    for graph in (deep(), deep("{"), "7", "{}", '"\\ud800"', '{"facts": 1}'):
        whole = io.BytesIO()
        torch.save({"graph": graph, "tensors": []}, whole)
        made = whole.getvalue()
        monkeypatch.setattr(
            "palimpsest.benchmark.runs.checkpoints.storage.to_bytes", lambda *_, c=made: c
        )
        save(path, job, {}, Encoded([], [], []))
        with pytest.raises(RefusedError, match="something else"):
            load(path, job)


BAD = [deep(), deep("{"), '{"lost": 1e999}', "[" * 60 + "]" * 60, b"[\xff]"]


@pytest.mark.parametrize("text", BAD)
@pytest.mark.parametrize("column", ["cost", "spec", "curves", "versions"])
def test_json_that_is_none_is_told_by_every_command(store, tmp_path, capsys, column, text):
    path = shutil.copy(store, tmp_path / "runs.db")
    altered(path, f"UPDATE runs SET {column} = CAST(? AS TEXT) WHERE strategy = 'freeze'", text)
    read_all(path)
    with pytest.raises(SystemExit):
        main(["list", "runs", "--store", str(path)])
    assert capsys.readouterr().err


def test_a_store_of_a_version_below_zero_is_damaged(store, tmp_path):
    path = shutil.copy(store, tmp_path / "runs.db")
    altered(path, "PRAGMA user_version = -1")
    with pytest.raises(UserError, match="the store is damaged"):
        Store(path)
    with pytest.raises(UserError, match="the store is damaged"):
        Store(path, create=True)
    read_all(path)
    assert len(examine(path).records) == 2


def test_what_an_archive_says_of_suites_may_be_nested_too_deeply(store, tmp_path):
    import pyarrow as pa
    from pyarrow import parquet

    path = tmp_path / "runs.parquet"
    path.write_bytes(archive(read_runs(store), read_suites(store)))
    table = parquet.read_table(path)
    told = {**table.schema.metadata}
    (name,) = [each for each in told if b"suites" in each]
    for wrong in (deep().encode(), b"\xff", b"7", b'["a"]', b"[[1]]", b'[{"name": 1}]'):
        parquet.write_table(table.replace_schema_metadata({**told, name: wrong}), path)
        with pytest.raises(UserError, match="its suites"):
            read_suites(path)
        read_all(path)
    assert isinstance(pa.schema(table.schema), pa.Schema)


@pytest.mark.parametrize("owner", ["[]", "7", deep(), "{}", '{"host": 1}', "\x00", "pipe", "huge"])
def test_an_owner_who_is_none_is_judged_by_the_time(store, tmp_path, owner):
    import socket

    path = shutil.copy(store, tmp_path / "runs.db")
    folder = job_folders(Path(path)) / "a"
    (folder / "results").mkdir(parents=True)
    write_run(folder / "results", read_runs(store)[0])
    if owner == "pipe":
        os.mkfifo(folder / "owner")
    else:
        huge = json.dumps({"host": socket.gethostname(), "pid": 10**40})
        (folder / "owner").write_text(huge if owner == "huge" else owner)
    assert not unsaved_runs(Path(path)).runs
    os.utime(folder / "owner", (0, 0))
    assert len(unsaved_runs(Path(path)).runs) == 1


@pytest.mark.parametrize("name", ["runs.db", "runs.db-journal", "runs.db-wal", "runs.db-shm"])
def test_a_pipe_is_no_store_and_lies_beside_none(store, tmp_path, name):
    path = tmp_path / "runs.db"
    shutil.copy(store, path)
    path.with_name(name).unlink(missing_ok=True)
    os.mkfifo(path.with_name(name))
    for create in (False, True):
        with pytest.raises(UserError, match=f"{name}: this is not a regular file"):
            Store(path, create=create)


def test_a_pipe_is_neither_checkpoint_nor_rescued_run(store, tmp_path):
    job = (load_suite(SUITE).runs("cpu", tmp_path)[0],)
    os.mkfifo(tmp_path / "it")
    with pytest.raises(RefusedError, match="not a regular file"):
        load(tmp_path / "it", job)
    path = shutil.copy(store, tmp_path / "runs.db")
    (tmp_path / "runs.db.rescued").mkdir()
    os.mkfifo(tmp_path / "runs.db.rescued" / "a.json")
    (refused,) = unsaved_runs(Path(path)).refused
    assert "not a regular file" in refused


@pytest.mark.parametrize(
    "words",
    [
        ["run", "PIPE.yaml"],
        ["run", "quick", "--plugin", "PIPE.py"],
        ["report", "PIPE.db"],
        ["report", "PIPE.parquet"],
        ["list", "runs", "--store", "PIPE.parquet"],
        ["merge", "out.db", "PIPE.db", "PIPE.parquet"],
        ["page", "PIPE.md", "--store", "runs.db", "-o", "page.md"],
        ["doctor", "PIPE.db"],
    ],
    ids=" ".join,
)
def test_no_command_waits_for_a_pipe(store, tmp_path, monkeypatch, capsys, words):
    monkeypatch.chdir(tmp_path)
    shutil.copy(store, "runs.db")
    for word in {word for word in words if "PIPE" in word}:
        os.mkfifo(word)
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    assert "PIPE" in capsys.readouterr().err


def test_json_is_of_finite_numbers_and_few_levels():
    assert parsed(b'{"a": [1, 2.5e30, "1e999", null]}') == {"a": [1, 2.5e30, "1e999", None]}
    assert parsed("[" * MOST_LEVELS + "]" * MOST_LEVELS)
    large = [12345678901234567890, 1e300, -1e300]
    assert parsed(json.dumps(large)) == large
    assert parsed("7") == 7
    nines = "9" * 400
    for text in ("NaN", "-Infinity", "1e400", f"[{nines}]", f"-{nines}.5", "[", b"\xff", deep()):
        with pytest.raises(ValueError, match=r"."):
            parsed(text)


def test_a_folder_or_a_device_is_no_file(tmp_path):
    for path in (tmp_path, Path("/dev/zero")):
        with pytest.raises(OSError, match=r"directory|not a regular file"):
            opened(path)
    (tmp_path / "a").write_bytes(b"x")
    with opened(tmp_path / "a") as file:
        assert file.read() == b"x"
