"""A checkpoint whose posterior cannot be one: a recorded failure, and then the run begins again."""

import math

import pytest
import torch

import palimpsest.benchmark.runs.checkpoints.training as training
from palimpsest import run_suite
from palimpsest.benchmark.runs.checkpoints.paths import CheckpointSettings, checkpoints_folder
from palimpsest.benchmark.runs.checkpoints.storage import load, save
from palimpsest.benchmark.runs.failure import FailureKind
from palimpsest.benchmark.runs.runner import execute_job
from palimpsest.benchmark.suites.loading import load_suite
from palimpsest.strategies import Laplace
from palimpsest.strategies.base.diverged import DivergedError
from palimpsest.strategies.curvature.kronecker_products import Product
from palimpsest.strategies.posteriors.gaussian import require_variances, unsound

SCENARIO = {"family": "two_models", "data": "digits", "width": 8, "samples": 90, "batch_size": 16}
SCENARIO |= {"steps": 6, "curve": {"every": 0}, "optimizer": {"name": "sgd", "learning_rate": 0.05}}
VARIANCE = "has a variance that is not a positive finite number; what was saved of it is damaged"
PRECISION = "has a precision that is negative or not finite; what was saved of it is damaged"
BETWEEN = {
    "vcl": ("Gaussian", "log_variance", math.nan, VARIANCE),
    "td_vcl": ("ParameterDict", "_parameters", math.inf, VARIANCE),
    "badam": ("BAdam", "deviations", -0.06, VARIANCE),
    "laplace": ("Product", "outputs", -1.0, PRECISION),
}
"""Per strategy: the class and the attribute that are damaged, with what, and what is said."""


class Killed(KeyboardInterrupt):
    """Stands in for a kill of the process."""


def killed_at(monkeypatch, job, folder, number, every=None):
    """Carry out a job until it has saved so many checkpoints."""
    left = number

    def save_and_die(*arguments):
        nonlocal left
        save(*arguments)
        left -= 1
        if not left:
            raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(training, "save", save_and_die)
        with pytest.raises(Killed):
            execute_job(job, folder, checkpoints=CheckpointSettings(folder, every, 0.0))
    return CheckpointSettings(folder, every).of(job)


def damage(path, job, kind, attribute, value):
    """Put a value into all tensors of an attribute, in a file that is right in all other ways."""
    found = load(path, job)
    nodes, count = found.state.nodes, 0
    for node in nodes:
        if node.get("class", "").endswith(f":{kind}"):
            own = nodes[node["attributes"][attribute]["@"]]
            parts = [nodes[part["@"]] for _, part in own["items"]] if "items" in own else [own]
            for part in parts:
                found.state.tensors[part["data"]].fill_(value)
                count += 1
    assert count
    save(path, job, found.facts, found.state)


@pytest.mark.parametrize("kind", BETWEEN)
def test_a_damaged_posterior_is_a_failed_run_that_begins_again(monkeypatch, tmp_path, kind):
    suite = {"suite": "s", "seeds": 1, "scenarios": {"it": SCENARIO}, "strategies": {kind: {}}}
    store = tmp_path / "runs.db"
    (job,) = [(run,) for run in load_suite(suite).runs("cpu", tmp_path)]
    files = killed_at(monkeypatch, job, checkpoints_folder(store), 1)
    class_, attribute, value, said = BETWEEN[kind]
    damage(files.between, job, class_, attribute, value)
    (record,) = run_suite(suite, store=store, workers=0)
    assert record.status == "failed"
    assert record.error.startswith("ValueError: the posterior of ")
    assert said in record.error
    assert "\n" not in record.error
    (record,) = run_suite(suite, store=store, workers=0)
    assert record.status == "done"


@pytest.mark.parametrize(
    ("kind", "value", "said"),
    [
        ("vcl", math.nan, "DivergedError: the loss became NaN or infinite"),
        ("badam", -0.06, "ValueError: the posterior of blocks."),
        ("badam", math.nan, "DivergedError: the loss became NaN or infinite"),
    ],
)
def test_so_is_one_that_is_damaged_within_a_training(monkeypatch, tmp_path, kind, value, said):
    suite = {"suite": "s", "seeds": 1, "scenarios": {"it": SCENARIO}, "strategies": {kind: {}}}
    (job,) = [(run,) for run in load_suite(suite).runs("cpu", tmp_path)]
    files = killed_at(monkeypatch, job, tmp_path / "kept", 2, every=4)
    if kind == "vcl":
        damage(files.within, job, "ParameterDict", "_parameters", value)
    else:
        damage_deviations(files.within, job, value)
    (record,) = execute_job(job, tmp_path, checkpoints=CheckpointSettings(tmp_path / "kept", 4))
    assert record.status == "failed"
    assert record.error.startswith(said)


def damage_deviations(path, job, value):
    """Put a value into the deviations in the state of the optimizer."""
    found = load(path, job)
    for node in found.state.nodes:
        for key, own in node.get("items", []) if node["is"] == "dict" else []:
            if key == "sigma":
                found.state.tensors[found.state.nodes[own["@"]]["data"]].fill_(value)
    save(path, job, found.facts, found.state)


@pytest.mark.parametrize(("kind", "steps"), [("n_step_kl", 6), ("vcl", 4)])
def test_one_that_diverged_is_not_told_as_damage(tmp_path, kind, steps):
    scenario = SCENARIO | {"family": "split", "steps": steps}
    suite = {"suite": "s", "seeds": [1], "scenarios": {"it": scenario}}
    (job,) = load_suite(suite | {"strategies": {kind: {"beta": 20}}}).runs("cpu", tmp_path)
    (record,) = execute_job((job,), tmp_path)
    assert record.failure.kind is FailureKind.DIVERGED
    assert record.error.startswith("DivergedError: the posterior of blocks.trunk_0.1.layer.bias ")
    assert "damaged" not in record.error


def test_nor_is_a_curvature_that_diverged(tmp_path, monkeypatch):
    def infinite(self, strategy, used):
        products, diagonals = fisher(self, strategy, used)
        return {n: Product(p.inputs, p.outputs * math.inf) for n, p in products.items()}, diagonals

    fisher = Laplace._fisher
    monkeypatch.setattr(Laplace, "_fisher", infinite)
    suite = {"suite": "s", "seeds": 1, "scenarios": {"it": SCENARIO}, "strategies": {"laplace": {}}}
    (job,) = load_suite(suite).runs("cpu", tmp_path)
    (record,) = execute_job((job,), tmp_path)
    assert record.failure.kind is FailureKind.DIVERGED
    assert PRECISION.split(";", maxsplit=1)[0] in record.error


def test_a_deviation_that_diverged_is_not_told_as_damage():
    with pytest.raises(DivergedError, match=r"of w has a variance .* since the training before"):
        require_variances([("w", torch.tensor([0.0]))], unsound([("w", torch.tensor([0.0]))]))
    with pytest.raises(ValueError, match=r"of w has a variance .* damaged"):
        require_variances([("w", torch.tensor([0.0]))], unsound([("w", torch.tensor([1.0]))]))
