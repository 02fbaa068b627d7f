"""Online Laplace in training, compared with a plain loop on dense matrices."""

import pytest
import torch
from programs import (
    CLASSES,
    FEATURES,
    OPTIMIZERS,
    SAMPLES,
    THREE,
    Tape,
    assert_close,
    distance,
    double,
    make_bank,
    make_data,
    make_ordinary,
    replay,
    same,
    slow_fisher,
    step_size,
    train,
)
from references import dense, flat, slow_factors
from torch import nn

from palimpsest.benchmark.runs.cost import state_bytes
from palimpsest.strategies import Laplace
from palimpsest.strategies.base.hooks import Samples
from palimpsest.strategies.curvature import kronecker
from palimpsest.strategies.curvature.kronecker_products import Product, nearest

FORMS = ("online", "per_model", "merged")


def layers_of(names):
    """Return the layers whose weights are among the names of parameters."""
    return list(dict.fromkeys(name.rpartition(".")[0] for name in names))


def joined(model, layer, values=None):
    """Return weight and bias of a layer as one vector, row by row."""
    own = model.get_submodule(layer) if values is None else values
    weight, bias = (own.weight, own.bias) if values is None else values
    return torch.cat([weight.flatten(1), bias[:, None]], dim=1).flatten()


class Dense:
    """The slow form of the penalty."""

    def __init__(self, parts, form, strength):
        self.parts, self.form, self.strength = parts, form, strength
        self.terms = {}  # layer -> [(A, G)], [anchors]

    def remember(self, i, model, used):
        for layer in layers_of(used):
            a, g = slow_factors(model, layer, self.parts[i][0], i)
            products, anchors = self.terms.setdefault(layer, ([], []))
            products.append(Product(a, g))
            anchors.append(joined(model, layer).detach().clone())
            if self.form == "merged":
                products[:] = [nearest(products, [1.0] * len(products))]
            if self.form != "per_model":
                anchors[:] = anchors[-1:] * len(products)

    def quadratics(self, used):
        for layer in layers_of(used):
            for own, anchor in zip(*self.terms.get(layer, ([], [])), strict=True):
                yield layer, dense(own.inputs, own.outputs), anchor

    def loss(self, _, used):
        total = None
        for layer, h, anchor in self.quadratics(used):
            v = joined(None, layer, (used[f"{layer}.weight"], used[f"{layer}.bias"])) - anchor
            term = self.strength / 2 * v @ h @ v
            total = term if total is None else total + term
        return total

    def proximal(self, _, used, __, optimizer):
        for layer in layers_of(used):
            pair = [used[f"{layer}.weight"], used[f"{layer}.bias"]]
            theta = joined(None, layer, pair)
            sizes = [step_size(optimizer, p) * torch.ones_like(p) for p in pair]
            matrix = torch.diag(1 / joined(None, layer, sizes))
            right = matrix @ theta
            for other, h, anchor in self.quadratics(used):
                if other == layer:
                    matrix = matrix + self.strength * h
                    right = right + self.strength * h @ anchor
            solved = torch.linalg.solve(matrix, right).view(len(pair[1]), -1)
            pair[0].copy_(solved[:, :-1].view_as(pair[0]))
            pair[1].copy_(solved[:, -1])


EVERY_WAY = [
    *(("proximal", "online", optimizer) for optimizer in OPTIMIZERS),
    *(("proximal", form, "adam") for form in FORMS[1:]),
    *(("gradient", form, "momentum") for form in FORMS),
]


