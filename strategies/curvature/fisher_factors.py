"""The Fisher information of the logits, factored into vectors to backpropagate.

With logits f_n and vectors v_nk such that sum_k v_nk v_nk^T is their Fisher information, the
diagonal for the parameters is ``F_i = 1/N sum_n sum_k (v_nk . d f_n / d theta_i)^2``: one
backward pass of all samples for each k.
"""

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional


def factors(p: Tensor, y: Tensor | None) -> Iterator[Tensor]:
    """Yield the vectors v_k of all samples, one k at a time.

    For one label that is its score, ``e_y - p``. The expectation over labels is the covariance
    of a draw, ``diag(p) - p p^T``, of rank C - 1: the columns of its Cholesky factor need one
    backward pass fewer than the C scores, and no weights. With ``t_k = sum_(j >= k) p_j``::

        v_kk = sqrt(p_k t_(k+1) / t_k)        v_kj = -v_kk p_j / t_(k+1)  for j > k

    Source: Tanabe and Sagae, An exact Cholesky decomposition and the generalized inverse of the
    variance-covariance matrix of the multinomial distribution, JRSS B, 1992.

    Args:
        p: Probabilities (N, C).
        y: Labels (N,); ``None`` for the expectation over p.

    Yields:
        (N, C).
    """
    if y is not None:
        yield functional.one_hot(y, p.shape[-1]) - p
        return
    tails = p.flip(-1).cumsum(dim=-1).flip(-1).clamp_min(torch.finfo(p.dtype).tiny)
    diagonal = (p[:, :-1] * tails[:, 1:] / tails[:, :-1]).sqrt()
    slopes = -diagonal / tails[:, 1:]
    for k in range(p.shape[-1] - 1):
        column = slopes[:, k, None] * p
        column[:, :k] = 0
        column[:, k] = diagonal[:, k]
        yield column


def draw_classes(p: Tensor, uniform: Tensor) -> Tensor:
    """Draw a class for each sample by inverting its distribution function.

    Args:
        p: Probabilities (N, C).
        uniform: Numbers (N,) from [0, 1).

    Returns:
        Classes (N,).
    """
    below = p.cumsum(dim=-1) <= uniform.to(p)[:, None]
    return below.sum(dim=-1).clamp_max(p.shape[-1] - 1)  # the sum may round to less than 1
