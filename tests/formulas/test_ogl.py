"""OGL: what is exact about it, and a plain loop."""

import pytest
import torch
from avalanche.training.plugins import SupervisedPlugin
from programs import (
    CLASSES,
    FEATURES,
    OPTIMIZERS,
    THREE,
    Tape,
    assert_close,
    distance,
    double,
    make_bank,
    make_data,
    replay,
    same,
    train,
)
from torch import nn

from palimpsest.benchmark.kit.models import bank as supernet
from palimpsest.benchmark.training.control import ClipGradient
from palimpsest.strategies import OGL
from palimpsest.strategies.base.architectures import NoArchitecturesError


class Steps(SupervisedPlugin):
    """How far gradients and steps are along the bases, over their lengths; it comes last."""

    def __init__(self, ogl):
        super().__init__()
        self.ogl = ogl
        self.gradients, self.steps = [], []
        self.held = {}

    def before_update(self, strategy, *_, **__):
        self.held = {}
        for name, parameter in strategy.model.named_parameters():
            if name in self.ogl.bases and parameter.grad is not None:
                self.held[name] = parameter.detach().clone()
                self.gradients.append(along(self.ogl.bases[name], parameter.grad))

    def after_update(self, strategy, *_, **__):
        for name, before in self.held.items():
            parameter = dict(strategy.model.named_parameters())[name]
            self.steps.append(along(self.ogl.bases[name], parameter.detach() - before))


def along(basis, vector):
    return ((basis.T @ vector.flatten()).norm() / vector.norm().clamp_min(1e-30)).item()


