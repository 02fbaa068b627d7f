"""Runs that are interrupted go on from their last checkpoint, to the same numbers bit for bit."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
import yaml
from pydantic import BaseModel, PrivateAttr

import palimpsest.benchmark.runs.checkpoints.training as training
from palimpsest import run_suite
from palimpsest.benchmark.plugins import load_files
from palimpsest.benchmark.runs.checkpoints.decoding import UnfitError, decode
from palimpsest.benchmark.runs.checkpoints.encoding import UnsavableError, encode
from palimpsest.benchmark.runs.checkpoints.graph import Reference
from palimpsest.benchmark.runs.checkpoints.paths import (
    CheckpointSettings,
    checkpoints_folder,
    remove_checkpoints,
)
from palimpsest.benchmark.runs.checkpoints.storage import RefusedError, from_bytes, load, to_bytes
from palimpsest.benchmark.runs.record import columns_of
from palimpsest.benchmark.runs.runner import execute_job
from palimpsest.benchmark.suites.loading import load_suite

SEAMS = Path(__file__).parents[2] / "seams"
PLUGIN = '''
from typing import Literal

import itertools
import os
import random
import signal
from collections import deque

import numpy as np
import torch
from torch import nn
from avalanche.training.plugins import SupervisedPlugin
from palimpsest.benchmark.models.bank import ModelBank
from palimpsest.benchmark.scenarios.settings.scenario import ScenarioSettings
from palimpsest.benchmark.settings.values import Count
from palimpsest.benchmark.randomness.seeding import derive
from palimpsest.strategies.base.facts import Facts
from palimpsest.strategies.base.settings import StrategySettings


class Noisy(ScenarioSettings):
    family: Literal["noisy"] = "noisy"
    steps: Count | None = 9

    def build(self, seed, root, device):
        data = self.load_data(root, device)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive(seed, "weights"))
            shared = nn.Sequential(
                nn.Flatten(), nn.Linear(64, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Dropout(0.3)
            )
            blocks = {"shared": shared, "a": nn.Linear(6, 10), "b": nn.Linear(6, 10)}
        bank = ModelBank(blocks, [("shared", "a"), ("shared", "b")], 10)
        return self.assemble(bank, [data.part] * 2, (0, 1))


class Shaken(SupervisedPlugin):
    """Keeps state of all kinds, some of it shared, and trains with it."""

    facts = Facts("shaken", "for tests", "none")
    Settings = StrategySettings

    def __init__(self):
        super().__init__()
        self.generator = torch.Generator().manual_seed(1)
        self.numpy = np.random.default_rng(2)
        self.python = random.Random(3)
        self.last = deque(maxlen=3)
        self.sums = {}
        self.seen = set()
        self.mean = np.zeros(3)
        self.loss = nn.MSELoss()
        self.whole = torch.zeros(4)
        self.half = self.whole[:2]
        self.late = None

    def before_training_exp(self, strategy, *_, **__):
        self.parameters = list(strategy.model.parameters())
        self.late = {"whole": torch.zeros(3)}
        self.late["part"] = self.late["whole"][1:]
        self.seen.add(strategy.experience.current_experience)

    def before_update(self, strategy, *_, **__):
        noise = torch.randn((), generator=self.generator) * self.numpy.random()
        self.half += noise * self.python.random()
        self.late["part"] += self.whole[0]
        self.mean += float(noise)
        self.last.append(float(self.late["whole"].sum() + self.mean[0]))
        for place, p in enumerate(self.parameters):
            if p.grad is not None:
                self.sums[p] = self.sums.get(p, 0) + p.grad
                p.grad += 0.01 * (self.sums[p] + sum(self.last) + len(self.seen))


class Counting(SupervisedPlugin):
    """Has something that nobody can save."""

    facts = Facts("counting", "for tests", "none")
    Settings = StrategySettings

    def __init__(self):
        super().__init__()
        self.steps = itertools.count()


class Late(SupervisedPlugin):
    """Has it only while a model trains."""

    facts = Facts("late", "for tests", "none")
    Settings = StrategySettings

    steps = None

    def before_training_epoch(self, *_, **__):
        self.steps = itertools.count()

    def after_training_exp(self, *_, **__):
        self.steps = None


class Deadly(SupervisedPlugin):
    """Ends its process in the second model, as often as it is tried."""

    facts = Facts("deadly", "for tests", "none")
    Settings = StrategySettings

    def before_training_iteration(self, strategy, *_, **__):
        if strategy.experience.current_experience == 1:
            os.kill(os.getpid(), signal.SIGKILL)


SCENARIOS = [Noisy]'''

OPTIMIZERS = {
    "adam": {"name": "adam", "learning_rate": 0.01},
    "fused": {"name": "adam", "learning_rate": 0.01, "fused": True},
    "momentum": {"name": "sgd", "learning_rate": 0.05, "momentum": 0.9},
}
TWO = {
    "family": "two_models",
    "data": "digits",
    "second_data": "rotated",
    "hidden_layers": [2, 2],
    "shared_layers": 1,
    "width": 8,
    "steps": 9,
    "optimizer": OPTIMIZERS["adam"],
    "curve": {"every": 2, "first": 3},
}


class Killed(KeyboardInterrupt):
    """Stands in for a kill: a job is over, and nothing is recorded."""


@pytest.fixture(scope="module")
def plugin(tmp_path_factory):
    path = tmp_path_factory.mktemp("plugin") / "shaken.py"
    path.write_text(PLUGIN)
    return path


@pytest.fixture(scope="module")
def make_runs(plugin, registries):
    def make(strategies, scenario=TWO, probes=()):
        suite = {
            "suite": "s",
            "seeds": 1,
            "scenarios": {"it": scenario},
            "strategies": strategies,
            "probes": list(probes),
        }
        return load_suite(suite).runs("cpu", Path("/nowhere"))

    with registries():
        load_files([plugin, SEAMS / "methods.py", SEAMS / "families.py"])
        yield make


TIMES = {"started", "seconds", "peak_memory", "versions"}


def numbers(record):
    """Everything that does not depend on the clock."""
    found = {name: value for name, value in columns_of(record).items() if name not in TIMES}
    cost = json.loads(found.pop("cost"))
    return found, {name: cost[name] for name in ("steps", "state_bytes") if name in cost}


def interrupted(monkeypatch, job, folder, every=4, after=1, **options):
    """Carry out a job that is killed whenever it has saved some times; what it says, and how often.

    Each time it goes on in a new process: nothing is left but the files.
    """
    said, saved, kills = [], 0, 0
    save = training.save

    def save_and_die(*arguments):
        nonlocal saved, kills
        save(*arguments)
        saved += 1
        if saved > after:
            kills += 1
            saved = 0
            raise Killed

    monkeypatch.setattr(training, "save", save_and_die)
    for _ in range(40):
        try:
            records = execute_job(
                job,
                Path("/nowhere"),
                options.get("scratch"),
                lambda job_progress: (
                    said.append(job_progress.message) if job_progress.message else None
                ),
                CheckpointSettings(folder, every, options.get("seconds", 60.0)),
            )
        except Killed:
            torch.manual_seed(0)
            saved = 0
        else:
            monkeypatch.setattr(training, "save", save)
            return records, said, kills
    raise AssertionError(f"it never ends: {said[-4:]}")


def check(monkeypatch, job, folder, kills=2, **options):
    expected = execute_job(job, Path("/nowhere"))
    assert all(record.status == "done" for record in expected), expected[0].error
    found, said, killed = interrupted(monkeypatch, job, folder, **options)
    assert [numbers(record) for record in found] == [numbers(record) for record in expected]
    assert killed >= kills, said
    assert sum("goes on from" in text for text in said) == killed, said
    return said


WITH_NOISE = ["ewc", "shaken", "finetune", "si", "joint", "independent"]
SHORT = {("ewc", "adam"), ("shaken", "momentum")}


@pytest.mark.parametrize(
    ("strategy", "optimizer"),
    [
        pytest.param(*pair, marks=[] if pair in SHORT else [pytest.mark.thorough])
        for pair in product(WITH_NOISE, OPTIMIZERS)
    ],
)
def test_dropout_and_batch_norm_go_on(monkeypatch, tmp_path, make_runs, strategy, optimizer):
    scenario = {"family": "noisy", "data": "digits", "steps": 9, "curve": {"every": 2}}
    (run,) = make_runs({strategy: {}}, scenario | {"optimizer": OPTIMIZERS[optimizer]})
    check(monkeypatch, (run,), tmp_path / "kept")


@pytest.mark.parametrize(
    "settings",
    [
        {"optimizer_state": "kept"},
        {"second_optimizer": OPTIMIZERS["momentum"] | {"weight_decay": {"shared": 0.1}}},
        {"learning_rate_schedule": {"name": "cosine"}},
        *(
            pytest.param({"learning_rate_schedule": schedule}, marks=pytest.mark.thorough)
            for schedule in (
                {"name": "linear", "final": 0.1, "steps": 5},
                {"name": "step", "at": [0.3, 0.6]},
            )
        ),
        {"clip_gradient": 0.1, "label_smoothing": 0.1, "precision": "bfloat16"},
        {"augment": {"crop": 1, "flip": True, "importance": "augmented"}},
    ],
    ids=lambda settings: next(iter(settings)),
)
def test_all_that_controls_a_training_goes_on(monkeypatch, tmp_path, make_runs, settings):
    scenario = TWO | {"warmup": 6, "steps": 14} | settings
    probes = ["distance", "importance", "similarity"]
    (run,) = make_runs({"wpl": {"strengths": [3]}}, scenario, probes)
    check(monkeypatch, (run,), tmp_path / "kept")


def test_training_of_the_outputs_so_far_goes_on(monkeypatch, tmp_path, make_runs):
    scenario = {"family": "split", "data": "digits", "incremental": "class", "outputs": "seen"}
    scenario |= {"width": 8, "steps": 5, "pixels": "unit", "curve": {"every": 2}}
    (run,) = make_runs({"lwf": {"balance": "experiences", "outputs": "seen"}}, scenario)
    check(monkeypatch, (run,), tmp_path / "kept")


def test_early_stopping_goes_on(monkeypatch, tmp_path, make_runs):
    scenario = TWO | {"target_accuracy": 0.3, "steps": 60, "validation": 0.2}
    (run,) = make_runs({"finetune": {}}, scenario)
    check(monkeypatch, (run,), tmp_path / "kept")


@pytest.mark.parametrize("settings", [{"blurry": 0.4}, {"online": True}], ids=str)
def test_blurry_boundaries_and_online_training_go_on(monkeypatch, tmp_path, make_runs, settings):
    scenario = {"family": "split", "data": "digits", "incremental": "class", "experiences": 2}
    scenario |= {"samples": 80, "width": 5, "batch_size": 10, "curve": {"every": 2}} | settings
    (run,) = make_runs({"ewc": {"strengths": [10]}}, scenario)
    check(monkeypatch, (run,), tmp_path / "kept", every=3)


@pytest.mark.parametrize(
    ("statistics", "strategy"),
    [
        ("per_model", {"ewc": {"strengths": [10]}}),
        pytest.param("frozen", {"ewc": {"strengths": [10]}}, marks=pytest.mark.thorough),
        ("shared", {"freeze": {}}),  # holds layers of the network
    ],
)
def test_whole_networks_go_on(monkeypatch, tmp_path, make_runs, statistics, strategy):
    network = {"name": "reduced_resnet18", "arguments": {"width": 2}, "batch_norm": statistics}
    scenario = {"family": "two_models", "data": "digits", "network": network, "steps": 5}
    scenario |= {"samples": 60, "batch_size": 8, "curve": {"every": 2}}
    (run,) = make_runs(strategy, scenario)
    check(monkeypatch, (run,), tmp_path / "kept", every=3)


def test_runs_that_share_a_training_go_on(monkeypatch, tmp_path, make_runs):
    job = tuple(make_runs({"merge": {"scales": [0.2, 0.5]}}))
    assert len(job) == 2
    check(monkeypatch, job, tmp_path / "kept")


@pytest.mark.parametrize(
    ("strategy", "every"),
    [
        pytest.param({"ewc": {"strengths": [1]}}, 2, marks=pytest.mark.thorough, id="often"),
        pytest.param({"ewc": {"strengths": [1]}}, 7, marks=pytest.mark.thorough, id="rarely"),
        pytest.param({"replay": {"memories": [40]}}, 7, id="replay"),
    ],
)
def test_visits_go_on(monkeypatch, tmp_path, make_runs, strategy, every):
    scenario = {"family": "space", "data": "digits", "rounds": 1, "steps": 3, "width": 4}
    (run,) = make_runs(strategy, scenario)
    check(monkeypatch, (run,), tmp_path / "kept", every=every, after=5)


def test_a_first_model_that_was_taken_over_goes_on(monkeypatch, tmp_path, make_runs):
    runs = make_runs({"finetune": {}, "ewc": {"strengths": [1]}})
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    first, second = ((run,) for run in runs)
    expected = execute_job(second, Path("/nowhere"))
    # The first one is interrupted in the model that it would hand over, which it goes on to train.
    found, _, kills = interrupted(monkeypatch, first, tmp_path / "kept", scratch=scratch)
    assert kills
    assert numbers(found[0]) == numbers(execute_job(first, Path("/nowhere"))[0])
    assert not list(scratch.iterdir())
    execute_job(first, Path("/nowhere"), scratch)
    assert list(scratch.iterdir())
    found, _, kills = interrupted(monkeypatch, second, tmp_path / "kept", scratch=scratch)
    assert kills
    assert found[0].accuracy_matrix == expected[0].accuracy_matrix
    assert found[0].curves == expected[0].curves


def test_without_a_number_only_long_runs_are_saved_after_models(monkeypatch, tmp_path, make_runs):
    (run,) = make_runs({"ewc": {"strengths": [1]}})
    folder = tmp_path / "kept"
    execute_job((run,), Path("/nowhere"), checkpoints=CheckpointSettings(folder))
    assert not folder.exists()
    said = check(monkeypatch, (run,), folder, 1, every=None, seconds=0.0, after=0)
    assert "step" not in said[0]


@pytest.mark.parametrize(
    "kind", ["avalanche:EWC", "avalanche:Naive", "avalanche:JointTraining", "avalanche:LwF"]
)
def test_avalanches_own_strategies_go_on_after_a_model(monkeypatch, tmp_path, make_runs, kind):
    arguments = {
        "avalanche:EWC": {"ewc_lambda": 1.0},
        "avalanche:LwF": {"alpha": 1.0, "temperature": 2.0},
    }
    settings = {"strategy": kind, "arguments": arguments.get(kind, {})}
    (run,) = make_runs({"theirs": settings}, TWO | {"curve": {"every": 0}})
    check(monkeypatch, (run,), tmp_path / "kept", kills=1, after=0)


def test_what_cannot_be_saved_is_named_and_starts_anew(monkeypatch, tmp_path, make_runs):
    folder = tmp_path / "kept"
    (run,) = make_runs({"counting": {}})
    (record,), said, kills = interrupted(monkeypatch, (run,), folder)
    assert kills == 0
    assert said == [
        "counting: its runs have no checkpoints: Counting.steps is a count, which cannot be saved; "
        "a strategy can save itself with state_dict and load_state_dict"
    ]
    assert record.status == "done"
    assert not folder.exists()

    (run,) = make_runs({"replay": {"strategy": "avalanche:Replay", "arguments": {"mem_size": 9}}})
    (record,), (told,), kills = interrupted(monkeypatch, (run,), folder)
    assert kills == 0
    assert record.status == "done"
    assert "ReplayPlugin.storage_policy" in told


def test_what_cannot_be_saved_within_a_model_is_saved_after_it(monkeypatch, tmp_path, make_runs):
    (run,) = make_runs({"late": {}})
    expected = execute_job((run,), Path("/nowhere"))[0]
    (record,), said, kills = interrupted(monkeypatch, (run,), tmp_path / "kept")
    assert kills == 1
    assert numbers(record) == numbers(expected)
    assert "late: its runs have checkpoints only after a model: Late.steps is a count" in said[0]


@pytest.fixture
def halfway(monkeypatch, tmp_path, make_runs):
    """A run and its files, killed within model 2."""
    (run,) = make_runs({"ewc": {"strengths": [1]}})
    wanted = CheckpointSettings(tmp_path / "kept", 4)
    with monkeypatch.context() as patched:
        count = 0
        save = training.save

        def save_and_die(*arguments):
            nonlocal count
            save(*arguments)
            count += 1
            if count == 5:
                raise Killed

        patched.setattr(training, "save", save_and_die)
        with pytest.raises(Killed):
            execute_job((run,), Path("/nowhere"), checkpoints=wanted)
    return run, wanted


def goes_on(run, wanted):
    said = []
    (record,) = execute_job(
        (run,),
        Path("/nowhere"),
        progress=lambda job_progress: (
            said.append(job_progress.message) if job_progress.message else None
        ),
        checkpoints=wanted,
    )
    assert numbers(record) == numbers(execute_job((run,), Path("/nowhere"))[0])
    return said


def damage(how, path, wanted):
    whole = path.read_bytes()
    content = {
        "truncated": whole[: len(whole) // 2],
        "empty": b"",
        "foreign": b"SQLite format 3\0" * 99,
        "a bit": whole[:-1000] + bytes([whole[-1000] ^ 1]) + whole[-999:],
        "noise": np.random.default_rng(0).bytes(5000),
    }
    path.write_bytes(content[how])


DAMAGES = ["truncated", "empty", "foreign", "a bit", "noise"]


@pytest.mark.parametrize(
    ("which", "how"),
    [
        *(("within", how) for how in DAMAGES),
        ("between", DAMAGES[0]),
        *(pytest.param("between", how, marks=pytest.mark.thorough) for how in DAMAGES[1:]),
    ],
)
def test_a_damaged_checkpoint_is_ignored(halfway, how, which):
    run, wanted = halfway
    path = getattr(wanted.of((run,)), which)
    damage(how, path, wanted)
    said = goes_on(run, wanted)
    assert said[0].startswith(f"{path}: this checkpoint is not used (")
    if which == "within":
        assert said[1].endswith("goes on from training 2")


def test_checkpoints_of_other_runs_and_versions_are_ignored(halfway, make_runs, monkeypatch):
    run, wanted = halfway
    files = wanted.of((run,))
    other = replace(run, key="f" * 16)
    shutil.copy(files.between, wanted.of((other,)).between)
    with pytest.raises(RefusedError, match="another run's"):
        load(wanted.of((other,)).between, (other,))
    monkeypatch.setattr(
        "palimpsest.benchmark.runs.checkpoints.storage.code_digest", lambda: "another"
    )
    said = goes_on(run, wanted)
    assert said == [f"{files.between}: this checkpoint is not used (other versions wrote it)"]


def test_a_state_that_does_not_fit_starts_anew(halfway):
    run, wanted = halfway
    files = wanted.of((run,))
    saved = load(files.between, (run,))
    # A file with a right checksum, by someone who means harm: another object in a place.
    node = next(node for node in saved.state.nodes if node["is"] == "object" and "known" in node)
    node["class"] = "subprocess:Popen"
    training.save(files.between, (run,), saved.facts, saved.state)
    said = goes_on(run, wanted)
    assert "a checkpoint is not used" in said[0]


def test_a_full_disk_fails_no_run(monkeypatch, tmp_path, make_runs):
    (run,) = make_runs({"finetune": {}})
    folder = tmp_path / "kept"

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    said = set(goes_on(run, CheckpointSettings(folder, 4)))
    assert said == {
        f"{folder}: checkpoints cannot be written (No space left on device); runs go on without"
    }
    assert list(folder.iterdir()) == []


def test_where_nobody_may_look_runs_go_on(monkeypatch, tmp_path, make_runs):
    (run,) = make_runs({"finetune": {}})
    folder = tmp_path / "kept"
    real_stat, real_open = Path.stat, Path.open

    def refusing(real):
        def call(path, *arguments, **options):
            if path.parent == folder:
                raise PermissionError(13, "Permission denied")
            return real(path, *arguments, **options)

        return call

    with monkeypatch.context() as patched:  # the tests' user may be root, who may look anywhere
        patched.setattr(Path, "stat", refusing(real_stat))
        patched.setattr(Path, "open", refusing(real_open))
        said = set(goes_on(run, CheckpointSettings(folder)))
    assert len(said) == 1
    assert "is not used (it cannot be read: Permission denied)" in said.pop()


def test_where_no_folder_can_be_made_runs_go_on(tmp_path, make_runs):
    (run,) = make_runs({"finetune": {}})
    (tmp_path / "file").touch()
    said = set(goes_on(run, CheckpointSettings(tmp_path / "file" / "kept", 4)))
    assert len(said) == 1
    assert "checkpoints cannot be written (Not a directory)" in said.pop()


def test_time_adds_up_and_saving_is_not_counted(halfway, monkeypatch):
    run, wanted = halfway
    files = wanted.of((run,))
    for path in (files.between, files.within):
        saved = load(path, (run,))
        saved.facts["seconds"] += 1000
        saved.facts["memory"] = 1 << 50
        training.save(path, (run,), saved.facts, saved.state)
    (record,) = execute_job((run,), Path("/nowhere"), checkpoints=wanted)
    assert 1000 < record.seconds < 1100
    assert record.peak_memory == 1 << 50
    assert all(0 <= seconds < 60 for seconds in record.cost["training_seconds"])


class Plain:
    """An object with attributes."""

    def __init__(self, **own):
        vars(self).update(own)


def round_trip(before, after, change):
    """Save what ``change`` makes of objects; write it over others that were built alike."""
    reference = Reference({"it": before})
    change(before)
    state, _ = from_bytes(to_bytes(encode({"it": before}, reference), {}))
    return decode(state, Reference({"it": after}))["it"]


def test_aliases_cycles_and_views_stay_what_they_are():
    def built():
        weight = torch.nn.Parameter(torch.arange(6.0))
        return Plain(weight=weight, same=weight, table={}, kept=[], late=None)

    def change(it):
        it.kept += [it, it.table, float("nan"), -0.0, (1, "x"), 1 << 80, b"\0", slice(1, None)]
        it.table[it.weight] = it.weight.data[2:4]
        it.late = Plain(own=torch.ones(2), method=it.table)
        it.late.view = it.late.own[1:]
        it.count = Counter("abca")

    it = built()
    other = it.kept
    found = round_trip(built(), it, change)
    assert found is it
    assert it.kept is other
    assert type(it.count) is Counter
    assert it.count == {"a": 2, "b": 1, "c": 1}
    assert it.kept[0] is it
    assert it.kept[1] is it.table
    assert it.same is it.weight
    assert str(it.kept[2:]) == str([float("nan"), -0.0, (1, "x"), 1 << 80, b"\0", slice(1, None)])
    it.table[it.weight] += 1
    assert it.weight.tolist() == [0, 1, 3, 4, 4, 5]
    it.late.own += 1
    assert it.late.view.tolist() == [2]
    assert it.late.method is it.table


class Hidden:
    """Has an attribute whose name Python changes, and no others."""

    __slots__ = ("__count",)

    def __init__(self):
        self.__count = 0

    def change(self):
        self.__count += 1

    def told(self):
        return self.__count


class Memory(torch.utils.data.Dataset):
    """What a method of one's own may keep of earlier models."""

    def __init__(self):
        self.samples = []

    def change(self):
        self.samples.append(torch.ones(2))

    def told(self):
        return str(self.samples)


