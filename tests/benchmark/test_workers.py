"""Worker processes: how they start, and what happens when one of them dies."""

import gc
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
import weakref
from pathlib import Path

import pytest

from benchmark.advance import Advance
from benchmark.errors import UserError
from benchmark.executors import workers
from benchmark.executors.carry_out import carry_out
from benchmark.executors.progress_file import ProgressFile, read_all
from benchmark.jobs import Job
from benchmark.plugins import Loaded
from benchmark.spec import Spec
from benchmark.store import Record
from benchmark.suite import Run

ROOT = Path("/nowhere")
CURVES = [{"model": 0, "steps": [0, 5], "accuracy": [[0.1, 0.9]]}]


def a_run(name: str) -> Run:
    spec = Spec({"scenario": {}, "strategy": {"name": name, "strategy": name}})
    return Run(key=name, suite="s", scenario="s", strategy=name, strength=None, seed=0, spec=spec)


def pretend(job: Job, root: Path, scratch: Path) -> list[Record]:
    """Stands in for a job of one run: ends well, or kills the process it is in."""
    (run,) = job
    file = ProgressFile(scratch, run.key)
    file.write(Advance(0.5, CURVES))
    if run.key == "slow":
        time.sleep(0.5)
    if run.key.startswith("deadly") or (
        run.key.startswith("once") and not (scratch / run.key).exists()
    ):
        (scratch / run.key).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    file.remove()
    return [Record(**run.cell(), status="done")]


def start(scratch: Path, known: Loaded) -> None:
    """Stands in for the start of a worker, without the imports."""
    threading.Thread(target=workers._end_with_parent, daemon=True).start()


def never(scratch: Path, known: Loaded) -> None:
    """Stands in for the start of a worker, and fails."""
    raise RuntimeError("no")


def busy(job: Job, root: Path, scratch: Path) -> None:
    """Stands in for a long job."""
    (root / str(os.getpid())).touch()
    time.sleep(120)


@pytest.fixture(autouse=True)
def without_torch(monkeypatch):
    monkeypatch.setattr(workers, "_execute", pretend)
    monkeypatch.setattr(workers, "_start_worker", start)
    monkeypatch.setattr(workers, "_PREPARATION", "os")


def outcome(*names):
    told = []
    runs = [a_run(name) for name in names]
    with workers.WorkerProcesses(ROOT, 2) as executor:
        records = list(carry_out(runs, executor, lambda job, done: told.append(job[0].key)))
    assert {*told} <= {*names}
    assert sorted(r.key for r in records) == sorted(names)
    return {record.key: record for record in records}


def test_all_runs_come_back():
    records = outcome(*(f"good {i}".replace(" ", "-") for i in range(7)))
    assert {r.status for r in records.values()} == {"done"}


def test_a_run_that_kills_its_process_fails_and_the_others_are_done():
    records = outcome("good-1", "deadly", "good-2", "good-3", "good-4")
    assert records.pop("deadly").status == "failed"
    assert {r.status for r in records.values()} == {"done"}


def test_a_worker_tells_how_far_it_is_and_what_it_has_measured():
    told = []
    with workers.WorkerProcesses(ROOT, 2) as executor:
        list(carry_out([a_run("slow")], executor, lambda *news: told.append(news)))
    assert {job[0].key for job, _ in told} == {"slow"}
    assert all(advance == Advance(0.5, CURVES) for _, advance in told)


