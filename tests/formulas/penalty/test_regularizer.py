"""The two ways to apply a penalty, against loops that let autograd or the closed form do it."""

import pytest
import torch
from programs import (
    MODELS,
    OPTIMIZERS,
    Alternating,
    Quadratics,
    Tape,
    assert_close,
    distance,
    make_ordinary,
    replay,
    train,
)

from palimpsest.benchmark.training.control import Warmup
from palimpsest.strategies import Regularizer

STRENGTH = 8.0


class Given(Regularizer):
    """A penalty with random importances, half of them 0; those of the last model count."""

    def estimate(self, strategy, parameters):
        return importances(self.models_seen, parameters)

    def consolidate(self, name, importance, value):
        return importance, value


def importances(model, parameters):
    generator = torch.Generator().manual_seed(model)
    return {
        name: torch.rand(p.shape, generator=generator)
        * torch.randint(2, p.shape, generator=generator)
        for name, p in parameters.items()
    }


def note_quadratics(quadratics):
    def after_model(i, _, used):
        for name, importance in importances(i, used).items():
            quadratics.terms[name] = [(importance, used[name].detach().clone())]

    return after_model


def train_with(application, model, optimizer, *plugins, program="in_memory", parts=None):
    tape = Tape()
    plugin = Given(strength=STRENGTH, application=application)
    trained = train(
        model, [plugin, *plugins, tape], program=program, optimizer=optimizer, parts=parts
    )
    return trained, tape.batches


@pytest.mark.parametrize("program", ["naive", "in_memory"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("model", MODELS)
def test_gradient_application_is_the_penalty_added_to_the_loss(program, optimizer, model):
    trained, batches = train_with("gradient", MODELS[model](), optimizer, program=program)
    quadratics = Quadratics(STRENGTH)
    expected = replay(
        MODELS[model](),
        batches,
        optimizer=optimizer,
        extra_loss=quadratics.loss,
        after_model=note_quadratics(quadratics),
    )
    assert_close(trained, expected)
    assert distance(expected, replay(MODELS[model](), batches, optimizer=optimizer)) > 1e-3


@pytest.mark.parametrize("program", ["naive", "in_memory"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("application", ["proximal", "decoupled"])
def test_proximal_step_is_its_closed_form(program, optimizer, model, application):
    trained, batches = train_with(application, MODELS[model](), optimizer, program=program)
    quadratics = Quadratics(STRENGTH)
    expected = replay(
        MODELS[model](),
        batches,
        optimizer=optimizer,
        after_step=getattr(quadratics, application),
        after_model=note_quadratics(quadratics),
    )
    assert_close(trained, expected)
    assert distance(expected, replay(MODELS[model](), batches, optimizer=optimizer)) > 1e-3


def test_proximal_step_follows_a_warm_up_of_the_learning_rate():
    initial, length = make_ordinary(), 6
    trained, batches = train_with("proximal", initial, "sgd", Warmup([length, length]))
    quadratics, steps, optimizers = Quadratics(STRENGTH), [0, 0], []

    def make(parameters):
        optimizers.append(torch.optim.SGD(parameters, lr=0.1 / length))
        return optimizers[-1]

    def after_step(i, used, before, optimizer):
        quadratics.proximal(i, used, before, optimizer)
        steps[i] += 1
        optimizers[i].param_groups[0]["lr"] = 0.1 * min(1.0, (steps[i] + 1) / length)

    expected = replay(
        initial,
        batches,
        optimizer=make,
        after_step=after_step,
        after_model=note_quadratics(quadratics),
    )
    assert_close(trained, expected)


def two_groups(parameters):
    parameters = list(parameters)
    return torch.optim.SGD(
        [{"params": parameters[:2], "lr": 0.1}, {"params": parameters[2:], "lr": 0.02}]
    )


def test_proximal_step_uses_the_learning_rate_of_the_parameters_group():
    initial = make_ordinary()
    trained, batches = train_with("proximal", initial, two_groups)
    quadratics = Quadratics(STRENGTH)
    expected = replay(
        initial,
        batches,
        optimizer=two_groups,
        after_step=quadratics.proximal,
        after_model=note_quadratics(quadratics),
    )
    assert_close(trained, expected)


def test_only_parameters_that_the_step_uses_are_pulled():
    trained, batches = train_with("proximal", Alternating(), "momentum")
    quadratics, everything = Quadratics(STRENGTH), {}

    def after_step(i, used, before, optimizer):
        everything.update(used)
        quadratics.proximal(i, used, before, optimizer)

    def after_model(i, model, _):
        note_quadratics(quadratics)(i, model, dict(model.named_parameters()))

    expected = replay(
        Alternating(),
        batches,
        optimizer="momentum",
        after_step=after_step,
        after_model=after_model,
    )
    assert len(everything) == 4
    assert_close(trained, expected)
