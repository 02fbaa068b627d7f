"""SRIL: the distance of shared features by a plain loop, what it selects, what it mixes."""

import copy

import pytest
import torch
from programs import (
    CLASSES,
    OPTIMIZERS,
    THREE,
    Tape,
    assert_close,
    distance,
    make_bank,
    make_data,
    make_ordinary,
    same,
    snapshot,
    train,
)
from torch import nn
from torch.nn.functional import cross_entropy

from palimpsest.benchmark.models.bank import ModelBank
from palimpsest.strategies import SRIL
from palimpsest.strategies.sril import weights

LABELS = torch.zeros(10, dtype=torch.long)


def make_cnn():
    torch.manual_seed(0)
    shared = nn.Sequential(nn.Conv2d(1, 3, 2), nn.BatchNorm2d(3), nn.Tanh(), nn.Flatten())
    drops = nn.Sequential(nn.Dropout(0.2), nn.Linear(12, CLASSES))
    blocks = {"shared": shared, "a": nn.Linear(12, CLASSES), "b": drops}
    return ModelBank(blocks, [["shared", "a"], ["shared", "b"]], CLASSES)


def as_images(parts):
    return [(torch.cat([x, x[:, :3]], dim=1).view(-1, 1, 3, 3), y) for x, y in parts]


KINDS = {
    "mlp": (make_bank, make_data()),
    "cnn": (make_cnn, as_images(make_data())),
}


def looped(bank, batches, optimizer, strength, conflicting):
    """Train by a plain loop, sample by sample; return the bank and how many samples conflicted."""
    model, conflicts = copy.deepcopy(bank), 0
    for i, recorded in enumerate(batches):
        torch.manual_seed(100 + i)
        before = copy.deepcopy(model).eval()
        step = OPTIMIZERS[optimizer](model.parameters())
        for x, y in recorded:
            step.zero_grad()
            loss = cross_entropy(model.train()(x, i), y)
            model.eval()
            for n in range(len(x) if i else 0):
                features = model.blocks["shared"](x[n : n + 1])
                change = features - before.blocks["shared"](x[n : n + 1]).detach()
                head = model.blocks[bank.paths[i][-1]]
                own = features.detach().requires_grad_()
                (gradient,) = torch.autograd.grad(cross_entropy(head(own), y[n : n + 1]), own)
                conflict = (gradient * change).sum() < 0
                conflicts += int(conflict)
                w = conflicting if conflict else 1.0
                loss = loss + strength * w * change.square().mean() / len(x)
            loss.backward()
            step.step()
    return model, conflicts


@pytest.mark.parametrize("conflicting", [0.0, 0.4, 1.0])
@pytest.mark.parametrize("optimizer", ["momentum", "adam"])
@pytest.mark.parametrize("kind", KINDS)
def test_it_is_the_plain_loop(kind, optimizer, conflicting):
    make, parts = KINDS[kind]
    bank, tape = make(), Tape()
    if kind == "cnn":
        bank.blocks["b"][0].p = 0.0  # the loop would draw otherwise
    plugin = SRIL(strength=3.0, conflicting=conflicting)
    found = train(bank, [plugin, tape], parts=parts, optimizer=optimizer)
    wanted, conflicts = looped(bank, tape.batches, optimizer, 3.0, conflicting)
    assert 0.1 < conflicts / 80 < 0.95
    assert_close(found, wanted, rtol=1e-4, atol=1e-5)
    assert distance(found, train(bank, parts=parts, optimizer=optimizer)) > 1e-3


def test_conflicts_weigh_less_and_what_agrees_is_completed():
    generator = torch.Generator().manual_seed(0)
    gradient = torch.randn(50, 2, 3, generator=generator)
    change = torch.randn(50, 6, generator=generator)
    cosine = torch.cosine_similarity(gradient.flatten(1), change)
    assert torch.equal(weights(gradient, change, 0.3)[cosine >= 0], torch.ones(50)[cosine >= 0])
    assert (weights(gradient, change, 0.3)[cosine < 0] == 0.3).all()
    selected = weights(gradient, change, 0.0)
    assert torch.equal(selected[cosine < 0], cosine.clamp_min(0)[cosine < 0])
    assert 10 < int(selected.sum()) < 40
    assert torch.equal(weights(None, change, 0.0), torch.ones(50))


