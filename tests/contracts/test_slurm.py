"""The executor for Slurm: through submitit's local executor, and on a real Slurm where it is."""

import contextlib
import inspect
import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import test_executors as contract
from slurm_here import slurm_here, why_not
from test_executors import outcome, runs  # noqa: F401  # fixtures

from palimpsest.benchmark.errors import UserError
from palimpsest.benchmark.executors.in_process import InProcess
from palimpsest.benchmark.executors.run_jobs import run_jobs
from palimpsest.benchmark.executors.slurm.job_folder import JobFolder, job_folders
from palimpsest.benchmark.orchestration.loop import run_suite
from palimpsest.benchmark.runs.checkpoints.paths import CheckpointSettings
from palimpsest.benchmark.runs.failure import FailureKind
from palimpsest.benchmark.runs.record_files import write_run
from palimpsest.benchmark.store.unsaved_runs import unsaved_runs
from palimpsest.benchmark.suites.loading import load_suite
from palimpsest.benchmark.suites.resources import Resources
from palimpsest.benchmark.suites.spec import Spec

pytest.importorskip("submitit")

pytestmark = pytest.mark.thorough

WITH_SLURM = pytest.mark.skipif(bool(why_not()), reason=why_not())
KINDS = ["processes", pytest.param("slurm", marks=WITH_SLURM)]
LONG = {
    "suite": "long",
    "seeds": 2,
    "scenarios": {
        "two_models": {"data": "digits", "steps": 800, "width": 8, "curve": {"every": 100}}
    },
    "strategies": {"finetune": {}},
}


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    with (
        slurm_here(tmp_path_factory.mktemp("slurm")) as environment,
        pytest.MonkeyPatch.context() as patch,
    ):
        for name, value in environment.items():
            patch.setenv(name, value)
        yield environment


@pytest.fixture(scope="module", params=KINDS)
def executor(request, tmp_path_factory):
    """Makes an executor; the name under which the contract knows it."""
    from palimpsest.benchmark.executors.slurm.arrays import SlurmArrays

    local = request.param == "processes"
    if not local:
        request.getfixturevalue("slurm")

    def made(root, **more):
        store = tmp_path_factory.mktemp("store") / "runs.db"
        return SlurmArrays(root, store, more.pop("workers", 2), local=local, **more)

    contract.EXECUTORS[request.param] = made
    yield made, request.param
    del contract.EXECUTORS[request.param]


@pytest.mark.parametrize(
    "promise",
    [
        contract.test_every_run_gives_one_record,
        contract.test_a_run_that_fails_ends_no_other,
        contract.test_plugins_are_known_where_runs_are_carried_out,
        contract.test_progress_is_a_fraction_of_a_job,
        contract.test_what_is_told_of_curves_is_a_beginning_of_those_recorded,
        contract.test_results_are_those_of_this_process,
        contract.test_an_interrupt_ends_what_is_under_way,
    ],
)
def test_what_every_executor_promises(executor, promise, request):
    values = {
        name: executor[1] if name == "kind" else request.getfixturevalue(name)
        for name in inspect.signature(promise).parameters
    }
    promise(**values)


@pytest.mark.parametrize("executor", ["processes" if why_not() else "slurm"], indirect=True)
def test_the_run_of_a_killed_task_goes_on_in_another(executor, tmp_path):
    chosen = tuple(load_suite(LONG).runs("cpu", tmp_path))
    with InProcess(tmp_path) as here:
        expected = contract.numbers(run_jobs(chosen, here, lambda *_: None))
    checkpoints = CheckpointSettings(tmp_path / "runs.db.checkpoints", 50)
    killed, said = [], []

    def kill(_):
        for task in tasks_of(made.store):
            os.kill(task, signal.SIGKILL)
            killed.append(task)

    made = executor[0](tmp_path, checkpoints=checkpoints)
    with made, contract.once_saved(checkpoints, kill):
        records = list(run_jobs(chosen, made, lambda _, now: said.append(now.message)))
    assert killed
    assert len(records) == len(chosen)
    assert contract.numbers(records) == expected
    assert any("goes on from" in text for text in said)
    assert not job_folders(made.store).exists()


