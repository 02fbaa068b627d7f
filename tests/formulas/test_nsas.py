"""NSAS: its archive and its loss, against plain forms and a plain loop."""

from collections import Counter
from itertools import product
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from avalanche.training.plugins import SupervisedPlugin
from programs import (
    CLASSES,
    FEATURES,
    OPTIMIZERS,
    Tape,
    assert_close,
    distance,
    make_bank,
    make_data,
    same,
    train,
)
from torch import nn
from torch.nn.functional import cross_entropy

from palimpsest.benchmark.kit.models import TinySupernet
from palimpsest.strategies import NSAS
from palimpsest.strategies.base.architectures import NoArchitecturesError

WIDTH = 8


def supernet(visits=6, dropout=0.0):
    """Two decisions of three layers each, a head for all: nine architectures, some visited."""
    torch.manual_seed(0)
    layers = {
        f"{place}{i}": nn.Sequential(nn.Linear(size, WIDTH), nn.Tanh(), nn.Dropout(dropout))
        for place, size in (("a", FEATURES), ("b", WIDTH))
        for i in range(3)
    }
    every = list(product("012", repeat=2))
    paths = [(f"a{i}", f"b{j}", "head") for i, j in (every * 3)[:visits]]
    return TinySupernet({**layers, "head": nn.Linear(WIDTH, CLASSES)}, paths, CLASSES)


def visit(model, plugin, *others, count=6, optimizer="sgd", program="in_memory", **options):
    parts = make_data(1) * count
    return train(
        model,
        [plugin, *others],
        parts=parts,
        labels=list(range(count)),
        optimizer=optimizer,
        program=program,
        epochs=1,
        **options,
    )


class Watched(NSAS):
    """Keeps its archive at each visit."""

    def __init__(self, **settings):
        super().__init__(**settings)
        self.archives = []

    def before_training_exp(self, strategy, *_, **__):
        super().before_training_exp(strategy)
        self.archives.append(list(self.archive))


@pytest.mark.parametrize("program", ["naive", "in_memory"])
@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "adam"])
def test_the_loss_is_the_mean_over_the_archive(program, optimizer):
    plugin, tape, epsilon = Watched(epsilon=0.3, archive=3, seed=1), Tape(), 0.3
    trained = visit(supernet(), plugin, tape, optimizer=optimizer, program=program)
    model = supernet()
    for label, batches in enumerate(tape.batches):
        step = OPTIMIZERS[optimizer](model.parameters())
        for x, y in batches:
            step.zero_grad()
            others = [cross_entropy(model.run(x, a), y) for a in plugin.archives[label]]
            mean = sum(others) / len(others)
            ((1 - epsilon) * cross_entropy(model(x, label), y) + epsilon * mean).backward()
            step.step()
    assert [len(archive) for archive in plugin.archives] == [1, 2, 3, 3, 3, 3]
    assert_close(trained, model, rtol=1e-4, atol=1e-5)


def slow_novelty(model, one, others, k):
    distances = np.sort([model.distance(one, other) for other in others])
    return float(np.mean(distances[:k])) if len(others) else 0.0


def begins(plugin, model, label):
    """Let a visit begin."""
    experience = SimpleNamespace(task_label=label)
    plugin.before_training_exp(SimpleNamespace(model=model, experience=experience))


def test_the_archive_is_that_of_the_published_search():
    count, size, k, drawn, recent_most = 18, 5, 2, 1, 3
    model, replaced = supernet(count), 0
    for seed in range(5):
        plugin = NSAS(archive=size, neighbours=k, candidates=drawn, recent=recent_most, seed=seed)
        generator, archive, recent = np.random.default_rng(seed), [], []
        for label in range(count):
            visited = model.architecture_of(label)
            recent = [*recent, visited][-recent_most:]
            if len(archive) < size:
                random = [model.sample_architecture(generator) for _ in range(drawn)]
                scores = [slow_novelty(model, one, archive, k) for one in random]
                archive.append(random[int(np.argmax(scores))])
            else:
                place = int(np.argmin([model.distance(visited, other) for other in archive]))
                rest = [other for i, other in enumerate(archive) if i != place]
                best = archive[place]
                for one in recent:  # as the program: only what is better replaces
                    if slow_novelty(model, one, rest, k) > slow_novelty(model, best, rest, k):
                        best = one
                replaced += best != archive[place]
                archive[place] = best
            begins(plugin, model, label)
            assert plugin.archive == archive
    assert replaced >= 5


class Counting(TinySupernet):
    """Keeps which architectures were run, beside those that are visited."""

    def run(self, x, architecture):
        self.ran[-1].append(architecture)
        return super().run(x, architecture)


