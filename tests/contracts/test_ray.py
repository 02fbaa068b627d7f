"""The executor for Ray, on a real cluster of two nodes that these tests start and damage."""

import inspect
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import test_executors as contract
from PIL import Image
from test_executors import outcome, runs  # noqa: F401  # fixtures

from palimpsest.benchmark.errors import UserError
from palimpsest.benchmark.executors.in_process import InProcess
from palimpsest.benchmark.executors.run_jobs import run_jobs
from palimpsest.benchmark.executors.scratch import WithScratch
from palimpsest.benchmark.orchestration.loop import run_suite
from palimpsest.benchmark.runs.checkpoints.paths import CheckpointSettings
from palimpsest.benchmark.runs.failure import FailureKind
from palimpsest.benchmark.store.store import Store
from palimpsest.benchmark.suites.loading import load_suite
from palimpsest.benchmark.suites.resources import Resources

ray = pytest.importorskip("ray")
cluster_utils = pytest.importorskip("ray.cluster_utils")

pytestmark = pytest.mark.thorough

LONG = {
    "suite": "long",
    "seeds": 3,
    "scenarios": {
        "two_models": {"data": "digits", "steps": 1000, "width": 8, "curve": {"every": 100}}
    },
    "strategies": {"finetune": {}},
}


@pytest.fixture(scope="module")
def cluster():
    """Two nodes with a processor each; this process is connected to them."""
    made = cluster_utils.Cluster(
        initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False}
    )
    made.add_node(num_cpus=1)
    yield made
    ray.shutdown()
    made.shutdown()


@pytest.fixture(scope="module", autouse=True)
def ray_executor(cluster):
    from palimpsest.benchmark.executors.ray.cluster import RayCluster

    contract.EXECUTORS["ray"] = lambda root, **more: RayCluster(root, cluster.address, **more)
    yield contract.EXECUTORS["ray"]
    del contract.EXECUTORS["ray"]


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
def test_what_every_executor_promises(promise, request):
    values = {
        name: "ray" if name == "kind" else request.getfixturevalue(name)
        for name in inspect.signature(promise).parameters
    }
    promise(**values)


@pytest.fixture(scope="module")
def long_runs(tmp_path_factory):
    root = tmp_path_factory.mktemp("long")
    chosen = tuple(load_suite(LONG).runs("cpu", root))
    with InProcess(root) as executor:
        return chosen, contract.numbers(run_jobs(chosen, executor, lambda *_: None))


def make_images(folder):
    for number in range(24):
        path = folder / "train" / "abcd"[number % 4] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((8, 8), 10 * number, dtype=np.uint8)).save(path)
    return folder


def while_under_way(executor, chosen, damage, jobs=1):
    """Carry out runs, and do damage once when so many jobs have begun to train."""
    begun, told, done = set(), [], threading.Event()

    def report(job, now):
        told.append((job[0].key, now.fraction))
        if now.fraction > 0:
            begun.add(job[0].key)
        if len(begun) >= jobs and not done.is_set():
            done.set()
            damage(job[0].key)

    records = list(run_jobs(chosen, executor, report))
    assert done.is_set()
    return records, told


def kill_process(key):
    found = [place for place in Path("/proc").glob("[0-9]*") if key in command_of(place)]
    (number,) = [int(place.name) for place in found if "ray::palimpsest" in command_of(place)]
    os.kill(number, signal.SIGKILL)


def command_of(place):
    try:
        return (place / "cmdline").read_text()
    except OSError:
        return ""


def test_a_killed_worker_is_replaced_and_its_run_begins_again(ray_executor, long_runs, tmp_path):
    chosen, expected = long_runs
    killed = []

    def damage(key):
        killed.append(key)
        kill_process(key)

    with ray_executor(tmp_path) as executor:
        records, told = while_under_way(executor, chosen, damage)
    assert len(records) == len(chosen)
    assert contract.numbers(records) == expected
    fractions = [fraction for key, fraction in told if key == killed[0]]
    assert fractions != sorted(fractions)  # it began again, and that was told