def test_a_worker_writes_now_and_then_and_not_for_every_step(tmp_path, monkeypatch):
    now = [10.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    file, seen = ProgressFile(tmp_path, "one"), []
    for seconds in (10.0, 10.1, 10.3, 10.4):
        now[0] = seconds
        file.write(Advance(seconds))
        seen.append(read_all(tmp_path)["one"].fraction)
    assert seen == [10.0, 10.0, 10.3, 10.3]
    assert [path.suffix for path in tmp_path.iterdir()] == [".progress"]
    file.remove()
    assert read_all(tmp_path) == {}


def test_a_worker_that_cannot_tell_goes_on(tmp_path):
    ProgressFile(tmp_path / "is gone", "one").write(Advance(0.5))


def test_the_failure_says_what_may_have_happened():
    assert "memory" in outcome("deadly", "good")["deadly"].error


def test_a_run_whose_neighbour_killed_the_pool_is_tried_again():
    assert outcome("once", "good-1", "good-2")["once"].status == "done"


def test_several_deadly_runs_do_not_stop_the_suite():
    records = outcome("deadly-1", "good-1", "deadly-2", "good-2", "deadly-3", "good-3")
    assert {r.status for k, r in records.items() if k.startswith("good")} == {"done"}
    assert {r.status for k, r in records.items() if k.startswith("deadly")} == {"failed"}


def test_workers_that_never_start_are_told_once_and_no_run_is_called_failed(monkeypatch):
    monkeypatch.setattr(workers, "_start_worker", never)
    with pytest.raises(UserError, match=r"end as soon as they start.*workers=1"):
        outcome("one", "two")


@pytest.mark.parametrize(
    ("state", "said"), [("daemon", "is a worker itself"), ("_inheriting", "imported by a process")]
)
def test_a_process_that_may_not_start_others_is_told(monkeypatch, state, said):
    class Process:
        daemon = state == "daemon"
        _inheriting = state == "_inheriting"

    monkeypatch.setattr(multiprocessing, "current_process", Process)
    with pytest.raises(UserError, match=rf"{said}.*workers=1"):
        outcome("one", "two")


def test_processes_of_the_user_are_left_alone():
    own = multiprocessing.get_context("spawn").Process(target=time.sleep, args=(60,))
    own.start()
    try:
        outcome("one", "two")
        assert own.is_alive()
    finally:
        own.terminate()
        own.join()


PROGRAM = """\
import sys
from test_workers import Path, carry_out, a_run, pretend, start, workers
print("the program")
workers._execute, workers._start_worker, workers._PREPARATION = pretend, start, "os"
with workers.WorkerProcesses(Path("/nowhere"), 2) as executor:
    records = list(carry_out([a_run("a"), a_run("b")], executor, lambda *_: None))
print(*sorted(record.status for record in records))
"""


@pytest.mark.parametrize("how", ["script", "standard input", "module"])
def test_a_program_without_a_guard_runs_once(tmp_path, how):
    """Workers do not import what started them, which would start them again."""
    (tmp_path / "program.py").write_text(PROGRAM)
    arguments = {"script": [tmp_path / "program.py"], "module": ["-m", "program"]}.get(how, [])
    paths = [str(tmp_path), str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
    told = subprocess.run(
        [sys.executable, *arguments],
        input=PROGRAM if how == "standard input" else None,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert told.stdout.splitlines() == ["the program", "done done"], told.stderr


def test_the_preparation_leaves_a_process_that_may_be_forked():
    program = (
        "import benchmark.executors.worker_process, os, signal, sys, torch\n"
        "tasks = len(os.listdir('/proc/self/task')) if sys.platform == 'linux' else 1\n"
        "ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN\n"
        "print(tasks, torch.get_num_threads(), torch.cuda.is_initialized(), ignored)\n"
    )
    environment = {k: v for k, v in os.environ.items() if k != "OMP_NUM_THREADS"}
    told = subprocess.run(
        [sys.executable, "-c", program], env=environment, check=True, capture_output=True, text=True
    )
    assert told.stdout.split() == ["1", "1", "False", "True"]


def is_there(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def wait_until(condition) -> None:
    limit = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.1)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_no_worker_outlives_its_parent(tmp_path, how):
    program = (
        "import signal\n"  # a shell's background, where tests may run, ignores interrupts
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from test_workers import Path, a_run, busy, carry_out, start, workers\n"
        "workers._execute, workers._start_worker, workers._PREPARATION = busy, start, 'os'\n"
        f"runs, root = [a_run('a'), a_run('b')], Path({str(tmp_path)!r})\n"
        "with workers.WorkerProcesses(root, 2) as executor:\n"
        "    list(carry_out(runs, executor, lambda *_: None))\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=Path(__file__).parent,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until(lambda: len(list(tmp_path.iterdir())) == 2)
    finally:
        parent.send_signal(how)
        parent.wait()
    wait_until(lambda: not any(is_there(int(file.name)) for file in tmp_path.iterdir()))


def test_nothing_of_a_run_stays_in_its_worker(monkeypatch, tmp_path):
    class Scenario:
        """As a real one, it is referred to by what it refers to."""

        def __init__(self):
            self.itself = self

    left = []

    def execute_job(job, root, scratch, progress):
        left.append(weakref.ref(Scenario()))
        return [Record(**run.cell(), status="done") for run in job]

    monkeypatch.undo()
    monkeypatch.setattr("benchmark.runner.execute_job", execute_job)
    gc.disable()
    try:
        workers._execute((a_run("one"),), ROOT, tmp_path)
    finally:
        gc.enable()
    assert left[0]() is None
