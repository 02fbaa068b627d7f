"""Runs that share their first model, where the network draws random numbers or keeps a state."""

import random
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from at_length import at_length
from one_run import execute

from palimpsest.benchmark.cli import main
from palimpsest.benchmark.plugins import load_files
from palimpsest.benchmark.randomness.generators import own_numbers, seed_generators
from palimpsest.benchmark.runs.first_model import storage
from palimpsest.benchmark.runs.first_model.storage import FirstModel
from palimpsest.benchmark.runs.preparation import prepare
from palimpsest.benchmark.store.store import Store
from palimpsest.benchmark.suites.loading import load_suite

PLUGIN = '''
import random
from typing import Literal

import numpy as np
import torch
from torch import nn

from palimpsest.benchmark.scenarios.settings.scenario import ScenarioSettings
from palimpsest.benchmark.settings.values import Count


class Numpy(nn.Module):
    """Noise from numpy's generator, in evaluation where it is asked for."""

    def __init__(self, always=False):
        super().__init__()
        self.always = always

    def forward(self, x):
        if not self.training and not self.always:
            return x
        return x + torch.from_numpy(np.random.normal(0, 0.3, x.shape)).to(x)


class Python(nn.Module):
    """Takes one way or the other, so that a step may leave some parameters without a gradient."""

    def __init__(self, always=False):
        super().__init__()
        self.always = always
        self.ways = nn.ModuleList([nn.Linear(8, 8), nn.Linear(8, 8)])

    def forward(self, x):
        if not self.training and not self.always:
            return self.ways[1](x)
        return self.ways[random.random() < 0.7](x)


class Hidden(nn.Module):
    """A buffer that no state dict has."""

    def __init__(self):
        super().__init__()
        self.register_buffer("scale", torch.ones(()), persistent=False)

    def forward(self, x):
        if self.training:
            self.scale *= 0.98
        return x * self.scale


class Counter(nn.Module):
    """A plain number that changes."""

    calls = 0

    def forward(self, x):
        self.calls += self.training
        return x * 0.98**self.calls


class Own(nn.Module):
    """A generator of its own."""

    def __init__(self):
        super().__init__()
        self.generator = torch.Generator().manual_seed(3)

    def forward(self, x):
        if not self.training:
            return x
        return x * (torch.rand(x.shape, generator=self.generator) < 0.8)


class Teacher(nn.Module):
    """A parameter that moves without a gradient."""

    def __init__(self):
        super().__init__()
        self.mean = nn.Parameter(torch.zeros(8), requires_grad=False)

    def forward(self, x):
        if self.training:
            self.mean.data.lerp_(x.detach().mean(0), 0.1)
        return x - self.mean


class Layers(nn.Module):
    """A recurrent layer, which keeps its weights as plain attributes, too."""

    def __init__(self):
        super().__init__()
        self.rnn = nn.GRU(8, 8)

    def forward(self, x):
        return self.rnn(x[None])[0][0]


KINDS = {
    "dropout": lambda: nn.Dropout(0.4),
    "norm": lambda: nn.Sequential(nn.BatchNorm1d(8), nn.Dropout(0.2)),
    "numpy": Numpy,
    "python": Python,
    "numpy in evaluation": lambda: Numpy(always=True),
    "python in evaluation": lambda: Python(always=True),
    "hidden": Hidden,
    "counter": Counter,
    "own": Own,
    "teacher": Teacher,
    "layers": Layers,
}


class Noisy(ScenarioSettings):
    """Two or more models on turned digits whose network is not a plain function."""

    family: Literal["noisy"] = "noisy"
    kind: str = "dropout"
    models: Count = 2
    epochs: Count | None = 1

    def build(self, seed, root, device):
        from palimpsest.benchmark.models.bank import ModelBank
        from palimpsest.benchmark.randomness.seeding import derive

        images = self.load_data(root, device)
        torch.manual_seed(derive(seed, "weights"))
        first = nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.ReLU())
        blocks = {"first": first, "noise": KINDS[self.kind]()}
        models = range(self.models)
        heads = {f"head_{i}": nn.Sequential(nn.Dropout(0.1), nn.Linear(8, 10)) for i in models}
        bank = ModelBank(blocks | heads, [[*blocks, h] for h in heads], 10)
        parts = [images.part.map_inputs(lambda x, i=i: x.rot90(i, (2, 3))) for i in models]
        return self.assemble(bank, parts, labels=list(models))


SCENARIOS = [Noisy]
'''
SMALL = {
    "data": "digits",
    "samples": 150,
    "validation": 0.2,
    "batch_size": 16,
    "optimizer": {"learning_rate": 0.3},
}
ENDS_ONLY = {
    "finetune": {},
    "freeze": {},
    "independent": {},
    "l2": {"strengths": [0, 1]},
    "ewc": {"strengths": [0, 100], "samples": 20},
    "mas": {"strengths": [0, 100], "samples": 20},
    "lwf": {"strengths": [0, 1]},
    "sril": {"strengths": [0, 10]},
    "wpl": {"strengths": [0, 100], "samples": 20},
    "wpl_schur": {"strengths": [0, 1], "samples": 20},
}
OTHERS = {
    "joint": {},
    "si": {"strengths": [0, 10]},
    "rwalk": {"strengths": [0, 10]},
    "watching": {"strategy": "wpl", "strengths": [0, 10], "fisher": "training"},
}
FEW = {"finetune": {}, "ewc": {"strengths": [0, 100], "samples": 20}}
HANDED_OVER = ["dropout", "norm", "numpy", "python", "hidden", "teacher", "layers"]
TRAINED_EACH_TIME = ["counter", "own"]


