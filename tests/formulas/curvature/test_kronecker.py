"""Sums of Kronecker products compared with dense matrices."""

import pytest
import torch
from references import dense

from palimpsest.strategies.curvature import kronecker
from palimpsest.strategies.curvature.kronecker import Quadratic
from palimpsest.strategies.curvature.kronecker_products import Product, Spectrum, nearest

OUTPUTS, INPUTS = 4, 6
CLOSE = {"rtol": 1e-6, "atol": 1e-9}


def random(*shape, seed):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def product(seed, rank=3):
    roots = [random(size, rank, seed=seed + i) for i, size in enumerate((INPUTS, OUTPUTS))]
    return Product(*(root @ root.T / rank for root in roots))


def weight(seed):
    return random(OUTPUTS, INPUTS, seed=seed)


def matrix(quadratic):
    return sum(dense(own.inputs, own.outputs) for own in quadratic.products)


@pytest.fixture
def converged(monkeypatch):
    monkeypatch.setattr(kronecker, "_ACCURACY", 1e-10)
    monkeypatch.setattr(kronecker, "_MOST", 500)


def quadratic(terms, anchors=None):
    own = [weight(50 + k) for k in range(anchors or terms)]
    return Quadratic([product(10 * k) for k in range(terms)], own)


@pytest.mark.parametrize(("terms", "anchors"), [(1, 1), (3, 1), (3, 3)])
def test_value_and_gradient_are_those_of_the_dense_matrix(terms, anchors):
    own, w = quadratic(terms, anchors), weight(1).requires_grad_()
    expected = 0
    for k, each in enumerate(own.products):
        v = (w - own.anchors[k if anchors > 1 else 0]).flatten()
        expected = expected + v @ dense(each.inputs, each.outputs) @ v / 2
    torch.testing.assert_close(own.value(w), expected, **CLOSE)
    (slope,) = torch.autograd.grad(own.value(w), w)
    torch.testing.assert_close(own.gradient(w.detach()), slope, **CLOSE)


def test_the_nearest_product_is_the_first_singular_pair_of_the_rearranged_sum():
    parts, weights = [product(seed) for seed in (0, 10, 20)], [2.0, 0.5, 1.0]
    found = nearest(parts, weights)
    rearranged = sum(
        w * torch.outer(p.inputs.flatten(), p.outputs.flatten())
        for w, p in zip(weights, parts, strict=True)
    )
    u, values, v = torch.linalg.svd(rearranged)
    expected = values[0] * torch.outer(u[:, 0], v[0])
    own = torch.outer(found.inputs.flatten(), found.outputs.flatten())
    torch.testing.assert_close(own, expected, **CLOSE)
    for factor in (found.inputs, found.outputs):
        assert float(torch.linalg.eigvalsh(factor)[0]) > -1e-10


def test_the_nearest_product_of_one_or_of_equal_ones_is_exact():
    one = product(0)
    for parts, weights in (([one], [3.0]), ([one, one], [1.0, 2.0])):
        found = nearest(parts, weights)
        expected = 3 * dense(one.inputs, one.outputs)
        torch.testing.assert_close(dense(found.inputs, found.outputs), expected, **CLOSE)


METRICS = {
    "one number": torch.full((OUTPUTS, INPUTS), 0.1, dtype=torch.float64),
    "rank 1": torch.outer(random(OUTPUTS, seed=5).exp(), random(INPUTS, seed=6).exp()),
    "any": (2 * weight(7)).exp(),
}


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("strength", [1e-3, 1.0, 1e4])
@pytest.mark.usefixtures("converged")
def test_a_proximal_step_is_that_of_the_dense_matrix(metric, strength):
    for terms, anchors in ((1, 1), (3, 1), (2, 2)):
        own, d = quadratic(terms, anchors), METRICS[metric]
        before, after = weight(2), weight(3)
        h = matrix(own)
        system = torch.diag(1 / d.flatten()) + strength * h
        slope = own.gradient(torch.zeros_like(after)).flatten()  # - sum_k H_k a_k
        right = after.flatten() / d.flatten() - strength * slope
        expected = torch.linalg.solve(system, right).view_as(after)
        found = own.proximal_step(before, after, d, strength)
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


def test_a_step_is_solved_where_an_adaptive_optimizer_has_just_begun():
    """Its metric then differs by a factor of some 1e5 from weight to weight, at random."""
    outputs, inputs, strength = 20, 30, 1e4
    a, g = (random(n, n, seed=n) / n for n in (inputs, outputs))
    own = Quadratic([Product(a @ a.T, g @ g.T)], [random(outputs, inputs, seed=1)])
    metric = 0.01 * (3 * random(outputs, inputs, seed=2)).exp()
    before, after = own.anchors[0], own.anchors[0] + metric * random(outputs, inputs, seed=3)

    system = torch.diag(1 / metric.flatten()) + strength * matrix(own)
    right = ((after - before) / metric).flatten()
    exact = before + torch.linalg.solve(system, right).view_as(before)
    missing = (own.proximal_step(before, after, metric, strength) - exact).flatten()
    way = (exact - before).flatten()
    assert own.iterations > 10
    assert float(missing @ system @ missing) < 0.05**2 * float(way @ system @ way)


