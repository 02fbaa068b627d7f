"""Worker processes: how they start, and what happens when one of them dies."""

import faulthandler
import gc
import multiprocessing
import multiprocessing.forkserver
import os
import signal
import subprocess
import sys
import tempfile
import time
import weakref
from pathlib import Path

import pytest

from palimpsest.benchmark.errors import UserError
from palimpsest.benchmark.executors.local import in_worker, workers
from palimpsest.benchmark.executors.process_exit import ProcessExit
from palimpsest.benchmark.executors.run_jobs import run_jobs
from palimpsest.benchmark.runs.failure import FailureKind
from palimpsest.benchmark.runs.job_progress import JobProgress
from palimpsest.benchmark.store.store import Record
from palimpsest.benchmark.suites.jobs import Job
from palimpsest.benchmark.suites.spec import Spec
from palimpsest.benchmark.suites.suite import Run
from palimpsest.strategies.base.catalogue import STRATEGIES

ROOT = Path("/nowhere")
CURVES = [{"model": 0, "steps": [0, 5], "accuracy": [[0.1, 0.9]]}]


def a_run(name: str) -> Run:
    spec = Spec({"scenario": {}, "strategy": {"name": name, "strategy": name}})
    names = {"suite": "s", "scenario": "s", "strategy": name}
    return Run(
        key=name, **names, strength=None, seed=0, spec=spec, facts=STRATEGIES["finetune"].facts
    )


def pretend(job: Job, root: Path, scratch: Path, progress, checkpoints=None) -> list[Record]:
    """Stands in for a job of one run: ends well, or ends the process it is in."""
    run = job[0]
    how = run.key.split("-")[0]
    progress(JobProgress(0.5, CURVES))
    if how == "slow":
        time.sleep(0.5)
    if how == "deadly" or (how == "once" and not (scratch / run.key).exists()):
        (scratch / run.key).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "segfault":
        faulthandler.disable()
        faulthandler._sigsegv()
    if how == "hangs":
        time.sleep(120)
    if how == "stops":
        os.kill(os.getpid(), signal.SIGSTOP)
    if how == "exit":
        os._exit(3)
    if how == "prints":
        print("a plugin's words")
    if how == "waits":  # for another run to end the process it is in, and a little longer
        while not (scratch / "deadly").exists():
            time.sleep(0.01)
        time.sleep(0.3)
    if how == "waits" and (scratch / run.key).exists():
        raise AssertionError("it was carried out twice")
    (scratch / run.key).touch()
    return [Record(**run.cell(), status="done")]


def serve(*arguments) -> None:
    """A worker that pretends, and has nothing to import."""
    in_worker.execute = pretend
    in_worker.prepare = lambda *_: in_worker.print_to_errors()
    REAL_SERVE(*arguments)


def serve_never(*_) -> None:
    """A worker that does not start."""
    os._exit(7)


def serve_long(connection, root, *arguments) -> None:
    """A worker whose jobs never end."""

    def busy(*_):
        (root / str(os.getpid())).touch()
        time.sleep(120)

    in_worker.execute, in_worker.prepare = busy, lambda *_: None
    REAL_SERVE(connection, root, *arguments)


REAL_SERVE = in_worker.serve


@pytest.fixture(autouse=True)
def without_torch(monkeypatch):
    monkeypatch.setattr(in_worker, "serve", serve)
    monkeypatch.setattr(in_worker, "PREPARATION", "os")


@pytest.fixture(autouse=True, scope="module")
def its_own_fork_server():
    """The tests of other files need one that has imported torch."""
    multiprocessing.forkserver._forkserver._stop()
    yield
    multiprocessing.forkserver._forkserver._stop()


def outcome(*names, size=2, run_timeout=None):
    told = []
    runs = [a_run(name) for name in names]
    with workers.WorkerProcesses(ROOT, size, None, run_timeout) as executor:
        records = list(run_jobs(runs, executor, lambda job, done: told.append(job[0].key)))
    assert {*told} <= {*names}
    assert sorted(r.key for r in records) == sorted(names)
    return {record.key: record for record in records}


