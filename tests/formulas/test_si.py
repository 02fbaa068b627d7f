"""Synaptic intelligence against a loop that records pure gradients and real movements."""

import pytest
import torch
from programs import (
    OPTIMIZERS,
    THREE,
    Alternating,
    Quadratics,
    Tape,
    assert_close,
    make_bank,
    make_data,
    make_ordinary,
    replay,
    snapshot,
    train,
)

from palimpsest.strategies import SI

STRENGTH, DAMPING = 5.0, 0.1


class SlowSI:
    """The definition, with dictionaries and nothing else."""

    def __init__(self, model, application):
        self.quadratics = Quadratics(STRENGTH)
        self.importances = {}
        self.start = snapshot(model)
        self.path = {}
        self.gradients = {}
        self.application = application

    def on_gradients(self, _, used):
        self.gradients = {name: p.grad.clone() for name, p in used.items()}

    def extra_loss(self, i, used):
        return self.quadratics.loss(i, used) if self.application == "gradient" else None

    def after_step(self, i, used, before, optimizer):
        if self.application == "proximal":
            self.quadratics.proximal(i, used, before, optimizer)
        for name, p in used.items():
            movement = p.detach() - before[name]
            self.path[name] = self.path.get(name, 0) - self.gradients[name] * movement

    def after_model(self, _, model, used):
        for name, p in used.items():
            whole = (p.detach() - self.start[name]) ** 2 + DAMPING
            total = self.importances.get(name, 0) + self.path[name] / whole
            self.importances[name] = total.clamp(min=0)
            self.quadratics.terms[name] = [(self.importances[name], p.detach().clone())]
        self.path, self.start = {}, snapshot(model)


MORE_OPTIMIZERS = OPTIMIZERS | {
    # torch's default on a GPU; it changes the gradients in place
    "nesterov": lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9, nesterov=True, foreach=True),
}


@pytest.mark.parametrize("application", ["proximal", "gradient"])
@pytest.mark.parametrize("optimizer", MORE_OPTIMIZERS)
@pytest.mark.parametrize("kind", ["ordinary", "bank"])
def test_equals_the_path_integral_of_a_plain_loop(application, optimizer, kind):
    initial = make_ordinary() if kind == "ordinary" else make_bank(THREE)
    parts, tape = make_data(2 if kind == "ordinary" else 3), Tape()
    make = MORE_OPTIMIZERS[optimizer]
    plugin = SI(strength=STRENGTH, damping=DAMPING, application=application)
    trained = train(initial, [plugin, tape], parts=parts, optimizer=make, program="in_memory")
    slow = SlowSI(initial, application)
    expected = replay(
        initial,
        tape.batches,
        optimizer=make,
        on_gradients=slow.on_gradients,
        extra_loss=slow.extra_loss,
        after_step=slow.after_step,
        after_model=slow.after_model,
    )
    assert_close(trained, expected, rtol=1e-4, atol=1e-5)
    assert plugin.importances.keys() == slow.importances.keys()
    for name, importance in slow.importances.items():
        torch.testing.assert_close(
            plugin.importances[name], importance, rtol=1e-3, atol=1e-5, msg=name
        )
        torch.testing.assert_close(
            plugin.anchors[name], slow.quadratics.terms[name][0][1], rtol=1e-4, atol=1e-5
        )


def test_the_path_integral_is_the_fall_of_the_loss_where_steps_are_small():
    # Gradient flow: the sum of all path integrals is what the loss fell by.
    x, y = make_data(1)[0]
    model, plugin, losses = make_ordinary(), SI(damping=1.0), []
    loss = torch.nn.CrossEntropyLoss()

    def note(_, trained):
        losses.append(loss(trained(x), y).item())

    start = loss(model(x), y).item()
    trained = train(
        model,
        [plugin],
        parts=[(x, y)],
        batch_size=len(x),
        epochs=60,
        optimizer=lambda p: torch.optim.SGD(p, lr=0.01),
        program="in_memory",
        after_each=note,
    )
    moved = {n: p.detach() - model.get_parameter(n) for n, p in trained.named_parameters()}
    paths = [plugin.importances[n] * (moved[n] ** 2 + 1.0) for n in moved]
    assert sum(p.sum().item() for p in paths) == pytest.approx(start - losses[0], rel=0.02)


@pytest.mark.parametrize("old", [None, 1.0])
def test_importance_is_bounded_at_zero(old):
    plugin = SI()
    if old is not None:
        plugin.importances["w"] = torch.full((3,), old)
    importance, _ = plugin.consolidate("w", torch.tensor([-2.0, -0.5, 3.0]), torch.zeros(3))
    expected = [0.0, 0.0, 3.0] if old is None else [0.0, 0.5, 4.0]
    assert importance.tolist() == expected


@pytest.mark.parametrize("application", ["proximal", "gradient"])
def test_the_path_goes_on_where_steps_use_different_parameters(application):
    plugin, tape = SI(strength=STRENGTH, damping=DAMPING, application=application), Tape()
    parts = make_data(2)
    train(Alternating(), [plugin, tape], parts=parts, program="in_memory")
    slow = SlowSI(Alternating(), application)
    replay(
        Alternating(),
        tape.batches,
        on_gradients=slow.on_gradients,
        extra_loss=slow.extra_loss,
        after_step=slow.after_step,
        after_model=lambda i, model, _: slow.after_model(i, model, dict(model.named_parameters())),
    )
    assert len(slow.importances) == 4
    for name, importance in slow.importances.items():
        torch.testing.assert_close(plugin.importances[name], importance, rtol=1e-3, atol=1e-5)
