"""What a machine may do to a suite: stopped workers, cut-off logs, wrong clocks, full disks.

After each: every finished run is in the store exactly once, or beside it, and the next call does
the others, with the same numbers. ``PALIMPSEST_CHAOS=20`` tries more moments of each kind.
"""

import contextlib
import json
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import psutil
import pytest
from chaos_runs import MOMENTS, RUNS, WORKERS, at_work, begun, check, kill, start, victims

from palimpsest import run_suite
from palimpsest.benchmark.store.store import Record, Store
from palimpsest.benchmark.store.unsaved_runs import unsaved_runs

pytestmark = [
    pytest.mark.chaos,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="does it as on Linux"),
]


MOMENT = 0.15
"""Seconds after the first run in which something may happen; all of them take a bit longer."""


def wait_until(running: subprocess.Popen, true) -> None:
    while running.poll() is None and not true():
        time.sleep(0.005)


def goes_on(process: psutil.Process) -> bool:
    """Whether a process exists, and is not just waiting for somebody to ask how it ended."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.status() != psutil.STATUS_ZOMBIE
    return False


@pytest.mark.parametrize("seed", range(MOMENTS))
def test_a_stopped_worker_does_not_outlive_its_owner(tmp_path, carry_out_here, seed):
    random.seed(f"stopped {seed}")
    running = start(tmp_path, run_timeout=(None, 30.0)[seed % 2])
    wait_until(running, lambda: len(at_work(tmp_path)) == WORKERS)
    time.sleep(random.uniform(0, MOMENT / 2))
    owner = psutil.Process(running.pid)
    with contextlib.suppress(psutil.NoSuchProcess):
        family = owner.children(recursive=True)
        for worker in victims(owner, "a worker"):
            worker.suspend()
    kill([owner])
    running.wait(60)
    until = time.monotonic() + 20
    while (behind := [each for each in family if goes_on(each)]) and time.monotonic() < until:
        time.sleep(0.01)
    kill(behind)
    assert not behind
    carry_out_here(tmp_path)
    check(tmp_path, RUNS)
    assert list((tmp_path / "scratch").iterdir()) == []


@pytest.mark.parametrize("seed", range(MOMENTS))
def test_a_log_that_lost_its_end_loses_no_more_than_that(tmp_path, carry_out_here, seed):
    """As after a power cut on a disk that says that it has written what it has not."""
    random.seed(f"log {seed}")
    running = start(tmp_path)
    wait_until(running, lambda: there(tmp_path))
    time.sleep(random.uniform(0, MOMENT))
    kill(victims(psutil.Process(running.pid), "all"))
    running.wait(60)
    log = tmp_path / "runs.db-wal"
    if not log.exists() or not log.stat().st_size:
        pytest.skip("it had ended, or had just been emptied")
    (tmp_path / "runs.db-shm").unlink()
    written, known = log.read_bytes(), check(tmp_path, [])
    assert known
    for place in sorted((random.randrange(len(written)) for _ in range(5)), reverse=True):
        size = len(written) - place
        lost = (b"", bytes(size), random.randbytes(size))[seed % 3]
        log.write_bytes(written[:place] + lost)
        known_now = check(tmp_path, [])
        assert known_now <= known
        known = known_now
    carry_out_here(tmp_path)
    check(tmp_path, RUNS)
    with sqlite3.connect(tmp_path / "runs.db") as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def there(folder: Path) -> set[str]:
    """The runs that a store has by now."""
    with contextlib.suppress(Exception), Store(folder / "runs.db") as store:
        return {*store.statuses()}
    return set()


JUMPING = """
import random, time
real, jumps, ahead = time.time, random.Random({seed!r}), 0.0
def jumping():
    global ahead
    if jumps.random() < 0.3:
        ahead = jumps.uniform(-1e5, 1e5)
    return real() + ahead
