"""A strategy of my own: a projection of updates across directions that are made up to matter.

Change which directions are kept in ``grown``, the settings, and the entry at the bottom that
listings show. Then::

    palimpsest check my_projection.py        # the properties every strategy must have
    python -m pytest test_my_projection.py   # the same as tests (pip install pytest)
    palimpsest run my_projection.yaml --plugin my_projection.py
"""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor

from palimpsest.strategies.base.facts import RANK
from palimpsest.strategies.mask_settings import ProjectionSettings
from palimpsest.strategies.projections.projection import ProjectedUpdates
from palimpsest.strategies.registry import StrategyEntry


class MyProjectionSettings(ProjectionSettings):
    """The settings besides those of every projection (samples, vectors, seed).

    A suite names them under the strategy, and ``palimpsest show strategy my_projection --plugin
    my_projection.py`` explains them.
    """

    rank: int = Field(3, ge=1, strict=True, description="Directions that each model adds.")


class MyProjection(ProjectedUpdates):
    """Change weights only across the first few directions of each earlier model's inputs.

    The base class watches the inputs of all linear layers and convolutions, projects each step,
    whatever the optimizer, and holds everything else that an earlier model used.
    """

    Settings = MyProjectionSettings
    settings: MyProjectionSettings

    def grown(self, basis: Tensor, rows: Tensor) -> Tensor:
        """Return a layer's directions with those of the model just trained, for you to replace.

        Args:
            basis: The directions so far, (inputs, k); k is 0 at first.
            rows: What the model fed the layer, (vectors, inputs); with a bias they end with 1.

        Returns:
            The directions from now on; its columns must be orthonormal.
        """
        new = rows - rows @ basis @ basis.T
        directions, values, _ = torch.linalg.svd(new.T, full_matrices=False)
        there = int((values > 1e-10 * rows.norm()).sum())
        return torch.cat([basis, directions[:, : min(self.settings.rank, there)]], dim=1)


# What this file adds to Palimpsest when given as --plugin my_projection.py.
STRATEGIES = [
    StrategyEntry(
        name="my_projection",
        class_name="MyProjection",
        module=__name__,
        settings=MyProjectionSettings,
        summary="a projection across the first directions of each earlier model",
        source="my own",
        memory="linear",
        holds_for_good=True,
        dial=RANK,
    )
]
