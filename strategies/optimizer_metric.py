"""The metric of an optimizer: how far it moves each parameter for a unit of steady gradient.

An optimizer that sees the same gradient g again and again moves parameter i by ``-s_i g_i`` in
each step. A proximal step on a penalty P that measures distances in this metric, ``argmin_theta
sum_i (theta_i - theta'_i)^2 / (2 s_i) + P(theta)``, rests where ``g + dP/dtheta = 0``: at the
minimum of loss + penalty, whatever the optimizer. With the plain learning rate in place of s_i it
rests there behind plain SGD alone. Here ``s_i = rate / d_i``:

=================================  ====================================  ======================
optimizer                          rate                                  d_i
=================================  ====================================  ======================
SGD (momentum mu, dampening tau)   ``lr (1 - tau) / (1 - mu)``           1
RMSprop (momentum mu)              ``lr / (1 - mu)``                     ``sqrt(v_i) + eps``
Adam, AdamW, NAdam, SparseAdam     ``lr``                                ``sqrt(v^_i) + eps``
Adagrad                            ``lr``                                ``sqrt(v_i) + eps``
=================================  ====================================  ======================

v is the optimizer's running second moment of the loss's gradients as it used it in its latest step:
v^ with Adam's correction of its bias, AMSGrad's the largest so far, that of centred RMSprop less
the squared mean; Adagrad's d_i grows with its ``lr_decay``. A decoupled weight decay (AdamW) takes
no part.

Sources: Yun, Lozano & Yang, Adaptive Proximal Gradient Methods for Structured Neural Networks
(ProxGen), NeurIPS 2021, algorithm 1; Melchior, Joseph & Moolekamp, Proximal Adam, 2020.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf, sqrt
from typing import Any

import torch
from torch import Tensor, optim

Group = dict[str, Any]
State = dict[str, Any]


def rates(optimizer: Any) -> list[float]:
    """Return the rate of each parameter group, see the module.

    Raises:
        ValueError: The optimizer's metric is not known, or its momentum is 1 or more.
    """
    check(optimizer)
    return [_rate(group) for group in optimizer.param_groups]


def learning_rates(optimizer: Any) -> list[float]:
    """Return the plain learning rate of each parameter group, by value: it may be a tensor."""
    return [float(group["lr"]) for group in optimizer.param_groups]


@torch.no_grad()
def denominators(optimizer: Any, group: int, parameters: Sequence[Tensor]) -> list[Tensor] | None:
    """Return d of parameters, of their shapes; ``None`` where it is 1 for all.

    A parameter that the optimizer has not moved yet has infinity: it is not to be moved.

    Args:
        optimizer: Of a kind that ``check`` lets pass.
        group: Which of its parameter groups the parameters are in.
        parameters: Some of that group's.
    """
    second_moment = _SECOND_MOMENTS[type(optimizer)]
    if second_moment is None:
        return None
    options = optimizer.param_groups[group]
    states = [optimizer.state.get(parameter) for parameter in parameters]
    known = [state for state in states if state]
    found = second_moment(options, known)
    if len(known) == len(states):
        return found
    moved = iter(found)
    pairs = zip(parameters, states, strict=True)
    return [next(moved) if state else torch.full_like(p, inf) for p, state in pairs]


def check(optimizer: Any) -> None:
    """Refuse an optimizer whose metric is not known.

    Raises:
        ValueError: It says which are known and what to do.
    """
    if type(optimizer) not in _SECOND_MOMENTS:
        known = ", ".join(kind.__name__ for kind in _SECOND_MOMENTS)
        raise ValueError(
            f"application 'proximal' solves the penalty in the metric of the optimizer, and that "
            f"of {type(optimizer).__name__} is not known (known: {known}); take application "
            "'gradient', which adds the penalty's gradient to the loss's, or 'decoupled', which "
            "scales the penalty by the learning rate alone"
        )


def place(optimizer: Any) -> dict[int, int]:
    """Return in which parameter group each parameter is, by the parameter's ``id``."""
    groups = enumerate(optimizer.param_groups)
    return {id(parameter): i for i, group in groups for parameter in group["params"]}


def _rate(group: Group) -> float:
    momentum = float(group.get("momentum", 0.0))
    if momentum >= 1:
        raise ValueError(f"an optimizer's momentum must be below 1, not {momentum}")
    dampening = float(group.get("dampening", 0.0)) if momentum else 0.0  # as torch has it
    return float(group["lr"]) * (1 - dampening) / (1 - momentum)


def _rmsprop(group: Group, states: Sequence[State]) -> list[Tensor]:
    squares = [state["square_avg"] for state in states]
    if group["centered"]:
        squares = [
            square.addcmul(state["grad_avg"], state["grad_avg"], value=-1).clamp_min_(0)
            for square, state in zip(squares, states, strict=True)
        ]
    return _roots(squares, [1.0] * len(states), float(group["eps"]))


def _adam(group: Group, states: Sequence[State]) -> list[Tensor]:
    name = "max_exp_avg_sq" if group.get("amsgrad") else "exp_avg_sq"
    return _roots([s[name] for s in states], _corrections(group, states), float(group["eps"]))


def _sparse_adam(group: Group, states: Sequence[State]) -> list[Tensor]:
    corrections, eps = _corrections(group, states), float(group["eps"])
    # Its eps is added before the bias is corrected.
    roots = _roots([state["exp_avg_sq"] for state in states], [1.0] * len(states), eps)
    torch._foreach_mul_(roots, corrections)
    return roots


def _adagrad(group: Group, states: Sequence[State]) -> list[Tensor]:
    roots = _roots([s["sum"] for s in states], [1.0] * len(states), float(group["eps"]))
    decay = float(group["lr_decay"])
    torch._foreach_mul_(roots, [1 + (float(state["step"]) - 1) * decay for state in states])
    return roots


def _corrections(group: Group, states: Sequence[State]) -> list[float]:
    """What the root of each second moment is multiplied by, as it started from 0."""
    decay = float(group["betas"][1])
    return [1 / sqrt(1 - decay ** float(state["step"])) for state in states]


def _roots(squares: list[Tensor], factors: list[float], eps: float) -> list[Tensor]:
    """Return ``factor * sqrt(square) + eps`` for each, as new tensors."""
    if not squares:
        return []
    roots = torch._foreach_sqrt(squares)
    if factors.count(1.0) < len(factors):
        torch._foreach_mul_(roots, factors)
    torch._foreach_add_(roots, eps)
    return list(roots)


_SECOND_MOMENTS: dict[type[Any], Callable[[Group, Sequence[State]], list[Tensor]] | None] = {
    optim.SGD: None,
    optim.Adam: _adam,
    optim.AdamW: _adam,
    optim.NAdam: _adam,
    optim.RMSprop: _rmsprop,
    optim.Adagrad: _adagrad,
    optim.SparseAdam: _sparse_adam,
}
