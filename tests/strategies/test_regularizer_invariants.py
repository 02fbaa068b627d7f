"""What must hold for every regularizer, in Avalanche's own programs and in the harness's."""

import copy
import pickle
from functools import cache, partial

import pytest
import torch
from avalanche.models import IncrementalClassifier
from avalanche.models.utils import avalanche_forward
from avalanche.training.plugins import SupervisedPlugin
from programs import (
    CLASSES,
    FEATURES,
    MODELS,
    OPTIMIZERS,
    THREE,
    in_memory_streams,
    make_bank,
    make_data,
    make_ordinary,
    make_program,
    same,
    snapshot,
    stock_streams,
    train,
)
from torch import nn
from torch.nn.functional import cross_entropy

from benchmark.evaluation import AccuracyMeter, evaluate
from strategies import EWC, L2, MAS, SI, WPL, Regularizer, RWalk, WPLSchur

PENALTIES = {
    "wpl": WPL,
    "ewc": EWC,
    "ewc_online": partial(EWC, form="online", decay=0.9),
    "si": SI,
    "l2": L2,
    "mas": MAS,
    "rwalk": RWalk,
}
ALL_PENALTIES = PENALTIES | {"wpl_schur": WPLSchur}
"""With those that have no importances of single parameters."""

PROGRAMS = ["naive", "in_memory"]
APPLICATIONS = ["proximal", "gradient"]

every_penalty = pytest.mark.parametrize("penalty", PENALTIES)
really_every_penalty = pytest.mark.parametrize("penalty", ALL_PENALTIES)
every_program = pytest.mark.parametrize("program", PROGRAMS)
every_application = pytest.mark.parametrize("application", APPLICATIONS)
every_model = pytest.mark.parametrize("model", MODELS)


@cache
def finetuned(model, program, optimizer, epochs=2):
    return train(MODELS[model](), program=program, optimizer=optimizer, epochs=epochs)


@really_every_penalty
@every_application
@every_model
@every_program
@pytest.mark.parametrize("optimizer", ["momentum", "adam", "rmsprop"])
def test_strength_zero_is_fine_tuning(penalty, application, model, program, optimizer):
    plugin = ALL_PENALTIES[penalty](strength=0, application=application)
    trained = train(MODELS[model](), [plugin], program=program, optimizer=optimizer)
    assert same(trained, finetuned(model, program, optimizer))


@really_every_penalty
@pytest.mark.parametrize("strength", [1, 1e12])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_proximal_weights_are_finite_and_not_those_of_fine_tuning(penalty, strength, optimizer):
    plugin = ALL_PENALTIES[penalty](strength=strength)
    trained = train(make_bank(), [plugin], program="in_memory", optimizer=optimizer)
    assert all(p.isfinite().all() for p in trained.parameters())
    assert not same(trained, finetuned("bank", "in_memory", optimizer))


@every_penalty
@every_model
@every_program
@pytest.mark.parametrize("optimizer", ["momentum", "adam", "rmsprop"])
def test_a_huge_strength_holds_what_is_important_at_its_anchor(penalty, model, program, optimizer):
    plugin = PENALTIES[penalty](strength=1e15)
    kept = {}

    def keep(i, _):
        if i == 0:
            kept["anchors"] = copy.deepcopy(plugin.anchors)
            kept["importances"] = copy.deepcopy(plugin.importances)

    trained = train(
        MODELS[model](), [plugin], program=program, optimizer=optimizer, after_each=keep
    )
    parameters = dict(trained.named_parameters())
    held = 0
    for name, importance in kept["importances"].items():
        important = importance > 1e-5
        distance = (parameters[name] - kept["anchors"][name]).abs()[important]
        assert (distance <= 1e-6).all(), name
        held += int(important.sum())
    assert held > 20


class Given(Regularizer):
    """A penalty whose importances the test makes up."""

    def __init__(self, importances, **settings):
        super().__init__(**settings)
        self.given = importances

    def estimate(self, strategy, parameters):
        return {name: self.given[name].clone() for name in parameters}

    def consolidate(self, name, importance, value):
        return importance, value


@every_model
@every_program
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_everything_with_importance_is_held_and_the_rest_moves(model, program, optimizer):
    initial = MODELS[model]()
    generator = torch.Generator().manual_seed(0)
    importances = {
        name: (torch.rand(p.shape, generator=generator) + 1e-3)
        * torch.randint(2, p.shape, generator=generator)
        for name, p in initial.named_parameters()
    }
    plugin, anchors = Given(importances, strength=1e12), {}
    trained = train(
        initial,
        [plugin],
        program=program,
        optimizer=optimizer,
        after_each=lambda i, m: anchors.update(snapshot(m)) if i == 0 else None,
    )
    moved = 0
    for name, parameter in trained.named_parameters():
        held = importances[name] > 0
        if "a." not in name and "b." not in name:  # heads are not shared
            assert (parameter - anchors[name]).abs()[held].max() <= 1e-6
            moved += int(((parameter - anchors[name]).abs()[~held] > 1e-4).sum())
    assert moved > 5


