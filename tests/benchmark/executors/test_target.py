"""Where runs are carried out, and what they need there: options, suite files, messages."""

import inspect
import socket
from dataclasses import fields

import pytest

from palimpsest.benchmark.cli import main
from palimpsest.benchmark.errors import UserError
from palimpsest.benchmark.executors import target
from palimpsest.benchmark.executors.options import RunOptions
from palimpsest.benchmark.executors.target import Target
from palimpsest.benchmark.orchestration.loop import run_suite
from palimpsest.benchmark.orchestration.plan import make_plan
from palimpsest.benchmark.suites.loading import load_suite

SUITE = {
    "suite": "small",
    "seeds": 1,
    "scenarios": {"two_models": {"data": "digits", "steps": 5, "width": 4}},
    "strategies": {"finetune": {}},
}
RAY, SLURM = {"executor": "ray"}, {"executor": "slurm"}


@pytest.mark.parametrize("kind", ["ray", "slurm"])
def test_a_missing_package_is_told_with_what_installs_it(kind, monkeypatch):
    monkeypatch.setattr(target, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=rf"pip install 'palimpsest-bench\[{kind}\]'"):
        run_suite(SUITE, executor=kind)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("rya",), "executor 'rya': did you mean 'ray'"),
        (("local", "auto"), "only the executor ray has one"),
        (("local", None, {"time": "1"}), "only for the executor slurm"),
    ],
)
def test_what_does_not_fit_is_refused(arguments, said):
    with pytest.raises(UserError, match=said):
        Target.of(*arguments)


def test_python_and_the_command_line_have_the_same_options():
    asked = inspect.signature(run_suite).parameters
    for option in fields(RunOptions):
        assert str(asked[option.name].default) == str(option.default), option.name


def test_parameters_of_slurm():
    found = Target.of("slurm", None, ["partition=gpu,--time=1-00:00:00", "mail-user=a@b"]).slurm
    assert found == {"partition": "gpu", "time": "1-00:00:00", "mail_user": "a@b"}
    for wrong in ("", "gpu", "=gpu", "a b=c"):
        with pytest.raises(UserError, match="expected NAME=VALUE"):
            Target.of("slurm", None, [wrong])


def test_resources_are_no_part_of_a_run(tmp_path):
    plain = load_suite(SUITE)
    given = load_suite(SUITE | {"resources": {"cpus": 2, "gpus": 0.5, "memory": "1.5 GB"}})
    assert given.runs("cpu", tmp_path) == plain.runs("cpu", tmp_path)
    assert given.note == plain.note
    assert (given.resources.cpus, given.resources.memory) == (2, 1_500_000_000)
    assert given.resources.gpus_on("cuda") == 0.5
    assert given.resources.gpus_on("cpu") == 0
    assert plain.resources.gpus_on("cuda") == 1
    plan = make_plan([given], RunOptions(store=tmp_path / "a.db", data_root=tmp_path, **RAY))
    assert plan.resources == {"small": given.resources}


@pytest.mark.parametrize(
    ("resources", "said"),
    [
        ({"cpu": 1}, r"resources.cpu: unknown key 'cpu'; did you mean 'cpus'"),
        ({"cpus": 0}, "resources.cpus: "),
        ({"gpus": 1.5}, "a whole number, or a fraction below 1"),
        ({"memory": 4}, "an amount with its unit, such as 4 GB"),
        ({"memory": "4 apples"}, "an amount with its unit, such as 4 GB"),
        (5, "resources"),
    ],
)
def test_wrong_resources_are_told(resources, said):
    with pytest.raises(UserError, match=said):
        load_suite(SUITE | {"resources": resources})


def test_a_plan_for_a_cluster(tmp_path):
    suite = load_suite(SUITE)

    def planned(**more):
        options = RunOptions(store=tmp_path / "a.db", data_root=tmp_path, **more)
        return make_plan([suite], options)

    assert planned(**RAY).workers is None
    assert planned(**RAY, workers=7).workers == 7
    assert planned(**SLURM).workers == 1
    assert planned(**RAY, device="cuda").todo[0].spec.device == "cuda"  # nodes have it
    with pytest.raises(UserError, match="each run sees its own GPUs; say cuda"):
        planned(**RAY, device="cuda:1")
    with pytest.raises(UserError, match="0 is this process"):
        planned(**SLURM, workers=0)


def test_a_cluster_that_cannot_be_reached_is_told_before_there_is_a_store(tmp_path, capsys):
    pytest.importorskip("ray")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and nobody listens
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        store = tmp_path / "a.db"
        options = ["--executor", "ray", "--store", str(store), "--data-root", str(tmp_path)]
        for wrong, said in (
            (address, f"Ray cluster {address}: nobody answers there"),
            ("head", "expected auto or HOST:PORT"),
        ):
            with pytest.raises(SystemExit) as left:
                main(["run", "quick", "--address", wrong, *options])
            assert left.value.code == 2
            assert said in capsys.readouterr().err
    assert not store.exists()