class Model(BaseModel):
    """A pydantic model that is no setting."""

    count: int = 0
    _own: list[int] = PrivateAttr(default_factory=list)

    def change(self):
        self.count += 1
        self._own.append(self.count)

    def told(self):
        return self.count, self._own, self.model_fields_set


class Loader:
    """Draws batches with a generator that only its loader has."""

    def __init__(self):
        data = torch.utils.data.TensorDataset(torch.arange(1 << 10))
        generator = torch.Generator().manual_seed(1)
        self.loader = torch.utils.data.DataLoader(data, 1 << 10, True, generator=generator)

    def change(self):
        next(iter(self.loader))

    def told(self):
        return next(iter(self.loader))[0].tolist()


@pytest.mark.parametrize("kind", [Hidden, Memory, Model, Loader])
def test_state_is_found_wherever_an_object_has_it(kind):
    it, other = Plain(own=kind()), Plain(own=kind())
    round_trip(it, other, lambda it: it.own.change())
    assert other.own.told() == it.own.told() != kind().told()


def test_an_object_that_fails_to_save_itself_fails_no_run():
    class Careless:
        def state_dict(self, destination):
            return destination

        def load_state_dict(self, state):
            pass

    it = Plain(own=Careless())
    with pytest.raises(UnsavableError, match=r"it\.own .*TypeError.*destination"):
        encode({"it": it}, Reference({"it": it}))


