"""The plain L2 anchor against a loop that lets autograd or the closed form do it."""

import torch
from programs import (
    make_bank,
    train,
)

from palimpsest.strategies import L2


def test_importance_is_one_where_a_model_was_and_nowhere_else():
    plugin = L2()
    bank = train(make_bank(), [plugin], program="in_memory")
    assert set(plugin.importances) == {n for n, p in bank.named_parameters()}
    for name, importance in plugin.importances.items():
        assert torch.equal(importance, torch.ones_like(importance))
        assert not plugin.anchors[name].requires_grad
