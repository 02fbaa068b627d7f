"""Kronecker factors compared with loops over samples, and with the dense Fisher information."""

import pytest
import torch
from references import dense, dense_fisher, slow_factors
from torch import nn

from palimpsest.strategies.base.layer_inputs import matrices
from palimpsest.strategies.base.network import Network
from palimpsest.strategies.curvature.kronecker_factors import kronecker_factors

CLOSE = {"rtol": 1e-9, "atol": 1e-12}


def mlp():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 6), nn.Tanh(), nn.Linear(6, 4, bias=False)).double()


def cnn():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(2, 3, 3, stride=2, padding=1),
        nn.BatchNorm2d(3),
        nn.ReLU(inplace=True),
        nn.Conv2d(3, 4, 2, dilation=2, bias=False),
        nn.Flatten(),
        nn.Linear(4, 3),
    ).double()


def tokens():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Flatten(), nn.Linear(20, 3)).double()


SHAPES = {mlp: (5,), cnn: (2, 6, 6), tokens: (5, 3)}


def samples(make, count):
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(count, *SHAPES[make], generator=generator, dtype=torch.float64)
    return x, torch.randint(3, (count,), generator=generator)


@pytest.mark.parametrize("make", SHAPES)
@pytest.mark.parametrize("estimator", ["exact", "empirical"])
def test_factors_are_those_of_a_loop(make, estimator, monkeypatch):
    monkeypatch.setattr(
        "palimpsest.strategies.curvature.kronecker_factors._BATCH", 3
    )  # several batches
    model, (x, y) = make(), samples(make, 7)
    model(x)  # running statistics of some kind
    layers = matrices(model)
    found = kronecker_factors(Network(model.train()), layers, x, y, estimator=estimator)
    assert model.training
    assert [*found] == [layer.name for layer in layers]
    for name, product in found.items():
        a, g = slow_factors(model, name, x, y=y if estimator == "empirical" else None)
        torch.testing.assert_close(product.inputs, a, **CLOSE)
        torch.testing.assert_close(product.outputs, g, **CLOSE)
    assert all(p.grad is None for p in model.parameters())


def test_the_product_is_the_fisher_information_of_one_sample():
    model, (x, y) = mlp(), samples(mlp, 1)
    found = kronecker_factors(Network(model), matrices(model), x, y)
    for name, product in found.items():
        layer = model.get_submodule(name)
        names = [f"{name}.weight"]
        exact = dense_fisher(model, names, x)
        width = layer.in_features
        without_bias = product.inputs[:width, :width]
        torch.testing.assert_close(dense(without_bias, product.outputs), exact, **CLOSE)


def test_the_bias_is_one_more_column():
    model, (x, y) = mlp(), samples(mlp, 1)
    product = kronecker_factors(Network(model), matrices(model), x, y)["0"]
    exact = dense_fisher(model, ["0.weight", "0.bias"], x)
    order = torch.cat([torch.arange(30).view(6, 5), 30 + torch.arange(6)[:, None]], 1).flatten()
    expected = exact[order[:, None], order]
    torch.testing.assert_close(dense(product.inputs, product.outputs), expected, **CLOSE)


def test_several_samples_are_an_approximation_of_the_right_size():
    """A (x) G takes a and g for independent, which they are not."""
    model, (x, y) = mlp(), samples(mlp, 200)
    product = kronecker_factors(Network(model), matrices(model), x, y)["0"]
    exact = dense_fisher(model, ["0.weight", "0.bias"], x)
    trace = product.inputs.trace() * product.outputs.trace()
    assert 0.7 < float(trace / exact.trace()) < 1.4
    assert abs(float(trace / exact.trace()) - 1) > 1e-3


def test_drawn_labels_give_the_exact_factors_in_the_mean():
    model, (x, y) = mlp(), samples(mlp, 4)
    many = x.repeat_interleave(4000, dim=0)
    layers, generator = matrices(model), torch.Generator().manual_seed(0)
    drawn = kronecker_factors(
        Network(model), layers, many, y, estimator="monte_carlo", generator=generator
    )["2"]
    exact = kronecker_factors(Network(model), layers, x, y)["2"]
    torch.testing.assert_close(drawn.inputs, exact.inputs, **CLOSE)
    torch.testing.assert_close(drawn.outputs, exact.outputs, rtol=0.1, atol=0.01)


class Twice(nn.Module):
    """Uses one layer twice, and another not at all."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layer, self.unused = nn.Linear(3, 3), nn.Linear(3, 3)

    def forward(self, x):
        return self.layer(torch.tanh(self.layer(x)))


def test_a_layer_that_is_used_twice_has_the_vectors_of_both():
    model = Twice().double()
    x = torch.randn(4, 3, dtype=torch.float64)
    found = kronecker_factors(Network(model), matrices(model), x, torch.zeros(4))
    assert [*found] == ["layer"]
    inner = torch.tanh(model.layer(x)).detach()
    rows = [torch.cat([a, torch.ones(4, 1).double()], dim=1) for a in (x, inner)]
    expected = sum(r.T @ r for r in rows) / 4
    torch.testing.assert_close(found["layer"].inputs, expected, **CLOSE)


def test_a_network_that_mixes_samples_is_refused():
    model = nn.Sequential(
        nn.Linear(5, 4), nn.BatchNorm1d(4, track_running_stats=False), nn.Linear(4, 3)
    ).double()
    x, y = samples(mlp, 6)
    with pytest.raises(ValueError, match="single samples"):
        kronecker_factors(Network(model), matrices(model), x, y)
