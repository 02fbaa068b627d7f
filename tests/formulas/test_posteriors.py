"""VCL, n-step KL and TD-VCL: a plain loop, their history, and what is exact about posteriors."""

from itertools import pairwise
from types import SimpleNamespace

import pytest
import torch
from avalanche.models import IncrementalClassifier
from avalanche.models.utils import avalanche_forward
from avalanche.training.plugins import SupervisedPlugin
from programs import (
    CLASSES,
    FEATURES,
    SAMPLES,
    THREE,
    Tape,
    double,
    every,
    make_bank,
    make_data,
    make_ordinary,
    same,
    snapshot,
    train,
)
from torch import nn
from torch.distributions import Normal, kl_divergence
from torch.nn.functional import cross_entropy

from palimpsest.strategies import TDVCL, VCL, NStepKL
from palimpsest.strategies.base.catalogue import STRATEGIES
from palimpsest.strategies.memory.rehearsal import Rehearsal
from palimpsest.strategies.posteriors.gaussian import Gaussian, divergence, slopes
from palimpsest.strategies.posteriors.layers import PosteriorLayer, add_posteriors, posterior_layers

BETA = 0.1  # of 40 samples: more is stiff


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def kl(q, p):
    """The divergence by torch's own formula."""
    one, two = (Normal(each[0], torch.exp(each[1] / 2)) for each in (q, p))
    return kl_divergence(one, two).sum()


def test_the_divergence_and_its_slopes_are_those_of_torch():
    four = torch.randn(4, 50, generator=seeded(), dtype=torch.float64)
    mean, log_variance = (row.clone().requires_grad_() for row in four[:2])
    expected = kl((mean, log_variance), four[2:])
    expected.backward()
    q, p = Gaussian(mean, log_variance), Gaussian(*four[2:])
    assert divergence(q, p).item() == pytest.approx(expected.item(), rel=1e-12)
    for own, grad in zip(slopes(q, p), (mean.grad, log_variance.grad), strict=True):
        torch.testing.assert_close(own.detach(), grad)
    assert divergence(q, q.copied()).item() == 0
    assert not any(slope.any() for slope in slopes(q, q.copied()))


class SlowPosterior:
    """The strategies by a plain loop over samples of weights, with values of its own."""

    def __init__(self, bank, parts, optimizer, *, depth, weights, start=-6.0, beta=BETA):
        self.paths, self.parts, self.make = bank.paths, parts, optimizer
        self.depth, self.weights, self.start, self.beta = depth, weights, start, beta
        self.means = snapshot(bank)
        self.ratios = {name: torch.zeros_like(mean) for name, mean in self.means.items()}
        self.history = {n: [(m.clone(), start + self.ratios[n])] for n, m in self.means.items()}
        self.generator = seeded()

    def layers(self, i):
        return [f"blocks.{n}" + (".0" if n != self.paths[i][-1] else "") for n in self.paths[i]]

    def forward(self, i, x):
        for layer in self.layers(i):
            own = {}
            for name in (f"{layer}.bias", f"{layer}.weight"):
                mean, ratio = self.means[name], self.ratios[name]
                noise = torch.randn(mean.shape, generator=self.generator).to(mean)
                own[name.rpartition(".")[2]] = mean + torch.exp((self.start + ratio) / 2) * noise
            x = x @ own["weight"].T + own["bias"]
            if layer.endswith(".0"):
                x = x.tanh()
        return x

    def train(self, i, batches):
        used = [f"{layer}.{own}" for layer in self.layers(i) for own in ("weight", "bias")]
        trained = [values[name] for name in used for values in (self.means, self.ratios)]
        for value in trained:
            value.requires_grad_()
        step = self.make(trained)
        for x, y in batches:
            step.zero_grad()
            loss = cross_entropy(self.forward(i, x), y)
            for name in used:
                q = self.means[name], self.start + self.ratios[name]
                for weight, p in zip(self.weights, self.history[name], strict=False):
                    total = sum(self.weights[: len(self.history[name])])
                    loss = loss + self.beta / len(self.parts[i][0]) * weight / total * kl(q, p)
            loss.backward()
            step.step()
        for value in trained:
            value.requires_grad_(False)
        for name in used:
            q = self.means[name].clone(), self.start + self.ratios[name]
            self.history[name] = [q, *self.history[name]][: self.depth]


