"""The authors' program of WPL, against a loop that does as it does."""

import pytest
import torch
from programs import (
    OPTIMIZERS,
    THREE,
    Alternating,
    Tape,
    assert_close,
    distance,
    make_bank,
    make_data,
    replay,
    train,
)

from palimpsest.benchmark.kit.models import bank as supernet
from palimpsest.benchmark.training.control import ClipGradient
from palimpsest.strategies import WPLOfficial

ALPHA, LAMBDA, LIMIT = 60.0, 0.9, 10.0


def clipped(tensor, limit):
    length = float(tensor.double().square().sum()) ** 0.5
    return tensor / length * limit if length > limit else tensor


class Program:
    """What the published program keeps and adds to the loss, with its own words."""

    def __init__(self, alpha, limit=LIMIT, names=None, alpha_decay=0.0, alpha_decay_after=0):
        self.alpha, self.limit, self.names = alpha, limit, names
        self.alpha_decay, self.alpha_decay_after = alpha_decay, alpha_decay_after
        self.fisher, self.optimal, self.last = {}, {}, {}

    def on_gradients(self, _, used):
        self.last = {n: p.grad.detach().clone() for n, p in used.items()}

    def loss(self, _, used):
        terms = [
            (self.fisher[n] * (p - self.optimal[n]) ** 2).sum()
            for n, p in used.items()
            if n in self.fisher
        ]
        return sum(terms) / 2 if terms else None

    def alpha_of(self, epoch):
        if epoch < self.alpha_decay_after:
            return self.alpha
        return max(self.alpha - (epoch - (self.alpha_decay_after - 1)) * self.alpha_decay, 0)

    def after_model(self, epoch, model, used):
        for name, parameter in used.items():
            if self.names is not None and name not in self.names:
                continue
            if name not in self.last:
                self.fisher[name] = torch.zeros_like(parameter)
            else:
                fisher = (1 - LAMBDA) * self.fisher.get(name, 0)
                fisher = clipped(fisher + LAMBDA * self.last[name] ** 2, self.limit)
                self.fisher[name] = fisher * self.alpha_of(epoch)
            self.optimal[name] = parameter.detach().clone()


@pytest.mark.parametrize("decay", [0.0, 0.25, 0.8])
@pytest.mark.parametrize("limit", [LIMIT, 1e-3])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_it_does_what_the_program_does(optimizer, limit, decay):
    bank, tape, alpha = make_bank(THREE), Tape(), 3.0
    falls = {"strength_decay": decay, "decay_after": 1} if decay else {}
    plugin = WPLOfficial(strength=alpha, norm=limit, protect="all", **falls)
    options = {"parts": make_data(3), "optimizer": optimizer, "program": "in_memory"}
    trained = train(bank, [plugin, tape], **options)
    program = Program(alpha, limit, alpha_decay=decay * alpha, alpha_decay_after=1)
    expected = replay(
        bank,
        tape.batches,
        optimizer=optimizer,
        extra_loss=program.loss,
        after_model=program.after_model,
        on_gradients=program.on_gradients,
    )
    assert_close(trained, expected, rtol=1e-4, atol=1e-5)
    for name, fisher in program.fisher.items():
        torch.testing.assert_close(plugin.importances[name], fisher, rtol=1e-3, atol=1e-7)
    assert distance(trained, replay(bank, tape.batches, optimizer=optimizer)) > 1e-5


def test_the_strength_compounds_until_the_norm_stops_it():
    plugin, found = WPLOfficial(), []
    square = torch.full((100,), 1e-6)
    plugin._squares = {"w": square}
    for _ in range(10):
        importance, _ = plugin.consolidate("w", square, square)
        plugin.importances["w"] = importance
        found.append(importance.norm().item())
    first = ALPHA * LAMBDA * 1e-6 * 10
    growth = ALPHA * (1 - LAMBDA)  # 6
    assert found[:3] == pytest.approx([first, first * (1 + growth), first * (1 + growth + 36)])
    assert found[-1] == pytest.approx(ALPHA * LIMIT)


def test_what_the_last_batch_did_not_use_is_reset():
    model, plugin, found = Alternating(), WPLOfficial(strength=1.0, protect="all"), []
    train(
        model,
        [plugin],
        parts=make_data(1) * 2,
        epochs=1,
        batch_size=14,  # three batches a visit: odd, even, odd; then even, odd, even
        program="in_memory",
        after_each=lambda *_: found.append({n: v.any() for n, v in plugin.importances.items()}),
    )
    for visit, (last, other) in zip(found, [("odd", "even"), ("even", "odd")], strict=True):
        assert visit[f"{last}.weight"] and visit[f"{last}.bias"]
        assert not visit[f"{other}.weight"] and not visit[f"{other}.bias"]
    assert plugin.importances["odd.weight"].shape == model.odd.weight.shape


def test_only_edges_have_importance():
    plugin = WPLOfficial()
    train(supernet(), [plugin], parts=make_data(3), program="in_memory")
    assert plugin.importances.keys() == supernet().edges()


class Lengths:
    """The lengths of the gradients that the optimizer gets: of all together."""

    def __init__(self):
        self.found = [[]]

    def before_training_exp(self, strategy, **_):
        self.found.append([])

    def before_update(self, strategy, **_):
        grads = [p.grad.norm() for p in strategy.model.parameters() if p.grad is not None]
        self.found[-1].append(torch.stack(grads).norm().item())


NORM = 0.2


@pytest.mark.parametrize("clip", ["together", "separately"])
def test_loss_and_penalty_are_clipped_together_or_separately(clip):
    plugin = WPLOfficial(strength=1e6, protect="all", clipped=clip, penalty_norm=NORM)
    assert plugin.clipped_with_loss == (clip == "together")
    clipping, tape, lengths = ClipGradient(NORM), Tape(), Lengths()
    plugins = [plugin, clipping] if plugin.clipped_with_loss else [clipping, plugin]
    bank, parts = make_bank(), make_data(1) * 2
    trained = train(
        bank, [*plugins, tape, lengths], parts=parts, labels=[0, 0], program="in_memory"
    )
    program = Program(1e6)
    model = make_bank()
    for batches in tape.batches:
        for x, y in batches:
            model.zero_grad()
            torch.nn.functional.cross_entropy(model(x, 0), y).backward()
            used = {n: p for n, p in model.named_parameters() if p.grad is not None}
            program.on_gradients(0, used)
            penalty = program.loss(0, used)
            forces = {n: torch.zeros_like(p) for n, p in used.items()}
            if penalty is not None:
                found = torch.autograd.grad(penalty, list(used.values()))
                forces = dict(zip(used, found, strict=True))
            losses = {n: p.grad for n, p in used.items()}
            if clip == "together":
                step = together({n: losses[n] + forces[n] for n in used})
            else:
                losses, forces = together(losses), together(forces)
                step = {n: losses[n] + forces[n] for n in used}
            with torch.no_grad():
                for name, parameter in used.items():
                    parameter -= 0.1 * step[name]
        program.after_model(0, model, used)
    assert_close(trained, model, rtol=1e-3, atol=1e-4)
    most = NORM if clip == "together" else 2 * NORM
    second = lengths.found[-1]
    assert max(second) <= most * (1 + 1e-4)
    assert max(second) > 0.99 * NORM


def together(gradients):
    length = torch.stack([g.norm() for g in gradients.values()]).norm()
    return {n: g * min(1.0, NORM / (length.item() + 1e-6)) for n, g in gradients.items()}