PATHS = {
    "prefix": (("x", "y", "a"), ("x", "y", "b")),
    "after a private block": THREE[:2],
    "two parts": (("x", "y", "a"), ("x", "p", "y", "b")),
}


@pytest.mark.parametrize("name", PATHS)
def test_features_are_what_shared_blocks_hand_over(name):
    paths = PATHS[name]
    parts, plugin = make_data(2), SRIL(conflicting=1.0)
    learned = train(make_bank(paths), [plugin], parts=parts[:1])
    plugin._before = {n: p.detach().clone() for n, p in learned.named_parameters()
                      if n in plugin._earlier}  # fmt: skip
    before = copy.deepcopy(learned)
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in learned.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    x, y = parts[1][0][:10], parts[1][1][:10]
    now = new = x
    wanted, last = 0.0, None
    for block in paths[1]:
        if block not in paths[0] and last in paths[0]:
            wanted = wanted + (new - now).square().mean()
        now = (before if block in paths[0] else learned).blocks[block](now)
        new, last = learned.blocks[block](new), block
    found = plugin.distance(learned, x, y, LABELS + 1, cross_entropy)
    torch.testing.assert_close(found, wanted)
    assert found > 1e-4


def test_where_all_is_shared_features_are_what_the_last_layer_is_given():
    parts, plugin = make_data(1), SRIL(conflicting=1.0)
    learned = train(make_ordinary(), [plugin], parts=parts)
    plugin._before = snapshot(learned)
    before = copy.deepcopy(learned)
    with torch.no_grad():
        learned[0].weight += 0.1
    x, y = parts[0]
    wanted = (learned[:-1](x) - before[:-1](x)).square().mean()
    found = plugin.distance(learned, x, y, torch.zeros(len(x), dtype=torch.long), cross_entropy)
    torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("make", [make_bank, make_ordinary])
def test_strength_0_is_fine_tuning_whatever_the_interpolation(make, optimizer):
    plugin = SRIL(strength=0.0, interpolation=0.7)
    plain = train(make(), optimizer=optimizer)
    assert same(train(make(), [plugin], optimizer=optimizer), plain)
    assert plugin.interpolated == []


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("lost", [True, False])
def test_shared_parameters_are_mixed_where_confidence_is_lost(share, lost, monkeypatch):
    monkeypatch.setattr(SRIL, "confidences", lambda *_: (0.4, 0.6) if lost else (0.6, 0.4))
    _, parts = KINDS["cnn"]
    states = {}
    for interpolation in (0.0, share):
        plugin, states[interpolation] = SRIL(interpolation=interpolation), []
        note = {"after_each": lambda _, m, to=states[interpolation]: to.append(copy.deepcopy(m))}
        train(make_cnn(), [plugin], parts=parts, optimizer="adam", **note)
    mixes = lost and share > 0
    assert plugin.interpolated == ([1] if mixes else [])
    (before, now), mixed = states[0.0], states[share][1]
    then, plain = dict(before.named_parameters()), dict(now.named_parameters())
    for name, parameter in mixed.named_parameters():
        if mixes and ".shared." in name:
            torch.testing.assert_close(parameter, share * then[name] + (1 - share) * plain[name])
            assert share < 1 or torch.equal(parameter, then[name])
            assert not torch.equal(then[name], plain[name])
        else:
            assert torch.equal(parameter, plain[name])
    statistics = mixed.blocks["shared"][1].running_mean
    assert torch.equal(statistics, now.blocks["shared"][1].running_mean)


def test_confidence_is_the_mean_largest_probability_of_the_earlier_models():
    plugin, parts = SRIL(), make_data(2)
    model = train(make_bank(THREE), [plugin], parts=parts)
    plugin._before = {
        n: p.detach() + 0.3 for n, p in model.named_parameters() if n in plugin._earlier
    }
    then, x = copy.deepcopy(model), parts[1][0]
    then.load_state_dict(plugin._before, strict=False)
    found = plugin.confidences(model, x)
    for bank, confidence in zip((model, then), found, strict=True):
        wanted = [bank(row[None], i).softmax(dim=1).max().item() for i in range(2) for row in x]
        assert confidence == pytest.approx(sum(wanted) / len(wanted))
    assert found[0] != pytest.approx(found[1])
