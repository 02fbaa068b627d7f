"""n-step KL regularization."""

from __future__ import annotations

from typing import Any, ClassVar

import torch

from strategies.likelihood import loss_of
from strategies.posterior import Posterior
from strategies.posterior_settings import NStepKLSettings
from strategies.rehearsal import Rehearsal, outputs_for


class NStepKL(Posterior):
    """Hold the posterior of each weight near the last n posteriors, all of equal weight.

    With k the smaller of n and the number of posteriors there are, the prior among them::

        mean loss at drawn weights + beta * T / N * sum_{i=0}^{k-1} 1/k KL(q || q_{t-1-i})

    With a ``memory`` the likelihoods of earlier models' data are in it, too, as the bound asks
    for: ``sum_{i=1}^{k-1} (k-i)/k`` times the mean loss of those of the drawn samples that are of
    training t - i, at the same drawn weights. They are drawn from a reservoir (see ``Rehearsal``)
    and pass through the network as a batch of their own. Then data are stored, earlier models'
    private parameters are trained along, and it is a reference.

    With n = 1 and no memory it is ``vcl``, bit for bit. See ``Posterior`` for the rest; of a
    parameter that some models do not use, posteriors count from trainings that used it.

    Source: Melo, Abate & Gal, Temporal-Difference Variational Continual Learning, NeurIPS 2025,
    equations as others tell them, and its program, github.com/luckeciano/TD-VCL. There the history
    is shifted the wrong way, so that all but the latest posterior stay those that the network began
    with, or follow it; its beta is divided by the batch size and not by N (ours is N / batch size
    times as large); and heads are left out.

    Args:
        **settings: See ``NStepKLSettings``; ``beta`` is the dial.
    """

    Settings: ClassVar[type[NStepKLSettings]] = NStepKLSettings
    settings: NStepKLSettings

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        own = self.settings.model_dump(include={"memory", "memory_batch", "seed"})
        self._rehearsal = Rehearsal(**own)

    @property
    def depth(self) -> int:
        """The setting ``posteriors``."""
        return self.settings.posteriors

    def before_backward(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Add the losses of stored samples, and offer the batch to the memory.

        Raises:
            ValueError: Its inputs are of another kind than those in the memory.
        """
        if not self.settings.memory:
            return
        weights = self.likelihood_weights(min(self.depth, self.models_seen + 1))
        rows = self._rehearsal.recall(strategy) if len(weights) > 1 else {}
        if rows:
            found, ages = outputs_for(strategy, rows), self.models_seen - rows["training"]
            for age, weight in enumerate(weights[1:], 1):
                own = (ages == age).to(found.device)
                if own.any():
                    labels = rows["label"][own.cpu()]
                    loss = loss_of(strategy, found[own], rows["y"][own], labels)
                    strategy.loss = strategy.loss + weight * loss
        number = torch.full((len(strategy.mb_y),), self.models_seen)
        self._rehearsal.remember(strategy, training=number)