@pytest.mark.parametrize(("application", "form", "optimizer"), EVERY_WAY)
def test_training_is_that_of_the_dense_penalty(application, form, optimizer, monkeypatch):
    monkeypatch.setattr(kronecker, "_ACCURACY", 1e-9)
    monkeypatch.setattr(kronecker, "_MOST", 300)
    bank, tape = make_bank(THREE, dtype=torch.float64), Tape()
    parts = double(make_data(3))
    plugin = Laplace(strength=30.0, form=form, application=application)
    how = {"program": "in_memory", "epochs": 1, "optimizer": optimizer}
    trained = train(bank, [plugin, tape], parts=parts, **how)
    slow = Dense(parts, form, 30.0)
    step = {"after_step": slow.proximal} if application == "proximal" else {"extra_loss": slow.loss}
    expected = replay(bank, tape.batches, optimizer=optimizer, after_model=slow.remember, **step)
    assert_close(trained, expected, rtol=1e-5, atol=1e-6)
    assert distance(replay(bank, tape.batches, optimizer=optimizer), trained) > 1e-3
    with torch.no_grad():
        everything = dict(trained.named_parameters())
        torch.testing.assert_close(plugin.penalty(trained), slow.loss(0, everything))


class Images(nn.Module):
    """A convolution, normalisation and a head: what has products, and what has not."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(1, 3, 2, padding=1)
        self.norm = nn.GroupNorm(1, 3)
        self.grouped = nn.Conv2d(3, 3, 2, groups=3)
        self.head = nn.Linear(3 * 2 * 3, CLASSES)

    def forward(self, x):
        x = torch.relu(self.norm(self.conv(x.view(-1, 1, 2, FEATURES // 2))))
        return self.head(self.grouped(x).flatten(1))


REST = {"norm.weight", "norm.bias", "grouped.weight", "grouped.bias"}


def test_what_is_no_such_layer_has_its_diagonal():
    plugin, parts = Laplace(strength=0.0), make_data(1)
    trained = train(Images(), [plugin], parts=parts)
    assert plugin._quadratics.keys() == {"conv", "head"}
    assert plugin._rest.keys() == REST
    expected = slow_fisher(trained, sorted(REST), parts[0][0], parts[0][1])
    for name, fisher in expected.items():
        torch.testing.assert_close(plugin._rest[name].importance, fisher, rtol=1e-3, atol=1e-6)


class Tied(nn.Module):
    """Two layers with one weight."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = (nn.Linear(FEATURES, FEATURES, bias=False) for _ in range(2))
        self.second.weight = self.first.weight
        self.head = nn.Linear(FEATURES, CLASSES)

    def forward(self, x):
        return self.head(torch.tanh(self.second(torch.tanh(self.first(x)))))


def test_a_weight_that_layers_share_has_its_diagonal():
    plugin = Laplace(strength=1.0)
    train(Tied(), [plugin])
    assert plugin._quadratics.keys() == {"head"}
    assert plugin._rest.keys() == {"first.weight"}


def test_memory_is_two_factors_and_an_anchor_for_each_layer():
    sizes = {}
    for form in FORMS:
        plugin = Laplace(strength=1.0, form=form)
        model = train(make_ordinary(), [plugin], parts=make_data(3), optimizer="adam")
        generator = torch.Generator().manual_seed(0)
        sizes[form] = state_bytes(plugin, model)
        with plugin.sampled(model, 0, generator):
            assert state_bytes(plugin, model) == sizes[form]
    layers = [(8, FEATURES + 1), (CLASSES, 8 + 1)]
    factors = sum(4 * (o * o + i * i) for o, i in layers)
    anchors = sum(4 * o * i for o, i in layers)
    assert sizes == {
        "online": 3 * factors + anchors,
        "per_model": 3 * (factors + anchors),
        "merged": factors + anchors,
    }


# The posterior


def drawn(plugin, model, layer, count):
    """Return draws of a layer, minus the mean, one a row."""
    generator, rows = torch.Generator().manual_seed(0), []
    for _ in range(count):
        with plugin.sampled(model, 0, generator):
            rows.append(joined(model, layer).detach().clone())
    return torch.stack(rows) - joined(model, layer).detach()