def weights(model):
    """The means by their names in the network that was given, and the log-ratios."""
    values = {name.replace(".layer.", "."): p for name, p in snapshot(model).items()}
    means = {name: p for name, p in values.items() if "log_ratios" not in name}
    ratios = {n.replace(".log_ratios.", "."): p for n, p in values.items() if "log_ratios" in n}
    return means, ratios


FORMS = {
    "vcl": (lambda: VCL(beta=BETA), 1, [1.0]),
    "n_step_kl": (lambda: NStepKL(beta=BETA, posteriors=2), 2, [1.0, 1.0]),
    "td_vcl": (lambda: TDVCL(beta=BETA, posteriors=3, decay=0.5), 3, [4.0, 2.0, 1.0]),
}


@every
@pytest.mark.parametrize("form", FORMS)
def test_posteriors_are_those_of_a_plain_loop(form, optimizer):
    make, depth, kl_weights = FORMS[form]
    bank, parts = make_bank(THREE, dtype=torch.float64), double(make_data(3))
    plugin, tape = make(), Tape()
    trained = train(bank, [plugin, tape], parts=parts, optimizer=optimizer)
    slow = SlowPosterior(bank, parts, optimizer, depth=depth, weights=kl_weights)
    for i, batches in enumerate(tape.batches):
        slow.train(i, batches)
    means, ratios = weights(trained)
    for name in means:
        close = {"rtol": 1e-6, "atol": 1e-7, "msg": name}
        torch.testing.assert_close(means[name], slow.means[name], **close)
        torch.testing.assert_close(ratios[name], slow.ratios[name], **close)
    assert (ratios["blocks.y.0.weight"]).abs().max() > 1e-3


class Boundaries(SupervisedPlugin):
    """Notes the history, means and log-variances when a training begins, in it, and at its end."""

    def __init__(self, plugin):
        super().__init__()
        self.plugin, self.divergences, self.ends, self.histories = plugin, [], [], []

    def before_training_epoch(self, strategy, *_, **__):
        if len(self.divergences) == strategy.experience.current_experience:
            self.divergences.append(self.plugin.divergence(strategy.model).item())
            self.histories.append([])

    def after_training_iteration(self, strategy, *_, **__):
        earlier = self.plugin.history.items()
        self.histories[-1].append(
            {name: [(*vars(p).values(),) for p in ps] for name, ps in earlier}
        )

    def before_eval(self, strategy, *_, **__):
        self.ends.append({
            f"{name}.layer.{own}": layer.posterior(own).copied()
            for name, layer in posterior_layers(strategy.model).items()
            for own in layer.log_ratios
        })  # fmt: skip


