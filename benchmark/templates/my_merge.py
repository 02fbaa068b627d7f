"""A strategy of my own: merges the weights of models that are trained apart.

What it merges them to is made up: the start and the mean of all task vectors, times ``scale``.
Change ``take`` and ``merged``, the settings, and the entry at the bottom that listings show. Then::

    palimpsest check my_merge.py        # the properties every strategy must have
    python -m pytest test_my_merge.py   # the same as tests (pip install pytest)
    palimpsest run my_merge.yaml --plugin my_merge.py
"""

from __future__ import annotations

from typing import Any

from pydantic import Field
from torch import Tensor, nn

from palimpsest.strategies.base.facts import SCALE
from palimpsest.strategies.base.shared_parameters import fitted
from palimpsest.strategies.merge_settings import MergeSettings
from palimpsest.strategies.merging.merging import Merging
from palimpsest.strategies.registry import StrategyEntry


class MyMergeSettings(MergeSettings):
    """The settings besides that of every merge (start).

    A suite names them under the strategy, and ``palimpsest show strategy my_merge --plugin
    my_merge.py`` explains them.
    """

    scale: float = Field(1.0, ge=0, description="What the mean task vector is multiplied by.")


class MyMerge(Merging):
    """Add the mean task vector to the start.

    The base class trains each model apart from the same start, tells what models share from what is
    their own, and evaluates every model with the merged weights.
    """

    Settings = MyMergeSettings
    settings: MyMergeSettings

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.scale = self.settings.scale
        self.means: dict[str, Tensor] = {}
        self.counts: dict[str, int] = {}

    def turn(self, value: float) -> None:
        """Set the scale, which acts after training."""
        self.scale = value

    def take(
        self, model: nn.Module, index: int, trained: dict[str, Tensor], began: dict[str, Tensor]
    ) -> None:
        """Take in the task vectors of a model, ``trained - began``, for you to replace.

        Args:
            model: The whole network.
            index: Which model.
            trained: Its values of shared parameters, by name.
            began: Where its training began.
        """
        for name, value in trained.items():
            vector = value - began[name]
            n = self.counts[name] = self.counts.get(name, 0) + 1
            mean = fitted(self.means.get(name, vector), vector.shape)  # heads grow
            self.means[name] = mean + (vector - mean) / n

    def merged(self, index: int) -> dict[str, Tensor]:
        """Return the values of all shared parameters, for you to replace.

        Args:
            index: The model that they are for; here they are the same for all.
        """
        found = {}
        for name, mean in self.means.items():
            start = self.starts[name]
            found[name] = start + self.scale * fitted(mean, start.shape)
        return found


# What this file adds to Palimpsest when given as --plugin my_merge.py.
STRATEGIES = [
    StrategyEntry(
        name="my_merge",
        class_name="MyMerge",
        module=__name__,
        settings=MyMergeSettings,
        summary="the mean of task vectors",
        source="my own",
        moves_unused=True,
        needs_its_model=True,
        ends_only=True,
        dial=SCALE,
    )
]
