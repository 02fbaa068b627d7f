"""BAdam: a plain loop, its closed forms, and what stays to the bit."""

import math
from itertools import pairwise

import pytest
import torch
from avalanche.models import IncrementalClassifier
from avalanche.models.utils import avalanche_forward
from avalanche.training.plugins import SupervisedPlugin
from programs import (
    CLASSES,
    FEATURES,
    THREE,
    Tape,
    double,
    make_bank,
    make_data,
    make_ordinary,
    same,
    snapshot,
    train,
)
from torch import nn
from torch.nn.functional import cross_entropy

from palimpsest.strategies import BAdam
from palimpsest.strategies.badam import BayesianUpdates

RULES = {
    "badam": {"eta": 20.0},
    "moments kept": {"eta": 20.0, "reset": "never", "draws": 3},
    "other moments": {"eta": 20.0, "beta1": 0.5, "beta2": 0.9, "draws": 3, "evidence": 0.3},
    "bgd": {"eta": 1.0, "rule": "bgd", "draws": 3},
}


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


class SlowBAdam:
    """The rule by a plain loop over parameters and draws, with values of its own."""

    def __init__(self, model, *, eta, sigma=0.06, draws=10, beta1=0.9, beta2=0.999,
                 rule="badam", reset="moments", evidence=1.0):  # fmt: skip
        self.model, self.mu = model, snapshot(model)
        self.eta, self.draws, self.b1, self.b2 = eta, draws, beta1, beta2
        self.rule, self.reset, self.evidence = rule, reset, evidence
        self.sigma = {name: torch.full_like(mu, sigma) for name, mu in self.mu.items()}
        self.begin()
        self.generator = seeded()

    def begin(self):
        self.m = {name: torch.zeros_like(mu) for name, mu in self.mu.items()}
        self.v = {name: torch.zeros_like(mu) for name, mu in self.mu.items()}
        self.n = dict.fromkeys(self.mu, 1)

    def train(self, i, batches):
        if self.reset == "moments":
            self.begin()
        for x, y in batches:
            sums = {}
            for _ in range(self.draws):
                noise = {}
                for name, mu in self.mu.items():
                    noise[name] = torch.randn(mu.shape, generator=self.generator).to(mu)
                own = dict(self.model.named_parameters())
                for name, parameter in own.items():
                    parameter.data = self.mu[name] + self.sigma[name] * noise[name]
                outputs = avalanche_forward(self.model, x, i)
                loss = self.evidence * cross_entropy(outputs, y, reduction="sum")
                found = torch.autograd.grad(loss, own.values(), allow_unused=True)
                for name, g in zip(own, found, strict=True):
                    if g is not None:
                        total, product = sums.get(name, (0.0, 0.0))
                        sums[name] = total + g, product + g * noise[name]
            for name, (total, product) in sums.items():
                self.step(name, total / self.draws, product / self.draws)

    def step(self, name, g, h):
        s, n, b1, b2 = self.sigma[name], self.n[name], self.b1, self.b2
        move = g
        if self.rule == "badam":
            self.m[name] = b1 * self.m[name] + (1 - b1) * g
            self.v[name] = b2 * self.v[name] + (1 - b2) * g**2
            move = math.sqrt(1 - b2**n) / (1 - b1**n) * self.m[name]
            move = move / (self.v[name].sqrt() + 1e-10)
        self.mu[name] = self.mu[name] - self.eta * s**2 * move
        self.sigma[name] = s * torch.sqrt(1 + (s * h / 2) ** 2) - s**2 * h / 2
        self.n[name] += 1


@pytest.mark.parametrize("rule", RULES)
def test_twenty_steps_are_those_of_a_plain_loop(rule):
    bank = make_bank(THREE, dtype=torch.float64)
    parts = double(make_data(3))
    plugin, tape = BAdam(**RULES[rule]), Tape()
    trained = train(bank, [plugin, tape], parts=parts, epochs=5)
    slow = SlowBAdam(bank, **RULES[rule])
    for i, batches in enumerate(tape.batches):
        assert len(batches) == 20
        slow.train(i, batches)
    for name, mu in snapshot(trained).items():
        close = {"rtol": 1e-6, "atol": 1e-6, "msg": name}
        torch.testing.assert_close(mu, slow.mu[name], **close)
        torch.testing.assert_close(plugin.deviations[name], slow.sigma[name], **close)
    assert (plugin.deviations["blocks.y.0.weight"] - 0.06).abs().max() > 0.001