@really_every_penalty
@every_model
def test_a_strong_penalty_forgets_less_than_fine_tuning(penalty, model):
    x, y = make_data()[0]

    def loss(trained):
        with torch.no_grad():
            return cross_entropy(avalanche_forward(trained, x, 0), y).item()

    plugin = ALL_PENALTIES[penalty](strength=1e4)
    protected = train(
        MODELS[model](), [plugin], epochs=15, program="in_memory", optimizer="momentum"
    )
    plain = finetuned(model, "in_memory", "momentum", 15)
    assert not same(protected, plain)
    assert loss(protected) < loss(plain) - 0.1


@really_every_penalty
@every_application
@every_program
@pytest.mark.parametrize("optimizer", ["momentum", "adam"])
@pytest.mark.parametrize("reset", [False, True])
def test_parameters_that_the_model_does_not_use_never_move(
    penalty, application, program, optimizer, reset
):
    bank = make_bank(THREE)
    states = []
    train(
        bank,
        [ALL_PENALTIES[penalty](strength=1.0, application=application)],
        parts=make_data(3),
        program=program,
        optimizer=optimizer,
        reset=reset,
        after_each=lambda i, m: states.append(snapshot(m)),
    )
    for model in (1, 2):
        used = bank.parameters_of(model)
        for name, value in states[model].items():
            assert torch.equal(value, states[model - 1][name]) == (name not in used), name


@every_penalty
@every_application
@every_program
def test_frozen_and_unused_parameters_are_left_alone(penalty, application, program):
    model = make_ordinary()
    model[0].bias.requires_grad_(False)
    model.append(nn.Identity())
    model[-1].extra = nn.Parameter(torch.ones(3))  # no forward pass uses it
    plugin = PENALTIES[penalty](strength=1.0, application=application)
    trained = train(model, [plugin], program=program, optimizer="adam")
    assert torch.equal(trained[0].bias, model[0].bias)
    assert torch.equal(trained[-1].extra, model[-1].extra)
    assert set(plugin.importances) == {"0.weight", "2.weight", "2.bias"}


@pytest.mark.parametrize("penalty", ["wpl", "ewc", "ewc_online"])
@every_program
@pytest.mark.parametrize("fisher", ["exact", "monte_carlo", "empirical"])
def test_importance_does_not_depend_on_the_batch_size(penalty, program, fisher):
    def importances(batch_size):
        plugin = PENALTIES[penalty](samples=30, fisher=fisher)
        train(
            make_ordinary(),
            [plugin],
            program=program,
            batch_size=batch_size,
            optimizer=lambda p: torch.optim.SGD(p, lr=0.0),
        )
        return plugin.importances

    assert same(importances(4), importances(20))


class Evaluates(SupervisedPlugin):
    """Evaluates all models before, every third step of, and after training."""

    def __init__(self, test):
        super().__init__()
        self.test = test
        self.step = 0

    def before_training_exp(self, strategy, *_, **__):
        evaluate(strategy, self.test)

    def after_training_iteration(self, strategy, *_, **__):
        self.step += 1
        if self.step % 3 == 0:
            evaluate(strategy, self.test)

    def after_training_exp(self, strategy, *_, **__):
        evaluate(strategy, self.test)


@every_penalty
@every_application
@every_model
@every_program
def test_evaluation_during_training_does_not_change_it(penalty, application, model, program):
    parts = make_data()
    labels = [0, 1] if model == "bank" else [0, 0]
    streams = stock_streams if program == "naive" else in_memory_streams

    def trained(*watchers):
        plugin = PENALTIES[penalty](strength=10.0, application=application)
        result = train(MODELS[model](), [plugin, *watchers], program=program, optimizer="momentum")
        return result, plugin

    plain, without = trained()
    watched, with_evaluation = trained(AccuracyMeter(), Evaluates(streams(parts, labels)[1]))
    assert same(plain, watched)
    assert same(without.importances, with_evaluation.importances)
    assert same(without.anchors, with_evaluation.anchors)


def grown_head():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(FEATURES, 8), nn.Tanh(), IncrementalClassifier(8, initial_out_features=2)
    )


def new_classes():
    """Data of two experiences with two classes each."""
    (x, y), (z, w) = make_data()
    return [(x, y % 2), (z, w % 2 + 2)]


@every_penalty
@every_application
@every_program
def test_heads_may_grow(penalty, application, program):
    plugin = PENALTIES[penalty](strength=1.0, application=application)
    trained = train(grown_head(), [plugin], parts=new_classes(), program=program)
    for name, parameter in trained.named_parameters():
        assert plugin.importances[name].shape == plugin.anchors[name].shape == parameter.shape
    assert trained[2].classifier.out_features == CLASSES