def equal(one, other):
    """Whether two Gaussians are the same, bit for bit."""
    pairs = zip(vars(one).values(), vars(other).values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def test_the_history_shifts_newest_first_and_stays_while_a_model_trains():
    plugin = NStepKL(beta=BETA, posteriors=3)
    watch = Boundaries(plugin)
    model = make_ordinary()
    train(model, [plugin, watch], parts=make_data(4), evaluate=True, optimizer="adam")
    *_, second, third, fourth = watch.ends
    for name, kept in plugin.history.items():
        ends = [end[name] for end in (fourth, third, second)]
        assert all(equal(*pair) for pair in zip(kept, ends, strict=True))
        assert not any(p.mean.requires_grad or p.log_variance.requires_grad for p in kept)
        assert not equal(kept[0], kept[1])
    for training in watch.histories:
        for before, after in pairwise(training):
            assert all(
                a is b
                for n in before
                for p, q in zip(before[n], after[n], strict=True)
                for a, b in zip(p, q, strict=True)
            )


@pytest.mark.parametrize("make", [VCL, lambda: NStepKL(posteriors=1)], ids=["vcl", "n=1"])
def test_the_divergence_is_zero_when_a_model_begins(make):
    plugin = make()
    watch = Boundaries(plugin)
    trained = train(make_bank(THREE), [plugin, watch], parts=make_data(3), optimizer="adam")
    assert watch.divergences == [0, 0, 0]
    layer = posterior_layers(trained)["blocks.y.0"]
    with torch.no_grad():
        layer.layer.weight += 0.1
    assert plugin.divergence(trained).item() > 1e-3


def test_with_one_posterior_they_are_vcl_to_the_bit():
    def trained(plugin):
        return train(make_bank(THREE), [plugin], parts=make_data(3), optimizer="adam")

    plain = trained(VCL(beta=BETA, seed=3))
    assert same(plain, trained(NStepKL(beta=BETA, posteriors=1, seed=3)))
    assert same(plain, trained(TDVCL(beta=BETA, posteriors=1, seed=3)))
    assert same(plain, trained(TDVCL(beta=BETA, posteriors=4, decay=0.0, seed=3)))
    alike = trained(NStepKL(beta=BETA, posteriors=3, seed=3))
    assert same(alike, trained(TDVCL(beta=BETA, posteriors=3, decay=1.0, seed=3)))
    assert not same(plain, alike)
    assert not same(plain, trained(VCL(beta=BETA, seed=4)))


def test_weights_are_those_of_the_paper():
    td, n_step = TDVCL(posteriors=5, decay=0.5), NStepKL(posteriors=5)
    of_divergences = [16 / 31, 8 / 31, 4 / 31, 2 / 31, 1 / 31]
    assert td.weights(5) == pytest.approx(of_divergences)
    assert td.weights(5) == pytest.approx([0.516, 0.258, 0.129, 0.065, 0.032], abs=5e-4)
    assert td.likelihood_weights(5) == pytest.approx([1, 0.484, 0.226, 0.097, 0.032], abs=5e-4)
    assert n_step.weights(5) == pytest.approx([0.2] * 5)
    assert n_step.likelihood_weights(5) == pytest.approx([1, 0.8, 0.6, 0.4, 0.2])
    for decay in (0.0, 1e-12, 0.3, 1 - 1e-12, 1.0):
        own = TDVCL(posteriors=4, decay=decay)
        for count in range(1, 5):
            assert sum(own.weights(count)) == pytest.approx(1)
            assert own.likelihood_weights(count)[0] == pytest.approx(1)
            for i, weight in enumerate(own.weights(count)):
                if 0 < decay < 1:
                    expected = decay**i * (1 - decay) / (1 - decay**count)
                    assert weight == pytest.approx(expected, rel=1e-3)
    assert TDVCL(decay=1e-12).weights(3) == pytest.approx([*VCL().weights(1), 0, 0])
    assert TDVCL(decay=1 - 1e-12).weights(3) == pytest.approx(n_step.weights(3))


class Losses(SupervisedPlugin):
    """Notes the loss before a plugin adds to it, or after; and the network with its draws."""

    def __init__(self):
        super().__init__()
        self.found = []

    def before_backward(self, strategy, *_, **__):
        self.found.append(strategy.loss.item())
        self.model = strategy.model


def test_stored_samples_have_the_likelihood_weights_of_their_age(monkeypatch):
    recalled, recall = [], Rehearsal.recall

    def noting(own, strategy, beside=None):
        rows = recall(own, strategy, beside)
        with torch.no_grad():  # with the draws of the step
            found = avalanche_forward(strategy.model, rows["x"], rows["label"]) if rows else None
        recalled.append((rows, found))
        return rows

    monkeypatch.setattr(Rehearsal, "recall", noting)
    before, after = Losses(), Losses()
    plugin = TDVCL(beta=BETA, memory=30, posteriors=3, decay=0.5)
    train(make_bank(THREE), [before, plugin, after], parts=make_data(3), epochs=1)
    steps = SAMPLES // 10
    assert before.found[:steps] == after.found[:steps]
    assert len(recalled) == 2 * steps
    second = {1: 1 / 3}  # (k - i = 1) of k = 2: lambda (1 - lambda) / (1 - lambda^2)
    third = {1: 3 / 7, 2: 1 / 7}
    for step, (rows, outputs) in enumerate(recalled):
        model, expected = 1 + step // steps, 0.0
        for age, weight in {1: second, 2: third}[model].items():
            own = rows["training"] == model - age
            if own.any():
                expected += weight * cross_entropy(outputs[own], rows["y"][own]).item()
        gap = after.found[steps + step] - before.found[steps + step]
        assert gap == pytest.approx(expected, abs=1e-5)
        assert gap > 0.1


def test_a_memory_trains_what_earlier_models_use_and_none_does_not():
    def moved(memory):
        states = []
        plugin = NStepKL(beta=BETA, memory=memory)
        note = {"after_each": lambda _, m: states.append(snapshot(m))}
        train(make_bank(), [plugin], optimizer="adam", **note)
        before, after = states
        assert plugin.settings.facts(STRATEGIES["n_step_kl"].facts).stores is (memory > 0)
        return not torch.equal(before["blocks.a.layer.weight"], after["blocks.a.layer.weight"])

    assert moved(20)
    assert not moved(0)


@pytest.mark.parametrize(
    ("make", "reach"),
    [
        (lambda: NStepKL(beta=1, posteriors=1, memory=60), 1),
        (lambda: NStepKL(beta=1, posteriors=2, memory=60), 2),
        (lambda: TDVCL(beta=1, posteriors=2, memory=60), 2),
        (lambda: TDVCL(beta=1, posteriors=3, memory=60, decay=0.0), 1),
        (lambda: NStepKL(beta=1, posteriors=3, memory=60), 3),
    ],
)
def test_samples_without_a_weight_are_neither_kept_nor_train_anything(make, reach):
    """Their private head had gradients of zero, so that its divergence pulled it."""
    states, kept, plugin = [], [], make()

    def note(_, model):
        memory = plugin._rehearsal.memory
        kept.append({*memory.rows.get("training", torch.empty(0))[: len(memory)].tolist()})
        states.append(snapshot(model))

    train(make_bank(THREE), [plugin], parts=make_data(3), optimizer="adam", after_each=note)
    for last, held in enumerate(kept):
        assert held == {*range(max(0, last - reach + 2), last + 1)}
    for head, model in (("a", 0), ("b", 1)):
        own = [f"blocks.{head}.{part}" for part in ("layer.weight", "layer.bias")]
        own += [n for n in states[0] if n.startswith(f"blocks.{head}.log_ratios")]
        assert len(own) == 4
        for later in range(model + 1, 3):
            moved = [n for n in own if not torch.equal(states[later - 1][n], states[later][n])]
            assert len(moved) == (4 if later - model < reach else 0)


def test_samples_of_a_head_that_the_step_does_not_use_do_not_pass(monkeypatch):
    """Where a training has several heads, those of its samples count in batches of their own."""
    plugin = NStepKL(posteriors=2, memory=4)
    plugin.models_seen = 1
    memory = {"training": torch.tensor([0, 1, 1]), "label": torch.tensor([0, 1, 2])}
    monkeypatch.setattr(plugin._rehearsal, "recall", lambda _: memory)
    batch = SimpleNamespace(model=make_bank(THREE), mbatch=[0, 0, 0], mb_task_id=2)
    assert plugin._recalled(batch)["label"].tolist() == [0, 2]
    batch.model = nn.Linear(1, 1)
    assert plugin._recalled(batch)["label"].tolist() == [0, 1, 2]


def test_tempered_the_data_of_all_models_count_once():
    def trained(**settings):
        found = []
        note = {"after_each": lambda _, m: found.append(weights(m)[1]["0.weight"].mean().item())}
        parts = make_data(1) * 3
        own = {"optimizer": lambda p: torch.optim.Adam(p, lr=0.05), "epochs": 6}
        model = train(make_ordinary(), [VCL(**settings)], parts=parts, **own, **note)
        return model, found

    tempered, certain = trained(beta=0.05, temper="models")
    assert same(tempered, trained(beta=3 * 0.05)[0])
    _, overconfident = trained(beta=0.05)
    assert overconfident[2] < overconfident[1] < overconfident[0] < 0
    assert 1.5 * certain[2] > overconfident[2]


def test_tempering_needs_to_know_how_many_models_there_are():
    class Endless(SupervisedPlugin):
        def before_training_exp(self, strategy, *_, **__):
            strategy.experience._origin_stream = object()

    with pytest.raises(ValueError, match="needs to know how many experiences there are"):
        train(make_bank(), [Endless(), VCL(temper="models")])


def test_the_prior_may_be_about_zero():
    plugin = VCL(prior_std=0.2, log_variance=-4.0)
    watch = Boundaries(plugin)
    bank = make_bank()
    trained = train(bank, [plugin, watch], optimizer=lambda p: torch.optim.SGD(p, lr=0.0))
    log_variance = torch.tensor(0.04).log()
    of = {
        name: kl((m, torch.tensor(-4.0)), (torch.tensor(0.0), log_variance)).item()
        for name, m in snapshot(bank).items()
    }
    first, second = watch.divergences
    assert first == pytest.approx(sum(of.values()), rel=1e-5)
    assert second == pytest.approx(of["blocks.b.weight"] + of["blocks.b.bias"], rel=1e-5)
    assert plugin.divergence(trained).item() == 0


def test_a_step_draws_every_weight_once():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.layer, self.head = nn.Linear(FEATURES, FEATURES), nn.Linear(FEATURES, CLASSES)

        def forward(self, x):
            first, second = self.layer(x), self.layer(x)
            gaps.append((first - second).abs().max().item())
            seen.append(first.detach())
            return self.head(second)

    gaps, seen = [], []
    x = torch.ones(10, FEATURES)
    part = (x, torch.arange(10) % CLASSES)
    train(
        Twice(),
        [VCL()],
        parts=[part],
        labels=[0],
        epochs=3,
        optimizer=lambda p: torch.optim.SGD(p, lr=0.0),
    )
    assert set(gaps) == {0}
    torch.testing.assert_close(seen[0], seen[0][:1].expand_as(seen[0]))
    assert not torch.equal(seen[0], seen[1])


def test_sampled_weights_are_drawn_from_the_posterior_and_put_back():
    plugin = VCL(beta=BETA)
    model = train(make_ordinary(), [plugin], optimizer="adam").eval()
    x, before = make_data()[0][0], snapshot(model)
    mean = model(x)

    def outputs(seed):
        with plugin.sampled(model, 0, seeded(seed)):
            assert torch.equal(model(x), model(x))
            return model(x)

    assert torch.equal(outputs(1), outputs(1))
    assert not torch.equal(outputs(1), outputs(2))
    with pytest.raises(ZeroDivisionError), plugin.sampled(model, 0, seeded()):
        raise ZeroDivisionError
    assert torch.equal(model(x), mean)
    assert same(before, snapshot(model))
    layer, drawn, generator = posterior_layers(model)["0"], [], seeded(5)
    for _ in range(4000):
        with plugin.sampled(model, 0, generator):
            drawn.append(layer.weight.detach().clone())
    q, found = layer.posterior("weight").copied(), torch.stack(drawn)
    sd = torch.exp(q.log_variance / 2)
    assert ((found.mean(dim=0) - q.mean) / sd).abs().max() < 5 / 4000**0.5
    assert (found.std(dim=0) / sd - 1).abs().max() < 0.08


def test_heads_that_grow_have_no_posterior():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(FEATURES, 8), nn.Tanh(), IncrementalClassifier(8, 2))
    (x, y), (z, w) = make_data()
    plugin = VCL(beta=BETA)
    trained = train(model, [plugin], parts=[(x, y % 2), (z, w % 2 + 2)], evaluate=True)
    assert set(plugin.history) == {"0.layer.weight", "0.layer.bias"}
    assert [*posterior_layers(trained)] == ["0"]
    assert trained[2].classifier.out_features == CLASSES