@pytest.fixture(scope="module", autouse=True)
def noisy(tmp_path_factory, registries):
    """The scenarios of the plugin above."""
    file = tmp_path_factory.mktemp("plugin") / "noisy.py"
    file.write_text(PLUGIN)
    with registries():
        load_files([file])
        yield file


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("first")


@pytest.fixture(scope="module")
def make_runs(root):
    def make(strategies, probes=(), **scenario):
        path = root / "suite.yaml"
        content = {"suite": "it", "seeds": 1, "strategies": strategies, "probes": list(probes)}
        content["scenarios"] = {"noisy": SMALL | scenario}
        path.write_text(yaml.safe_dump(content, sort_keys=False))
        return load_suite(str(path)).runs("cpu", root)

    return make


@pytest.fixture
def scratch(tmp_path):
    folder = tmp_path / "scratch"
    folder.mkdir()
    return folder


def numbers(record):
    values = asdict(record)
    for name in ("started", "seconds", "peak_memory", "cost"):
        del values[name]
    assert record.status == "done", record.error
    return values


def everything(record):
    """What must be equal for strategies that are the same."""
    names = ("accuracy_matrix", "validation_matrix", "initial_accuracy", "curves")
    refitted = record.probes.get("refit")
    return {name: getattr(record, name) for name in names} | {"refit": refitted}


def taken_over(record):
    return record.cost["steps"][0] is None


@pytest.fixture(scope="module")
def of_each_way(make_runs, root, tmp_path_factory):
    """All strategies on a network with dropout: each alone, and one after the other, sharing."""

    @cache
    def done(case):
        settings = dict(CASES[case])
        runs = make_runs(ENDS_ONLY | OTHERS, **settings)
        folder = tmp_path_factory.mktemp("scratch")
        alone = {(r.strategy, r.strength): execute(r, root) for r in runs}
        shared = {(r.strategy, r.strength): execute(r, root, folder) for r in runs[::-1]}
        return alone, shared

    return done


CASES = {
    "plain": {},
    "everything": {
        "models": 3,
        "probes": ["similarity"],
        "warmup": 4,
        "optimizer": {"name": "adam", "learning_rate": 0.01},
        "optimizer_state": "kept",
        "curve": {"every": 3, "first": 2},
    },
    "no curves": {"curve": {"every": 0}, "optimizer": {"name": "sgd", "momentum": 0.9}},
}


