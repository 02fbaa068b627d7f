"""Strategies that cannot act on a network are refused before anything trains, with the line."""

import pytest
from plans import planned, refusal

from palimpsest.benchmark.cli import main
from palimpsest.benchmark.plugins import load_files
from palimpsest.benchmark.runs.runner import execute_job

NETWORKS = """\
import torch
from torch import nn


class Random(nn.Module):
    def __init__(self, n_classes=10):
        super().__init__()
        self.first, self.head = nn.Linear(64, 8), nn.Linear(8, n_classes)

    def forward(self, x):
        return self.head(self.between(self.first(x.flatten(1))))

    def between(self, h):
        return nn.functional.dropout(h, 0.5, True)


class Centred(Random):
    def between(self, h):
        return h - h.mean(0, keepdim=True)


class Statistics(Random):
    def __init__(self, n_classes=10):
        super().__init__(n_classes)
        self.norm = nn.BatchNorm1d(8, track_running_stats=False)

    def between(self, h):
        return self.norm(h)


class Once(Random):
    def between(self, h):
        return Relu.apply(h)


class Relu(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.relu()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, g):
        return g * (ctx.saved_tensors[0] > 0)
"""

SINGLE = ["ewc", "laplace", "mas", "rwalk", "freeze_important", "fggm", "wpl", "wpl_schur"]


@pytest.fixture
def networks(tmp_path, monkeypatch):
    (tmp_path / "checked_networks.py").write_text(NETWORKS)
    monkeypatch.syspath_prepend(tmp_path)
    return lambda name: {"network": f"module:checked_networks.{name}"}


@pytest.mark.parametrize(
    ("network", "message", "strategy"),
    [
        *(("Random", "draws random numbers or remembers earlier batches", own) for own in SINGLE),
        ("Centred", "mixes samples", "ewc"),
        ("Statistics", "takes batches, but not a single sample: layer", "mas"),
    ],
)
def test_gradients_of_single_samples_that_a_network_does_not_have(
    networks, tmp_path, network, message, strategy
):
    told = refusal(tmp_path, networks(network), strategy)
    assert f"strategies.x: {strategy} cannot act on the network of scenario 's': the " in told
    assert message in told


def test_a_network_that_can_be_differentiated_once(networks, tmp_path):
    told = refusal(tmp_path, networks("Once"), "wpl_schur")
    assert "needs a network that autograd can differentiate twice" in told
    assert planned(tmp_path, networks("Once"), "ewc").todo


@pytest.mark.parametrize(
    "strategy",
    [{"strategy": "ewc", "fisher": "training"}, "l2", "si", "gpm", "vcl", "avalanche:Naive"],
)
def test_strategies_that_need_no_single_samples(networks, tmp_path, strategy):
    assert planned(tmp_path, networks("Random"), strategy).todo


@pytest.mark.parametrize("network", ["mlp", "cnn", "Random"])
def test_patterns_that_match_no_parameter(networks, tmp_path, network):
    scenario = networks(network) if network == "Random" else {"network": network}
    strategy = {"strategy": "l2", "protect": ["blocks.nothing.*"]}
    assert "'blocks.nothing.*' matches no parameter" in refusal(tmp_path, scenario, strategy)
    assert planned(tmp_path, scenario, strategy | {"protect": ["blocks.*"]}).todo


def test_the_command_says_so_with_the_line_and_without_a_run(networks, tmp_path, capsys):
    suite, store = tmp_path / "suite.yaml", tmp_path / "x.db"
    suite.write_text(
        "suite: x\nseeds: 1\nscenarios:\n"
        "  s: {family: two_models, data: digits, network: module:checked_networks.Random}\n"
        "strategies:\n  finetune: {}\n  ewc: {strengths: [1, 10]}\n"
    )
    for options in (["--dry-run"], []):
        with pytest.raises(SystemExit) as left:
            main(["run", str(suite), "--store", str(store), *options])
        assert left.value.code == 2
        told = capsys.readouterr().err
        assert "suite.yaml, line 7: strategies.ewc: ewc cannot act on the network" in told
        assert not store.exists()