def test_what_has_two_places_or_is_not_trained_has_no_posterior():
    torch.manual_seed(0)
    one, two, three = (nn.Linear(FEATURES, FEATURES) for _ in range(3))
    two.weight = one.weight
    three.bias.requires_grad_(False)
    model = nn.Sequential(one, two, three, nn.Linear(FEATURES, CLASSES).requires_grad_(False))
    add_posteriors(model, -6.0)
    (layer,) = (module for module in model.modules() if isinstance(module, PosteriorLayer))
    assert layer is model[2]
    assert [*layer.log_ratios] == ["weight"]
    assert torch.equal(layer.bias, three.bias)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("where", ["history", "present"])
def test_a_damaged_posterior_is_refused(where, value):
    plugin = VCL(beta=BETA)

    def damage(i, model):
        if i == 0 and where == "history":
            plugin.history["0.layer.bias"][0].log_variance[1] = value
        elif i == 0:
            with torch.no_grad():
                posterior_layers(model)["0"].log_ratios["bias"][1] = value

    with pytest.raises(ValueError, match=r"the posterior of 0\.layer\.bias has a variance that"):
        train(make_ordinary(), [plugin], after_each=damage)


def test_settings_that_have_no_effect_are_refused():
    with pytest.raises(ValueError, match="memory_batch has no effect without memory"):
        NStepKL(memory_batch=3)
