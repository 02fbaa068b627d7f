"""What penalties need where many models are visited for a few steps each, against slow forms."""

from itertools import pairwise

import pytest
import torch
from programs import (
    CLASSES,
    OPTIMIZERS,
    THREE,
    Alternating,
    Quadratics,
    Tape,
    assert_close,
    distance,
    in_memory_streams,
    make_bank,
    make_data,
    make_ordinary,
    make_program,
    replay,
    same,
    slow_fisher,
    snapshot,
    still,
    train,
)

from palimpsest.benchmark.kit.models import bank as supernet
from palimpsest.benchmark.training.control import ClipGradient
from palimpsest.strategies import EWC, L2, MAS, SI, WPL, Regularizer
from palimpsest.strategies.base.architectures import NoArchitecturesError
from palimpsest.strategies.wpl import WPLSettings

NEW = {"combine", "anchor", "protect", "normalise", "start", "reset_every"}
NEW |= {"strength_decay", "decay_after", "decay_every"}


# A strength that falls from epoch to epoch.


def alpha_of(epoch, alpha, alpha_decay, after):
    """The published program's, in its own words."""
    return alpha if epoch < after else max(alpha - (epoch - (after - 1)) * alpha_decay, 0)


def test_the_strength_falls_as_in_the_published_program():
    told = WPLSettings(strength_decay=0.3, decay_after=2, decay_every=3)
    shares = [told.share_of_strength(visit) for visit in range(18)]
    assert shares == pytest.approx([alpha_of(visit // 3, 1.0, 0.3, 2) for visit in range(18)])
    assert shares[:6] == [1.0] * 6
    assert shares[-3:] == [0.0] * 3
    assert WPLSettings().share_of_strength(10**6) == 1.0


class ByHand:
    """Sets a penalty's strength before each training."""

    def before_training_exp(self, strategy, *arguments, **keywords):
        strength = alpha_of(self.models_seen // 2, 30.0, 30.0 * 0.4, 1)
        self.settings = self.settings.model_copy(update={"strength": strength})
        super().before_training_exp(strategy, *arguments, **keywords)


@pytest.mark.parametrize("application", ["proximal", "gradient"])
@pytest.mark.parametrize("kind", [WPL, L2])
def test_each_training_has_the_strength_of_its_epoch(kind, application):
    own = {"application": application, "normalise": "mean"}
    falls = {"strength_decay": 0.4, "decay_after": 1, "decay_every": 2}
    options = {"parts": make_data(1) * 8, "program": "in_memory", "epochs": 1}
    by_hand = type("Set", (ByHand, kind), {})(strength=30.0, **own)
    found = train(Alternating(), [kind(strength=30.0, **own, **falls)], **options)
    assert same(found, train(Alternating(), [by_hand], **options))
    assert not same(found, train(Alternating(), [kind(strength=30.0, **own)], **options))


# Importance from the training's own gradients.


class Sums:
    """The mean over the batches of a training of n times the squared gradient, the slow way."""

    def __init__(self, model, tape):
        self.model, self.tape = model, tape
        self.found = []
        self.step = 0

    def on_gradients(self, i, used):
        if i == len(self.found):
            self.found.append({n: 0.0 for n, _ in self.model.named_parameters()})
            self.step = 0
        recorded = self.tape.batches[i]
        count = len(recorded[self.step][1])
        for name, parameter in used.items():
            new = count * parameter.grad.detach().clone() ** 2 / len(recorded)
            self.found[i][name] = self.found[i][name] + new
        self.step += 1


@pytest.mark.parametrize("kind", [EWC, WPL])
@pytest.mark.parametrize("model", ["bank", "alternating"])
@pytest.mark.parametrize("program", ["naive", "in_memory"])
def test_importance_is_that_of_the_training_s_own_gradients(kind, model, program):
    made, tape = make_bank() if model == "bank" else Alternating(), Tape()
    plugin = kind(fisher="training", strength=0.0)
    sums = Sums(made, tape)
    train(made, [plugin, tape], program=program, batch_size=15, parts=make_data(1))
    replay(made, tape.batches, on_gradients=sums.on_gradients)
    assert {len(y) for _, y in tape.batches[0]} == {15, 10}  # batches of two sizes
    for name, importance in plugin.importances.items():
        torch.testing.assert_close(importance, sums.found[0][name], rtol=1e-4, atol=1e-9)
    used = {n for n, value in sums.found[0].items() if not isinstance(value, float)}
    assert plugin.importances.keys() == used


def test_with_single_samples_at_fixed_weights_it_is_the_empirical_fisher_information():
    bank, parts = make_bank(), make_data(1)
    plugin = WPL(fisher="training")
    train(bank, [plugin], parts=parts, batch_size=1, optimizer=still, program="in_memory")
    expected = slow_fisher(bank, list(bank.parameters_of(0)), *parts[0], estimator="empirical")
    for name, value in expected.items():
        torch.testing.assert_close(plugin.importances[name], value, rtol=1e-4, atol=1e-8)


def test_it_sees_neither_clipping_nor_the_penalty_nor_the_priors():
    def importances(*plugins, **settings):
        plugin = WPL(fisher="training", **settings)
        train(
            make_bank(),
            [*plugins, plugin],
            parts=make_data(1) * 2,
            labels=[0, 0],
            optimizer=still,
            program="in_memory",
        )
        return plugin.importances

    plain = importances()
    assert same(plain, importances(ClipGradient(1e-3), application="gradient", weight_decay=3.0))


def test_it_needs_no_cross_entropy():
    class Squares(torch.nn.Module):
        def forward(self, outputs, targets):
            return (outputs - torch.nn.functional.one_hot(targets, CLASSES)).square().mean()

    def run(plugin):
        model = make_ordinary()
        strategy = make_program(
            "in_memory", model, torch.optim.SGD(model.parameters(), lr=0.1), [plugin]
        )
        strategy._criterion = Squares()
        for experience in in_memory_streams(make_data(), [0, 0])[0]:
            strategy.train(experience, eval_streams=[], num_workers=0, pin_memory=False)
        return model

    with pytest.raises(ValueError, match="cross-entropy"):
        run(WPL())
    free, held = run(WPL(fisher="training", strength=0)), run(WPL(fisher="training", strength=1e9))
    assert distance(free, held) > 1e-3


# Which parameters.


@pytest.mark.parametrize("kind", [EWC, L2, MAS, SI, WPL])
def test_only_what_is_protected_has_importance_and_holds(kind):
    plugin = kind(strength=1e13, protect=["blocks.y.*", "*.x.0.bias"])
    states = []
    train(
        make_bank(THREE),
        [plugin],
        parts=make_data(3),
        program="in_memory",
        after_each=lambda _, m: states.append(snapshot(m)),
    )
    names = {"blocks.y.0.weight", "blocks.y.0.bias", "blocks.x.0.bias"}
    assert plugin.importances.keys() == plugin.anchors.keys() == names
    for name in names:
        important = plugin.importances[name] > 1e-6
        assert important.any()
        gap = (states[2][name] - states[0][name]).abs()
        assert gap[important].max() < 1e-4
    assert (states[2]["blocks.x.0.weight"] - states[0]["blocks.x.0.weight"]).abs().max() > 1e-2


def test_edges_are_those_that_the_supernet_tells():
    plugin = WPL(protect="edges")
    train(supernet(), [plugin], parts=make_data(3), program="in_memory")
    assert plugin.importances.keys() == supernet().edges()
    with pytest.raises(NoArchitecturesError, match=r"ModelBank has no method edges\(\)"):
        train(make_bank(), [plugin], program="in_memory")


def test_a_pattern_that_matches_nothing_is_an_error_that_names_some():
    with pytest.raises(
        ValueError, match=r"'block\.\*' matches no .*blocks\.shared\.0\.weight.*2 m"
    ):
        train(make_bank(), [WPL(protect=["blocks.*", "block.*"])])


@pytest.mark.parametrize("wrong", ["blocks.*", [], [3], 3, None])
def test_what_is_no_pattern_is_refused_in_a_sentence(wrong):
    with pytest.raises(
        ValueError, match=r"protect(.|\n)*expected all, edges, or a list of patterns"
    ):
        WPL(protect=wrong)


# Several models.


class Given(WPL):
    """WPL with random importances, half of them 0."""

    def estimate(self, strategy, parameters):
        return given(self.models_seen, parameters)


def given(model, parameters):
    generator = torch.Generator().manual_seed(model)
    return {
        name: torch.rand(p.shape, generator=generator)
        * torch.randint(2, p.shape, generator=generator)
        for name, p in parameters.items()
    }


def combined(terms, combine, anchor, momentum=0.5):
    """What WPL keeps of several (importance, value), the slow way: weights of each, then the sum.

    Returns the importance and the anchor.
    """
    weights = [1.0]
    for _ in terms[1:]:
        old, new = (1.0, 1.0) if combine == "sum" else (momentum, 1 - momentum)
        weights = [old * weight for weight in weights] + [new]
    if combine == "max":
        total = torch.stack([importance for importance, _ in terms]).amax(dim=0)
    else:
        total = sum(w * importance for w, (importance, _) in zip(weights, terms, strict=True))
    if anchor == "latest":
        return total, terms[-1][1]
    moment = sum(w * i * value for w, (i, value) in zip(weights, terms, strict=True))
    return total, torch.where(total > 0, moment / total, terms[-1][1])


COMBINATIONS = [
    ("average", "latest", "mean"),
    ("average", "weighted", "none"),
    ("sum", "latest", "none"),
    ("sum", "weighted", "mean"),
    ("max", "latest", "none"),
]


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize(("combine", "anchor", "normalise"), COMBINATIONS)
def test_the_proximal_step_is_exact_with_every_setting(combine, anchor, optimizer, normalise):
    bank, parts, tape, strength = make_bank(THREE), make_data(3), Tape(), 8.0
    plugin = Given(strength=strength, combine=combine, anchor=anchor, normalise=normalise)
    trained = train(bank, [plugin, tape], parts=parts, optimizer=optimizer, program="in_memory")
    quadratics, terms = Quadratics(strength), {}

    def after_model(i, _, used):
        for name, importance in given(i, used).items():
            known = terms.setdefault(name, [])
            known.append((importance, used[name].detach().clone()))
            quadratics.terms[name] = [combined(known, combine, anchor)]
        if normalise == "mean":
            every = torch.cat([value[0][0].flatten() for value in quadratics.terms.values()])
            quadratics.strength = strength / every.double().mean().item()

    expected = replay(
        bank,
        tape.batches,
        optimizer=optimizer,
        after_step=quadratics.proximal,
        after_model=after_model,
    )
    assert_close(trained, expected)
    assert distance(trained, replay(bank, tape.batches, optimizer=optimizer)) > 1e-3


@pytest.mark.parametrize("combine", ["sum", "average"])
def test_the_weighted_quadratic_is_that_of_all_models_up_to_a_constant(combine):
    plugin = Given(strength=3.0, combine=combine, anchor="weighted", momentum=0.3)
    bank, parts = make_bank(), make_data(1) * 4
    known = []

    def note(i, model):
        used = {n: p for n, p in model.named_parameters() if n in plugin.importances}
        weight = 1.0 if combine == "sum" else 0.3**3 if i == 0 else 0.7 * 0.3 ** (3 - i)
        importances = given(i, used)
        known.append((weight, importances, snapshot(model)))

    train(bank, [plugin], parts=parts, labels=[0] * 4, program="in_memory", after_each=note)

    def every(model):
        return sum(
            3.0 / 2 * weight * (importances[n] * (p.double() - anchors[n].double()) ** 2).sum()
            for weight, importances, anchors in known
            for n, p in model.named_parameters()
            if n in importances
        ).item()

    gaps = []
    for seed in range(4):
        model = make_bank(seed=seed)
        gaps.append(every(model) - plugin.penalty(model).item())
    assert max(gaps) - min(gaps) < 1e-4 * every(make_bank())
    assert gaps[0] > 1e-4  # a constant that is not 0: the models do not end at one place


def test_the_sum_of_weighted_quadratics_is_ewc():
    plugins = [WPL(strength=50.0, combine="sum", anchor="weighted"), EWC(strength=50.0)]
    one, two = (train(make_bank(THREE), [p], parts=make_data(3)) for p in plugins)
    assert same(one, two)


def test_the_largest_importance_has_no_weighted_anchor():
    with pytest.raises(ValueError, match="anchor: weighted is the minimum of a sum"):
        WPL(combine="max", anchor="weighted")


def test_normalised_the_scale_of_importances_does_not_matter():
    class Scaled(L2):
        scale = 1.0

        def estimate(self, strategy, parameters):
            own = given(self.models_seen, parameters)
            return {name: self.scale * value for name, value in own.items()}

    def end(scale, **settings):
        plugin = Scaled(strength=20.0, **settings)
        plugin.scale = scale
        return train(make_bank(), [plugin]), plugin

    one, plugin = end(1.0, normalise="mean")
    for scale in (1e-12, 1e12):
        assert distance(one, end(scale, normalise="mean")[0]) < 1e-6
    assert distance(one, end(1e-12)[0]) > 1e-2
    kept = torch.cat([value.flatten() for value in plugin.importances.values()])
    assert 0.2 < kept.mean() < 0.3  # what is kept is as it was estimated
    plain = Scaled(strength=20.0 / kept.mean().item())
    plain.importances, plain.anchors = plugin.importances, plugin.anchors
    model = make_bank(seed=3)
    torch.testing.assert_close(plain.penalty(model), plugin.penalty(model))


def test_importances_of_zero_are_not_divided_by():
    class Nothing(L2):
        def estimate(self, strategy, parameters):
            return {name: torch.zeros_like(p) for name, p in parameters.items()}

    assert same(train(make_bank(), [Nothing(normalise="mean")]), train(make_bank()))


# When.


class Note(Regularizer):
    """An importance of 1, and what there was of it before each training."""

    def __init__(self, **settings):
        super().__init__(**settings)
        self.kept, self.estimates = [], []

    def before_training_exp(self, strategy, *_, **__):
        super().before_training_exp(strategy)
        self.kept.append(len(self.importances))

    def estimate(self, strategy, parameters):
        self.estimates.append(self.models_seen)
        return {name: torch.ones_like(p) for name, p in parameters.items()}

    def consolidate(self, name, importance, value):
        return importance, value


@pytest.mark.parametrize(
    ("settings", "kept", "estimates"),
    [
        ({}, [0, 4, 4, 4, 4, 4], [0, 1, 2, 3, 4, 5]),
        ({"start": 2}, [0, 0, 0, 4, 4, 4], [2, 3, 4, 5]),
        ({"reset_every": 2}, [0, 4, 0, 4, 0, 4], [0, 1, 2, 3, 4, 5]),
        ({"start": 3, "reset_every": 2}, [0, 0, 0, 0, 0, 4], [3, 4, 5]),
        ({"start": 9}, [0] * 6, []),
    ],
)
def test_when_importance_is_gathered_and_forgotten(settings, kept, estimates):
    plugin = Note(strength=1e9, **settings)
    states = [snapshot(make_ordinary())]
    train(
        make_ordinary(),
        [plugin],
        parts=make_data(1) * 6,
        epochs=1,
        program="in_memory",
        after_each=lambda _, m: states.append(snapshot(m)),
    )
    assert plugin.kept == kept
    assert plugin.estimates == estimates
    moved = [
        max((after[n] - before[n]).abs().max().item() for n in after)
        for before, after in pairwise(states)
    ]
    assert [gap < 1e-6 for gap in moved] == [bool(number) for number in kept]
