"""Gradient projection memory."""

import torch
from pydantic import Field
from torch import Tensor

from palimpsest.strategies.base.facts import ENERGY, Facts
from palimpsest.strategies.base.settings import Share
from palimpsest.strategies.projections.projection import ProjectedUpdates, ProjectionSettings

_ROUNDING = 1e-12


class GPMSettings(ProjectionSettings):
    """Settings of gradient projection memory."""

    energy: Share = Field(
        0.97,
        description="Share of the energy of each layer's inputs that the kept directions have. 0 "
        "is fine-tuning; 1 keeps all inputs that were seen.",
    )


class GPM(ProjectedUpdates):
    """Change weights only across the directions of earlier models' inputs (GPM).

    A step D of a weight (outputs, inputs) becomes ``D - D M M^T``, where M (inputs, k) is an
    orthonormal basis of what earlier models fed the layer. When a model has been trained, with R
    (inputs, n) the inputs of the layer for some samples::

        R' = R - M M^T R    M <- [M, the first r left singular vectors of R']

    where r is the smallest for which M has the share ``energy`` of ||R||^2. See
    ``ProjectedUpdates`` for biases, and for what is no such layer.

    Source: Saha, Garg & Roy, Gradient Projection Memory for Continual Learning, ICLR 2021,
    equations 5 to 9; ``energy`` is their epsilon_th. Biases, which their networks do not have, are
    an addition, and so is the projection of the step in place of the gradient. Other than in the
    authors' program, M has the energy also after the first model (one direction more).

    Attributes:
        bases: M, of shape (inputs, k), by the name of the layer.

    Limits:
        What is held is each layer's output for the earlier models' inputs of that layer, which
        shift when layers before it change. Models that learn the same data feed the first layer the
        same directions: with a high ``energy`` it does not move at all. Of a layer at most
        ``vectors`` vectors are looked at, whatever ``samples`` says. A linear layer has one for
        each sample, a convolution one for each sample and position: 58,800 with 300 samples of 14 x
        14 positions, of which the default of 4,096 is 7 %. More take memory: vectors times inputs
        of the layer, in double precision. After the first model it keeps one direction more in each
        layer than its authors' program, which stops just below the ``energy`` there; the paper asks
        for the ``energy``. A step takes two products of the weights with the bases more.
        Embeddings, recurrent layers, attention and grouped convolutions are not projected but
        frozen once an earlier model used them.
    """

    facts = Facts(
        name="gpm",
        summary="gradient projection memory: change weights only across earlier models' inputs",
        source="Saha, Garg & Roy, ICLR 2021",
        dial=ENERGY,
        memory="linear",
        ends_only=True,
        holds_for_good=True,
    )
    Settings = GPMSettings
    settings: GPMSettings

    @property
    def keeps(self) -> bool:
        """Whether there is any energy to keep."""
        return self.settings.energy > 0

    def grown(self, basis: Tensor, rows: Tensor) -> Tensor:
        """Return the basis with the directions that its energy lacks."""
        r = rows.T
        new = r - basis @ (basis.T @ r)
        if new.shape[1] > len(new):  # what is left of it has the same singular vectors
            new = torch.linalg.qr(new.T, mode="r")[1].T
        directions, values, _ = torch.linalg.svd(new, full_matrices=False)
        energies = values.square().cumsum(0)
        total = r.square().sum()
        missing = self.settings.energy * total - (total - energies[-1])
        count = int((energies < missing * (1 - _ROUNDING)).sum()) + 1 if missing > 0 else 0
        count = min(count, int((values > 1e-10 * values[0]).sum()))
        grown: Tensor = torch.linalg.qr(torch.cat([basis, directions[:, :count]], dim=1))[0]
        return grown
