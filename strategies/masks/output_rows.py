"""Rows of parameters: all weights that lead to one output of a layer, held or free together."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

_OUTPUTS_SECOND = (
    nn.Embedding,
    nn.EmbeddingBag,
    nn.ConvTranspose1d,
    nn.ConvTranspose2d,
    nn.ConvTranspose3d,
)
"""Layers whose weight has its outputs in the second dimension."""


def output_axes(model: nn.Module) -> dict[str, int]:
    """Return which dimension of each parameter counts the outputs of its layer, by name."""
    axes = {name: 0 for name, _ in model.named_parameters()}
    for prefix, module in model.named_modules():
        if isinstance(module, _OUTPUTS_SECOND):
            axes[f"{prefix}.weight" if prefix else "weight"] = 1
    return axes


def row_sums(values: Tensor, axis: int) -> Tensor:
    """Return the sum of each row, of shape (rows,)."""
    rows = values.movedim(axis, 0) if values.ndim else values
    return rows.reshape(-1, 1).sum(dim=1) if rows.ndim < 2 else rows.flatten(1).sum(dim=1)


def held_rows(
    scores: Mapping[str, Tensor], share: float, *, highest: bool, together: bool
) -> dict[str, Tensor]:
    """Return which rows are held: the given share with the highest or lowest scores.

    ``round(share * rows)`` of them; of equal scores the earlier rows count as higher.

    Args:
        scores: Of shape (rows,), by name.
        share: From 0 to 1.
        highest: Whether the highest are held, or else the lowest.
        together: Whether the share is that of all rows, or else of the rows of each tensor.

    Returns:
        Booleans of the same shapes.
    """
    if not together:
        return {name: _chosen(own, share, highest) for name, own in scores.items()}
    chosen = _chosen(torch.cat([*scores.values()]), share, highest) if scores else torch.empty(0)
    parts = torch.split(chosen, [len(own) for own in scores.values()])
    return dict(zip(scores, parts, strict=True))


def over_rows(rows: Tensor, shape: torch.Size, axis: int) -> Tensor:
    """Return a value of each row as a tensor that broadcasts to a parameter's shape."""
    return rows.view([-1 if i == axis else 1 for i in range(len(shape))])


def _chosen(scores: Tensor, share: float, highest: bool) -> Tensor:
    count = round(share * len(scores))
    order = torch.argsort(scores, descending=True, stable=True)
    chosen = torch.zeros_like(scores, dtype=torch.bool)
    chosen[order[:count] if highest else order[len(order) - count :]] = True
    return chosen
