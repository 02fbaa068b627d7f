"""SMILE: exact at full rank, the best approximation below it, and the published router."""

from copy import deepcopy
from itertools import pairwise

import pytest
import torch
from avalanche.models.utils import avalanche_forward
from programs import (
    CLASSES,
    FEATURES,
    OPTIMIZERS,
    THREE,
    TRUNK,
    double,
    evaluated,
    images,
    make_bank,
    make_cnn,
    make_data,
    snapshot,
    train,
)
from pydantic import ValidationError
from torch import nn

from palimpsest.benchmark.runs.cost import state_bytes
from palimpsest.strategies import SMILE
from palimpsest.strategies.base.layer_inputs import matrices
from palimpsest.strategies.smile import score


def outputs(plugin, model, index, x):
    model.eval()
    with plugin.evaluating(model, index), torch.no_grad():
        return avalanche_forward(model, x, index).clone()


def low_rank(difference, rank):
    """What is kept of a difference: its best approximation, or all where that is no more."""
    rows = difference.flatten(1)
    if rank * sum(rows.shape) >= rows.numel():
        return difference
    u, s, vh = torch.linalg.svd(rows)
    return ((u[:, :rank] * s[:rank]) @ vh[:rank]).view_as(difference)


def course(bank, parts, optimizer="sgd", **settings):
    """Train a bank; its plugin, the network, and each model as its training left it."""
    plugin, states = SMILE(**settings), []
    note = {"after_each": lambda _, model: states.append(snapshot(model))}
    own = {"parts": parts, "optimizer": optimizer, "reset": False}
    return plugin, train(bank, [plugin], **own, **note), states