@pytest.mark.parametrize("gradient", ["loss", "logits"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_gradients_and_steps_are_orthogonal_to_orthonormal_bases(optimizer, gradient):
    plugin = OGL(gradient=gradient, samples=5)
    watch = Steps(plugin)
    train(
        make_bank(THREE, dtype=torch.float64),
        [ClipGradient(0.1), plugin, watch],
        parts=double(make_data(3)),
        optimizer=optimizer,
        reset=False,
        program="in_memory",
    )
    assert len(watch.gradients) == len(watch.steps) > 20
    assert max(watch.gradients) < 1e-6
    assert max(watch.steps) < 1e-6
    assert len(plugin.bases) > 6
    for basis in plugin.bases.values():
        size, columns = basis.shape
        assert 1 <= columns <= size // 2
        assert (basis.T @ basis - torch.eye(columns)).abs().max() < 1e-6


@pytest.mark.parametrize("optimizer", ["momentum", "adam"])
def test_what_no_model_used_before_is_trained_as_ever(optimizer):
    parts = make_data(2)
    options = {"optimizer": optimizer, "program": "in_memory", "parts": parts}
    apart = make_bank((("x", "a"), ("z", "b")))
    assert same(train(apart, **options), train(apart, [OGL(samples=5)], **options))
    bank = make_bank()
    assert same(train(bank, **options), train(bank, [OGL(rank=0)], **options))
    assert not same(train(bank, **options), train(bank, [OGL(samples=5)], **options))


def test_with_scope_ops_only_choices_are_held():
    plugin = OGL(scope="ops", samples=3)
    train(supernet(), [plugin], parts=make_data(3), program="in_memory")
    assert plugin.bases.keys() == supernet().edges()
    with pytest.raises(NoArchitecturesError, match="scope: ops"):
        train(make_bank(), [plugin], program="in_memory")


class Slow:
    """One unit vector for each model and tensor, and the projection by least squares."""

    def __init__(self, tape):
        self.tape = tape
        self.vectors, self.sums, self.model = {}, {}, -1

    def on_gradients(self, i, used):
        if i != self.model:
            self.model, self.sums = i, {}
        for name, parameter in used.items():
            self.sums[name] = self.sums.get(name, 0) + parameter.grad.detach().clone()
            known = self.vectors.get(name)
            if known:
                columns = torch.stack(known, dim=1)
                flat = parameter.grad.flatten()
                shares = torch.linalg.lstsq(columns, flat[:, None]).solution
                parameter.grad.copy_((flat - (columns @ shares)[:, 0]).view_as(parameter))

    def after_model(self, *_):
        for name, total in self.sums.items():
            self.vectors.setdefault(name, []).append(total.flatten())


@pytest.mark.parametrize("optimizer", ["sgd", "momentum_alone"])
def test_it_is_a_loop_that_projects_by_least_squares(optimizer):
    makes = {"momentum_alone": lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9)}
    make = makes.get(optimizer, optimizer)
    bank, tape = make_bank(THREE, dtype=torch.float64), Tape()
    parts = double(make_data(3))
    plugin = OGL(gradient="loss", threshold=0.0)
    trained = train(bank, [plugin, tape], parts=parts, optimizer=make, program="in_memory")
    slow = Slow(tape)
    expected = replay(
        bank,
        tape.batches,
        optimizer=make,
        on_gradients=slow.on_gradients,
        after_model=slow.after_model,
    )
    assert_close(trained, expected, rtol=1e-8, atol=1e-9)
    assert distance(expected, replay(bank, tape.batches, optimizer=make)) > 1e-3


def test_the_logits_of_the_samples_stay_to_first_order():
    """Two models that share one linear layer: the logits are linear in it, so they stay exactly."""
    torch.manual_seed(0)
    model = nn.Linear(FEATURES, CLASSES, bias=False).double()
    parts = double(make_data(2))
    x, y = parts[0][0][:10], parts[0][1][:10]
    logits = []
    train(
        model,
        [OGL(samples=10, rank=12)],
        parts=[(x, y), parts[1]],
        program="in_memory",
        optimizer="adam",
        after_each=lambda _, m: logits.append(m(x).detach().gather(1, y[:, None])),
    )
    torch.testing.assert_close(logits[0], logits[1], rtol=1e-9, atol=1e-9)
    free = train(model, parts=[(x, y), parts[1]], program="in_memory", optimizer="adam")
    assert (free(x).gather(1, y[:, None]) - logits[0]).abs().max() > 0.1


def test_many_models_directions_are_those_of_the_largest_singular_values():
    plugin = OGL(rank=3, threshold=0.0)
    generator = torch.Generator().manual_seed(0)
    base = torch.linalg.qr(torch.randn(20, 3, generator=generator)).Q
    for number in range(30):  # three directions again and again, and a little noise
        direction = base[:, number % 3] + 1e-3 * torch.randn(20, generator=generator)
        plugin._add("w", direction[:, None], torch.Size([20]))
    assert plugin.bases["w"].shape == (20, 3)
    cosines = torch.linalg.svdvals(base.T @ plugin.bases["w"])
    assert cosines.min() > 0.999
    # Noise alone, below the threshold, is no direction.
    plugin = OGL(rank=3, threshold=0.1)
    plugin._add("w", torch.stack([base[:, 0], base[:, 0] + 1e-3 * base[:, 1]], 1), torch.Size([20]))
    assert plugin.bases["w"].shape == (20, 1)
    plugin._add("v", torch.zeros(20, 1), torch.Size([20]))
    plugin._add("tiny", torch.ones(1, 1), torch.Size([1]))
    assert plugin.bases.keys() == {"w"}


class Tokens(nn.Module):
    """Outputs for each token, (N, L, C) for inputs (N, L, F)."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.out = nn.Linear(FEATURES, CLASSES, dtype=torch.float64)

    def forward(self, x):
        return self.out(x)


def test_a_sequences_direction_is_that_of_the_mean_over_its_tokens():
    model, plugin = Tokens(), OGL(samples=1)
    x = torch.randn(1, 5, FEATURES, dtype=torch.float64)
    y = torch.tensor([[1, 0, 3, -100, -100]])

    class Strategy:
        device = "cpu"

        class adapted_dataset:
            samples = (x, y, 0)

            def __len__(self):
                return 1

    Strategy.adapted_dataset = Strategy.adapted_dataset()
    Strategy.model = model
    found = plugin._of_logits(Strategy, dict(model.named_parameters()))
    logits = model(x)[0]
    mean = (logits[0, 1] + logits[1, 0] + logits[2, 3]) / 3
    wanted = torch.autograd.grad(mean, list(model.parameters()))
    for tensor, direction in zip(wanted, found.values(), strict=True):
        torch.testing.assert_close(direction, tensor.reshape(-1, 1))


def test_layers_that_mix_samples_are_no_obstacle():
    """A supernet may normalise by the statistics of the batch in evaluation, too."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Linear(FEATURES, 8),
        nn.BatchNorm1d(8, track_running_stats=False),
        nn.Tanh(),
        nn.Linear(8, CLASSES),
    )
    plugin = OGL(samples=5)
    train(model, [plugin], parts=make_data(2), program="in_memory")
    assert plugin.bases["0.weight"].shape[1] > 5
