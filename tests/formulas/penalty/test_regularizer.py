"""The two ways to apply a penalty, against loops that let autograd or the closed form do it."""

import pytest
import torch
from avalanche.training.plugins import SupervisedPlugin
from programs import (
    BATCH,
    MODELS,
    OPTIMIZERS,
    SAMPLES,
    Alternating,
    Quadratics,
    Tape,
    assert_close,
    distance,
    make_bank,
    make_data,
    make_ordinary,
    replay,
    same,
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


@pytest.mark.parametrize("applications", [("proximal", "gradient")])
def test_both_applications_agree_where_steps_are_small(applications):
    def small(p):
        return torch.optim.SGD(p, lr=1e-4)

    one, two = (train_with(a, make_bank(), small)[0] for a in applications)
    assert_close(one, two, rtol=1e-4, atol=1e-6)


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


class Alternate(SupervisedPlugin):
    """Two learning rates by turns, set where schedulers set them: between the steps."""

    def after_training_iteration(self, strategy, *_, **__):
        group = strategy.optimizer.param_groups[0]
        group["lr"] = 0.15 - group["lr"]


def test_proximal_step_follows_a_learning_rate_that_alternates():
    initial = make_ordinary()
    trained, batches = train_with("proximal", initial, "sgd", Alternate())
    quadratics, optimizers = Quadratics(STRENGTH), []

    def make(parameters):
        rate = optimizers[-1].param_groups[0]["lr"] if optimizers else 0.1
        optimizers.append(torch.optim.SGD(parameters, lr=rate))
        return optimizers[-1]

    def after_step(i, used, before, optimizer):
        quadratics.proximal(i, used, before, optimizer)
        group = optimizer.param_groups[0]
        group["lr"] = 0.15 - group["lr"]

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


def test_nothing_is_penalised_while_the_first_model_trains():
    plugin = Given(strength=1e9)
    strong = train(make_bank(), [plugin], parts=make_data(1))
    assert plugin.models_seen == 1
    assert same(strong, train(make_bank(), parts=make_data(1)))


def test_the_tape_has_the_batches_that_were_trained_on():
    _, batches = train_with("proximal", make_bank(), "sgd")
    assert [len(recorded) for recorded in batches] == [2 * SAMPLES // BATCH] * 2