@pytest.mark.parametrize("start", ["first", "initial"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_at_full_rank_each_model_is_what_was_trained_to_the_bit(optimizer, start):
    bank = make_bank(THREE)
    plugin, model, states = course(bank, make_data(3), optimizer, rank=8, start=start)
    for i, trained in enumerate(states):
        found = evaluated(plugin, model, i)
        assert all(torch.equal(found[name], trained[name]) for name in bank.parameters_of(i))
    assert not any(plugin.factors.values())


@pytest.mark.parametrize(("make", "data"), [(make_bank, make_data), (make_cnn, images)])
def test_of_a_rank_it_is_the_best_approximation_and_its_error_falls_with_it(make, data):
    bank = make(TRUNK) if make is make_bank else make(torch.float32)
    shared = [name for name in bank.parameters_of(0) if name in bank.parameters_of(1)]
    errors = []
    for rank in (0, 1, 2, 8):
        plugin, model, states = course(bank, data(3), rank=rank, start="initial")
        starts, error = snapshot(bank), 0.0
        for i, trained in enumerate(states):
            found = evaluated(plugin, model, i)
            for name in bank.parameters_of(i):
                wanted = trained[name]
                if name in shared and wanted.ndim > 1:
                    wanted = starts[name] + low_rank(wanted - starts[name], rank)
                torch.testing.assert_close(found[name], wanted, rtol=1e-4, atol=1e-6)
                error += (found[name] - trained[name]).square().sum().item()
        errors.append(error)
    assert all(less < more for more, less in pairwise(errors))
    assert errors[-1] == 0


def test_memory_is_that_of_the_factors_or_the_weight():
    bank = make_bank(TRUNK)
    full, low, none = (course(bank, make_data(3), rank=rank) for rank in (8, 1, 0))
    found = [state_bytes(plugin, model) for plugin, model, _ in (full, low, none)]
    weight, bias, heads = 8 * FEATURES, 8, 3 * (8 * CLASSES + CLASSES)
    kept = (2 * weight, 2 * (8 + FEATURES), 0)  # the first model's is the start
    for size, numbers in zip(found, kept, strict=True):
        assert size == 4 * (weight + bias + heads + numbers + 2 * bias)


@pytest.mark.parametrize("cnn", [False, True], ids=["mlp", "cnn"])
def test_each_layer_chooses_for_each_sample_as_published(cnn):
    bank = make_cnn() if cnn else make_bank(TRUNK, dtype=torch.float64)
    parts = double(images() if cnn else make_data(3))
    settings = {"experts": "routed", "rank": 2, "gate": 2, "start": "initial"}
    plugin, model, states = course(bank, parts, **settings)
    starts, x = snapshot(bank), parts[0][0]
    for sample in x[:10]:
        h, before = sample[None], model.blocks
        for name in bank.paths[1][:-1]:
            layer = before[name][0]
            place = f"blocks.{name}.0"
            best, chosen = -1.0, None
            for own in states:
                d = own[f"{place}.weight"] - starts[f"{place}.weight"]
                vh = torch.linalg.svd(d.flatten(1))[2]
                if isinstance(layer, nn.Conv2d):
                    patches = nn.functional.unfold(h, 2, padding=1)[0].T
                else:
                    patches = h
                found = (patches @ vh[:2].T).norm()
                if found > best:
                    best, chosen = found, (low_rank(d, 2), own[f"{place}.bias"])
            weight = starts[f"{place}.weight"] + chosen[0]
            if isinstance(layer, nn.Conv2d):
                h = nn.functional.conv2d(h, weight, chosen[1], padding=1)
            else:
                h = h @ weight.T + chosen[1]
            h = h.tanh().flatten(1)
        wanted = h @ states[1]["blocks.b.weight"].T + states[1]["blocks.b.bias"]
        torch.testing.assert_close(outputs(plugin, model, 1, sample[None]), wanted)
    counts = [sum(own[1].values()) for own in plugin.routed.values()]
    assert counts == [10] * len(counts)


def test_directions_count_not_their_singular_values():
    """One model has a large difference where the input is not, another a small one where it is."""
    layer = nn.Linear(4, 3, bias=False)
    (own,) = matrices(nn.Sequential(layer))
    plugin = SMILE(experts="routed", rank=1, start="initial")
    plugin.starts = {own.name + ".weight": torch.zeros(3, 4)}
    for i, (column, size) in enumerate([(0, 100.0), (1, 0.1)]):
        value = torch.zeros(3, 4)
        value[:, column] = size
        model = nn.Sequential(layer)
        plugin.take(model, i, {f"{own.name}.weight": value}, plugin.starts)
    x = torch.tensor([[0.4, 0.6, 0.0, 0.0]])
    gates = [plugin.gates[i][f"{own.name}.weight"] for i in (0, 1)]
    weighted = [100.0, 0.1 * 3**0.5]
    plain = [score(own, x, gate).item() for gate in gates]
    assert plain == pytest.approx([0.4, 0.6])
    assert plain[1] > plain[0]
    assert plain[0] * weighted[0] > plain[1] * weighted[1]  # as a router that weighs them has it
    plugin._shared = {f"{own.name}.weight"}
    found = outputs(plugin, model, 0, x)
    torch.testing.assert_close(found, torch.full((1, 3), 0.06))


def test_one_expert_at_full_rank_is_the_trained_layer():
    layer = nn.Linear(FEATURES, 5).double()
    model, x = nn.Sequential(layer), make_data()[0][0].double()
    plugin = SMILE(experts="routed", rank=8, gate=100, start="initial")
    plugin.starts = snapshot(model)
    trained = {name: value + torch.randn_like(value) for name, value in plugin.starts.items()}
    plugin.take(model, 0, plugin.starts, plugin.starts)  # a difference of 0
    plugin.take(model, 1, trained, plugin.starts)
    plugin._shared = {*plugin.starts}
    found = outputs(plugin, model, 0, x)
    torch.testing.assert_close(found, x @ trained["0.weight"].T + trained["0.bias"])
    assert plugin.gates[0]["0.weight"].shape == (0, FEATURES)
    assert plugin.gates[1]["0.weight"].shape == (5, FEATURES)  # clamped
    assert plugin.routed["0"][0] == {0: 0, 1: 40}


@pytest.mark.parametrize("cnn", [False, True], ids=["mlp", "cnn"])
def test_a_copy_of_the_network_that_routes_routes_as_it_does(cnn):
    """Such as that which the probe refit takes, to train private parts beside it."""
    bank, parts = (make_cnn(torch.float32), images()) if cnn else (make_bank(TRUNK), make_data(3))
    settings = {"experts": "routed", "rank": 1, "start": "initial"}
    plugin, model, _ = course(bank, parts, **settings)
    x = parts[1][0]
    with plugin.evaluating(model.eval(), 1), torch.no_grad():
        copied, wanted = deepcopy(model), avalanche_forward(model, x, 1)
    assert torch.equal(avalanche_forward(copied, x, 1), wanted)
    assert not torch.equal(avalanche_forward(model, x, 1), wanted)


def test_settings_that_have_no_meaning_together_are_refused():
    with pytest.raises(ValidationError, match="gate has no effect with experts: given"):
        SMILE(gate=2)
    with pytest.raises(ValidationError, match="experts: routed needs start: initial"):
        SMILE(experts="routed")
