"""The penalty's arithmetic against loops, autograd and SciPy."""

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from palimpsest.strategies.penalty.quadratic import (
    add_gradient_,
    merge,
    penalty,
    proximal_step_,
    pull,
    stiffness,
)

SHAPES = [(3, 2), (4,), ()]


@pytest.fixture
def tensors():
    """Parameters, anchors and importances of several shapes, in double precision."""
    generator = torch.Generator().manual_seed(0)

    def draw():
        return [torch.randn(s, generator=generator, dtype=torch.float64) for s in SHAPES]

    return draw(), draw(), [value.abs() for value in draw()]


def test_penalty_is_half_the_strength_times_the_weighted_squared_distance(tensors):
    expected = 0.0
    for parameter, anchor, importance in zip(*tensors, strict=True):
        for t, a, i in zip(parameter.view(-1), anchor.view(-1), importance.view(-1), strict=True):
            expected += 3.0 / 2 * float(i) * (float(t) - float(a)) ** 2
    assert penalty(*tensors, 3.0).item() == pytest.approx(expected, rel=1e-12)


def test_added_gradient_is_that_of_autograd(tensors):
    parameters, anchors, importances = tensors
    for parameter in parameters:
        parameter.requires_grad_()
    expected = torch.autograd.grad(penalty(parameters, anchors, importances, 2.5), parameters)
    gradients = [torch.full_like(parameter, 7.0) for parameter in parameters]
    add_gradient_(gradients, parameters, anchors, importances, 2.5)
    for ours, theirs in zip(gradients, expected, strict=True):
        torch.testing.assert_close(ours, theirs + 7.0, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("strength", [0.1, 10.0, 1e4])
def test_proximal_step_minimises_penalty_plus_distance(strength):
    generator = np.random.default_rng(0)
    theta, anchor = generator.normal(size=(2, 4))
    importance, rate = generator.random(4), 0.05

    def objective(t):
        moved = ((t - theta) ** 2).sum() / (2 * rate)
        return moved + strength / 2 * (importance * (t - anchor) ** 2).sum()

    expected = minimize(objective, anchor, method="Powell", options={"xtol": 1e-10, "ftol": 1e-14})
    parameter = torch.tensor(theta)
    weight = pull(torch.tensor(importance), rate * strength)
    proximal_step_([parameter], [torch.tensor(anchor)], [weight])
    np.testing.assert_allclose(parameter.numpy(), expected.x, rtol=1e-5, atol=1e-6)


def test_merged_quadratic_is_the_sum_of_two_up_to_a_constant():
    generator = torch.Generator().manual_seed(1)
    first, a, second, b = (torch.randn(6, generator=generator).double() for _ in range(4))
    first, second = first.abs(), second.abs()
    first[0] = second[1] = 0.0
    importance, anchor = merge(first, a, second, b)
    differences = []
    for _ in range(20):
        theta = 10 * torch.randn(6, generator=generator).double()
        both = first * (theta - a) ** 2 + second * (theta - b) ** 2
        differences.append(both - importance * (theta - anchor) ** 2)
    spread = torch.stack(differences).max(dim=0).values - torch.stack(differences).min(dim=0).values
    assert spread.max() < 1e-9


def test_merge_keeps_the_anchor_whose_quadratic_counts():
    zero, two = torch.tensor([0.0]), torch.tensor([2.0])
    old, new = torch.tensor([0.3]), torch.tensor([0.7])
    assert torch.equal(merge(two, old, zero, new)[1], old)
    assert torch.equal(merge(zero, old, two, new)[1], new)


def test_merge_of_two_zeros_takes_the_new_anchor_and_no_importance():
    zero = torch.zeros(2)
    importance, anchor = merge(zero, torch.tensor([1.0, 2.0]), zero, torch.tensor([5.0, 6.0]))
    assert torch.equal(importance, zero)
    assert torch.equal(anchor, torch.tensor([5.0, 6.0]))


def test_merge_is_finite_for_the_smallest_and_largest_importances():
    tiny, huge = torch.tensor([1e-44]), torch.tensor([1e37])
    for first, second in [(tiny, tiny), (tiny, huge), (huge, tiny), (huge, huge)]:
        importance, anchor = merge(first, torch.ones(1), second, torch.ones(1))
        assert importance.isfinite().all()
        assert anchor.item() == pytest.approx(1.0)


@pytest.mark.parametrize("scale", [0.0, 1.0, 1e12, 1e300])
def test_pull_is_exactly_zero_without_importance(scale):
    assert pull(torch.zeros(3), scale).tolist() == [0.0] * 3


@pytest.mark.parametrize("scale", [1e12, 1e30, 1e100, 1e300])
@pytest.mark.parametrize("importance", [1.0, 1e-3, 1e30])
def test_pull_is_one_in_the_limit(scale, importance):
    assert pull(torch.tensor([importance]), scale).item() == 1.0


@pytest.mark.parametrize("scale", [0.0, 1e-300, 1e-30, 1.0, 1e30, 1e300])
def test_pull_is_finite_and_between_zero_and_one(scale):
    importance = torch.tensor([0.0, 1e-45, 1e-20, 1.0, 1e20, 3e38])
    weight = pull(importance, scale)
    assert weight.isfinite().all()
    assert ((weight >= 0) & (weight <= 1)).all()


@pytest.mark.parametrize("c", [1e-3, 1e-7, 1e-12, 1e-30])
def test_pull_is_precise_for_little_importance(c):
    assert pull(torch.tensor([1.0]), c).item() == pytest.approx(c / (1 + c), rel=1e-7)


@pytest.mark.parametrize("scale", [0.0, 1e-300, 1.0, 1e30, 1e300, 1.7e308])
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_the_sum_of_two_stiffnesses_is_finite_and_of_the_importances_type(dtype, scale):
    largest = torch.finfo(dtype).max
    k = stiffness(torch.tensor([0.0, 1e-7, 1.0, largest], dtype=dtype), scale)
    assert k.dtype is dtype
    assert (k + k).isfinite().all()
    assert (k >= 0).all()
    assert k[0] == 0


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_pull_keeps_the_type_and_its_argument(dtype):
    importance = torch.tensor([0.5, 2.0], dtype=dtype)
    assert pull(importance, 10.0).dtype is dtype
    assert importance.tolist() == [0.5, 2.0]


def test_a_full_pull_reaches_the_anchor_bit_for_bit():
    anchor = torch.randn(100, generator=torch.Generator().manual_seed(2))
    parameter = 1e3 * torch.randn(100, generator=torch.Generator().manual_seed(3))
    proximal_step_([parameter], [anchor], [torch.ones(100)])
    assert torch.equal(parameter, anchor)


def test_no_pull_leaves_the_parameter_bit_for_bit():
    parameter = torch.randn(100, generator=torch.Generator().manual_seed(3))
    before = parameter.clone()
    proximal_step_([parameter], [torch.randn(100)], [torch.zeros(100)])
    assert torch.equal(parameter, before)


def test_unequal_lists_are_refused():
    with pytest.raises(ValueError, match="shorter"):
        penalty([torch.ones(1)], [], [torch.ones(1)], 1.0)