@pytest.mark.parametrize(
    "value",
    [
        iter([1]),
        (n for n in "ab"),
        lambda: 1,
        open,
        torch.ones(1, requires_grad=True) * 2,
        ValueError("no"),
        type("Dict", (dict,), {})(),
        {Plain: 1}.keys(),
        np.array([None]),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_not_data_cannot_be_saved(value):
    it = Plain(own=None)
    reference = Reference({"it": it})
    it.own = [value]
    with pytest.raises(UnsavableError, match=r"it\.own\[0\] is a "):
        encode({"it": it}, reference)


def test_memory_that_is_shared_only_since_then_cannot_be_saved():
    it = Plain(a=torch.zeros(4), b=torch.zeros(2), flat=None)
    reference = Reference({"it": it})
    flat = torch.zeros(4)
    it.a.data, it.b.data = flat, flat[:2]
    with pytest.raises(UnsavableError, match="share memory"):
        encode({"it": it}, reference)
    it.b.data = torch.zeros(2)
    it.whole = np.zeros(4)
    it.part = it.whole[1:]
    with pytest.raises(UnsavableError, match=r"it\.part is an array that shares memory"):
        encode({"it": it}, reference)
    it.part = it.part.copy()
    encode({"it": it}, reference)
    it.flat = flat
    with pytest.raises(UnsavableError, match=r"it\.flat is a view"):
        encode({"it": it}, reference)


@pytest.mark.parametrize("name", ["subprocess:Popen", "os:_wrap_close", "builtins:object", "x:Y"])
def test_no_foreign_class_is_made(name):
    it = Plain(own=None)
    state = encode({"it": it}, Reference({"it": it}))
    state.nodes.append({"is": "object", "class": name, "attributes": {}})
    with pytest.raises(UnfitError, match="there is no class"):
        decode(state, Reference({"it": it}))


def test_nothing_is_unpickled():
    state = encode({}, Reference({}))
    state.tensors.append(Plain())
    with pytest.raises(Exception, match=r"[Ww]eights"):
        from_bytes(to_bytes(state, {}))


def test_what_is_cleared(tmp_path):
    folder = checkpoints_folder(tmp_path / "runs.db")
    assert folder.name == "runs.db.checkpoints"
    remove_checkpoints(folder, {"a"})
    folder.mkdir()
    names = ["a.between.checkpoint", "a+2.within.checkpoint", ".a.within.checkpoint.1f.tmp"]
    for name in [*names, "b.between.checkpoint", "a.txt"]:
        (folder / name).touch()
    remove_checkpoints(folder, {"a"})
    assert {path.name for path in folder.iterdir()} == {"b.between.checkpoint", "a.txt"}
    (folder / "a.txt").unlink()
    remove_checkpoints(folder, {"b"})
    assert not folder.exists()


SUITE = {
    "suite": "s",
    "seeds": 1,
    "scenarios": {"it": TWO | {"steps": 100}},
    "strategies": {"wpl": {"strengths": [1]}},
}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    store = tmp_path_factory.mktemp("undisturbed") / "runs.db"
    return results_of(run_suite(SUITE, store=store, workers=0))


def results_of(runs):
    """All but the cost, which says which run has trained the first model for the others."""
    return {record.key: numbers(record)[0] for record in runs}


def waited_for(folder, ending):
    for _ in range(6000):
        if folder.exists() and any(path.name.endswith(ending) for path in folder.iterdir()):
            return
        time.sleep(0.01)
    raise AssertionError(f"no {ending} in {folder}")


@pytest.mark.thorough
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_command_that_is_killed_goes_on(tmp_path, undisturbed, number):
    path, store = tmp_path / "s.yaml", tmp_path / "runs.db"
    path.write_text(yaml.safe_dump(SUITE))
    command = [
        sys.executable,
        "-m",
        "palimpsest",
        "run",
        str(path),
        "--store",
        str(store),
    ]
    command += ["--workers", "1", "--checkpoint-every", "20"]
    started = subprocess.Popen(command, start_new_session=True, stderr=subprocess.DEVNULL)
    waited_for(checkpoints_folder(store), "within.checkpoint")
    os.killpg(started.pid, number) if number == signal.SIGKILL else started.send_signal(number)
    started.wait()
    said = []
    results = run_suite(
        SUITE,
        store=store,
        workers=1,
        checkpoint_every=20,
        progress=lambda p: said.append(p.message),
    )
    assert results_of(results) == undisturbed
    assert any("goes on from training" in text for text in said)
    assert not checkpoints_folder(store).exists()


@pytest.mark.thorough
def test_checkpoints_stay_only_where_a_run_may_go_on(tmp_path, plugin, make_runs):
    store = tmp_path / "runs.db"
    suite = {"suite": "s", "seeds": 1, "scenarios": {"it": TWO}, "strategies": {"deadly": {}}}
    options = {"plugins": [plugin], "store": store, "checkpoint_every": 4}
    said = []
    (record,) = run_suite(
        suite, **options, workers=1, progress=lambda news: said.append(news.message)
    )
    assert record.failure.kind == "killed"
    assert any("goes on from training 2" in text for text in said)
    kept = CheckpointSettings(checkpoints_folder(store)).of((record,))
    assert kept.between.exists()
    there = {path.name for path in kept.folder.iterdir()}
    # A run that has ended leaves nothing, also one that has raised.
    text = plugin.read_text()
    plugin.write_text(text.replace("os.kill(os.getpid(), signal.SIGKILL)", "1 / 0"))
    try:
        (record,) = run_suite(suite, **options, workers=1)
    finally:
        plugin.write_text(text)
        load_files([plugin])  # in this process, as it was
    assert record.failure.kind == "error"
    assert {path.name for path in kept.folder.iterdir()} == there


@pytest.mark.thorough
def test_a_worker_that_is_killed_goes_on_in_another(tmp_path, undisturbed):
    store, said, killed = tmp_path / "runs.db", [], []

    def watch(progress):
        said.append(progress.message)
        if not killed and list(checkpoints_folder(store).glob("*within*")):
            for number in workers():
                killed.append(number)
                os.kill(number, signal.SIGKILL)

    results = run_suite(SUITE, store=store, workers=1, checkpoint_every=20, progress=watch)
    assert killed
    assert results_of(results) == undisturbed
    assert any("goes on from training" in text for text in said)
    assert not checkpoints_folder(store).exists()


def workers():
    """The numbers of this process's workers, which are children of its fork server."""
    servers = [c for c in psutil.Process().children() if "forkserver" in " ".join(c.cmdline())]
    return [child.pid for each in servers for child in each.children()]