def test_a_worker_tells_how_far_it_is_and_what_it_has_measured():
    told = []
    with workers.WorkerProcesses(ROOT, 2) as executor:
        list(run_jobs([a_run("slow")], executor, lambda *news: told.append(news)))
    assert {job[0].key for job, _ in told} == {"slow"}
    assert [found for _, found in told[:2]] == [JobProgress(0.0), JobProgress(0.5, CURVES)]
    assert all(job_progress == told[1][1] for _, job_progress in told[2:])


@pytest.mark.parametrize("size", [1, 2])
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("deadly", "killed (SIGKILL)"),
        pytest.param("segfault", "signal 11 (SIGSEGV)", marks=pytest.mark.thorough),
        ("exit", "exit status 3"),
    ],
)
def test_the_failure_says_how_the_process_ended(name, said, size):
    records = outcome("good-1", name, "good-2", size=size)
    assert said in records[name].error
    assert records[name].failure.kind is FailureKind.KILLED
    assert {r.status for k, r in records.items() if k != name} == {"done"}


@pytest.mark.parametrize("size", [pytest.param(1, marks=pytest.mark.thorough), 2])
def test_a_run_that_takes_too_long_is_ended_and_the_others_go_on(size):
    records = outcome("good-1", "hangs", "good-2", "stops", "good-3", size=size, run_timeout=2)
    for name in ("hangs", "stops"):
        failure = records.pop(name).failure
        assert failure.kind is FailureKind.TIMED_OUT
        assert failure.message == "it took longer than 2 s (--run-timeout)"
    assert {r.status for r in records.values()} == {"done"}


def test_runs_that_share_a_training_share_their_time(tmp_path):
    """As their seconds are divided among them."""
    told = []
    with workers.WorkerProcesses(tmp_path, 1, None, 0.5) as executor:
        job = (a_run("hangs"), a_run("hangs too"), a_run("and so on"))
        (lost,) = executor.execute([job], lambda *news: told.append(news))
    assert lost.reason == "it took longer than 1.5 s (--run-timeout)"
    assert lost.job == job


def test_what_a_run_prints_is_not_what_the_command_prints(capfd, monkeypatch):
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)
    multiprocessing.forkserver._forkserver._stop()  # it keeps the outputs that it began with
    outcome("prints")
    out, err = capfd.readouterr()
    assert (out, err) == ("", "a plugin's words\n")


@pytest.mark.parametrize(
    ("how", "said"),
    [
        (ProcessExit(-9), "killed (SIGKILL), perhaps out of memory"),
        (ProcessExit(-9, out_of_memory=True), "killed (SIGKILL): out of memory"),
        (ProcessExit(-15, out_of_memory=True), "signal 15 (SIGTERM)"),
        (ProcessExit(-7), "signal 7 (SIGBUS)"),
        (ProcessExit(-40), "signal 40 (without a name)"),
        (ProcessExit(0), "exit status 0"),
        (ProcessExit(None), "was lost"),
    ],
)
def test_a_death_in_words(how, said):
    assert said in str(how)
    assert ("memory" in str(how)) is (how.code in (-9, -7))
    assert ("scratch files is full, or they were changed" in str(how)) is (how.code == -7)
    assert (how.kind is FailureKind.OUT_OF_MEMORY) is (how == ProcessExit(-9, out_of_memory=True))


def test_a_run_whose_neighbour_killed_the_pool_is_tried_again():
    assert outcome("once", "good-1", "good-2")["once"].status == "done"


