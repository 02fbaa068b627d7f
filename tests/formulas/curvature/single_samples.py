"""Networks, inputs and drawn labels of the tests of single samples' gradients."""

import copy

import torch
from avalanche.models.utils import avalanche_forward
from torch import nn

SAMPLES = 7
ESTIMATORS = ["exact", "monte_carlo", "empirical"]


class Apply(nn.Module):
    """A network from modules and a forward function."""

    def __init__(self, forward, **modules):
        super().__init__()
        for name, module in modules.items():
            setattr(self, name, module)
        self._forward = forward

    def forward(self, x):
        return self._forward(self, x)


def vectors(*shape):
    return torch.randn(SAMPLES, *shape, generator=torch.Generator().manual_seed(5))


def tokens(length=5, vocabulary=9):
    generator = torch.Generator().manual_seed(6)
    return torch.randint(vocabulary, (SAMPLES, length), generator=generator)


def generator(seed=3):
    return torch.Generator().manual_seed(seed)


def drawn_labels(model, x, label):
    """The labels that the Monte-Carlo estimate draws with ``generator()``."""
    with torch.no_grad():
        p = avalanche_forward(copy.deepcopy(model).eval(), x, label).softmax(dim=-1)
    uniform = torch.rand(SAMPLES, generator=generator()).tolist()
    return torch.tensor(
        [
            next((c for c in range(len(row)) if float(row[: c + 1].sum()) > u), len(row) - 1)
            for row, u in zip(p, uniform, strict=True)
        ]
    )
