"""Recurrent layers unrolled step by step, to obtain the gradient at every gate.

Each direction of each layer computes, with its own two weights and biases, gates from::

    u_t = W_ih x_t + b_ih        v_t = W_hh h_(t-1) + b_hh

For the Fisher information these are two linear layers over steps: the gradient by W_ih is
sum_t (d/du_t) x_t^T and that by W_hh is sum_t (d/dv_t) h_(t-1)^T. ``torch``'s own layers do not
expose u and v. The equations are those of the documentation of ``nn.RNN``, ``nn.LSTM``, ``nn.GRU``.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

State = tuple[Tensor, ...]
"""The hidden state, and the cell state of an LSTM."""


class GateProduct(NamedTuple):
    """One product of a weight with the vectors of all steps.

    Attributes:
        suffix: How the names of weight and bias end, such as ``ih_l0``.
        inputs: The vectors (T, N, I), outside the autograd graph.
        perturbation: The zeros (T, N, O) added to the product.
    """

    suffix: str
    inputs: Tensor
    perturbation: Tensor


def unroll(
    layer: nn.RNNBase,
    input: Tensor,
    hx: Any = None,
    *,
    perturbation: Callable[[Tensor], Tensor] = torch.zeros_like,
) -> tuple[tuple[Tensor, Any], list[GateProduct]]:
    """Compute the output of a recurrent layer, in evaluation mode and without projections.

    Args:
        layer: An ``nn.RNN``, ``nn.LSTM`` or ``nn.GRU``.
        input: The first argument of the layer, three-dimensional.
        hx: The second argument, the initial state.
        perturbation: Returns the zeros to add to a product, given a tensor of its shape.

    Returns:
        What the layer returns, and its products.
    """
    directions = 2 if layer.bidirectional else 1
    steps = input.transpose(0, 1) if layer.batch_first else input
    states = _initial_states(layer, steps, hx, directions)
    products: list[GateProduct] = []
    ends: list[State] = []
    for i in range(layer.num_layers):
        outputs = []
        for suffix in (f"l{i}", f"l{i}_reverse")[:directions]:
            backwards = suffix.endswith("reverse")
            sequence = steps.flip(0) if backwards else steps
            hidden, end, made = _run(layer, suffix, sequence, states[len(ends)], perturbation)
            outputs.append(hidden.flip(0) if backwards else hidden)
            ends.append(end)
            products += made
        steps = torch.cat(outputs, dim=-1)
    last = tuple(torch.stack(part) for part in zip(*ends, strict=True))
    output = steps.transpose(0, 1) if layer.batch_first else steps
    return (output, last if isinstance(layer, nn.LSTM) else last[0]), products


def _initial_states(layer: nn.RNNBase, steps: Tensor, state: Any, directions: int) -> list[State]:
    """Return the initial state of each direction of each layer: zeros by default."""
    parts = 2 if isinstance(layer, nn.LSTM) else 1
    count = layer.num_layers * directions
    if state is None:
        zeros = steps.new_zeros(steps.shape[1], layer.hidden_size)
        return [(zeros,) * parts] * count
    given = state if parts == 2 else (state,)
    return list(zip(*(part.unbind(0) for part in given), strict=True))


def _run(
    layer: nn.RNNBase,
    suffix: str,
    x: Tensor,
    state: State,
    perturbation: Callable[[Tensor], Tensor],
) -> tuple[Tensor, State, list[GateProduct]]:
    """Run one direction of one layer over x (T, N, I); return its hidden states (T, N, H)."""
    weight_ih, weight_hh = (getattr(layer, f"weight_{part}_{suffix}") for part in ("ih", "hh"))
    bias_ih = bias_hh = x.new_zeros(len(weight_hh))
    if layer.bias:
        bias_ih, bias_hh = (getattr(layer, f"bias_{part}_{suffix}") for part in ("ih", "hh"))
    u = functional.linear(x, weight_ih, bias_ih)
    du = dv = perturbation(u)
    offsets = [bias_hh] * len(x)
    if isinstance(layer, nn.GRU):
        # The reset gate multiplies v; in the other layers only u + v matters, and du is enough.
        dv = perturbation(u)
        offsets = list((bias_hh + dv).unbind(0))
    before, hidden = [], []
    for u_t, offset in zip((u + du).unbind(0), offsets, strict=True):
        before.append(state[0].detach())
        state = _step(layer, u_t, torch.addmm(offset, state[0], weight_hh.T), state)
        hidden.append(state[0])
    products = [
        GateProduct(f"ih_{suffix}", x.detach(), du),
        GateProduct(f"hh_{suffix}", torch.stack(before), dv),
    ]
    return torch.stack(hidden), state, products


def _step(layer: nn.RNNBase, u: Tensor, v: Tensor, state: State) -> State:
    """Return the next state."""
    if isinstance(layer, nn.LSTM):
        i, f, g, o = (u + v).chunk(4, dim=-1)
        cell = f.sigmoid() * state[1] + i.sigmoid() * g.tanh()
        return o.sigmoid() * cell.tanh(), cell
    if isinstance(layer, nn.GRU):
        (u_r, u_z, u_n), (v_r, v_z, v_n) = u.chunk(3, dim=-1), v.chunk(3, dim=-1)
        z = (u_z + v_z).sigmoid()
        n = torch.tanh(u_n + (u_r + v_r).sigmoid() * v_n)
        return (n + z * (state[0] - n),)
    return (torch.relu(u + v) if layer.nonlinearity == "relu" else torch.tanh(u + v),)