every_case = pytest.mark.parametrize("case", at_length(CASES, {*CASES} - {"plain"}))


@every_case
def test_with_dropout_taking_over_is_bit_identical_to_training(of_each_way, case):
    alone, shared = of_each_way(case)
    for cell, record in shared.items():
        assert numbers(record) == numbers(alone[cell]), cell
    over = {strategy for (strategy, _), record in shared.items() if taken_over(record)}
    assert over == {*ENDS_ONLY, "joint"}  # of joint training, no model is timed by itself


@pytest.mark.parametrize("kind", HANDED_OVER)
def test_what_a_network_draws_or_keeps_is_handed_over(make_runs, root, scratch, kind):
    probes = ["refit"] if kind == "dropout" else []
    runs = make_runs(FEW, probes, kind=kind, curve={"every": 4})
    alone = [execute(run, root) for run in runs]
    shared = [execute(run, root, scratch) for run in runs]
    assert list(map(numbers, shared)) == list(map(numbers, alone))
    assert list(map(taken_over, shared)) == [False, True, True]
    assert everything(shared[0]) == everything(shared[1])
    assert everything(shared[1]) != everything(shared[2])


@pytest.mark.parametrize("kind", TRAINED_EACH_TIME)
def test_what_cannot_be_handed_over_is_trained_by_each_run(make_runs, root, scratch, kind):
    runs = make_runs(FEW, kind=kind)
    alone = [execute(run, root) for run in runs]
    shared = [execute(run, root, scratch) for run in runs]
    assert list(map(numbers, shared)) == list(map(numbers, alone))
    assert not any(map(taken_over, shared))
    assert not list(scratch.iterdir())


def test_a_strategy_that_draws_changes_nothing_for_the_network(
    make_runs, root, scratch, monkeypatch
):
    """Whether it draws when it is made, before, in or after a training, and whoever is first."""
    from palimpsest.strategies import EWC

    def drawing(method):
        def drawn(*arguments, **keywords):
            torch.rand(3), np.random.rand(3), random.random()
            return method(*arguments, **keywords)

        return drawn

    runs = make_runs(FEW)
    plain = [everything(execute(run, root)) for run in runs]
    for name in ("__init__", "before_training_exp", "estimate"):
        monkeypatch.setattr(EWC, name, drawing(getattr(EWC, name)))
    assert [everything(execute(run, root)) for run in runs] == plain
    assert [everything(execute(run, root, scratch)) for run in runs[::-1]] == plain[::-1]


@pytest.mark.parametrize("workers", at_length(["1", "2"], {"1"}))
def test_a_strategy_alone_gives_the_numbers_that_it_gives_in_its_suite(
    noisy, tmp_path, monkeypatch, workers
):
    monkeypatch.chdir(tmp_path)
    content = {"suite": "it", "seeds": 2, "strategies": FEW, "scenarios": {"noisy": SMALL}}
    (tmp_path / "it.yaml").write_text(yaml.safe_dump(content, sort_keys=False))

    def go(store, *options):
        command = ["run", "it.yaml", "--plugin", str(noisy), "--store", store, "--quiet"]
        with pytest.raises(SystemExit) as left:
            main([*command, *options])
        assert left.value.code == 0
        with Store(tmp_path / store) as opened:
            return {(r.strategy, r.strength, r.seed): numbers(r) for r in opened.records()}

    whole = go("whole.db", "--workers", workers)
    alone = go("alone.db", "--strategies", "finetune", "--workers", "1")
    assert len(whole) == 6
    assert len(alone) == 2
    for cell, found in alone.items():
        assert found == whole[cell]
        same = whole["ewc", 0.0, cell[2]]
        assert found["accuracy_matrix"] == same["accuracy_matrix"]


# A file that is of no use, or cannot be written