SCENARIO = """\
from dataclasses import replace
from typing import Literal

import torch
from torch import nn

from palimpsest.benchmark.models.bank import ModelBank
from palimpsest.benchmark.scenarios.streams.parts import Part
from palimpsest.benchmark.scenarios.settings.scenario import ScenarioSettings
from palimpsest.benchmark.settings.values import Count


class Scale(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(3))

    def forward(self, x):
        return x * self.weight


class Built(ScenarioSettings):
    family: Literal["built"] = "built"
    steps: Count | None = 2
    fault: str = ""

    def build(self, seed, root, device):
        torch.manual_seed(seed)
        y = torch.arange(12) % 3
        width = 4 if self.fault == "inputs" else 3
        first = [(torch.randn(12, 3), y)] * 3
        second = [(torch.randn(12, width), y)] * 3
        blocks = {"first": nn.Linear(3, 3), "second": nn.Linear(width, 3)}
        if self.fault == "layers":
            blocks = {"first": Scale(), "second": Scale()}
        bank = ModelBank(blocks, [["first"], ["second"]], 3)
        built = self.assemble(bank, [Part(*first), Part(*second)], [0, 1])
        return replace(built, loss=nn.MultiMarginLoss()) if self.fault == "loss" else built


SCENARIOS = [Built]
"""

FAULTS = {
    "layers": {
        "gpm": "has none",
        "inflora": "has none that it can wrap",
        "pic": "has none that it can wrap",
        "migu": "has none",
        "supsup": "has none that it can wrap",
        "ssnet": "has none that it can wrap",
        "vcl": "has none that it can wrap",
        "n_step_kl": "has none that it can wrap",
        "td_vcl": "has none that it can wrap",
    },
    "loss": dict.fromkeys(
        ["ewc", "wpl", "wpl_schur", "laplace", "lwf", "sril", "der", "rwalk"],
        "this training's loss is MultiMarginLoss",
    ),
    "inputs": {
        "replay": "keeps samples of one kind",
        "der": "keeps samples of one kind",
        "td_vcl": "keeps samples of one kind",
        "lwf": "cannot take samples of shape (4,)",
    },
}
MORE = {"ssnet": {"mask_steps": 1}, "td_vcl": {"memory": 5}}


@pytest.fixture
def built(tmp_path, registries):
    with registries():
        (tmp_path / "built.py").write_text(SCENARIO)
        load_files([tmp_path / "built.py"])
        yield


@pytest.mark.parametrize(
    ("fault", "strategy"), [(fault, name) for fault, names in FAULTS.items() for name in names]
)
def test_what_a_scenario_of_ones_own_shows_when_it_is_built(built, tmp_path, fault, strategy):
    settings = {"strategy": strategy} | MORE.get(strategy, {})
    told = refusal(tmp_path, {"family": "built", "fault": fault}, settings)
    assert f"strategies.x: {strategy} cannot act on the network of scenario 's': " in told
    assert FAULTS[fault][strategy] in told
    assert planned(tmp_path, {"family": "built"}, settings).todo


@pytest.mark.parametrize("strategy", sorted({name for names in FAULTS.values() for name in names}))
def test_what_is_refused_would_have_failed(built, tmp_path, strategy, monkeypatch):
    monkeypatch.setattr(
        "palimpsest.benchmark.orchestration.network_checks.check_networks", lambda *_: None
    )
    settings = {"strategy": strategy} | MORE.get(strategy, {})
    for fault, names in FAULTS.items():
        if strategy in names:
            plan = planned(tmp_path, {"family": "built", "fault": fault}, settings)
            (record,) = execute_job(plan.todo, tmp_path)
            assert names[strategy] in record.error


STRATEGY = """\
from avalanche.training.plugins import SupervisedPlugin

from palimpsest.strategies.base.facts import Facts
from palimpsest.strategies.base.settings import StrategySettings


class PickySettings(StrategySettings):
    fault: str = ""


class Picky(SupervisedPlugin):
    facts = Facts("picky", "Picky.", "None.")
    Settings = PickySettings

    def __init__(self, fault=""):
        super().__init__()
        self.fault = fault

    def check_network(self, model, task):
        assert len(task.samples) == 2
        if self.fault == "bug":
            raise ZeroDivisionError
        if self.fault == "network":
            raise ValueError("picky needs a network of its own kind; give it one")
"""


def test_a_strategy_of_ones_own_has_the_same_way(tmp_path, registries):
    with registries():
        (tmp_path / "picky.py").write_text(STRATEGY)
        load_files([tmp_path / "picky.py"])
        told = refusal(tmp_path, {}, {"strategy": "picky", "fault": "network"})
        assert "strategies.x: picky cannot act on the network of scenario 's': picky needs" in told
        for fault in ("", "bug"):  # a bug is the run's to tell
            assert len(planned(tmp_path, {}, {"strategy": "picky", "fault": fault}).todo) == 1
