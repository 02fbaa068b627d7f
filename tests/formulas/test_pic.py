"""PIC: branches of both factors against a plain loop, products that add up, and what stays."""

import math

import pytest
import torch
from avalanche.models import IncrementalClassifier
from avalanche.models.utils import avalanche_forward
from programs import (
    CLASSES,
    FEATURES,
    THREE,
    TRUNK,
    Tape,
    double,
    evaluated,
    every,
    images,
    make_bank,
    make_cnn,
    make_data,
    snapshot,
    train,
)
from torch import nn
from torch.nn.functional import cross_entropy

from palimpsest.benchmark.models import networks
from palimpsest.benchmark.models.choice import Network
from palimpsest.strategies import PIC
from palimpsest.strategies.merging.low_rank import BranchedLayer, add_branches, branched
from palimpsest.strategies.pic import first_factor


def plain(values):
    """Values by their names in the network that was given."""
    return {name.replace(".layer.", "."): value for name, value in values.items()}


class Factors(Tape):
    """Records batches, and where the factors of each model's branches begin."""

    def __init__(self):
        super().__init__()
        self.begun = []

    def before_training_epoch(self, strategy, *_, **__):
        if len(self.begun) < len(self.batches):
            layers = branched(strategy.model).items()
            self.begun.append(
                {
                    own.name.removesuffix(".layer"): layer.reduction.detach().clone()
                    for own, layer in layers
                    if layer.is_open
                }
            )


def forward(bank, i, x, values, factors, scale):
    for name in bank.paths[i]:
        place = f"blocks.{name}" + ("" if isinstance(bank.blocks[name], nn.Linear) else ".0")
        layer = bank.get_submodule(place)
        weight = values[f"{place}.weight"]
        if place in factors:
            a, b = factors[place]
            weight = weight + scale * (a @ b).view_as(weight)
        if isinstance(layer, nn.Conv2d):
            x = nn.functional.conv2d(x, weight, values[f"{place}.bias"], padding=1)
        else:
            x = x @ weight.T + values[f"{place}.bias"]
        if place.endswith(".0"):
            x = x.tanh().flatten(1)
    return x


@every
@pytest.mark.parametrize("cnn", [False, True], ids=["pool", "cnn"])
def test_branches_and_their_sum_are_those_of_a_plain_loop(optimizer, cnn):
    bank = make_cnn() if cnn else make_bank(THREE, dtype=torch.float64)
    parts = double(images() if cnn else make_data(3))
    plugin, tape = PIC(scale=0.4, rank=2, alpha=3.0), Factors()
    own = {"parts": parts, "optimizer": optimizer, "reset": False}
    trained = train(bank, [plugin, tape], **own)
    values, sums, known = snapshot(bank), {}, set()
    for i, recorded in enumerate(tape.batches):
        factors = {
            place: (torch.zeros(len(values[f"{place}.weight"]), len(b)).double(), b.clone())
            for place, b in tape.begun[i].items()
            if f"{place}.weight" in bank.parameters_of(i)
        }
        assert {f"{place}.weight" for place in factors} == {
            name for name in bank.parameters_of(i) if name in known and name.endswith("weight")
        }
        new = {n: values[n].requires_grad_() for n in bank.parameters_of(i) if n not in known}
        for a, b in factors.values():
            a.requires_grad_(), b.requires_grad_()
        step = optimizer([*new.values(), *(f for both in factors.values() for f in both)])
        for x, y in recorded:
            step.zero_grad()
            cross_entropy(forward(bank, i, x, values, factors, 1.5), y).backward()
            step.step()
        values = {name: value.detach() for name, value in values.items()}
        known |= new.keys()
        for place, (a, b) in factors.items():
            sums[place] = sums.get(place, 0) + (1.5 * a @ b).detach()
    assert sums
    for i in range(3):
        found = plain(evaluated(plugin, trained, i))
        for name in bank.parameters_of(i):
            wanted = values[name]
            place = name.rpartition(".")[0]
            if name.endswith("weight") and place in sums:
                wanted = wanted + 0.4 * sums[place].view_as(wanted)
            torch.testing.assert_close(found[name], wanted, rtol=1e-5, atol=1e-7, msg=name)


