"""The plain L2 anchor against a loop that lets autograd or the closed form do it."""

import pytest
import torch
from programs import (
    MODELS,
    OPTIMIZERS,
    Quadratics,
    Tape,
    assert_close,
    distance,
    make_bank,
    replay,
    train,
)

from palimpsest.strategies import EWC, L2

STRENGTH = 3.0


def anchored(quadratics):
    def after_model(_, __, used):
        for name, value in used.items():
            anchor = value.detach().clone()
            quadratics.terms[name] = [(torch.ones_like(anchor), anchor)]

    return after_model


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("model", MODELS)
def test_the_gradient_is_that_of_the_squared_distance(model, optimizer):
    tape = Tape()
    plugin = L2(strength=STRENGTH, application="gradient")
    trained = train(MODELS[model](), [plugin, tape], program="in_memory", optimizer=optimizer)
    quadratics = Quadratics(STRENGTH)
    expected = replay(
        MODELS[model](),
        tape.batches,
        optimizer=optimizer,
        extra_loss=quadratics.loss,
        after_model=anchored(quadratics),
    )
    assert_close(trained, expected)
    assert distance(expected, replay(MODELS[model](), tape.batches, optimizer=optimizer)) > 1e-3


@pytest.mark.parametrize("model", MODELS)
def test_the_proximal_step_is_its_closed_form(model):
    tape, rate = Tape(), 0.1
    trained = train(
        MODELS[model](),
        [L2(strength=STRENGTH), tape],
        program="in_memory",
        optimizer=lambda p: torch.optim.SGD(p, lr=rate),
    )
    quadratics = Quadratics(STRENGTH)
    expected = replay(
        MODELS[model](),
        tape.batches,
        optimizer=lambda p: torch.optim.SGD(p, lr=rate),
        after_step=quadratics.proximal,
        after_model=anchored(quadratics),
    )
    assert_close(trained, expected)


def test_importance_is_one_where_a_model_was_and_nowhere_else():
    plugin = L2()
    bank = train(make_bank(), [plugin], program="in_memory")
    assert set(plugin.importances) == {n for n, p in bank.named_parameters()}
    for name, importance in plugin.importances.items():
        assert torch.equal(importance, torch.ones_like(importance))
        assert not plugin.anchors[name].requires_grad


def test_it_is_no_elastic_weight_consolidation():
    l2, ewc = (
        train(make_bank(), [kind(strength=STRENGTH)], program="in_memory") for kind in (L2, EWC)
    )
    assert distance(l2, ewc) > 1e-3
