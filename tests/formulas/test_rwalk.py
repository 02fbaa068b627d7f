"""Riemannian walk against a loop that keeps every segment by itself."""

import copy

import pytest
import torch
from avalanche.training.plugins import SupervisedPlugin
from programs import (
    OPTIMIZERS,
    THREE,
    Quadratics,
    Tape,
    assert_close,
    distance,
    make_bank,
    make_data,
    make_ordinary,
    replay,
    slow_fisher,
    train,
)

from palimpsest.strategies import RWalk

STRENGTH, DAMPING, ALPHA, EVERY = 2.0, 0.01, 0.7, 3  # 8 steps a model: the last segment has 2


class SlowRWalk:
    """The definition, with dictionaries and nothing else."""

    def __init__(self, model, batches, application, every=EVERY):
        self.model = copy.deepcopy(model)
        self.batches = batches
        self.application, self.every = application, every
        self.quadratics = Quadratics(STRENGTH)
        self.importances, self.fisher, self.scores, self.new = {}, {}, {}, {}
        self.clipped, self.segments, self.step = 0, 0, 0

    def on_gradients(self, _, used):
        self.gradients = {name: p.grad.clone() for name, p in used.items()}

    def extra_loss(self, i, used):
        return self.quadratics.loss(i, used) if self.application == "gradient" else None

    def after_step(self, i, used, before, optimizer):
        if self.step % self.every == 0:
            self.start, self.path = before, dict.fromkeys(used, 0)
        if self.application == "proximal":
            self.quadratics.proximal(i, used, before, optimizer)
        for name, p in used.items():
            self.path[name] = self.path[name] - self.gradients[name] * (p.detach() - before[name])
            self.model.get_parameter(name).data.copy_(p)
        self.step += 1
        if self.step % self.every == 0 or self.step == len(self.batches[i]):
            self.end_of_segment(i, used, *self.batches[i][self.step - 1])

    def end_of_segment(self, i, used, x, y):
        self.segments += 1
        with torch.enable_grad():
            fisher = slow_fisher(self.model, list(used), x, y, "empirical", i)
        for name, p in used.items():
            old = self.fisher.get(name, fisher[name])
            self.fisher[name] = ALPHA * fisher[name] + (1 - ALPHA) * old
            divergence = 0.5 * self.fisher[name] * (p.detach() - self.start[name]) ** 2
            score = self.path[name] / (divergence + DAMPING)
            self.clipped += int((score < 0).sum())
            self.new[name] = self.new.get(name, 0) + score.clamp(min=0)

    def after_model(self, _, __, used):
        for name in used:
            old = self.scores.get(name)
            self.scores[name] = self.new[name] if old is None else 0.5 * (old + self.new[name])
        largest_fisher = max(self.fisher[name].max() for name in used)
        largest_score = max(self.scores[name].max() for name in used)
        for name, p in used.items():
            scaled = self.fisher[name] / largest_fisher, self.scores[name] / largest_score
            self.importances[name] = sum(scaled)
            self.quadratics.terms[name] = [(self.importances[name], p.detach().clone())]
        self.new, self.step = {}, 0


@pytest.mark.parametrize("application", ["proximal", "gradient"])
@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "adam", "rmsprop"])
@pytest.mark.parametrize("kind", ["ordinary", "bank"])
def test_equals_the_segments_of_a_plain_loop(application, optimizer, kind):
    initial = make_ordinary() if kind == "ordinary" else make_bank(THREE)
    parts, tape = make_data(2 if kind == "ordinary" else 3), Tape()
    make = OPTIMIZERS[optimizer]
    plugin = RWalk(
        strength=STRENGTH, damping=DAMPING, alpha=ALPHA, every=EVERY, application=application
    )
    trained = train(initial, [plugin, tape], parts=parts, optimizer=make, program="in_memory")
    slow = SlowRWalk(initial, tape.batches, application)
    expected = replay(
        initial,
        tape.batches,
        optimizer=make,
        on_gradients=slow.on_gradients,
        extra_loss=slow.extra_loss,
        after_step=slow.after_step,
        after_model=slow.after_model,
    )
    assert slow.segments == 3 * len(parts)
    if optimizer == "momentum":  # the others seldom or never go uphill
        assert slow.clipped > 10
    assert_close(trained, expected, rtol=1e-4, atol=1e-5)
    assert distance(expected, replay(initial, tape.batches, optimizer=make)) > 1e-3
    assert plugin.importances.keys() == slow.importances.keys()
    for name, importance in slow.importances.items():
        for found, wanted in (
            (plugin.fisher[name], slow.fisher[name]),
            (plugin.scores[name], slow.scores[name]),
            (plugin.importances[name], importance),
            (plugin.anchors[name], slow.quadratics.terms[name][0][1]),
        ):
            torch.testing.assert_close(found, wanted, rtol=2e-3, atol=1e-4, msg=name)


@pytest.mark.parametrize(("every", "segments"), [(4, 2), (7, 2), (8, 1), (9, 1)])
def test_segments_may_end_with_the_training_or_a_step_before(every, segments):
    initial, parts, tape = make_bank(THREE), make_data(3), Tape()
    plugin = RWalk(strength=STRENGTH, damping=DAMPING, alpha=ALPHA, every=every)
    train(initial, [plugin, tape], parts=parts, program="in_memory")
    slow = SlowRWalk(initial, tape.batches, "proximal", every)
    replay(
        initial,
        tape.batches,
        on_gradients=slow.on_gradients,
        after_step=slow.after_step,
        after_model=slow.after_model,
    )
    assert slow.segments == segments * len(parts)
    for name, importance in slow.importances.items():
        torch.testing.assert_close(plugin.fisher[name], slow.fisher[name], rtol=2e-3, atol=1e-4)
        torch.testing.assert_close(plugin.importances[name], importance, rtol=2e-3, atol=1e-4)


@pytest.mark.parametrize("program", ["naive", "in_memory"])
def test_the_fisher_information_of_batches_averages_to_that_of_all_samples(program):
    class Collect(SupervisedPlugin):
        def after_training_iteration(self, *_, **__):
            kept.append(copy.deepcopy(plugin.fisher))

    (x, y) = make_data(1)[0]
    model = make_ordinary()
    names = [name for name, _ in model.named_parameters()]
    expected = slow_fisher(model, names, x, y, "empirical")
    for batch_size in (1, 4, 20):
        kept, plugin = [], RWalk(every=1, alpha=1.0)
        train(
            model,
            [plugin, Collect()],
            parts=[(x, y)],
            program=program,
            batch_size=batch_size,
            epochs=1,
            optimizer=lambda p: torch.optim.SGD(p, lr=0.0),
        )
        assert len(kept) == len(x) / batch_size
        for name, value in expected.items():
            mean = sum(fisher[name] for fisher in kept) / len(kept)
            torch.testing.assert_close(mean, value, rtol=1e-4, atol=1e-7, msg=name)


def test_where_nothing_moves_only_the_fisher_information_counts():
    plugin = RWalk()
    train(make_ordinary(), [plugin], optimizer=lambda p: torch.optim.SGD(p, lr=0.0))
    largest = max(value.max() for value in plugin.fisher.values())
    for name, importance in plugin.importances.items():
        torch.testing.assert_close(importance, plugin.fisher[name] / largest)
        assert not plugin.scores[name].any()
