"""Capacity: which share of the shared parameters later models can still change.

Strategies with the hook ``free`` (see ``strategies/base/hooks.py``) report it after every model for
each tensor that several models use. A layer's weight and bias count as one, by their sizes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from palimpsest.benchmark.errors import UserError, nearest
from palimpsest.benchmark.metrics import ACCURACY, Accuracies
from palimpsest.benchmark.runs.record import free_share
from palimpsest.reports.analysis.quantities import settled
from palimpsest.reports.runs.cells import Cell
from palimpsest.reports.statistics.interval import Estimate, mean_estimate

WHOLE = "all shared"
"""What a frame calls all layers together."""

_BLOCKS = "blocks."


def with_capacity(cells: Sequence[Cell]) -> list[Cell]:
    """Return the cells whose runs report their capacity; none if only references do."""
    found = [cell for cell in cells if any(record.free_shares for record in cell.done)]
    return found if any(not cell.variant.is_reference for cell in found) else []


def shares_of(cell: Cell) -> dict[str, dict[int, Accuracies]]:
    """Return the free share after each model, by layer (``WHOLE`` first) and seed."""
    shares: dict[str, dict[int, Accuracies]] = {WHOLE: {}}
    for record in cell.done:
        tensors: dict[str, list[dict[str, Any]]] = {}
        for name, tensor in record.cost.get("capacity", {}).items():
            layer = name.removeprefix(_BLOCKS).rpartition(".")[0]
            tensors.setdefault(layer, []).append(tensor)
        for layer, own in tensors.items():
            shares.setdefault(layer, {})[record.seed] = free_share(own)
        shares[WHOLE][record.seed] = record.free_shares
    return shares


def free_after(shares: Mapping[int, Accuracies], model: int) -> Estimate:
    """Return the mean over seeds of what is free after a model (0 is the first, -1 the last)."""
    values = {seed: own[model] if own else None for seed, own in shares.items()}
    return settled(mean_estimate({"": values}, ACCURACY))


def least_free(cell: Cell, layer: str, model: int) -> dict[int, float | None]:
    """Return the free share of the layer that has least left after a model, by seed.

    Args:
        cell: Its runs.
        layer: How the names of the layers begin that count.
        model: The model, counted from 0.

    Raises:
        UserError: The strategy reports no capacity of such a layer, or there is no such model.
    """
    shares = {name: own for name, own in shares_of(cell).items() if name != WHOLE}
    found = [own for name, own in shares.items() if name.startswith(layer)]
    if not found:
        raise UserError(
            f"{cell.variant.label} in {cell.scenario} reports no layer {layer!r}; "
            f"{nearest(layer, shares)}"
        )
    models = min(len(own) for layers in found for own in layers.values())
    if not 0 <= model < models:
        raise UserError(f"{cell.scenario} has models 0 to {models - 1}, and no {model}")
    least: dict[int, float | None] = {}
    for seed in {seed for layers in found for seed in layers}:
        own = [layers[seed][model] for layers in found if seed in layers]
        least[seed] = min((share for share in own if share is not None), default=None)
    return least


def capacity_frame(cells: Sequence[Cell], *, by_layer: bool = False) -> pd.DataFrame:
    """Return the free share after each model.

    Args:
        cells: Those of ``with_capacity``.
        by_layer: Whether each layer has rows, at the end only, or else all layers together.

    Columns:
        scenario, variant, layer, models (how many have been trained), seeds, free (mean over
        seeds), low and high: the 95 % interval, or the lowest and the highest of a few seeds.
    """
    rows = []
    for cell in cells:
        for layer, shares in shares_of(cell).items():
            models = max(map(len, shares.values()))
            if by_layer == (layer == WHOLE):
                continue
            for model in range(models - 1 if by_layer else 0, models):
                found = free_after(shares, model)
                low = found.minimum if found.low is None else found.low
                high = found.maximum if found.high is None else found.high
                place = (cell.scenario, cell.variant.label, layer, model + 1, found.n)
                rows.append((*place, found.value, low, high))
    numbers = ["free", "low", "high"]
    columns = ["scenario", "variant", "layer", "models", "seeds", *numbers]
    return pd.DataFrame(rows, columns=columns).astype(dict.fromkeys(numbers, float))
