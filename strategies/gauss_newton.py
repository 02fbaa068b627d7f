"""The generalised Gauss-Newton matrix of a classifier, as products with its square root.

With logits f_n, Jacobians J_n = d f_n / d theta and p_n = softmax(f_n), for N samples::

    H = 1/N sum_n J_n^T (diag(p_n) - p_n p_n^T) J_n = G^T G,    G = N^-1/2 stack_nk v_nk^T J_n

with the factors v_nk of ``fisher_factors.py``, ``sum_k v_nk v_nk^T = diag(p_n) - p_n p_n^T``. H
is the exact Fisher information, off-diagonal and all. Source: Martens, New insights and
perspectives on the natural gradient method, JMLR 2020, sections 8 and 9.

G has K = N (C - 1) rows, far fewer than there are parameters: what is solved is solved in K
dimensions. G itself is never formed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from avalanche.models.utils import is_multi_task_module
from torch import Tensor, nn
from torch.func import functional_call, vjp

from strategies.fisher_factors import factors
from strategies.network import evaluation_mode


class GaussNewtonRoot:
    """G for some of a model's parameters, linearised once and replayed for each product.

    The model is in evaluation mode while it is linearised, and left as it was found.

    Args:
        model: Returns logits (N, C); an Avalanche ``MultiTaskModule`` is called with the label.
        state: Values of parameters and buffers by their name in the model; it takes others as
            they are in the model.
        names: The parameters to differentiate by.
        samples: A task label and inputs (N_l, ...) for each label.

    Attributes:
        rows: K, how many rows G has.
    """

    def __init__(
        self,
        model: nn.Module,
        state: Mapping[str, Tensor],
        names: Sequence[str],
        samples: Sequence[tuple[int, Tensor]],
    ) -> None:
        multi_task = is_multi_task_module(model)

        def logits(*values: Tensor) -> tuple[Tensor, ...]:
            at = {**state, **dict(zip(names, values, strict=True))}
            return tuple(
                functional_call(model, at, (x, label) if multi_task else (x,))
                for label, x in samples
            )

        with evaluation_mode(model):
            linearised: Any = vjp(logits, *(state[name] for name in names))
        outputs, self._backward = linearised
        # Going back is linear in the vectors it starts from: its own derivative goes forward.
        # Unlike forward-mode differentiation it covers all that can be differentiated twice.
        zeros = [torch.zeros_like(output) for output in outputs]
        turned: Any = vjp(lambda *vectors: self._backward(vectors), *zeros)
        _, self._forward = turned
        count = sum(len(output) for output in outputs)
        self._factors = [
            torch.stack(list(factors(output.detach().softmax(dim=-1), None)), dim=1) / count**0.5
            for output in outputs
        ]
        self._sizes = [vectors.shape[0] * vectors.shape[1] for vectors in self._factors]
        self.rows = sum(self._sizes)

    def product(self, directions: Sequence[Tensor]) -> Tensor:
        """Return G v of shape (K,).

        Args:
            directions: v, of the shapes of the parameters and in the order of their names.
        """
        changes: Any = self._forward(tuple(directions))
        pairs = zip(self._factors, changes, strict=True)
        return torch.cat([(v @ change[..., None]).flatten() for v, change in pairs])

    def transposed_product(self, vector: Tensor) -> tuple[Tensor, ...]:
        """Return G^T u, of the parameters' shapes.

        Args:
            vector: u of shape (K,).
        """
        parts = zip(self._factors, torch.split(vector, self._sizes), strict=True)
        vectors = [(u.view(len(v), 1, -1) @ v).squeeze(1) for v, u in parts]
        gradients: tuple[Tensor, ...] = self._backward(tuple(vectors))
        return gradients