@pytest.fixture
def one_kept(make_runs, root, scratch):
    """Two runs' numbers, and the file through which the second one takes over."""
    runs = make_runs({"finetune": {}, "freeze": {}})
    plain = [numbers(execute(run, root)) for run in runs]
    execute(runs[0], root, scratch)
    (file,) = scratch.iterdir()
    return runs[1], plain[1], file


def spoil(content, how):
    if how == "empty":
        return b""
    if how == "text":
        return b"no model"
    if how == "cut":
        return content[: len(content) // 2]
    if how == "end cut off":
        return content[:-10]
    start = len(content) // 3
    return (
        content[:start]
        + bytes(255 - b for b in content[start : start + 40])
        + content[start + 40 :]
    )


@pytest.mark.parametrize("how", ["empty", "text", "cut", "end cut off", "another bit"])
def test_a_damaged_first_model_is_trained_anew(one_kept, root, scratch, how):
    run, plain, file = one_kept
    whole = file.read_bytes()
    file.write_bytes(spoil(whole, how))
    again = execute(run, root, scratch)
    assert numbers(again) == plain
    assert not taken_over(again)
    assert taken_over(execute(run, root, scratch))  # it was written anew


@pytest.mark.parametrize(
    "change",
    [
        {"state": {"blocks.first.1.weight": torch.zeros(2, 2)}},
        {"state": {"no such": torch.zeros(1)}},
        {"trained": ["no such"]},
        {"optimizer_options": []},
    ],
    ids=str,
)
def test_a_first_model_of_another_network_is_not_taken(make_runs, root, change):
    (run,) = make_runs({"finetune": {}})
    ready = prepare(run, root)
    model, optimizer = ready.strategy.model, ready.strategy.optimizer
    fitting = FirstModel({}, [], {}, [{"lr": 0.1}], 0, None)
    storage.save(fitting, root / "it.first")
    assert storage.load(root / "it.first", model, optimizer) == fitting
    storage.save(replace(fitting, **change), root / "it.first")
    assert storage.load(root / "it.first", model, optimizer) is None


def full(*_, **__):
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize(
    "patched", ["storage.checksum", "reuse._digest", "reuse._surroundings", "storage.torch.save"]
)
def test_a_first_model_that_cannot_be_kept_harms_no_run(
    make_runs, root, scratch, monkeypatch, patched
):
    runs = make_runs({"finetune": {}, "freeze": {}})
    plain = [numbers(execute(run, root)) for run in runs]
    monkeypatch.setattr(f"palimpsest.benchmark.runs.first_model.{patched}", full)
    assert [numbers(execute(run, root, scratch)) for run in runs] == plain
    assert list(scratch.iterdir()) == []


def test_a_folder_that_is_gone_harms_no_run(make_runs, root, tmp_path):
    (run,) = make_runs({"finetune": {}})
    assert numbers(execute(run, root, tmp_path / "gone")) == numbers(execute(run, root))


def test_half_a_file_is_left_by_nobody(monkeypatch, tmp_path):
    write = Path.write_bytes

    def half(path, content):
        write(path, content[:100])
        full()

    monkeypatch.setattr(Path, "write_bytes", half)
    storage.save(FirstModel({}, [], {}, [], 0, None), tmp_path / "it.first")
    assert list(tmp_path.iterdir()) == []


# The generators


def drawn():
    return torch.rand(2).tolist(), np.random.rand(2).tolist(), random.random()


@pytest.mark.parametrize("seed", [0, 5, 2**63 - 1])
def test_all_generators_are_seeded(seed):
    seed_generators(seed)
    first = drawn()
    assert drawn() != first
    seed_generators(seed)
    assert drawn() == first
    seed_generators(seed ^ (1 << 40))
    assert drawn() != first


def test_numbers_of_ones_own_leave_no_trace():
    seed_generators(1)
    expected = drawn()
    seed_generators(1)
    seen = []
    for _ in range(2):
        with pytest.raises(KeyError), own_numbers(torch.device("cpu")):
            seen.append(drawn())
            raise KeyError
    assert seen[0] == seen[1]
    assert drawn() == expected
