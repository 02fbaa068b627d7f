"""Models that share one trunk, with a head each or one for all."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from palimpsest.benchmark.models import networks
from palimpsest.benchmark.models.bank import ModelBank
from palimpsest.benchmark.models.blocks import draw_weights, head, hidden_blocks
from palimpsest.benchmark.randomness.seeding import derive
from palimpsest.benchmark.scenarios.settings.scenario import ScenarioSettings
from palimpsest.benchmark.scenarios.streams.parts import DataSet


def trunk_bank(
    settings: ScenarioSettings,
    hidden_layers: int,
    base: DataSet,
    head_sizes: Sequence[int],
    seed: int,
) -> ModelBank:
    """Build a bank in which all models share everything but their heads.

    Args:
        settings: The network, its width and activation.
        hidden_layers: Depth of the trunk, of mlp and cnn.
        base: Has the shape of the images.
        head_sizes: Classes of each model's head; one entry is one model.
        seed: The run's seed, for the initial weights.

    Raises:
        UserError: The network does not fit the images.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(seed, "weights"))
        if not settings.network.is_plain:
            return networks.trunk(settings.network, base.input_shape, head_sizes)
        kind, width = settings.network.name, settings.width
        blocks = hidden_blocks(kind, base.input_shape, hidden_layers, width, settings.activation)
        heads = [head(kind, width, size) for size in head_sizes]
        draw_weights(blocks, heads, settings.initial_weights)
    trunk = {f"trunk_{i}": block for i, block in enumerate(blocks)}
    own = {f"head_{i}": module for i, module in enumerate(heads)}
    return ModelBank(trunk | own, [[*trunk, name] for name in own], max(head_sizes))
