"""Products with the Fisher information and the solved penalty, compared with dense matrices."""

import pytest
import torch
from programs import FEATURES, make_bank, make_data, snapshot
from references import dense_fisher, dense_omega, flat
from torch import nn

from palimpsest.strategies.curvature.gauss_newton import GaussNewtonRoot
from palimpsest.strategies.penalty.schur_complement import ModelTerm, SchurPenalty

DAMPING = 0.03
both_privates = pytest.mark.parametrize("private", ["follows", "fixed"])


def network():
    torch.manual_seed(0)
    layers = nn.Linear(FEATURES, 5), nn.Tanh(), nn.Linear(5, 3), nn.Tanh(), nn.Linear(3, 4)
    return nn.Sequential(*layers).double()


SHARED, PRIVATE = ["0.weight", "0.bias"], ["2.weight", "2.bias", "4.weight", "4.bias"]


def penalty_on(model, private, rates=(1.0, 1.0), damping=DAMPING, away=0.3):
    """Return a penalty of one model, with the parameters away from its anchors, and samples."""
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(12, FEATURES, generator=generator, dtype=torch.float64)
    state = snapshot(model)
    anchors = [state[name] for name in SHARED]
    theta = [a + away * torch.randn(a.shape, generator=generator).to(a) for a in anchors]
    roots = [GaussNewtonRoot(model, state, names, [(0, x)]) for names in (SHARED, PRIVATE)]
    term = ModelTerm([0, 1], anchors, roots[0], roots[1] if private == "follows" else None)
    return SchurPenalty(theta, [term], list(rates), damping), x


def omega_of(model, private, x, damping=DAMPING):
    return dense_omega(model, SHARED, PRIVATE if private == "follows" else [], x, damping=damping)


def test_the_root_times_its_transpose_is_the_fisher_information():
    model, x = network(), make_data(1)[0][0][:9].double()
    names = SHARED + PRIVATE
    root = GaussNewtonRoot(model, snapshot(model), names, [(0, x)])
    v = [torch.randn_like(model.get_parameter(name)) for name in names]
    expected = dense_fisher(model, names, x) @ flat(v)
    assert expected.norm() > 0.01
    torch.testing.assert_close(flat(root.transposed_product(root.product(v))), expected)
    assert root.rows == 9 * 3


def test_the_root_is_that_of_several_task_labels_together():
    bank = make_bank().double()
    x, z = (part[0][:7].double() for part in make_data(2))
    names = ["blocks.shared.0.weight"]
    root = GaussNewtonRoot(bank, snapshot(bank), names, [(0, x), (1, z[:3])])
    v = [torch.randn_like(bank.get_parameter(names[0]))]
    h = 0.7 * dense_fisher(bank, names, x) + 0.3 * dense_fisher(bank, names, z[:3], 1)
    torch.testing.assert_close(flat(root.transposed_product(root.product(v))), h @ flat(v))


@both_privates
@pytest.mark.parametrize("damping", [1e-6, 1e-2, 10.0])
def test_the_gradient_is_omega_times_the_distance(private, damping):
    model = network()
    penalty, x = penalty_on(model, private, damping=damping)
    away = flat(penalty.parameters) - flat(penalty.terms[0].anchors)
    expected = omega_of(model, private, x, damping) @ away
    torch.testing.assert_close(flat(penalty.gradient()), expected, rtol=1e-6, atol=1e-9)


def test_omega_is_the_least_cost_when_the_private_parameters_follow():
    model = network()
    penalty, x = penalty_on(model, "follows")
    v = flat(penalty.parameters) - flat(penalty.terms[0].anchors)
    h = dense_fisher(model, SHARED + PRIVATE, x)
    w = torch.zeros(len(h) - len(v), dtype=torch.float64, requires_grad=True)
    search = torch.optim.LBFGS(
        [w], max_iter=500, tolerance_grad=1e-12, line_search_fn="strong_wolfe"
    )

    def cost():
        z = torch.cat([v, w])
        return z @ h @ z + DAMPING * w @ w

    def closure():
        search.zero_grad()
        value = cost()
        value.backward()
        return value

    search.step(closure)
    least = cost().item()
    assert least == pytest.approx((v @ flat(penalty.gradient())).item(), rel=1e-6)
    assert least < 0.8 * (v @ h[: len(v), : len(v)] @ v).item()


@both_privates
@pytest.mark.parametrize("strength", [1e-2, 1.0, 1e3, 1e8])
@pytest.mark.parametrize("rates", [(1.0, 1.0), (1.0, 0.2), (0.0, 1.0)])
def test_the_proximal_step_is_the_dense_minimiser(private, strength, rates):
    model, scale = network(), 0.05
    penalty, x = penalty_on(model, private, rates)
    theta, anchor = flat(penalty.parameters), flat(penalty.terms[0].anchors)
    sizes = [p.numel() for p in penalty.parameters]
    d = torch.cat([torch.full((n,), scale * r) for n, r in zip(sizes, rates, strict=True)]).double()
    omega = omega_of(model, private, x)
    system = torch.eye(len(d)).double() + strength * d[:, None] * omega
    expected = anchor + torch.linalg.solve(system, theta - anchor)
    penalty.proximal_step_(strength, [scale * rate for rate in rates])
    torch.testing.assert_close(flat(penalty.parameters), expected, rtol=1e-5, atol=1e-7)