def test_a_killed_run_goes_on_from_its_checkpoint(ray_executor, long_runs, tmp_path):
    chosen, expected = long_runs
    checkpoints = CheckpointSettings(tmp_path / "runs.db.checkpoints", 50)
    checkpoints.store.touch()
    killed, said = [], []

    def kill(key):
        kill_process(key)
        killed.append(key)

    with (
        ray_executor(tmp_path, checkpoints=checkpoints) as executor,
        contract.once_saved(checkpoints, kill),
    ):
        records = list(run_jobs(chosen, executor, lambda _, now: said.append(now.message)))
    assert killed
    assert contract.numbers(records) == expected
    assert any("goes on from" in text for text in said)


def test_the_runs_of_a_node_that_goes_away_are_done_on_another(
    cluster, ray_executor, long_runs, tmp_path
):
    chosen, expected = long_runs
    away = max(cluster.list_all_nodes(), key=lambda node: node is not cluster.head_node)
    with ray_executor(tmp_path) as executor:
        records, _ = while_under_way(
            executor, chosen, lambda _: cluster.remove_node(away, allow_graceful=False), jobs=2
        )
        cluster.add_node(num_cpus=1)
    assert len(records) == len(chosen)
    assert contract.numbers(records) == expected


def test_a_run_that_takes_too_long_is_ended_and_not_tried_again(ray_executor, long_runs, tmp_path):
    (run, *_), _ = long_runs
    with ray_executor(tmp_path, run_timeout=0.7) as executor:
        (record,) = run_jobs([run], executor, lambda *_: None)
    assert record.failure.kind is FailureKind.TIMED_OUT
    assert "longer than 0.7 s" in record.error


def test_a_run_that_is_lost_each_time_fails_and_says_why(ray_executor, long_runs, tmp_path):
    (run, *_), _ = long_runs
    with ray_executor(tmp_path, retries=0) as executor:
        ((record,), _) = while_under_way(executor, [run], kill_process)
    assert record.failure.kind is FailureKind.KILLED
    assert "its process on node" in record.error


def test_an_error_of_the_caller_ends_what_is_under_way(ray_executor, long_runs, tmp_path):
    chosen, _ = long_runs
    with pytest.raises(ZeroDivisionError), ray_executor(tmp_path) as executor:
        for _ in run_jobs(chosen, executor, lambda *_: None):
            raise ZeroDivisionError
    limit = time.monotonic() + 30
    while any("ray::palimpsest" in command_of(place) for place in Path("/proc").glob("[0-9]*")):
        assert time.monotonic() < limit
        time.sleep(0.1)


def test_what_no_node_has_is_told_at_once(ray_executor, runs, tmp_path):  # noqa: F811
    greedy = {"contract": Resources(cpus=64)}
    said = pytest.raises(UserError, match=r"no node .* 64 CPU .* any of 2 has: 1 CPU")
    with ray_executor(tmp_path, resources=greedy) as executor, said:
        list(executor.execute([runs[:1]], lambda *_: None))


def test_several_runs_share_a_processor(ray_executor, tmp_path):
    half = {"contract": Resources(cpus=0.5)}
    with ray_executor(tmp_path, resources=half) as executor:
        assert executor.workers == 4


def test_data_that_a_node_does_not_have_is_sent_there_once(ray_executor, tmp_path):
    images = make_images(tmp_path / "here" / "pictures")
    suite = load_suite(
        {
            "suite": "sent",
            "seeds": 2,
            "scenarios": {"split": {"data": "folder:pictures", "experiences": 2, "width": 4}},
            "strategies": {"finetune": {}},
        }
    )
    chosen = suite.runs("cpu", images.parent)
    with InProcess(images.parent) as executor:
        expected = contract.numbers(run_jobs(chosen, executor, lambda *_: None))
    with ray_executor(images.parent, scratch=tmp_path) as executor:
        executor._setting = replace(executor._setting, root=tmp_path / "elsewhere")
        records = list(run_jobs(chosen, executor, lambda *_: None))
        places = list(tmp_path.glob("palimpsest-scratch-ray-*/data"))
        assert 1 <= len(places) <= 2  # one on each node that carried out runs
        here = sorted(path.relative_to(images.parent) for path in images.rglob("*.png"))
        for place in places:
            assert sorted(path.relative_to(place) for path in place.rglob("*.png")) == here
    assert contract.numbers(records) == expected
    assert {record.status for record in records} == {"done"}
    deadline = time.monotonic() + 60
    while list(tmp_path.glob("palimpsest-scratch-*")) and time.monotonic() < deadline:
        time.sleep(0.1)  # the workers that end remove their folders
    with WithScratch(tmp_path):
        pass  # what one of them leaves when it is killed, the next suite removes
    assert not list(tmp_path.glob("palimpsest-scratch-*"))