@pytest.mark.parametrize("rule", ["badam", "bgd"])
def test_what_is_never_fed_anything_stays_to_the_bit(rule):
    parts = [(x.clone(), y) for x, y in make_data()]
    for x, _ in parts:
        x[:, 2] = 0  # as the border of an image
    bank, plugin = make_bank(), BAdam(eta=1.0, rule=rule)
    trained = train(bank, [plugin], parts=parts)
    name = "blocks.shared.0.weight"
    before, after = bank.get_parameter(name), trained.get_parameter(name)
    assert torch.equal(before[:, 2], after[:, 2])
    deviation = plugin.deviations[name]
    assert torch.equal(deviation[:, 2], torch.full((8,), 0.06))
    others = [column for column in range(FEATURES) if column != 2]
    assert (deviation[:, others] != 0.06).all()
    assert (before[:, others] != after[:, others]).all()


def test_what_is_new_begins_with_the_initial_deviation():
    class Begins(SupervisedPlugin):
        def before_training_epoch(self, strategy, *_, **__):
            own = strategy.model.named_parameters()
            found.append({n: strategy.optimizer.state[p]["sigma"].clone() for n, p in own})

    found, plugin = [], BAdam(eta=1.0)
    train(make_bank(), [plugin, Begins()], epochs=1)
    _, second = found
    assert (second["blocks.b.weight"] == 0.06).all()
    assert (second["blocks.a.weight"] != 0.06).any()
    assert (second["blocks.shared.0.weight"] != 0.06).any()


def test_new_rows_of_a_head_that_grows_begin_with_it_too():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(FEATURES, 8), nn.Tanh(), IncrementalClassifier(8, 2))
    (x, y), (z, w) = make_data()
    plugin = BAdam(eta=1.0, reset="never")
    first = {}

    def damp(i, _):
        if i == 0:
            first["sigma"] = plugin.deviations["2.classifier.weight"].clone()

    class Begins(SupervisedPlugin):
        def before_training_epoch(self, strategy, *_, **__):
            weight = strategy.model[2].classifier.weight
            first["then"] = {**strategy.optimizer.state[weight]}
            first["then"] = {n: v.clone() for n, v in first["then"].items() if n in ("sigma", "m")}

    parts = [(x, y % 2), (z, w % 2 + 2)]
    train(model, [plugin, Begins()], parts=parts, epochs=1, after_each=damp, evaluate=True)
    sigma = first["then"]["sigma"]
    assert torch.equal(sigma[:2], first["sigma"])
    assert (sigma[2:] == 0.06).all()
    assert sigma.shape == first["then"]["m"].shape == (CLASSES, 8)
    assert not first["then"]["m"][2:].any()


@pytest.mark.parametrize("betas", [(0.9, 0.999), None], ids=["badam", "bgd"])
def test_on_a_quadratic_precision_adds_up_and_the_mean_finds_the_minimum(betas):
    h, c = 4.0, 1.5
    mean = nn.Parameter(torch.tensor([0.0], dtype=torch.float64))
    step = BayesianUpdates([mean], lr=5.0 if betas else 1.0, sigma=0.05, betas=betas)
    precisions, gaps = [], []
    for _ in range(4000):
        sigma = step.state[mean]["sigma"]
        precisions.append(1 / sigma.item() ** 2)
        gaps.append(abs(mean.item() - c))
        mean.grad = h * (mean.detach() - c)  # exact expectations of the gradient
        step.state[mean]["product"] = h * sigma.clone()  # and of its product with the noise
        step.step()
    growths = [after - before for before, after in pairwise(precisions)]
    assert min(growths) > 0
    assert growths[0] == pytest.approx(h, rel=1e-2)
    assert growths[-1] == pytest.approx(h, rel=1e-3)
    assert gaps[-1] < 0.05 < gaps[0]