time.time = jumping
"""


@pytest.mark.parametrize("seed", range(MOMENTS))
def test_clocks_that_jump_by_hours_neither_double_runs_nor_hold_them_up(tmp_path, seed):
    """Two processes share the runs; later one of them is killed."""
    random.seed(f"clock {seed}")
    one, two = (start(tmp_path, before=JUMPING.format(seed=f"{seed} {n}")) for n in range(2))
    killed = seed % 3 == 0
    if killed:
        wait_until(one, lambda: there(tmp_path))
        kill(victims(psutil.Process(one.pid), "all"))
        one.wait(60)  # until somebody asks how it ended, the system has its number
    codes = [one.wait(60), two.wait(60)]
    told = (tmp_path / "errors").read_text()
    assert codes == ([one.returncode, 0] if killed else [0, 0]), told
    check(tmp_path, RUNS)
    again = begun(tmp_path) - Counter(RUNS)
    # Of the one that was killed: what its workers were doing, or had just done.
    assert sum(again.values()) <= (2 * WORKERS if killed else 0), again


SUITE = {
    "suite": "disk",
    "seeds": 3,
    "scenarios": {"two_models": {"data": "digits", "steps": 2, "width": 4, "curve": {"every": 1}}},
    "strategies": {"finetune": {}, "freeze": {}},
}


def palimpsest(folder: Path, store: Path) -> tuple[int, str]:
    """Run the real command, whose own folders are in ``folder``."""
    program = "from palimpsest.benchmark.cli import main; main()"
    words = ["run", "suite.yaml", "--store", str(store), "--workers", "1", "--hold", "0.1"]
    environment = os.environ | {
        "XDG_STATE_HOME": str(folder / "state"),
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    done = subprocess.run(
        [sys.executable, "-c", program, *words],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stderr


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The matrix of every run of the suite by its key, on a disk with space."""
    found = run_suite(SUITE, store=tmp_path_factory.mktemp("large") / "runs.db", workers=0)
    return {run.key: run.accuracy_matrix for run in found}


@pytest.fixture
def disk(tmp_path):
    """A small disk; a function gives it another size."""
    place = tmp_path / "disk"
    place.mkdir()

    def resize(kilobytes: int, options: str = "") -> None:
        words = ["mount", "-t", "tmpfs", "-o", f"{options}size={kilobytes}k", "none", str(place)]
        found = subprocess.run(words, capture_output=True, text=True, check=False)
        if found.returncode:
            pytest.skip(f"no disk may be mounted here: {found.stderr.strip()}")

    yield place, resize
    subprocess.run(["umount", "-l", str(place)], capture_output=True, check=False)


@pytest.mark.skipif(not shutil.which("mount"), reason="mounts a small disk")
@pytest.mark.parametrize("seed", range(1 + MOMENTS // 10))
def test_a_disk_that_is_full_at_any_moment_loses_no_run(
    tmp_path, monkeypatch, undisturbed, disk, seed
):
    random.seed(f"disk {seed}")
    place, resize = disk
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    (tmp_path / "suite.yaml").write_text(json.dumps(SUITE))
    store = place / "runs.db"
    resize(random.choice([random.randrange(4, 100), random.randrange(100, 250)]) if seed else 160)
    code, told = palimpsest(tmp_path, store)
    known = records(store) | {run.key: run for run in unsaved_runs(store).runs.values()}
    if code:
        assert code == 2, told
        assert str(store) in told
    assert len(known) == told.count("] done ")  # all, or none if the store could not be made
    assert not known or known.keys() == undisturbed.keys()
    resize(10 << 10, "remount,")
    assert palimpsest(tmp_path, store)[0] == 0
    found = records(store)
    assert {key: found[key].started for key in known} == {
        key: run.started for key, run in known.items()
    }
    assert {key: run.accuracy_matrix for key, run in found.items()} == undisturbed
    assert not unsaved_runs(store).runs


def records(path: Path) -> dict[str, Record]:
    """The runs of a store by key; none if it could not be made."""
    if not path.exists() or not path.stat().st_size:
        return {}
    with Store(path) as store:
        return {record.key: record for record in store.records()}