@pytest.mark.parametrize("penalty", ["wpl", "ewc", "ewc_online"])
@every_program
def test_old_rows_of_a_grown_head_are_protected_and_new_ones_are_free(penalty, program):
    class Starts(SupervisedPlugin):
        def before_training_exp(self, strategy, *_, **__):
            starts.append(snapshot(strategy.model))

    starts = []
    trained = train(
        grown_head(),
        [PENALTIES[penalty](strength=1e12), Starts()],
        parts=new_classes(),
        program=program,
        epochs=5,
    )
    moved = (trained[2].classifier.weight - starts[1]["2.classifier.weight"]).abs()
    assert moved[:2].max() <= 1e-6
    assert moved[2:].max() > 0.01


@every_penalty
@every_application
@pytest.mark.parametrize(
    "duplicate", [copy.deepcopy, lambda p: pickle.loads(pickle.dumps(p))], ids=["copy", "pickle"]
)
def test_a_copied_plugin_goes_on_as_the_original(penalty, application, duplicate):
    experiences, _ = in_memory_streams(make_data(), [0, 1])

    def second_model(copied):
        model = make_bank()
        plugin = PENALTIES[penalty](strength=50.0, application=application)
        for i, experience in enumerate(experiences):
            if i == 1 and copied:
                plugin = duplicate(plugin)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
            strategy = make_program("in_memory", model, optimizer, [plugin])
            strategy.train(experience, eval_streams=[])
        return model, plugin

    (one, original), (two, again) = second_model(False), second_model(True)
    assert same(one, two)
    assert same(original.importances, again.importances)
    assert again.settings == original.settings


@really_every_penalty
def test_a_plugin_can_be_copied_before_it_is_used(penalty):
    plugin = ALL_PENALTIES[penalty](strength=3.0)
    assert pickle.loads(pickle.dumps(plugin)).settings.strength == 3.0


@really_every_penalty
@every_application
def test_double_precision_trains_as_single_precision_does(penalty, application):
    def weights(dtype):
        parts = [(x.to(dtype), y) for x, y in make_data()]
        plugin = ALL_PENALTIES[penalty](
            strength=10.0, application=application, **all_samples(penalty)
        )
        return train(make_bank().to(dtype), [plugin], parts=parts, program="in_memory")

    single, double = weights(torch.float32), weights(torch.float64)
    for name, parameter in double.named_parameters():
        other = single.get_parameter(name).double()
        torch.testing.assert_close(parameter.detach(), other.detach(), rtol=1e-3, atol=1e-4)


def all_samples(penalty):
    return {} if penalty in {"si", "l2", "rwalk"} else {"samples": 1000}


@every_penalty
def test_a_changing_learning_rate_leaves_the_importances_of_double_precision_alone(penalty):
    class Decay(SupervisedPlugin):
        def before_update(self, strategy, *_, **__):
            strategy.optimizer.param_groups[0]["lr"] *= 0.9

    plugin = PENALTIES[penalty](strength=20.0)
    kept = []

    class Keep(SupervisedPlugin):
        def before_training_epoch(self, *_, **__):
            kept.append(copy.deepcopy(plugin.importances))

        def after_training_epoch(self, *_, **__):
            kept.append(copy.deepcopy(plugin.importances))

    parts = [(x.double(), y) for x, y in make_data()]
    train(make_ordinary().double(), [plugin, Decay(), Keep()], parts=parts, epochs=1)
    assert kept[2].keys() == kept[3].keys() != set()
    assert same(kept[2], kept[3])


@every_penalty
def test_importances_are_not_negative_and_cover_what_was_trained(penalty):
    bank, plugin = make_bank(THREE), PENALTIES[penalty]()
    seen = []
    train(
        bank,
        [plugin],
        parts=make_data(3),
        after_each=lambda *_: seen.append(set(plugin.importances)),
    )
    expected = set()
    for model in range(3):
        expected |= set(bank.parameters_of(model))
        assert seen[model] == expected
    assert all((value >= 0).all() for value in plugin.importances.values())


@pytest.mark.parametrize("penalty", ["wpl", "ewc"])
def test_the_seed_decides_which_samples_importance_is_estimated_from(penalty):
    def importances(seed):
        plugin = PENALTIES[penalty](samples=5, seed=seed)
        train(make_bank(), [plugin])
        return plugin.importances

    assert same(importances(1), importances(1))
    assert not same(importances(1), importances(2))


@pytest.mark.parametrize("penalty", ["wpl", "ewc"])
def test_each_model_draws_its_own_samples(penalty):
    plugin, kept = PENALTIES[penalty](samples=5), []
    part = make_data(1)[0]
    train(
        make_bank((("shared", "a"), ("shared", "a"))),
        [plugin],
        parts=[part, part],
        optimizer=lambda p: torch.optim.SGD(p, lr=0.0),
        after_each=lambda *_: kept.append(copy.deepcopy(plugin.importances)),
    )
    scale = 2 if penalty == "ewc" else 1  # the same samples again would give the sum or the mean
    first, both = (k["blocks.shared.0.weight"] for k in kept)
    assert not torch.allclose(scale * first, both, rtol=1e-3)


def test_wrong_settings_are_refused():
    for wrong in ({"strength": -1}, {"strength": float("inf")}, {"lambda_": 1}, {"fisher": "no"}):
        with pytest.raises(ValueError, match="validation error"):
            EWC(**wrong)