class Steps(SupervisedPlugin):
    """Begins a new list for each step."""

    def before_training_iteration(self, strategy, *_, **__):
        strategy.model.ran.append([])


class Along(NSAS):
    """Keeps what is trained along in each step."""

    def __init__(self, **settings):
        super().__init__(**settings)
        self.steps = []

    def _along(self, space):
        self.steps.append(list(super()._along(space)))
        return self.steps[-1]


@pytest.mark.parametrize("weights", ["equal", "similarity"])
@pytest.mark.parametrize("along", ["archive", "opposites"])
def test_the_later_form_and_its_weights(along, weights):
    """0.2 of the visited one's loss, 0.4 of a random one's and 0.4 of its opposite's."""
    few = {"archive": 3} if along == "archive" else {}
    plugin, tape = Along(epsilon=0.8, along=along, weights=weights, seed=3, **few), Tape()
    trained = visit(supernet(), plugin, tape)
    model, steps = supernet(), iter(plugin.steps)
    weighted = 0
    for label, batches in enumerate(tape.batches):
        own = model.architecture_of(label)
        step = OPTIMIZERS["sgd"](model.parameters())
        for x, y in batches:
            others = next(steps)
            alike = [1 - model.distance(own, other) for other in others]
            if weights == "equal" or not any(alike):
                alike = [1.0] * len(others)
            weighted += len(set(alike)) > 1
            step.zero_grad()
            loss = 0.2 * cross_entropy(model(x, label), y)
            for share, other in zip(alike, others, strict=True):
                loss = loss + 0.8 * share / sum(alike) * cross_entropy(model.run(x, other), y)
            loss.backward()
            step.step()
    assert next(steps, None) is None
    assert (weighted > 0) is (weights == "similarity")
    assert_close(trained, model, rtol=1e-4, atol=1e-5)


def test_opposites_differ_in_every_decision_and_are_equally_likely():
    model, plugin = supernet(18), NSAS(along="opposites", seed=1)
    begins(plugin, model, 0)
    pairs = [tuple(plugin._along(model)) for _ in range(3600)]
    assert plugin.archive == []
    for one, other in pairs:
        assert [a == b for a, b in zip(one, other, strict=True)] == [False, False, True]
    counts = Counter(pairs)
    assert len(counts) == 9 * 4  # of three options each, and one head
    assert max(counts.values()) < 2 * min(counts.values())


def test_opposites_need_the_number_of_options():
    class Silent(TinySupernet):
        options = None

    made = supernet()
    with pytest.raises(NoArchitecturesError, match="along: opposites changes every decision"):
        visit(Silent(made.blocks, made.paths, CLASSES), NSAS(along="opposites"))


def test_constraints_are_drawn_anew_in_each_step():
    made, ran, count = supernet(12), [], 12
    model = Counting(made.blocks, made.paths, CLASSES)
    plugin = Watched(archive=5, constraints=2, seed=2)

    class Keep(SupervisedPlugin):
        def after_training_exp(self, strategy, *_, **__):
            ran.append(strategy.model.ran)
            strategy.model.ran = []

    model.ran = []
    visit(model, plugin, Steps(), Keep(), count=count)
    assert [{len(each) for each in steps} for steps in ran] == [{1}] + [{2}] * (count - 1)
    for steps, archive in zip(ran, plugin.archives, strict=True):
        assert all(Counter(each) <= Counter(archive) for each in steps)
    assert len({tuple(each) for each in ran[-1]}) > 1


def test_a_constant_archive_loss_is_training_at_a_smaller_learning_rate():
    constant = visit(supernet(), NSAS(archive_loss="constant", epsilon=0.5))
    halved = train(
        supernet(),
        parts=make_data(1) * 6,
        labels=list(range(6)),
        optimizer=lambda p: torch.optim.SGD(p, lr=0.05),
        program="in_memory",
        epochs=1,
    )
    assert_close(constant, halved)
    assert distance(constant, visit(supernet(), NSAS())) > 1e-2


@pytest.mark.parametrize("optimizer", ["momentum", "adam"])
def test_without_weight_the_archive_is_fine_tuning(optimizer):
    model = supernet(dropout=0.5)
    options = {"parts": make_data(1) * 6, "labels": list(range(6)), "program": "in_memory"}
    plain = train(model, optimizer=optimizer, epochs=1, **options)
    assert same(plain, visit(model, NSAS(epsilon=0.0), optimizer=optimizer))


def test_a_model_without_architectures_is_refused_in_a_sentence():
    with pytest.raises(NoArchitecturesError, match="NSAS needs the architectures of a supernet"):
        train(make_bank(), [NSAS()])
