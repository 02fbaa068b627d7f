"""Memory aware synapses against one backward pass a sample."""

import copy

import pytest
import torch
from programs import (
    FEATURES,
    MODELS,
    OPTIMIZERS,
    THREE,
    Quadratics,
    Tape,
    assert_close,
    distance,
    make_bank,
    make_data,
    make_ordinary,
    replay,
    same,
    snapshot,
    still,
    train,
)
from references import slow_sensitivity
from torch import nn

from palimpsest.strategies import MAS
from palimpsest.strategies.curvature.sensitivity import output_sensitivity

STRENGTH = 3.0


class Twice(nn.Module):
    """Uses one layer twice, and a bare parameter."""

    def __init__(self):
        super().__init__()
        self.layer, self.scale = nn.Linear(FEATURES, FEATURES), nn.Parameter(torch.ones(FEATURES))

    def forward(self, x):
        return self.scale * self.layer(self.layer(x).tanh())


class Reader(nn.Module):
    """Tokens, a recurrent layer, and a linear layer at every step."""

    def __init__(self, recurrent):
        super().__init__()
        self.table, self.recurrent = nn.Embedding(7, 5), recurrent(5, 4, batch_first=True)
        self.steps, self.head = nn.Linear(4, 4), nn.Linear(4, 3)

    def forward(self, x):
        states, _ = self.recurrent(self.table(x))
        return self.head(self.steps(states).tanh().mean(dim=1))


def images(n):
    return torch.randn(n, 2, 6, 6)


def tokens(n):
    return torch.randint(7, (n, 5))


NETWORKS = {
    "linear": (make_ordinary, lambda n: torch.randn(n, FEATURES)),
    "convolutions": (
        lambda: nn.Sequential(
            nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.Linear(48, 3)
        ),
        images,
    ),
    "layer used twice": (Twice, lambda n: torch.randn(n, FEATURES)),
    "lstm": (lambda: Reader(nn.LSTM), tokens),
    "gru": (lambda: Reader(nn.GRU), tokens),
    "vectors": (
        lambda: nn.Sequential(nn.Linear(6, 4), nn.LayerNorm(4), nn.Flatten(), nn.Linear(48, 3)),
        images,
    ),
}


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("samples", [1, 9])
def test_the_sensitivity_is_that_of_one_backward_pass_a_sample(network, samples):
    torch.manual_seed(0)
    make, inputs = NETWORKS[network]
    model, x = make(), inputs(samples)
    model(inputs(20))  # moves running statistics away from where they start
    expected = slow_sensitivity(model, [n for n, _ in model.named_parameters()], x)
    found = output_sensitivity(model, dict(model.named_parameters()), x)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert value.max() > 0, name
        torch.testing.assert_close(found[name], value, rtol=1e-4, atol=1e-6, msg=name)


def test_it_is_not_the_gradient_of_a_batch():
    x, model = torch.randn(30, FEATURES), make_ordinary()
    (model(x).square().sum() / len(x)).backward()
    found = output_sensitivity(model, dict(model.named_parameters()), x)
    assert (found["0.weight"] > 1.2 * model[0].weight.grad.abs()).float().mean() > 0.5


def test_the_model_is_left_as_it_was_found():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(FEATURES, 4), nn.BatchNorm1d(4), nn.Dropout(), nn.Linear(4, 2))
    model[0].bias.requires_grad_(False)
    model[1].eval()
    x = torch.randn(9, FEATURES)
    model(x).sum().backward()
    state = copy.deepcopy(model.state_dict())
    gradients = [None if p.grad is None else p.grad.clone() for p in model.parameters()]
    modes = [module.training for module in model.modules()]
    random = torch.get_rng_state()
    output_sensitivity(model, dict(model.named_parameters()), x)
    assert torch.equal(torch.get_rng_state(), random)
    assert same(model.state_dict(), state)
    assert modes == [module.training for module in model.modules()]
    assert not model[0].bias.requires_grad
    for parameter, gradient in zip(model.parameters(), gradients, strict=True):
        assert (parameter.grad is None) == (gradient is None)
        assert gradient is None or torch.equal(parameter.grad, gradient)


class SlowMAS:
    """Sums of importances and anchors at the latest weights."""

    def __init__(self, parts):
        self.parts = parts
        self.quadratics = Quadratics(STRENGTH)
        self.importances = {}

    def after_model(self, i, model, used):
        for name, new in slow_sensitivity(model, list(used), self.parts[i][0], i).items():
            self.importances[name] = self.importances.get(name, 0) + new
            anchor = used[name].detach().clone()
            self.quadratics.terms[name] = [(self.importances[name], anchor)]


@pytest.mark.parametrize("application", ["proximal", "gradient"])
@pytest.mark.parametrize("kind", ["ordinary", "bank"])
def test_trains_as_a_plain_loop_does(application, kind):
    initial = make_ordinary() if kind == "ordinary" else make_bank(THREE)
    parts, tape, rate = make_data(2 if kind == "ordinary" else 3), Tape(), 0.05
    plugin = MAS(strength=STRENGTH, application=application)

    def make(p):
        return torch.optim.SGD(p, lr=rate)

    trained = train(initial, [plugin, tape], parts=parts, optimizer=make, program="in_memory")
    slow = SlowMAS(parts)
    proximal = application == "proximal"
    expected = replay(
        initial,
        tape.batches,
        optimizer=make,
        extra_loss=None if proximal else slow.quadratics.loss,
        after_step=slow.quadratics.proximal if proximal else None,
        after_model=slow.after_model,
    )
    assert_close(trained, expected, rtol=1e-4, atol=1e-5)
    assert distance(expected, replay(initial, tape.batches, optimizer=make)) > 1e-3
    assert plugin.importances.keys() == slow.importances.keys()
    for name, importance in slow.importances.items():
        anchor = slow.quadratics.terms[name][0][1]
        torch.testing.assert_close(plugin.importances[name], importance, rtol=1e-3, atol=1e-5)
        torch.testing.assert_close(plugin.anchors[name], anchor, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("program", ["naive", "in_memory"])
def test_importance_depends_neither_on_labels_nor_on_the_batch_size(program):
    def importances(batch_size, shift):
        plugin = MAS(samples=30)
        parts = [(x, (y + shift) % 4) for x, y in make_data()]
        options = {"program": program, "optimizer": still, "batch_size": batch_size}
        train(make_ordinary(), [plugin], parts=parts, **options)
        return plugin.importances

    assert same(importances(4, 0), importances(20, 1))


@pytest.mark.parametrize("model", MODELS)
def test_anchors_are_at_the_latest_weights(model):
    plugin, states = MAS(strength=1.0), []
    train(
        MODELS[model](),
        [plugin],
        program="in_memory",
        optimizer=OPTIMIZERS["adam"],
        after_each=lambda _, m: states.append(snapshot(m)),
    )
    shared = set(plugin.anchors) - {n for n in plugin.anchors if ".a." in n}
    assert shared
    assert all(torch.equal(plugin.anchors[name], states[1][name]) for name in shared)
