"""Self-attention taken apart, to obtain the gradients at its projections.

``nn.MultiheadAttention`` multiplies its inputs x with one matrix for queries, keys and values, and
the attended values with another; for the Fisher information these are two linear layers over
positions. ``torch``'s own layer does not expose them. What is between them is torch's own function,
with identities in the place of the projections.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

ProjectionProduct = tuple[Tensor, Tensor | None, Tensor, Tensor]
"""A weight, its bias, what the weight is applied to (outside the autograd graph), and the zeros
that are added to the result."""


def covers_attention(layer: nn.MultiheadAttention) -> bool:
    """Whether a layer's projections are two matrices, and parameters."""
    out = layer.out_proj
    return (
        layer._parameters.get("in_proj_weight") is not None
        and layer.bias_k is None
        and not layer.add_zero_attn
        and type(out) is nn.modules.linear.NonDynamicallyQuantizableLinear
        and out._parameters.get("weight") is not None
    )


def attend(
    layer: nn.MultiheadAttention,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    key_padding_mask: Tensor | None = None,
    need_weights: bool = True,
    attn_mask: Tensor | None = None,
    average_attn_weights: bool = True,
    is_causal: bool = False,
    *,
    perturbation: Callable[[Tensor], Tensor],
) -> tuple[tuple[Any, Any], list[ProjectionProduct]] | None:
    """Compute what a layer returns, in evaluation mode, with its parameters as constants.

    Args:
        layer: A layer that ``covers_attention``.
        query: As for the layer, and so on.
        key: Likewise.
        value: Likewise.
        key_padding_mask: Likewise.
        need_weights: Likewise.
        attn_mask: Likewise.
        average_attn_weights: Likewise.
        is_causal: Likewise.
        perturbation: Returns the zeros to add to a product, given a tensor of its shape.

    Returns:
        What the layer returns, and its products; ``None`` if this is no self-attention on batches.
    """
    if not (query is key and key is value and query.ndim == 3):
        return None
    weight, bias = layer.in_proj_weight, layer.in_proj_bias
    into = functional.linear(query, weight.detach(), None if bias is None else bias.detach())
    first = perturbation(into)
    own: list[Tensor] = [*(into + first).chunk(3, dim=-1)]
    if layer.batch_first:
        own = [part.transpose(0, 1) for part in own]
    same = torch.eye(layer.embed_dim, dtype=query.dtype, device=query.device)
    attended, weights = functional.multi_head_attention_forward(
        own[0],
        own[1],
        own[2],
        layer.embed_dim,
        layer.num_heads,
        None,
        None,
        None,
        None,
        False,
        0.0,
        same,
        None,
        training=False,
        key_padding_mask=key_padding_mask,
        need_weights=need_weights,
        attn_mask=attn_mask,
        use_separate_proj_weight=True,
        q_proj_weight=same,
        k_proj_weight=same,
        v_proj_weight=same,
        average_attn_weights=average_attn_weights,
        is_causal=is_causal,
    )
    if layer.batch_first:
        attended = attended.transpose(0, 1)
    out, shift = layer.out_proj.weight, layer.out_proj.bias
    output = functional.linear(attended, out.detach(), None if shift is None else shift.detach())
    second = perturbation(output)
    products: list[ProjectionProduct] = [
        (weight, bias, query.detach(), first),
        (out, shift, attended.detach(), second),
    ]
    return (output + second, weights), products
