"""The factors of the logits' Fisher information, and the draw of classes."""

import torch

from palimpsest.strategies.curvature.fisher_factors import draw_classes, factors


def probabilities(n=6, classes=5):
    torch.manual_seed(0)
    return (3 * torch.randn(n, classes)).double().softmax(dim=-1)


def test_expectation_factors_into_one_vector_less_than_classes():
    p = probabilities()
    v = torch.stack(list(factors(p, None)), dim=1)
    assert v.shape == (6, 4, 5)
    covariance = torch.diag_embed(p) - p[:, :, None] * p[:, None, :]
    torch.testing.assert_close(v.mT @ v, covariance, rtol=1e-12, atol=1e-15)


def test_a_label_has_its_score():
    logits = torch.randn(6, 5).double().requires_grad_()
    y = torch.tensor([0, 1, 2, 3, 4, 0])
    loss = logits.log_softmax(dim=-1)[range(6), y].sum()
    (score,) = torch.autograd.grad(loss, logits)
    (vector,) = factors(logits.detach().softmax(dim=-1), y)
    torch.testing.assert_close(vector, score)


def test_certain_predictions_stay_finite_and_vanish():
    p = torch.tensor([[1.0, 0, 0, 0], [0, 0, 0, 1], [0, 0.5, 0.5, 0], [1 - 1e-7, 1e-7, 0, 0]])
    v = torch.stack(list(factors(p, None)), dim=1)
    assert v.isfinite().all()
    covariance = torch.diag_embed(p) - p[:, :, None] * p[:, None, :]
    torch.testing.assert_close(v.mT @ v, covariance)


def test_factors_are_precise_for_nearly_certain_predictions():
    logits = torch.tensor([[20.0, 0, 1], [0, 18, 0], [1, 0, 15]])
    single, double = logits.softmax(dim=-1), logits.double().softmax(dim=-1)
    for v, exact in zip(factors(single, None), factors(double, None), strict=True):
        torch.testing.assert_close(v.double(), exact, rtol=1e-5, atol=1e-30)


def test_classes_are_drawn_by_their_probabilities():
    p = torch.tensor([0.1, 0, 0.6, 0.3]).expand(100_000, 4)
    y = draw_classes(p, torch.rand(100_000, generator=torch.Generator().manual_seed(1)))
    counts = y.bincount(minlength=4) / len(y)
    torch.testing.assert_close(counts, p[0], atol=0.006, rtol=0)
    assert counts[1] == 0


def test_the_ends_of_the_interval_give_possible_classes():
    p = torch.tensor([[0.0, 0.5, 0.5, 0.0]] * 2)
    below_one = torch.nextafter(torch.tensor(1.0), torch.tensor(0.0))
    assert draw_classes(p, torch.stack([torch.tensor(0.0), below_one])).tolist() == [1, 2]
    short = torch.full((1, 3), 0.3)  # as if rounding had lost something
    assert draw_classes(short, torch.tensor([0.95])).tolist() == [2]