@pytest.mark.parametrize("metric", ["one number", "rank 1"])
def test_one_product_in_a_metric_of_rank_1_is_solved_at_once(metric):
    own = quadratic(1)
    own.proximal_step(weight(2), weight(3), METRICS[metric], 10.0)
    assert own.iterations == 1
    basis = own._basis
    own.proximal_step(weight(4), weight(5), 3 * METRICS[metric], 10.0)
    assert own._basis is basis
    assert own.iterations == 1


def test_a_short_step_never_increases_what_it_minimises(monkeypatch):
    monkeypatch.setattr(kronecker, "_MOST", 1)
    own, d = quadratic(3), METRICS["any"]
    for strength in (0.1, 10.0, 1e6):
        before, after = weight(2), weight(3)

        def objective(w, after=after, strength=strength):
            return float(((w - after).square() / d).sum() / 2 + strength * own.value(w))

        assert objective(own.proximal_step(before, after, d, strength)) < objective(before)


@pytest.mark.parametrize("most", [1, 10])
def test_training_rests_at_the_minimum_however_short_the_step(most, monkeypatch):
    """W' = W - D g with g the loss's gradient, opposite to the penalty's."""
    monkeypatch.setattr(kronecker, "_MOST", most)
    own, d, w = quadratic(2), METRICS["any"], weight(2)
    slope = 7.0 * own.gradient(w)
    torch.testing.assert_close(own.proximal_step(w, w + d * slope, d, 7.0), w, **CLOSE)


def test_what_the_optimizer_does_not_move_stays():
    own, d = quadratic(2), METRICS["any"].clone()
    d[:, -1] = 0
    before = weight(2)
    after = before + d * weight(3)
    found = own.proximal_step(before, after, d, 5.0)
    assert torch.equal(found[:, -1], before[:, -1])
    assert not torch.equal(found[:, 0], after[:, 0])
    assert own.proximal_step(before, before, torch.zeros_like(d), 5.0) is before


@pytest.mark.parametrize("strength", [1e-30, 1e30])
def test_steps_are_finite_at_every_strength(strength):
    own = Quadratic(
        [Product(product(0).inputs.float(), product(0).outputs.float())], [weight(50).float()]
    )
    after = weight(3).float()
    found = own.proximal_step(weight(2).float(), after, METRICS["any"].float(), strength)
    assert found.isfinite().all()
    if strength < 1:
        torch.testing.assert_close(found, after, rtol=1e-4, atol=1e-4)


def test_a_layer_with_more_outputs_keeps_its_curvature():
    own = quadratic(2)
    w = weight(3)
    expected = own.value(w)
    own.fit(torch.cat([w, random(2, INPUTS, seed=9)]))
    torch.testing.assert_close(own.value(torch.cat([w, random(2, INPUTS, seed=8)])), expected)


def test_draws_have_the_inverse_as_their_covariance():
    own, prior = product(0), 0.3
    noise = random(40_000, OUTPUTS, INPUTS, seed=1)
    draws = Spectrum.of(own).draw(prior, noise).flatten(1)
    precision = dense(own.inputs, own.outputs) + prior * torch.eye(OUTPUTS * INPUTS)
    covariance = torch.linalg.inv(precision)
    found = draws.T @ draws / len(draws)
    torch.testing.assert_close(found, covariance, rtol=0, atol=0.03 * float(covariance.max()))
    assert float(covariance.diagonal().max() / covariance.diagonal().min()) > 2


def test_what_single_precision_cannot_decompose_is_decomposed_in_double(monkeypatch):
    own, eigh = product(3, 4), torch.linalg.eigh

    def fails(matrix):
        if matrix.dtype == torch.float32:
            raise torch.linalg.LinAlgError("failed to converge")
        return eigh(matrix)

    known = Spectrum.of(Product(own.inputs.float(), own.outputs.float()))
    monkeypatch.setattr(torch.linalg, "eigh", fails)
    found = Spectrum.of(Product(own.inputs.float(), own.outputs.float()))
    assert found.values.dtype == found.rows.dtype == found.columns.dtype == torch.float32
    torch.testing.assert_close(found.values, known.values)
    torch.testing.assert_close(
        found.rows @ found.values.sum(1).diag() @ found.rows.T,
        known.rows @ known.values.sum(1).diag() @ known.rows.T,
    )


def test_models_that_are_saturated_have_a_nearest_product_of_zero():
    """Their outputs have no Fisher information, so that no scale fits the sums."""
    inputs, none = torch.eye(3), torch.zeros(2, 2)
    found = nearest([Product(inputs, none), Product(2 * inputs, none)], [1.0, 1.0])
    assert found.inputs.isfinite().all()
    assert torch.equal(found.outputs, none)
