"""WPL's running average, clipping and priors, by hand and against a plain loop."""

import pytest
import torch
from programs import (
    THREE,
    Quadratics,
    Tape,
    assert_close,
    make_bank,
    make_data,
    replay,
    slow_fisher,
    snapshot,
    train,
)

from palimpsest.strategies import WPL


class Recording(WPL):
    """Keeps every Fisher information that was estimated."""

    def __init__(self, **settings):
        super().__init__(**settings)
        self.estimates = []

    def estimate(self, strategy, parameters):
        self.estimates.append(super().estimate(strategy, parameters))
        return {name: value.clone() for name, value in self.estimates[-1].items()}


def train_three(plugin, **options):
    states = []
    train(
        make_bank(THREE),
        [plugin],
        parts=make_data(3),
        program="in_memory",
        after_each=lambda _, m: states.append(snapshot(m)),
        **options,
    )
    return states


@pytest.mark.parametrize("momentum", [0.0, 0.25, 0.9])
def test_importance_is_a_running_average_over_the_models_that_used_a_parameter(momentum):
    plugin = Recording(strength=5.0, momentum=momentum)
    states = train_three(plugin)
    first, second, third = plugin.estimates
    m, rest = momentum, 1 - momentum
    y = "blocks.y.0.weight"
    torch.testing.assert_close(
        plugin.importances[y], m * (m * first[y] + rest * second[y]) + rest * third[y]
    )
    x = "blocks.x.0.weight"  # the second model does not use it
    torch.testing.assert_close(plugin.importances[x], m * first[x] + rest * third[x])
    z = "blocks.z.0.bias"
    assert torch.equal(plugin.importances[z], second[z])
    for name, model in ((y, 2), (x, 2), (z, 1)):
        assert torch.equal(plugin.anchors[name], states[model][name])


def clipped(value, limit):
    norm = sum(float(v) ** 2 for v in value.flatten()) ** 0.5
    return value * (limit / norm) if norm > limit else value


def test_each_tensors_norm_is_clipped_after_the_average():
    plugin, limit = Recording(strength=5.0, momentum=0.5, clip=0.02), 0.02
    train_three(plugin)
    first, second, third = plugin.estimates
    for name in ("blocks.y.0.weight", "blocks.y.0.bias"):
        expected = clipped(first[name], limit)
        expected = clipped(0.5 * expected + 0.5 * second[name], limit)
        expected = clipped(0.5 * expected + 0.5 * third[name], limit)
        torch.testing.assert_close(plugin.importances[name], expected)
    norms = torch.stack([value.norm() for value in plugin.importances.values()])
    assert norms.max() <= limit * (1 + 1e-6)
    assert max(e.norm() for e in first.values()) > limit  # there was something to clip


def test_consolidation_by_hand():
    plugin = WPL(momentum=0.25, clip=5.0)
    plugin.importances["w"] = torch.tensor([4.0, 0.0])
    importance, anchor = plugin.consolidate("w", torch.tensor([8.0, 8.0]), torch.tensor([1.0, 2.0]))
    # 0.25 * (4, 0) + 0.75 * (8, 8) = (7, 6), of norm 85 ** 0.5
    torch.testing.assert_close(importance, torch.tensor([7.0, 6.0]) * 5 / 85**0.5)
    assert anchor.tolist() == [1.0, 2.0]


def test_clipping_leaves_small_and_zero_tensors_alone():
    plugin = WPL(clip=5.0)
    for value in (torch.tensor([3.0, 1.0]), torch.zeros(2)):
        assert torch.equal(plugin.consolidate("w", value, value)[0], value)


@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "adam"])
@pytest.mark.parametrize("strength", [0.0, 20.0])
def test_priors_are_added_to_the_loss_of_the_later_models_only(optimizer, strength):
    decay, bank, parts, tape = 0.3, make_bank(THREE), make_data(3), Tape()
    plugin = WPL(strength=strength, application="gradient", weight_decay=decay)
    trained = train(bank, [plugin, tape], parts=parts, optimizer=optimizer, program="in_memory")
    quadratics = Quadratics(strength)

    def extra_loss(i, used):
        prior = sum(decay / 2 * (p**2).sum() for p in used.values()) if i else None
        penalty = quadratics.loss(i, used)
        return prior if penalty is None else prior + penalty

    def after_model(i, model, used):
        for name, new in slow_fisher(model, list(used), *parts[i], label=i).items():
            old = quadratics.terms[name]
            mean = 0.5 * old[0][0] + 0.5 * new if old else new
            quadratics.terms[name] = [(mean, used[name].detach().clone())]

    expected = replay(
        bank, tape.batches, optimizer=optimizer, extra_loss=extra_loss, after_model=after_model
    )
    assert_close(trained, expected, rtol=1e-5, atol=1e-5)
