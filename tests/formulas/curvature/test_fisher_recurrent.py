"""Recurrent layers written out are the layers of torch."""

import itertools

import pytest
import torch
from torch import nn

from palimpsest.strategies.curvature.per_sample.recurrent import unroll

SETTINGS = [
    {"num_layers": layers, "bidirectional": both, "batch_first": first, "bias": bias}
    for layers, both, first, bias in itertools.product((1, 2), *[(False, True)] * 3)
]


def flat(result):
    output, state = result
    return [output, *(state if isinstance(state, tuple) else (state,))]


@pytest.mark.parametrize("given", [False, True], ids=["zeros", "state"])
@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize("kind", [nn.RNN, nn.LSTM, nn.GRU])
def test_returns_what_the_layer_returns(kind, settings, given):
    torch.manual_seed(0)
    layer = kind(3, 4, **settings).double()
    x = torch.randn(5, 2, 3).double().requires_grad_()
    samples = 5 if settings["batch_first"] else 2
    count = settings["num_layers"] * (2 if settings["bidirectional"] else 1)
    states = [torch.randn(count, samples, 4).double().requires_grad_() for _ in range(2)]
    state = None
    if given:
        state = tuple(states) if kind is nn.LSTM else states[0]
    result, products = unroll(layer, x, state)
    expected = layer(x, state)
    for ours, theirs in zip(flat(result), flat(expected), strict=True):
        torch.testing.assert_close(ours, theirs)
    assert len(products) == 2 * count

    wanted = [x, *(states[: 2 if kind is nn.LSTM else 1] if given else [])]
    weights = [torch.randn_like(part) for part in flat(expected)]
    ours, theirs = (torch.autograd.grad(flat(r), wanted, weights) for r in (result, expected))
    for mine, its in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, its)


def test_relu():
    torch.manual_seed(0)
    layer, x = nn.RNN(3, 4, nonlinearity="relu"), torch.randn(5, 2, 3)
    for ours, theirs in zip(flat(unroll(layer, x)[0]), flat(layer(x)), strict=True):
        torch.testing.assert_close(ours, theirs)
