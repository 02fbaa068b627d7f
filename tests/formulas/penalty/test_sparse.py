"""Sparse embeddings train as dense ones do."""

import pytest
import torch
from programs import CLASSES, SAMPLES, distance, train
from torch import nn

from palimpsest.strategies import EWC, L2, MAS, SI, WPL, Freeze, Independent, LwF, RWalk, WPLSchur

PENALTIES = (SI, RWalk, MAS, EWC, WPL, L2, WPLSchur)


class Words(nn.Module):
    """Tokens, an embedding and a head."""

    def __init__(self, sparse):
        super().__init__()
        torch.manual_seed(0)
        self.table, self.head = nn.Embedding(9, 6, sparse=sparse), nn.Linear(6, CLASSES)

    def forward(self, x):
        return self.head(self.table(x).mean(dim=1).tanh())


OPTIMIZERS = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.1),
    "momentum": lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9),
    "adagrad": lambda p: torch.optim.Adagrad(p, lr=0.05),
}


def data():
    generator = torch.Generator().manual_seed(3)
    parts = []
    for i in range(2):
        x = torch.randint(9, (SAMPLES, 5), generator=generator)
        y = (x.sum(dim=1) + i) % CLASSES
        y[:CLASSES] = torch.arange(CLASSES)
        parts.append((x, y))
    return parts


def trained(sparse, plugins, optimizer="sgd", *, head=True):
    model = Words(sparse)
    model.head.requires_grad_(head)
    return train(
        model,
        plugins,
        parts=data(),
        optimizer=OPTIMIZERS.get(optimizer, optimizer),
        program="in_memory",
    )


def assert_trains_as_if_dense(make, optimizer="sgd"):
    found, expected = (trained(sparse, [make()], optimizer) for sparse in (True, False))
    assert distance(found, expected) < 1e-5
    assert distance(expected, trained(False, [], optimizer)) > 1e-3


@pytest.mark.parametrize("application", ["proximal", "gradient"])
@pytest.mark.parametrize("penalty", PENALTIES)
def test_penalties(penalty, application):
    assert_trains_as_if_dense(lambda: penalty(strength=3.0, application=application))


@pytest.mark.parametrize("optimizer", ["momentum", "adagrad"])
def test_under_other_optimizers(optimizer):
    assert_trains_as_if_dense(lambda: SI(strength=3.0, application="gradient"), optimizer)


@pytest.mark.parametrize("make", [Freeze, Independent, lambda: LwF(strength=3.0)])
def test_others(make):
    assert_trains_as_if_dense(make)


@pytest.mark.parametrize("penalty", [SI, EWC, WPLSchur])
def test_an_optimizer_that_takes_only_sparse_gradients(penalty):
    def end(*plugins):
        return trained(True, plugins, lambda p: torch.optim.SparseAdam(p, lr=0.02), head=False)

    model = end(penalty(strength=3.0, application="gradient"))
    assert model.table.weight.grad.is_sparse
    assert distance(model, end()) > 1e-4