def test_workers_that_never_start_are_told_once_and_no_run_is_called_failed(monkeypatch):
    monkeypatch.setattr(in_worker, "serve", serve_never)
    with pytest.raises(
        UserError, match=r"end as soon as they start: .* exit status 7; .*workers=0"
    ):
        outcome("one", "two")


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere memory has no such limit")
def test_too_little_memory_for_torch_is_told_in_a_sentence(tmp_path):
    """Both where the command itself imports it, and where its workers do."""
    run = "run quick --seeds 1 --strategies finetune --workers 1 --store runs.db"
    for words in (run, "check freeze"):
        limited = f"ulimit -v 600000; exec '{sys.executable}' -m palimpsest {words}"
        ran = subprocess.run(
            ["sh", "-c", limited],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == 2, ran.stderr
        assert "Traceback" not in ran.stderr
        assert "not enough memory to import torch" in ran.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("state", "said"), [("daemon", "is a worker itself"), ("_inheriting", "imported by a process")]
)
def test_a_process_that_may_not_start_others_is_told(monkeypatch, state, said):
    class Process:
        daemon = state == "daemon"
        _inheriting = state == "_inheriting"

    monkeypatch.setattr(multiprocessing, "current_process", Process)
    with pytest.raises(UserError, match=rf"{said}.*workers=0"):
        outcome("one", "two")


@pytest.mark.parametrize("folder", ["long", "removed"])
def test_workers_start_where_no_socket_could_be_made(tmp_path, monkeypatch, folder):
    """Below a long TMPDIR, and after a cleaning of /tmp has taken Python's folder for sockets."""
    usual = tmp_path / ("x" * 100 if folder == "long" else "short")
    usual.mkdir()
    made = tempfile.mkdtemp(prefix="pymp-", dir=usual)
    if folder == "removed":
        Path(made).rmdir()
    else:
        monkeypatch.setattr(tempfile, "tempdir", str(usual))
    monkeypatch.setitem(multiprocessing.current_process()._config, "tempdir", made)
    before = tempfile.gettempdir()
    multiprocessing.forkserver._forkserver._stop()
    assert outcome("one")["one"].status == "done"
    assert tempfile.gettempdir() == before


PROGRAM = """\
import sys
from test_workers import Path, run_jobs, a_run, in_worker, serve, workers
print("the program")
in_worker.serve, in_worker.PREPARATION = serve, "os"
with workers.WorkerProcesses(Path("/nowhere"), 2) as executor:
    records = list(run_jobs([a_run("a"), a_run("b")], executor, lambda *_: None))
print(*sorted(record.status for record in records))
"""


@pytest.mark.parametrize(
    "how", ["script", "standard input", pytest.param("module", marks=pytest.mark.thorough)]
)
def test_a_program_without_a_guard_runs_once(tmp_path, how):
    """Workers do not import what started them, which would start them again."""
    (tmp_path / "program.py").write_text(PROGRAM)
    arguments = {"script": [tmp_path / "program.py"], "module": ["-m", "program"]}.get(how, [])
    paths = [str(tmp_path), str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
    told = subprocess.run(
        [sys.executable, *arguments],
        input=PROGRAM if how == "standard input" else None,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert told.stdout.splitlines() == ["the program", "done done"], told.stderr


@pytest.mark.thorough
def test_the_preparation_leaves_a_process_that_may_be_forked():
    program = (
        "import palimpsest.benchmark.executors.local.worker_process, os, signal, sys, torch\n"
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
        "from test_workers import Path, a_run, run_jobs, in_worker, serve_long, workers\n"
        "in_worker.serve, in_worker.PREPARATION = serve_long, 'os'\n"
        f"runs, root = [a_run('a'), a_run('b')], Path({str(tmp_path)!r})\n"
        "with workers.WorkerProcesses(root, 2) as executor:\n"
        "    list(run_jobs(runs, executor, lambda *_: None))\n"
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

    def execute_job(job, root, scratch, progress, checkpoints):
        left.append(weakref.ref(Scenario()))
        return [Record(**run.cell(), status="done") for run in job]

    monkeypatch.undo()
    monkeypatch.setattr("palimpsest.benchmark.runs.runner.execute_job", execute_job)
    gc.disable()
    try:
        in_worker.execute((a_run("one"),), ROOT, tmp_path, lambda _: None)
    finally:
        gc.enable()
    assert left[0]() is None