def test_a_suite_runs_on_a_cluster_as_it_does_here(cluster, tmp_path):
    results = run_suite(
        contract.SUITE | {"strategies": {"finetune": {}}, "resources": {"cpus": 0.5}},
        store=tmp_path / "a.db",
        executor="ray",
        address=cluster.address,
    )
    assert [run.status for run in results] == ["done"] * 2
    here = run_suite(
        contract.SUITE | {"strategies": {"finetune": {}}}, store=tmp_path / "b.db", workers=0
    )
    assert contract.numbers(results) == contract.numbers(here)
    with Store(tmp_path / "a.db") as store:
        assert store.active_processes() == []


@pytest.fixture
def ray_alone():
    """The environment of a command that sees no cluster of this machine."""
    folder = tempfile.mkdtemp(dir="/tmp")  # sockets below it must have short paths
    there = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    yield there | {"RAY_TMPDIR": folder}
    shutil.rmtree(folder)


def processes_with(words):
    return [int(each.name) for each in Path("/proc").glob("[0-9]*") if words in command_of(each)]


def test_without_a_cluster_one_is_started_and_ended(ray_alone, tmp_path):
    suite = tmp_path / "s.yaml"
    suite.write_text(json.dumps(contract.SUITE | {"strategies": {"finetune": {}}}))
    words = ["run", str(suite), "--executor", "ray", "--store", str(tmp_path / "a.db")]
    command = [sys.executable, "-m", "palimpsest", *words]
    subprocess.run(command, env=ray_alone, check=True, capture_output=True)
    with Store(tmp_path / "a.db") as store:
        assert {run.status for run in store.records()} == {"done"}
    assert not processes_with(ray_alone["RAY_TMPDIR"])


def test_a_raylet_that_dies_ends_the_command_and_fails_no_run(ray_alone, tmp_path):
    suite, path = tmp_path / "s.yaml", tmp_path / "a.db"
    suite.write_text(json.dumps(LONG | {"seeds": 30}))
    words = ["run", str(suite), "--executor", "ray", "--store", str(path)]
    command = [sys.executable, "-m", "palimpsest", *words]
    with subprocess.Popen(command, env=ray_alone, stderr=subprocess.PIPE, text=True) as running:
        while not (path.exists() and Store(path).latest()[0]):
            assert running.poll() is None
            time.sleep(0.5)
        folder = ray_alone["RAY_TMPDIR"]
        (raylet,) = (
            number
            for number in processes_with(folder)
            if command_of(Path(f"/proc/{number}")).partition("\0")[0].endswith("/raylet")
        )
        os.kill(raylet, signal.SIGKILL)
        said = running.stderr.read()
    assert running.returncode == 2
    assert "palimpsest: Ray has ended on this machine (its raylet died" in said
    with Store(path) as store:
        assert {run.status for run in store.records()} == {"done"}


def test_a_node_with_other_code_is_refused(ray_executor, runs, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.setattr("palimpsest.benchmark.executors.ray.cluster.code_digest", lambda: "another")
    said = pytest.raises(UserError, match=r"node \S+ has palimpsest-bench .* of other code")
    with ray_executor(tmp_path) as executor, said:
        list(executor.execute([runs[:1]], lambda *_: None))
