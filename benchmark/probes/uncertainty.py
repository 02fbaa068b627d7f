"""How confident models are in their predictions, and how well that fits their accuracy."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from avalanche.models.utils import avalanche_forward
from torch import Tensor, nn
from torch.nn import functional

from palimpsest.benchmark.models.bank import ModelBank
from palimpsest.benchmark.probes.base.probe import Probe
from palimpsest.benchmark.randomness.seeding import derive
from palimpsest.benchmark.scenarios.scenario import right_class
from palimpsest.benchmark.training.evaluation import LOADER, evaluate
from palimpsest.benchmark.training.template import EVALUATION_BATCH
from palimpsest.strategies.base.hooks import Samples

DRAWS = 32
"""The number of draws of weights that are averaged."""

BINS = 15
"""Bins of the calibration error, as in the paper."""


class Uncertainty(Probe):
    """Accuracy, likelihood and calibration of every model, right after its training and at the end.

    On the model's test samples: ``accuracy``; ``nll``, the mean of ``- log p(y)`` in nats; and
    ``ece``, the expected calibration error: how far confidence, the probability of what is
    predicted, is from accuracy. With the samples in 15 bins b of equal width by their confidence::

        ece = sum_b n_b / n * |accuracy of b - mean confidence of b|

    0 is perfect. Source: Guo et al., On Calibration of Modern Neural Networks, ICML 2017,
    equation 3. ``confidence`` is its mean over samples: above accuracy, models are too sure. A row
    for each ``model`` and ``moment`` (``before``: right after its training; ``after``: at the end)
    with ``weights: mean``, those that are evaluated everywhere. Of a strategy that has a posterior
    there is another with ``weights: sampled``: the mean of the probabilities over 32 draws of
    weights, on the same samples, and ``sigma``: the standard deviation of the weights, the root
    mean square over the same draws and all weights of the model that a draw changes, head and
    biases left out. Every strategy that has one is recorded, also where a suite does not name this
    probe. Models that are not trained in turn have the end alone. The draws are those of a seed of
    their own.
    """

    of_blocks = False

    def absent(self) -> str | None:
        """Return a reason if predictions are not probabilities of classes, or models change."""
        scenario = self.subject.scenario
        if scenario.search is not None:
            return "the models of a search are other architectures in each epoch"
        if not isinstance(scenario.loss, nn.CrossEntropyLoss) or scenario.right is not right_class:
            return "what the models put out are not logits of classes"
        return None

    def after_training_exp(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Look at the model that has just been trained."""
        if self.subject.unordered is None:
            self._look(strategy, strategy.experience.current_experience, "before")

    def finish(self, strategy: Any) -> None:
        """Look at all models."""
        for model in range(len(self.subject.scenario.test)):
            self._look(strategy, model, "after")

    def _look(self, strategy: Any, model: int, moment: str) -> None:
        experience = self.subject.scenario.test[model]
        log_p, y = predictions(strategy, experience)
        self._note(model, moment, "mean", log_p, y)
        posterior = self.subject.plugin
        if not isinstance(posterior, Samples):
            return
        x = experience.dataset.samples[0]
        label = experience.task_label
        seed = derive(self.subject.seed, "posterior", model)
        generator = torch.Generator().manual_seed(seed)
        totals: list[Tensor] = []
        logarithms: list[Tensor] = []
        squares: list[float] = []

        def see(index: int, bank: nn.Module) -> None:
            means = {name: w.clone() for name, w in self._weights(bank, index)}
            for _ in range(DRAWS):
                with posterior.sampled(bank, index, generator):
                    squares.append(_mean_square(means, dict(self._weights(bank, index))))
                    parts = [
                        avalanche_forward(bank, x[i : i + EVALUATION_BATCH], label)
                        for i in range(0, len(x), EVALUATION_BATCH)
                    ]
                logits = torch.cat(parts).double()
                own, log_own = logits.softmax(dim=-1), logits.log_softmax(dim=-1)
                totals[:] = [totals[0] + own if totals else own]
                logarithms[:] = [torch.logaddexp(logarithms[0], log_own) if logarithms else log_own]

        self.subject.look(strategy, [model], see)
        mean = totals[0] / DRAWS  # where it is too small for a number, its logarithm is not
        log_mean = torch.where(mean > 0, mean.log(), logarithms[0] - math.log(DRAWS))
        sigma = (sum(squares) / DRAWS) ** 0.5
        self._note(model, moment, "sampled", log_mean, y, sigma)

    def _weights(self, bank: nn.Module, model: int) -> Iterator[tuple[str, Tensor]]:
        """Yield the weights of a model's layers, except its head, with names."""
        parts: list[tuple[str, nn.Module]] = [("", bank)]
        if isinstance(bank, ModelBank):
            parts = [(block, bank.blocks[block]) for block in self.subject.paths[model][:-1]]
        for block, part in parts:
            for name, module in part.named_modules():
                weight = getattr(module, "weight", None)
                if isinstance(weight, Tensor):
                    yield f"{block}.{name}", weight.detach()

    def _note(
        self,
        model: int,
        moment: str,
        weights: str,
        log_p: Tensor,
        y: Tensor,
        sigma: float | None = None,
    ) -> None:
        self.rows.append(
            {
                "model": model,
                "moment": moment,
                "weights": weights,
                "accuracy": float((log_p.argmax(dim=-1) == y).double().mean()),
                "nll": float(functional.nll_loss(log_p, y)),
                "ece": calibration_error(log_p.exp(), y),
                "confidence": float(log_p.exp().max(dim=-1).values.mean()),
                "sigma": sigma,
            }
        )


def _mean_square(means: Mapping[str, Tensor], drawn: Mapping[str, Tensor]) -> float:
    """Return the mean square of drawn weights minus their means, of those that differ; or 0."""
    gaps = [(drawn[name] - mean).double() for name, mean in means.items()]
    moved = [gap for gap in gaps if bool(gap.any())]
    count = sum(gap.numel() for gap in moved)
    return float(sum(gap.square().sum() for gap in moved)) / count if count else 0.0


def predictions(strategy: Any, experience: Any) -> tuple[Tensor, Tensor]:
    """Evaluate a model on a test experience.

    Returns:
        Log-probabilities (N, classes) in double precision, and the right classes (N,).
    """
    collector = _Collector()
    strategy.plugins.append(collector)
    try:
        evaluate(strategy, [experience], **LOADER)
    finally:
        strategy.plugins.remove(collector)
    return torch.cat(collector.outputs).double().log_softmax(dim=-1), torch.cat(collector.targets)


class _Collector:
    """A plugin that keeps the outputs and targets of an evaluation."""

    def __init__(self) -> None:
        self.outputs: list[Tensor] = []
        self.targets: list[Tensor] = []

    def after_eval_iteration(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Keep a batch."""
        self.outputs.append(strategy.mb_output.detach())
        self.targets.append(strategy.mb_y)


def calibration_error(p: Tensor, y: Tensor, bins: int = BINS) -> float:
    """Return the expected calibration error, see ``Uncertainty``.

    Args:
        p: Probabilities (N, classes).
        y: Classes (N,).
        bins: Of equal width; the upper edge belongs to a bin.
    """
    confidence, predicted = p.max(dim=-1)
    gaps = (predicted == y).to(confidence) - confidence
    place = (confidence * bins).ceil().long().clamp(1, bins) - 1
    sums = torch.zeros(bins).to(gaps).index_add_(0, place, gaps)
    return float(sums.abs().sum() / len(y))
