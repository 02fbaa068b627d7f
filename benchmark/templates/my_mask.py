"""A strategy of my own: a mask on updates, which holds what is made up to be important.

Change what is held in ``holds``, what is kept of a model in ``keep``, the settings, and the
entry at the bottom that listings show. Then::

    palimpsest check my_mask.py        # the properties every strategy must have
    python -m pytest test_my_mask.py   # the same as tests (pip install pytest)
    palimpsest run my_mask.yaml --plugin my_mask.py
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field
from torch import Tensor
from torch.nn import Parameter

from palimpsest.strategies.base.facts import SHARE
from palimpsest.strategies.mask_settings import MaskSettings
from palimpsest.strategies.masks.update_mask import MaskedUpdates
from palimpsest.strategies.registry import StrategyEntry


class MyMaskSettings(MaskSettings):
    """The settings besides those of every mask (scales).

    A suite names them under the strategy, and ``palimpsest show strategy my_mask --plugin
    my_mask.py`` explains them.
    """

    share: float = Field(0.7, ge=0, le=1, description="Share of each shared tensor that is held.")


class MyMask(MaskedUpdates):
    """Hold the largest weights of what earlier models used.

    The base class takes back what is held of each step, whatever the optimizer, and never touches a
    parameter that the current model does not use. What later models can still change it tells from
    ``holds``, too (see ``free``).
    """

    Settings = MyMaskSettings
    settings: MyMaskSettings

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.sizes: dict[str, Tensor] = {}

    def holds(self, used: Mapping[str, Parameter]) -> dict[str, Tensor]:
        """Return by how much each element is held: 0 is free, 1 is held, between is a part.

        Args:
            used: The parameters that the current model trains, by name.

        Returns:
            Tensors that broadcast to the parameters' shapes, by name; what is left out is free.
        """
        held = {}
        for name in used.keys() & self.sizes.keys():
            size = self.sizes[name]
            count = round(self.settings.share * size.numel())
            if count:
                threshold = size.flatten().topk(count).values[-1]
                held[name] = (size >= threshold).float()
        return held

    def keep(self, strategy: Any, used: dict[str, Parameter]) -> None:
        """Keep what later trainings need of the model just trained: made up, for you to replace.

        Args:
            strategy: The Avalanche strategy: ``strategy.model``, ``strategy.experience``, and
                ``strategy.adapted_dataset``, whose samples
                ``palimpsest.strategies.curvature.fisher.draw`` draws.
            used: What the model trained, by name.
        """
        self.sizes |= {name: parameter.detach().abs() for name, parameter in used.items()}


# What this file adds to Palimpsest when given as --plugin my_mask.py.
STRATEGIES = [
    StrategyEntry(
        name="my_mask",
        class_name="MyMask",
        module=__name__,
        settings=MyMaskSettings,
        summary="a mask on updates that holds the largest weights",
        source="my own",
        dial=SHARE,
    )
]