@pytest.mark.parametrize("strength", [0.0, 10.0])
def test_draws_have_the_covariance_of_the_posterior(strength):
    prior, parts = 2.0, make_data(1)
    plugin = Laplace(strength=strength, prior_precision=prior)
    model = train(make_ordinary(), [plugin], parts=parts)
    assert isinstance(plugin, Samples)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    a, g = slow_factors(model, "2", parts[0][0])
    expected = torch.linalg.inv(SAMPLES * dense(a, g) + prior * torch.eye(a.shape[0] * len(g)))
    rows = drawn(plugin, model, "2", 4000)
    found = rows.T @ rows / len(rows)
    torch.testing.assert_close(found, expected, rtol=0, atol=0.1 * float(expected.max()))
    assert float(rows.mean(dim=0).abs().max()) < 0.1
    assert same(before, {name: p.detach() for name, p in model.named_parameters()})
    assert torch.equal(drawn(plugin, model, "2", 3), rows[:3])


def test_draws_of_the_rest_have_the_variance_of_the_posterior():
    plugin = Laplace(strength=1.0, prior_precision=0.5)
    model = train(Images(), [plugin])
    kept = plugin._rest["norm.weight"]
    torch.testing.assert_close(kept.precision, SAMPLES * kept.importance)
    generator, rows = torch.Generator().manual_seed(0), []
    for _ in range(3000):
        with plugin.sampled(model, 0, generator):
            rows.append(model.norm.weight.detach().clone())
    found = torch.stack(rows).var(dim=0)
    torch.testing.assert_close(found, 1 / (kept.precision + 0.5), rtol=0.15, atol=0)


def damage(plugin, where, value):
    """Change one number of what is kept of earlier models."""
    product = plugin._quadratics["conv"].products[0]
    places = {"inputs": product.inputs, "outputs": product.outputs}
    places["rest"] = plugin._rest["norm.weight"].precision.view(1, -1)
    places[where][0, 0] = value


@pytest.mark.parametrize("where", ["inputs", "outputs", "rest"])
@pytest.mark.parametrize("value", [-1.0, float("nan"), float("inf")])
def test_a_damaged_posterior_is_refused(where, value):
    layer = r"norm\.weight" if where == "rest" else "conv"
    said = rf"the posterior of {layer} has a precision that is negative or not finite; what was"
    plugin = Laplace()
    with pytest.raises(ValueError, match=said):
        train(Images(), [plugin], after_each=lambda *_: damage(plugin, where, value))
    model = train(Images(), [plugin := Laplace()], parts=make_data(1))
    damage(plugin, where, value)
    with pytest.raises(ValueError, match=said), plugin.sampled(model, 0, torch.Generator()):
        pass


def test_an_element_above_what_the_diagonal_allows_is_damage():
    plugin = Laplace()
    model = train(Images(), [plugin], parts=make_data(1))
    outputs = plugin._quadratics["conv"].products[0].outputs
    outputs[0, 1] = outputs[1, 0] = 2 * outputs.diagonal().max()
    with (
        pytest.raises(ValueError, match="a precision"),
        plugin.sampled(model, 0, torch.Generator()),
    ):
        pass


def test_a_draw_that_fails_puts_the_weights_back():
    plugin = Laplace()
    model = train(make_ordinary(), [plugin], parts=make_data(1))
    before = flat(model.parameters())
    with (
        pytest.raises(RuntimeError, match="stop"),
        plugin.sampled(model, 0, torch.Generator()),
    ):
        assert not torch.equal(flat(model.parameters()), before)
        raise RuntimeError("stop")
    assert torch.equal(flat(model.parameters()), before)


@pytest.mark.parametrize("form", FORMS)
def test_each_models_product_counts_its_own_samples_once(form):
    plugin = Laplace(strength=1.0, form=form)
    train(make_ordinary(), [plugin], parts=make_data(2))
    products = plugin._quadratics["0"].products
    found = sum(w * float(p.outputs.trace()) * float(p.inputs.trace()) for w, p in zip(
        plugin._weights("0"), products, strict=True))  # fmt: skip
    total = sum(float(p.outputs.trace()) * float(p.inputs.trace()) for p in products)
    assert found == pytest.approx(SAMPLES * total)
