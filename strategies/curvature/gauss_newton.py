"""The generalised Gauss-Newton matrix of a classifier, as products with its square root.

With logits f_n, Jacobians J_n = d f_n / d theta and p_n = softmax(f_n), for N samples::

    H = 1/N sum_n J_n^T (diag(p_n) - p_n p_n^T) J_n = G^T G,    G = N^-1/2 stack_nk v_nk^T J_n

with the factors v_nk of ``fisher_factors.py``, ``sum_k v_nk v_nk^T = diag(p_n) - p_n p_n^T``. H is
the exact Fisher information, including its off-diagonal entries. Source: Martens, New insights and
perspectives on the natural gradient method, JMLR 2020, sections 8 and 9.

G has K = N (C - 1) rows, far fewer than there are parameters, so systems are solved in K
dimensions. G itself is never formed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import vjp
from torch.nn.attention import SDPBackend, sdpa_kernel

from palimpsest.strategies.base.network import (
    Network,
    Table,
    differentiable,
    evaluation_mode,
    rescaled,
    without_onednn,
)
from palimpsest.strategies.curvature.fisher_factors import factors
from palimpsest.strategies.curvature.per_sample.batch_mates import close, require_independence, some

_NEEDED = (
    "the full Fisher information needs a network that autograd can differentiate twice, with "
    "independent samples (wpl and ewc take a diagonal one, which does not);"
)


class GaussNewtonRoot:
    """G for some of a model's parameters, linearised once and replayed for each product.

    The model is in evaluation mode while it is linearised, and restored afterwards.

    Args:
        model: Returns logits (N, C); an Avalanche ``MultiTaskModule`` is called with the label.
        state: Values of parameters and buffers by their name in the model; others have the model's
            values.
        names: The parameters to differentiate by.
        samples: Pairs of a task label and its inputs (N_l, ...).

    Attributes:
        rows: K, how many rows G has.

    Raises:
        ValueError: The logits of a sample depend on its batch, or autograd cannot differentiate the
            network twice; the error names the obstacle.
    """

    def __init__(
        self,
        model: nn.Module,
        state: Mapping[str, Tensor],
        names: Sequence[str],
        samples: Sequence[tuple[int, Tensor]],
    ) -> None:
        state = {**state, **_rescaled_tables(model, state)}

        def logits(*values: Tensor) -> tuple[Tensor, ...]:
            at = {**state, **dict(zip(names, values, strict=True))}
            return tuple(Network(model, label, at)(x) for label, x in samples)

        with (
            evaluation_mode(model),
            differentiable(model),
            sdpa_kernel(SDPBackend.MATH),
            without_onednn(model),
        ):
            try:
                for label, x in samples:
                    require_independence(Network(model, label, state), some(x))
                linearised: Any = vjp(logits, *(state[name] for name in names))
                outputs, self._backward = linearised
                # The backward pass is linear in the vectors it starts from, so its derivative is
                # the forward pass. Unlike forward-mode differentiation this covers everything that
                # can be differentiated twice.
                zeros = [torch.zeros_like(output) for output in outputs]
                turned: Any = vjp(lambda *vectors: self._backward(vectors), *zeros)
                _, self._forward = turned
                label, x = samples[-1]
                right = self._agrees_with(Network(model, label, state), names, x[-1], zeros)
            except torch.OutOfMemoryError:
                raise
            except RuntimeError as error:  # among them NotImplementedError
                raise ValueError(f"{_NEEDED} in this one that fails: {error}") from error
        if not right:
            raise ValueError(
                f"{_NEEDED} in this one the gradient of a sample changes with the other samples "
                "of its batch, as behind embeddings with scale_grad_by_freq"
            )
        count = sum(len(output) for output in outputs)
        self._factors = [
            torch.stack(list(factors(output.detach().softmax(dim=-1), None)), dim=1) / count**0.5
            for output in outputs
        ]
        self._sizes = [vectors.shape[0] * vectors.shape[1] for vectors in self._factors]
        self.rows = sum(self._sizes)

    @torch.enable_grad()
    def _agrees_with(
        self, network: Network, names: Sequence[str], sample: Tensor, zeros: Sequence[Tensor]
    ) -> bool:
        """Whether plain autograd finds the same gradients for the last sample alone."""
        state = network.state or {}
        leaves = {name: state[name].detach().clone().requires_grad_() for name in names}
        logits = replace(network, state={**state, **leaves}).of_one(sample)
        generator = torch.Generator().manual_seed(0)
        vector = torch.randn(len(logits), generator=generator).to(logits)
        expected = (
            torch.autograd.grad(logits, list(leaves.values()), vector, materialize_grads=True)
            if logits.requires_grad
            else [torch.zeros_like(leaf) for leaf in leaves.values()]
        )
        vectors = [torch.zeros_like(part) for part in zeros]
        vectors[-1][-1] = vector
        found = self._backward(tuple(vectors))
        # The forward pass is the transpose of the backward pass.
        changes = self._forward(tuple(expected))
        there = sum(((v * c).sum() for v, c in zip(vectors, changes, strict=True)), start=0)
        back = sum(((g * g).sum() for g in expected), start=0)
        return all(map(close, [*found, there], [*expected, back]))

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


def _rescaled_tables(model: nn.Module, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights of embeddings with a ``max_norm`` as their layers would rescale them."""
    tables = {f"{n}.weight": m for n, m in model.named_modules() if isinstance(m, Table)}
    return {
        name: rescaled(table, state[name])
        for name, table in tables.items()
        if table.max_norm is not None and name in state
    }