@both_privates
@pytest.mark.parametrize("strength", [1e-2, 1.0, 1e3, 1e8])
def test_a_metric_that_changes_with_every_step_gives_the_dense_minimiser(private, strength):
    model = network()
    penalty, x = penalty_on(model, private, (1.0, 1.0))  # the basis is for another metric
    omega, anchor = omega_of(model, private, x), flat(penalty.terms[0].anchors)
    generator = torch.Generator().manual_seed(1)
    for _ in range(3):
        metric = [
            10 ** (3 * torch.rand(p.shape, generator=generator, dtype=p.dtype) - 3)
            for p in penalty.parameters
        ]
        theta = flat(penalty.parameters)
        system = torch.eye(len(theta)).double() + strength * flat(metric)[:, None] * omega
        expected = anchor + torch.linalg.solve(system, theta - anchor)
        penalty.proximal_step_(strength, metric)
        torch.testing.assert_close(flat(penalty.parameters), expected, rtol=1e-4, atol=1e-6)
        for p in penalty.parameters:
            p.add_(torch.randn(p.shape, generator=generator, dtype=p.dtype), alpha=0.1)
    assert penalty.iterations > 0


def test_single_precision_solves_as_double_does_over_all_strengths():
    def solution(dtype, strength):
        model = network().to(dtype)
        penalty, _ = penalty_on_inputs(model, dtype)
        penalty.proximal_step_(strength, [0.05, 0.05])
        return flat(penalty.parameters).double()

    def penalty_on_inputs(model, dtype):
        x = make_data(1)[0][0].to(dtype)
        state = snapshot(model)
        anchors = [state[name] for name in SHARED]
        theta = [a + 0.1 * torch.ones_like(a) for a in anchors]
        roots = [GaussNewtonRoot(model, state, names, [(0, x)]) for names in (SHARED, PRIVATE)]
        return SchurPenalty(theta, [ModelTerm([0, 1], anchors, *roots)], [1.0, 1.0], DAMPING), x

    for strength in (1e-2, 1e2, 1e5):
        single, double = solution(torch.float32, strength), solution(torch.float64, strength)
        torch.testing.assert_close(single, double, rtol=1e-3, atol=1e-4)


def test_the_earlier_models_buffers_are_what_it_is_linearised_with():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(FEATURES, 8), nn.BatchNorm1d(8), nn.Linear(8, 4)).double()
    model[1].running_mean += 0.5
    state = {**snapshot(model), **{n: b.clone() for n, b in model.named_buffers()}}
    x, names = make_data(1)[0][0].double(), ["0.weight", "2.bias"]
    expected = dense_fisher(model, names, x)
    model[1].running_mean -= 3.0
    model[0].weight.data *= 2
    root = GaussNewtonRoot(model, state, names, [(0, x)])
    v = [torch.randn_like(state[name]) for name in names]
    found = flat(root.transposed_product(root.product(v)))
    torch.testing.assert_close(found, expected @ flat(v))
    assert (found - dense_fisher(model, names, x) @ flat(v)).norm() > 1e-3


class Last(nn.Module):
    """The last output of a recurrent layer."""

    def forward(self, outputs):
        return outputs[0][:, -1]


def pictures():
    return torch.randn(5, 2, 6, 6, dtype=torch.float64)


KINDS = {
    "convolution": (
        lambda: [nn.Conv2d(2, 3, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(12, 4)],
        pictures,
    ),
    "normalisation": (
        lambda: [nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(48, 4)],
        pictures,
    ),
    "recurrent": (
        lambda: [nn.Embedding(7, 3), nn.LSTM(3, 4, batch_first=True), Last(), nn.Linear(4, 3)],
        lambda: torch.randint(7, (5, 4)),
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_root_of_other_layers(kind):
    torch.manual_seed(0)
    layers, inputs = KINDS[kind]
    model, x = nn.Sequential(*layers()).double(), inputs()
    state = snapshot(model)
    root = GaussNewtonRoot(model, state, list(state), [(0, x)])
    v = [torch.randn_like(value) for value in state.values()]
    expected = dense_fisher(model, list(state), x) @ flat(v)
    assert expected.norm() > 0.01
    torch.testing.assert_close(flat(root.transposed_product(root.product(v))), expected)


@pytest.mark.parametrize("layer", [nn.LSTM, nn.GRU, nn.RNN])
def test_the_root_of_recurrent_layers_in_single_precision(layer):
    """oneDNN has an LSTM of single precision, which cannot be differentiated twice."""
    found = []
    for dtype in (torch.float32, torch.float64):
        torch.manual_seed(0)
        model = nn.Sequential(layer(6, 4, batch_first=True), Last(), nn.Linear(4, 3))
        x, model = torch.randn(5, 3, 6).to(dtype), model.to(dtype)
        state = snapshot(model)
        root = GaussNewtonRoot(model, state, list(state), [(0, x)])
        v = [torch.ones_like(value) for value in state.values()]
        found.append(flat(root.transposed_product(root.product(v))).double())
    assert found[1].norm() > 0.01
    torch.testing.assert_close(*found, rtol=1e-3, atol=1e-5)
