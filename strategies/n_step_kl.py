"""n-step KL regularization."""

from collections import Counter
from dataclasses import replace
from typing import Any, Self

import torch
from avalanche.models.utils import is_multi_task_module
from pydantic import Field, model_validator
from torch import nn
from torch.nn import Parameter

from palimpsest.strategies.base.facts import BETA, Facts
from palimpsest.strategies.base.hooks import Task
from palimpsest.strategies.base.likelihood import loss_of
from palimpsest.strategies.base.settings import Count, Whole
from palimpsest.strategies.memory.rehearsal import Rehearsal, outputs_for, task_labels
from palimpsest.strategies.memory.reservoir import Rows
from palimpsest.strategies.posteriors.posterior import Posterior, PosteriorSettings


class NStepKLSettings(PosteriorSettings):
    """Settings of n-step KL regularization."""

    posteriors: Count = Field(
        4, le=1000, description="n: divergences are those from the last n posteriors. 1 is vcl."
    )
    memory: Whole = Field(
        0,
        le=10**9,
        description="Samples in a memory, of the last n models together, for the likelihoods of "
        "earlier models' data. 0: none, a pure regularizer.",
    )
    memory_batch: Count | None = Field(
        None,
        le=10**9,
        description="Samples drawn from the memory at a time, all where it has fewer. null: as "
        "many as a training batch has.",
    )

    def facts(self, facts: Facts) -> Facts:
        """Tell where there is a memory."""
        if not self.memory:
            return facts
        return replace(facts, stores=True, moves_unused=True, needs_its_model=True)

    @model_validator(mode="after")
    def _has_a_memory(self) -> Self:
        if self.memory_batch is not None and not self.memory:
            raise ValueError("memory_batch has no effect without memory: give it, too")
        return self


class NStepKL(Posterior):
    """Hold the posterior of each weight near the last n posteriors, all of equal weight.

    With k the smaller of n and the number of posteriors there are, the prior among them::

        mean loss at drawn weights + beta * T / N * sum_{i=0}^{k-1} 1/k KL(q || q_{t-1-i})

    With a ``memory`` the likelihoods of earlier models' data are in it, too, as the bound asks
    for: ``sum_{i=1}^{k-1} (k-i)/k`` times the mean loss of those of the drawn samples that are of
    training t - i, at the same drawn weights. They are drawn from a reservoir (see ``Rehearsal``)
    and pass through the network as a batch of their own. Then data are stored, private parameters
    of models whose data count are trained along, and it is a reference. Samples of trainings before
    these n - 1 have no weight, and are forgotten.

    With n = 1 and no memory it is ``vcl``, bit for bit. See ``Posterior`` for the rest; of a
    parameter that some models do not use, posteriors count from trainings that used it.

    Source: Melo, Abate & Gal, Temporal-Difference Variational Continual Learning, NeurIPS 2025,
    equations as others tell them, and its program, github.com/luckeciano/TD-VCL. There the history
    is shifted the wrong way, so that all but the latest posterior stay those that the network began
    with, or follow it; its beta is divided by the batch size and not by N (ours is N / batch size
    times as large); and heads are left out.

    Limits:
        As for ``vcl``. The prior is one of the last n posteriors until n others have come, and
        draws what was learned back towards the weights that the network began with: with two models
        half of the divergence is from it. With a ``memory`` it stores data, is a reference, and
        does not work in an architecture search; each step then takes a pass more.
    """

    facts = Facts(
        name="n_step_kl",
        summary="a posterior of each weight, near those of the last n models alike",
        source="Melo, Abate & Gal, Temporal-Difference Variational Continual Learning, NeurIPS "
        "2025",
        dial=BETA,
        memory="linear",
        brief={"beta": 0.2},
    )
    Settings = NStepKLSettings
    settings: NStepKLSettings

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        own = self.settings.model_dump(include={"memory", "memory_batch", "seed"})
        self._rehearsal = Rehearsal(**own)
        self._offered: Counter[int] = Counter()

    @property
    def depth(self) -> int:
        """The setting ``posteriors``."""
        return self.settings.posteriors

    @property
    def reach(self) -> int:
        """How many trainings' data have a weight, the present one's among them."""
        return sum(weight > 0 for weight in self.likelihood_weights(self.depth))

    def check_network(self, model: nn.Module, task: Task) -> None:
        """Refuse a network without layers, and inputs of several kinds for the memory."""
        super().check_network(model, task)
        if self.reach > 1:
            self._rehearsal.check_network(model, task)

    def before_backward(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Add the losses of stored samples, and offer the batch to the memory.

        Raises:
            ValueError: Its inputs are of another kind than those in the memory.
        """
        if not self.settings.memory or self.reach == 1:
            return
        weights = self.likelihood_weights(min(self.depth, self.models_seen + 1))
        rows = self._recalled(strategy) if len(weights) > 1 else {}
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
        self._offered[self.models_seen] += len(number)

    def keep(self, strategy: Any, used: dict[str, Parameter]) -> None:
        """Keep the posteriors, and forget samples that have no weight in the next training."""
        super().keep(strategy, used)
        first = self.models_seen + 2 - self.reach
        count = sum(self._offered.pop(n) for n in [*self._offered] if n < first)
        if count:
            memory = self._rehearsal.memory
            memory.forget(memory.rows["training"][: len(memory)] < first, count)

    def _recalled(self, strategy: Any) -> Rows:
        """Return drawn samples but those of heads to which the loss of this step gives no gradient.

        These are of other models of the present training, where it has several.
        """
        rows = self._rehearsal.recall(strategy)
        if rows and is_multi_task_module(strategy.model):
            present = torch.as_tensor(task_labels(strategy)).cpu()
            earlier = rows["training"] < self.models_seen
            used = earlier | torch.isin(rows["label"], present)
            if not used.all():
                rows = {name: value[used.to(value.device)] for name, value in rows.items()}
            return rows if used.any() else {}
        return rows