def test_first_factors_are_those_of_lora_and_no_rank_is_above_the_layers():
    weight = torch.zeros(5, 3, 2, 2)
    b = first_factor(weight, 100, torch.Generator().manual_seed(0))
    assert b.shape == (5, 12)
    assert b.abs().max() <= 1 / math.sqrt(12)
    assert b.abs().mean() == pytest.approx(0.5 / math.sqrt(12), rel=0.3)
    assert first_factor(torch.zeros(9, 4), 100, torch.Generator()).shape == (4, 4)
    assert not torch.equal(b, first_factor(weight, 100, torch.Generator().manual_seed(1)))


def test_the_scale_of_a_branch_is_applied_once():
    model = nn.Sequential(nn.Linear(4, 3, bias=False))
    add_branches(model)
    layer, before = model[0], model[0].layer.weight.detach().clone()
    assert isinstance(layer, BranchedLayer)
    layer.prepare_both(1, torch.ones(2, 4), 4.0)
    layer.open()
    with torch.no_grad():
        layer.expansions["1"].fill_(0.5)
    x = torch.eye(4)
    outputs = layer(x)
    torch.testing.assert_close(outputs, x @ (before + 4.0 * torch.ones(3, 4)).T)
    layer.fold()
    assert torch.equal(layer(x), outputs)
    assert [*dict(layer.named_parameters())] == ["layer.weight"]


@pytest.mark.parametrize("start", ["initial", "merged"])
def test_a_pre_trained_start_has_branches_from_the_first_model_on(start):
    bank, plugin, states = make_bank(TRUNK), PIC(start=start, rank=1), []
    initial = snapshot(bank)
    note = {"after_each": lambda _, m: states.append(plain(snapshot(m)))}
    train(bank, [plugin], parts=make_data(3), **note)
    name = "blocks.shared.0.weight"
    rank = torch.linalg.matrix_rank(states[0][name] - initial[name], rtol=1e-5)
    assert rank == (1 if start == "initial" else 6)
    if start == "initial":
        for i, head in enumerate("abc"):
            assert not torch.equal(states[i][f"blocks.{head}.bias"], initial[f"blocks.{head}.bias"])
            assert torch.equal(states[i]["blocks.shared.0.bias"], initial["blocks.shared.0.bias"])
            delta = states[i][name] - initial[name]
            assert torch.linalg.matrix_rank(delta, rtol=1e-4) == 1


def test_a_head_that_grows_is_trained_whole():
    (x, y), (z, w) = make_data()
    plugin = PIC(scale=1.0)
    model = nn.Sequential(nn.Linear(FEATURES, 8), nn.Tanh(), IncrementalClassifier(8, 1))
    trained = train(model, [plugin], parts=[(x, y % 2), (z, 2 + w % 2)])
    found = plain(evaluated(plugin, trained, 1))
    torch.testing.assert_close(found["2.classifier.weight"], trained[2].classifier.weight)
    assert found["2.classifier.weight"].shape == (CLASSES, 8)


def test_it_works_on_a_whole_network_of_torchvision():
    torch.manual_seed(0)
    bank = networks.trunk(Network(name="torchvision:resnet18"), (3, 32, 32), [2, 2])
    parts = [(torch.randn(8, 3, 32, 32), torch.arange(8) % 2) for _ in range(2)]
    plugin, states = PIC(rank=1, scale=1.0), []
    own = {"parts": parts, "batch_size": 4, "epochs": 1, "program": "in_memory"}
    trained = train(bank, [plugin], **own, after_each=lambda _, m: states.append(snapshot(m)))
    first, second = states
    moved = [n for n in first if n in second and not torch.equal(first[n], second[n])]
    shared = [n for n in moved if "layer1" in n]
    assert shared
    for name in shared:  # the weights of convolutions, by one direction; nothing of normalisation
        change = (second[name] - first[name]).flatten(1)
        assert torch.linalg.matrix_rank(change, rtol=1e-3) == 1
    found = evaluated(plugin, trained, 1)
    for name in shared:
        torch.testing.assert_close(found[name], second[name])


def test_outputs_are_those_of_the_network_that_it_left():
    plugin, x = PIC(scale=0.5), make_data()[0][0]
    trained = train(make_bank(), [plugin])
    values = plain(evaluated(plugin, trained, 0))
    hidden = (x @ values["blocks.shared.0.weight"].T + values["blocks.shared.0.bias"]).tanh()
    wanted = hidden @ values["blocks.a.weight"].T + values["blocks.a.bias"]
    with plugin.evaluating(trained, 0), torch.no_grad():
        torch.testing.assert_close(avalanche_forward(trained, x, 0), wanted)
