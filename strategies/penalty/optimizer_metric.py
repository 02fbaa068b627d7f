"""The metric of an optimizer: how far it moves each parameter per unit of constant gradient.

An optimizer that repeatedly sees the same gradient g moves parameter i by ``-s_i g_i`` in each
step. A proximal step on a penalty P that measures distances in this metric, ``argmin_theta
sum_i (theta_i - theta'_i)^2 / (2 s_i) + P(theta)``, rests where ``g + dP/dtheta = 0``: at the
minimum of loss + penalty, whatever the optimizer. With the plain learning rate in place of s_i it
rests there only behind plain SGD. Here ``s_i = rate / d_i``:

=================================  ====================================  ======================
optimizer                          rate                                  d_i
=================================  ====================================  ======================
SGD (momentum mu, dampening tau)   ``lr (1 - tau) / (1 - mu)``           1
RMSprop (momentum mu)              ``lr / (1 - mu)``                     ``sqrt(v_i) + eps``
Adam, AdamW, NAdam, SparseAdam     ``lr``                                ``sqrt(v^_i) + eps``
Adagrad                            ``lr``                                ``sqrt(v_i) + eps``
=================================  ====================================  ======================

v is the optimizer's running second moment of the loss's gradients as it used it in its latest step:
v^ with Adam's bias correction, for AMSGrad the largest so far, for centred RMSprop minus the
squared mean; Adagrad's d_i grows with its ``lr_decay``. A decoupled weight decay (AdamW) plays no
part.

Sources: Yun, Lozano & Yang, Adaptive Proximal Gradient Methods for Structured Neural Networks
(ProxGen), NeurIPS 2021, algorithm 1; Melchior, Joseph & Moolekamp, Proximal Adam, 2020.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf, sqrt
from typing import Any

import torch
from torch import Tensor, optim

Group = dict[str, Any]
State = dict[str, Any]


def rates(optimizer: Any) -> list[float]:
    """Return the rate of each parameter group, see this module's docstring.

    Raises:
        ValueError: The optimizer's metric is not known, or its momentum is 1 or more.
    """
    check(optimizer)
    return [_rate(group) for group in optimizer.param_groups]


def learning_rates(optimizer: Any) -> list[float]:
    """Return the plain learning rate of each parameter group as a number; it may be a tensor."""
    return [float(group["lr"]) for group in optimizer.param_groups]


@dataclass(frozen=True)
class Denominators:
    """``d = factor * root + offset`` for each of some parameters, in separate terms.

    Attributes:
        roots: Of the parameters' shapes.
        factors: One for each.
        offsets: One for each.
    """

    roots: list[Tensor]
    factors: list[float]
    offsets: list[float]

    def tensors(self) -> list[Tensor]:
        """Return d."""
        return self.plus(
            [torch.full_like(r, e) for r, e in zip(self.roots, self.offsets, strict=True)]
        )

    def plus(self, others: Sequence[Tensor]) -> list[Tensor]:
        """Return ``factor * root + other``, in as few passes over memory as possible."""
        roots, factor = self.roots, self.factors[0]
        if self.factors.count(factor) < len(self.factors):
            roots, factor = list(torch._foreach_mul(roots, self.factors)), 1.0
        return list(torch._foreach_add(list(others), roots, alpha=factor))


@torch.no_grad()
def denominators(optimizer: Any, group: int, parameters: Sequence[Tensor]) -> Denominators | None:
    """Return d of parameters; ``None`` if it is 1 for all.

    It is infinite for a parameter that the optimizer has not moved yet, which must not be moved.

    Args:
        optimizer: Of a kind that ``check`` accepts.
        group: Which of its parameter groups the parameters are in.
        parameters: Some of that group's, at least one.
    """
    rule = _RULES[type(optimizer)]
    if rule is None:
        return None
    options = optimizer.param_groups[group]
    squares, factors, offsets = [], [], []
    for parameter in parameters:
        state = optimizer.state.get(parameter)
        square, factor, offset = (
            rule(options, state) if state else (torch.full_like(parameter, inf), 1.0, 0.0)
        )
        squares.append(square)
        factors.append(factor)
        offsets.append(offset)
    # Avoid roots of 0, which are several times as slow, and common: inputs that are always 0.
    roots = list(torch._foreach_add(squares, torch.finfo(squares[0].dtype).tiny))
    torch._foreach_sqrt_(roots)
    return Denominators(roots, factors, offsets)


def check(optimizer: Any) -> None:
    """Refuse an optimizer whose metric is not known.

    Raises:
        ValueError: It says which are known and what to do.
    """
    if type(optimizer) not in _RULES:
        known = ", ".join(kind.__name__ for kind in _RULES)
        raise ValueError(
            f"application 'proximal' solves the penalty in the metric of the optimizer, and that "
            f"of {type(optimizer).__name__} is not known (known: {known}); use application "
            "'gradient', which adds the penalty's gradient to the loss's, or 'decoupled', which "
            "scales the penalty by the learning rate alone"
        )


def place(optimizer: Any) -> dict[int, int]:
    """Return the index of each parameter's group, by the parameter's ``id``."""
    groups = enumerate(optimizer.param_groups)
    return {id(parameter): i for i, group in groups for parameter in group["params"]}


def _rate(group: Group) -> float:
    momentum = float(group.get("momentum", 0.0))
    if momentum >= 1:
        raise ValueError(f"an optimizer's momentum must be below 1, not {momentum}")
    dampening = float(group.get("dampening", 0.0)) if momentum else 0.0  # as in torch
    return float(group["lr"]) * (1 - dampening) / (1 - momentum)


_Terms = tuple[Tensor, float, float]
"""v of a parameter, and factor and offset in ``d = factor * sqrt(v) + offset``."""


def _rmsprop(group: Group, state: State) -> _Terms:
    square = state["square_avg"]
    if group["centered"]:
        mean = state["grad_avg"]
        square = square.addcmul(mean, mean, value=-1).clamp_min_(0)
    return square, 1.0, float(group["eps"])


def _adam(group: Group, state: State) -> _Terms:
    square = state["max_exp_avg_sq" if group.get("amsgrad") else "exp_avg_sq"]
    return square, _correction(group, state), float(group["eps"])


def _sparse_adam(group: Group, state: State) -> _Terms:
    factor = _correction(group, state)
    return state["exp_avg_sq"], factor, factor * float(group["eps"])  # corrected after eps


def _adagrad(group: Group, state: State) -> _Terms:
    factor = 1 + (float(state["step"]) - 1) * float(group["lr_decay"])
    return state["sum"], factor, factor * float(group["eps"])


def _correction(group: Group, state: State) -> float:
    """The factor for the root of a second moment that corrects for its start at 0."""
    return 1 / sqrt(1 - float(group["betas"][1]) ** float(state["step"]))


_RULES: dict[type[Any], Callable[[Group, State], _Terms] | None] = {
    optim.SGD: None,
    optim.Adam: _adam,
    optim.AdamW: _adam,
    optim.NAdam: _adam,
    optim.RMSprop: _rmsprop,
    optim.Adagrad: _adagrad,
    optim.SparseAdam: _sparse_adam,
}
