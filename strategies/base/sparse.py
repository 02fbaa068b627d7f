"""Handles sparse gradients, as of ``nn.Embedding(sparse=True)``, together with dense ones."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from torch import Tensor


def dense_gradients(parameters: Iterable[Tensor]) -> list[Tensor]:
    """Return the gradients of all parameters that have one: themselves, or dense copies."""
    gradients = [p.grad for p in parameters if p.grad is not None]
    return [g.to_dense() if g.is_sparse else g for g in gradients]


@contextmanager
def changing_gradients(parameters: Sequence[Tensor]) -> Iterator[list[Tensor]]:
    """Yield the gradients of parameters, dense, to be changed in place; sparse ones stay sparse.

    Some optimizers, such as ``torch.optim.SparseAdam``, take only sparse gradients. Rows of zeros
    are left out.

    Args:
        parameters: All have gradients.
    """
    gradients = dense_gradients(parameters)
    yield gradients
    for parameter, gradient in zip(parameters, gradients, strict=True):
        before = parameter.grad
        if before is not None and before.is_sparse:
            parameter.grad = gradient.to_sparse(before.sparse_dim())