def tasks_of(store):
    """The processes of the tasks that work for a store."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (place / "cmdline").read_text().split("\0")
            if "submitit.core._submit" in words and str(job_folders(store)) in " ".join(words):
                found.append((int(place.name), words[0]))
    return [number for number, program in found if Path(program).name.startswith("python")]


@pytest.mark.parametrize("executor", ["processes"], indirect=True)
def test_a_run_that_takes_too_long_is_ended_and_not_tried_again(executor, tmp_path):
    (run, *_) = load_suite(LONG).runs("cpu", tmp_path)
    with executor[0](tmp_path, run_timeout=0.3) as made:
        (record,) = run_jobs([run], made, lambda *_: None)
    assert record.failure.kind is FailureKind.TIMED_OUT
    assert "longer than 0.3 s" in record.error


@pytest.mark.parametrize("executor", ["processes"], indirect=True)
def test_data_that_a_node_does_not_have_is_told(executor, tmp_path):
    (run, *_) = load_suite(LONG).runs("cpu", tmp_path)
    spec = Spec(
        run.spec.data
        | {"scenario": run.spec.data["scenario"] | {"fingerprints": {"mnist": "mnist"}}}
    )
    with executor[0](tmp_path) as made, pytest.raises(UserError, match="'mnist' is not under"):
        list(made.execute([(replace(run, spec=spec),)], lambda *_: None))


def test_the_runs_of_a_killed_suite_are_taken_in_and_not_done_again(tmp_path):
    tiny = LONG | {"scenarios": {"two_models": {"data": "digits", "steps": 5, "width": 4}}}
    chosen = load_suite(tiny).runs("cpu", tmp_path)
    store = tmp_path / "runs.db"
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    left = JobFolder(job_folders(store) / "1")
    left.make(None)
    with InProcess(tmp_path) as here:
        (record,) = run_jobs(chosen[:1], here, lambda *_: None)
    write_run(left.results, record)
    assert unsaved_runs(store).runs == {}  # this process is there
    owner = json.loads((left.folder / "owner").read_text()) | {"pid": dead.pid}
    (left.folder / "owner").write_text(json.dumps(owner))
    told = []
    results = run_suite(tiny, store=store, workers=0, progress=lambda news: told.append(news.job))
    assert sorted(run.key for run in results) == sorted(run.key for run in chosen)
    assert {job[0].key for job in told} == {chosen[1].key}
    assert unsaved_runs(store).runs == {}


@WITH_SLURM
def test_what_slurm_does_not_take_is_told(slurm, tmp_path):
    from palimpsest.benchmark.executors.slurm.arrays import SlurmArrays

    (run, *_) = load_suite(LONG).runs("cpu", tmp_path)
    store, nowhere = tmp_path / "a.db", {"partition": "nowhere"}
    made = SlurmArrays(tmp_path, store, 1, parameters=nowhere)
    with made, pytest.raises(UserError, match=r"does not take the job array: .*partition"):
        list(made.execute([(run,)], lambda *_: None))
    assert not job_folders(store).exists()


@WITH_SLURM
def test_what_no_node_has_is_told(slurm, tmp_path):
    from palimpsest.benchmark.executors.slurm.arrays import SlurmArrays

    chosen = load_suite(LONG).runs("cpu", tmp_path)
    greedy = {"long": Resources(cpus=64)}
    made = SlurmArrays(tmp_path, tmp_path / "runs.db", 2, resources=greedy)
    with (
        pytest.raises(UserError, match=r"never start these runs \(PartitionConfig\)|not take"),
        made,
    ):
        list(run_jobs(chosen, made, lambda *_: None))
    assert not job_folders(made.store).exists()


def test_without_slurm_it_is_refused(monkeypatch, tmp_path):
    from palimpsest.benchmark.executors.slurm.arrays import SlurmArrays

    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="there is no sbatch on this machine"):
        SlurmArrays(tmp_path, tmp_path / "a.db", 1)


@pytest.mark.parametrize(
    ("needs", "device", "shape"),
    [
        (Resources(), "cpu", (1, 1, 0, None)),
        (Resources(cpus=0.25, memory="100 MB"), "cpu", (4, 1, 0, 382)),
        (Resources(cpus=2), "cuda", (1, 2, 1, None)),
        (Resources(cpus=2, gpus=0.5), "cuda", (2, 4, 1, None)),
        (Resources(cpus=2, gpus=0.5), "cpu", (1, 2, 0, None)),
    ],
)
def test_what_needs_less_than_slurm_gives_out_shares_a_task(needs, device, shape):
    from palimpsest.benchmark.executors.slurm.arrays import _Shape

    assert _Shape.of(needs, device) == _Shape(*shape)