def test_deviations_stay_positive_however_curved_the_loss_is():
    mean = nn.Parameter(torch.zeros(3))
    step = BayesianUpdates([mean], lr=1.0, sigma=1.0, betas=None)
    mean.grad = torch.zeros(3)
    step.state[mean]["product"] = torch.tensor([1e6, 0.0, -10.0])
    step.step()
    assert torch.equal(mean, torch.zeros(3))
    sigma = step.state[mean]["sigma"].double()
    assert sigma[0].item() == pytest.approx(1e-6, rel=1e-3)  # 1 / (H sigma), not 0
    assert sigma[1] == 1
    assert sigma[2].item() == pytest.approx(math.sqrt(1 + 25) + 5)


def test_sampled_weights_are_drawn_from_the_posterior_and_put_back():
    plugin = BAdam(eta=1.0)
    model = make_ordinary()
    x = make_data()[0][0]
    with plugin.sampled(model, 0, seeded()):  # nothing is known yet
        assert same(model, make_ordinary())
    model = train(model, [plugin]).eval()
    before, generator, drawn = snapshot(model), seeded(5), []

    def outputs(seed):
        with plugin.sampled(model, 0, seeded(seed)):
            return model(x)

    assert torch.equal(outputs(1), outputs(1))
    assert not torch.equal(outputs(1), outputs(2))
    with pytest.raises(ZeroDivisionError), plugin.sampled(model, 0, seeded()):
        raise ZeroDivisionError
    assert same(before, snapshot(model))
    for _ in range(4000):
        with plugin.sampled(model, 0, generator):
            drawn.append(model[0].weight.detach().clone())
    found, sigma = torch.stack(drawn), plugin.deviations["0.weight"]
    assert ((found.mean(dim=0) - before["0.weight"]) / sigma).abs().max() < 5 / 4000**0.5
    assert (found.std(dim=0) / sigma - 1).abs().max() < 0.08


def test_the_outputs_that_the_loss_leaves_out_are_left_out_of_every_pass():
    class Cuts(SupervisedPlugin):
        def after_forward(self, strategy, *_, **__):
            strategy.mb_output = self.cut_outputs(strategy.mb_output)

        def cut_outputs(self, outputs):
            return outputs[:, :2]

    (x, y), _ = make_data()
    model = make_ordinary()
    trained = train(model, [Cuts(), BAdam(eta=1.0)], parts=[(x, y % 2)], labels=[0])
    assert torch.equal(trained[2].weight[2:], model[2].weight[2:])
    assert not torch.equal(trained[2].weight[:2], model[2].weight[:2])


@pytest.mark.parametrize("value", [-0.01, 0.0, float("nan"), float("inf")])
def test_a_damaged_posterior_is_refused(value):
    plugin = BAdam(eta=1.0)

    def damage(i, _):
        plugin.deviations["0.bias"][1] = value

    with pytest.raises(ValueError, match=r"the posterior of 0\.bias has a variance that is not"):
        train(make_ordinary(), [plugin], after_each=damage)


def test_a_deviation_that_becomes_negative_within_a_training_is_refused():
    class Damages(SupervisedPlugin):
        def after_training_iteration(self, strategy, *_, **__):
            strategy.optimizer.state[strategy.model[0].bias]["sigma"].neg_()

    with pytest.raises(ValueError, match=r"the posterior of 0\.bias has a variance that is not"):
        train(make_ordinary(), [BAdam(), Damages()])


def test_a_network_without_parameters_to_train_is_refused():
    with pytest.raises(ValueError, match="no parameter of the network is trained"):
        BAdam().optimizer(make_ordinary().requires_grad_(False).parameters())


@pytest.mark.parametrize("setting", [{"beta1": 0.5}, {"beta2": 0.9}, {"reset": "never"}])
def test_gradient_descent_has_no_moments(setting):
    with pytest.raises(ValueError, match="has no effect with rule: bgd, which has no moments"):
        BAdam(rule="bgd", **setting)
