"""A strategy of my own: a mask over the weights for each model, beginning as is made up.

Change the scores that a model begins with in ``begun``, the settings, and the entry at the bottom
that listings show; ``strategies/ssnet.py`` shows how weights are trained, too. Then::

    palimpsest check my_supermask.py        # the properties every strategy must have
    python -m pytest test_my_supermask.py   # the same as tests (pip install pytest)
    palimpsest run my_supermask.yaml --plugin my_supermask.py
"""

from __future__ import annotations

import torch
from pydantic import Field

from palimpsest.strategies.base.facts import DENSITY
from palimpsest.strategies.mask_settings import SupSupSettings
from palimpsest.strategies.masks.weight_masks import MaskedLayer
from palimpsest.strategies.registry import StrategyEntry
from palimpsest.strategies.supsup import SupSup


class MySupermaskSettings(SupSupSettings):
    """The settings besides those of every supermask (density, rule, weights, seed).

    A suite names them under the strategy, and ``palimpsest show strategy my_supermask --plugin
    my_supermask.py`` explains them.
    """

    spread: float = Field(1.0, gt=0, description="What the first scores are multiplied by.")


class MySupermask(SupSup):
    """Learn a mask for each model over random weights, from scores of another spread.

    The base class wraps the layers, trains the scores of the current model alone, keeps a mask of a
    bit for each weight, and evaluates every model with its own.
    """

    Settings = MySupermaskSettings
    settings: MySupermaskSettings

    @torch.no_grad()
    def begun(self, layer: MaskedLayer, index: int) -> None:
        """Change the scores that a model begins with, for you to replace.

        Args:
            layer: One of the network's; ``layer.weight`` is what is masked.
            index: The model to be trained.
        """
        layer.scores[str(index)].mul_(self.settings.spread)


# What this file adds to Palimpsest when given as --plugin my_supermask.py.
STRATEGIES = [
    StrategyEntry(
        name="my_supermask",
        class_name="MySupermask",
        module=__name__,
        settings=MySupermaskSettings,
        summary="a mask over random weights for each model",
        source="my own",
        memory="linear",
        needs_its_model=True,
        forgets_nothing=True,
        holds_for_good=True,
        dial=DENSITY,
    )
]
