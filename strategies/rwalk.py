"""Riemannian walk."""

from typing import Any

import torch
from avalanche.models.utils import is_multi_task_module
from pydantic import Field
from torch import Tensor
from torch.nn import Parameter

from palimpsest.strategies.base.facts import STRENGTH, Facts, Needs
from palimpsest.strategies.base.grown import fitted
from palimpsest.strategies.base.likelihood import as_trained
from palimpsest.strategies.base.settings import Count, Positive, PositiveShare
from palimpsest.strategies.curvature.fisher import fisher_of_samples
from palimpsest.strategies.si import SI, SISettings


class RWalkSettings(SISettings):
    """Settings of Riemannian walk."""

    every: Count = Field(
        10,
        description="Delta t: steps of a segment. At its end the running Fisher information and "
        "the scores are updated. The paper takes 10 on MNIST and 50 on CIFAR.",
    )
    alpha: PositiveShare = Field(
        0.9,
        description="Weight of the latest batch in the running Fisher information, "
        "F <- alpha F_batch + (1-alpha) F. The smaller, the longer it averages.",
    )
    damping: Positive = Field(
        1e-3,
        description="epsilon, added to the divergence that the loss decrease is divided by.",
    )


class RWalk(SI):
    """Protect parameters by Fisher information and by loss decrease per divergence (RWalk).

    While a model trains, the path integral of ``SI`` is cut into segments of ``every`` steps. At
    the end of each, with ``omega_i`` its path integral and ``Delta_i`` its movement::

        F_i <- alpha F_batch,i + (1 - alpha) F_i
        s_i <- s_i + max(0, omega_i) / (1/2 F_i Delta_i^2 + damping)

    ``F_batch`` is the empirical Fisher information of the last batch: the mean over its samples
    of their squared gradients, in evaluation mode. So its expectation does not depend on the batch
    size; the paper squares the mean gradient, which shrinks as batches grow. F continues from model
    to model and starts with the first batch. The remaining steps form a last, shorter segment.

    Afterwards the model's scores are averaged with those of the models before, ``s_i <-
    1/2 (s_i + s_new,i)``, where there were any, and ``I_i = F_i / max F + s_i / max s``, with
    the largest of all parameters that the model trained. (The authors' code also subtracts the
    smallest, which is close to 0.) A parameter that a model does not use keeps all of this, and its
    anchor; other anchors move to the latest weights. The paper's term is ``lambda * sum_i I_i
    (theta_i - theta*_i)^2``: its lambda is half our strength.

    Source: Chaudhry et al., Riemannian Walk for Incremental Learning, ECCV 2018, equations 6
    to 8; alpha and the steps of a segment from its supplement, the damping from the code.

    Attributes:
        fisher: The running Fisher information F by parameter name.
        scores: The scores s of all models so far, by parameter name.

    Limits:
        Both parts are divided by the largest value of any parameter, so that a single outlier makes
        all others look unimportant. It takes per-sample gradients of a batch every ``every`` steps,
        on top of synaptic intelligence's own work in each step.
    """

    facts = Facts(
        name="rwalk",
        summary="Riemannian walk: running Fisher information, and path integral per divergence",
        source="Chaudhry et al., ECCV 2018",
        dial=STRENGTH,
        color="#ca9161",
        online=True,
        needs=Needs(classes="rwalk", single_samples="rwalk"),
    )
    Settings = RWalkSettings
    settings: RWalkSettings
    needs_cross_entropy = True

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.fisher: dict[str, Tensor] = {}
        self.scores: dict[str, Tensor] = {}
        self._new_scores: dict[str, Tensor] = {}
        self._batch: tuple[Tensor, Tensor, Tensor] | None = None
        self._steps = 0

    def before_training_exp(self, strategy: Any, *arguments: Any, **keywords: Any) -> None:
        """Start the scores of a new model."""
        super().before_training_exp(strategy, *arguments, **keywords)
        self._new_scores, self._steps = {}, 0
        for known in (self.fisher, self.scores):
            for name in known.keys() & self._parameters.keys():
                known[name] = fitted(known[name], self._parameters[name].shape)

    def forget(self) -> None:
        """Forget the running Fisher information and the scores, too."""
        super().forget()
        self.fisher, self.scores = {}, {}

    @torch.no_grad()
    def after_update(self, strategy: Any, *arguments: Any, **keywords: Any) -> None:
        """Keep the batch: an evaluation after the last step leaves its own behind."""
        super().after_update(strategy, *arguments, **keywords)
        self._batch = _samples(strategy)

    @torch.no_grad()
    def after_training_iteration(self, strategy: Any, *arguments: Any, **keywords: Any) -> None:
        """Continue the path, and end a segment when it is due."""
        super().after_training_iteration(strategy, *arguments, **keywords)
        self._steps += 1
        if self._steps == self.settings.every:
            self._end_segment(strategy)

    @torch.no_grad()
    def estimate(self, strategy: Any, parameters: dict[str, Parameter]) -> dict[str, Tensor]:
        """Return the sum of Fisher information and scores, each scaled to at most 1."""
        if self._steps > 0:
            self._end_segment(strategy)
        for name in parameters:
            new = self._new_scores[name]
            self.scores[name] = (self.scores.get(name, new) + new) / 2
        self._new_scores, self._batch = {}, None
        fisher = _scaled({name: self.fisher[name] for name in parameters})
        scores = _scaled({name: self.scores[name] for name in parameters})
        return {name: fisher[name] + scores[name] for name in parameters}

    def consolidate(self, name: str, importance: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Move the anchor to the new weights; the earlier models are in the importance."""
        return importance, value

    def _end_segment(self, strategy: Any) -> None:
        """Update Fisher information and scores of the trained parameters; start a new segment."""
        parameters = {name: self._parameters[name] for name in self._path}
        with as_trained(strategy):
            assert self._batch is not None  # there was a step
            found = fisher_of_samples(strategy, parameters, *self._batch, estimator="empirical")
        for name, of_batch in found.items():
            parameter, start, path = parameters[name], self._start[name], self._path[name]
            fisher = torch.lerp(self.fisher.get(name, of_batch), of_batch, self.settings.alpha)
            divergence = fisher * (parameter - start).square() / 2
            score = path.clamp_min(0) / (divergence + self.settings.damping)
            self.fisher[name] = fisher
            self._new_scores[name] = self._new_scores.get(name, 0) + score
            start.copy_(parameter)
            path.zero_()
        self._steps = 0


def _samples(strategy: Any) -> tuple[Tensor, Tensor, Tensor]:
    """Return inputs, targets and task labels of the current batch; 0 if the model has no labels."""
    x, y = strategy.mb_x, strategy.mb_y
    label = strategy.mb_task_id if is_multi_task_module(strategy.model) else 0
    return x, y, label if isinstance(label, Tensor) else torch.full_like(y, label)


def _scaled(values: dict[str, Tensor]) -> dict[str, Tensor]:
    """Divide all by the largest element of any; leave them as they are if that is 0."""
    largest = max((value.max().item() for value in values.values()), default=0.0) or 1.0
    return {name: value / largest for name, value in values.items()}
