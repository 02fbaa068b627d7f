"""Memory aware synapses against one backward pass a sample."""

import pytest
import torch
from programs import (
    FEATURES,
    THREE,
    Quadratics,
    Tape,
    assert_close,
    distance,
    make_bank,
    make_data,
    make_ordinary,
    replay,
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
