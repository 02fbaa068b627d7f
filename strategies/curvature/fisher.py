"""The diagonal Fisher information of a classifier, per sample.

With ``p(c | x; theta) = softmax(f(x; theta))_c`` and N samples::

    exact         F_i = 1/N sum_n sum_c p(c | x_n) (d log p(c | x_n) / d theta_i)^2
    monte_carlo   F_i = 1/N sum_n (d log p(c_n | x_n) / d theta_i)^2,   c_n ~ p(. | x_n)
    empirical     F_i = 1/N sum_n (d log p(y_n | x_n) / d theta_i)^2,   y_n the true labels
    predicted     the same with c_n = argmax_c p(c | x_n), the labels that the model predicts

Only the first two are the Fisher information or unbiased for it. ``batched`` is none of these:
the square of a batch's mean gradient shrinks with the batch size (``batched_fisher``).
Sources: Martens, New insights and perspectives on the natural gradient method, JMLR 2020,
section 5; Kunstner et al., Limitations of the empirical Fisher, NeurIPS 2019.

This module combines what the others compute:

* ``fisher_factors.py`` has the vectors to backpropagate, a few per sample;
* ``per_sample/sums.py`` sums functions of single samples' gradients, for every network;
* ``per_sample/layers.py`` has the squares in closed form for layers of known kinds.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from palimpsest.strategies.base.facts import Facts
from palimpsest.strategies.base.network import (
    Network,
    differentiable,
    evaluation_mode,
    requiring_gradients,
)
from palimpsest.strategies.curvature.fisher_factors import draw_classes, factors
from palimpsest.strategies.curvature.per_sample.layers import LAYERS, precise, squared_gradients
from palimpsest.strategies.curvature.per_sample.sums import Sum, mean_over_samples
from palimpsest.strategies.curvature.per_sample.uses import WeightUse, backward

Estimator = Literal["exact", "monte_carlo", "empirical", "predicted", "batched"]


def fisher_needs(facts: Facts, estimator: Estimator) -> Facts:
    """Return facts with what an estimate needs, for a setting that is called ``fisher``."""
    named = f"fisher: {estimator}"
    return facts.needing(classes=named, single_samples=None if estimator == "batched" else named)


def diagonal_fisher(
    model: nn.Module,
    parameters: Mapping[str, Tensor],
    x: Tensor,
    y: Tensor,
    *,
    estimator: Estimator = "exact",
    task_label: int = 0,
    generator: torch.Generator | None = None,
    batch: int = 128,
) -> dict[str, Tensor]:
    """Estimate the diagonal Fisher information of some of a model's parameters.

    The model is in evaluation mode during the estimate (no dropout, running statistics for
    normalisation) and restored afterwards; its gradients are not touched.

    Args:
        model: Returns logits (N, C); an Avalanche ``MultiTaskModule`` is called with the label.
        parameters: The parameters to estimate for, by their name in the model.
        x: Inputs (N, ...).
        y: True labels (N,), used by ``empirical`` and ``batched`` only.
        estimator: ``exact``, ``monte_carlo``, ``empirical``, ``predicted`` or ``batched``.
        task_label: Which model of a bank the samples belong to.
        generator: Draws the labels of ``monte_carlo``, on the CPU.
        batch: Samples of a mini-batch of ``batched``.

    Returns:
        Non-negative tensors of the parameters' shapes, by name.

    Raises:
        ValueError: The logits of a sample depend on its batch, or the network cannot take a single
            sample; the error names the layer.
    """
    network = Network(model, task_label)
    if estimator == "batched":
        return batched_fisher(network, parameters, x, y, batch)
    # All drawn at once, so that the labels do not depend on the batches.
    drawn = estimator == "monte_carlo"
    uniform = torch.rand(len(x) if drawn else 0, generator=generator)

    def labels(p: Tensor, part: slice) -> Tensor | None:
        if estimator == "exact":
            return None
        if estimator == "predicted":
            return p.argmax(dim=-1)
        return draw_classes(p, uniform[part]) if drawn else y[part]

    return mean_over_samples(network, parameters, x, _SquaredGradients(labels))


def batched_fisher(
    network: Network, parameters: Mapping[str, Tensor], x: Tensor, y: Tensor, batch: int
) -> dict[str, Tensor]:
    """Average the squared mean gradient over mini-batches, with the true labels.

    ``F_i = 1/M sum_m (1/|B_m| sum_(n in B_m) d log p(y_n | x_n) / d theta_i)^2``. It is no Fisher
    information: the samples' gradients partly cancel before they are squared, so that it shrinks
    with the batch size. It is here because many programs compute it.

    Source: van de Ven, On the computation of the Fisher information in continual learning, ICLR
    Blogposts 2025, "BATCHED".

    Args:
        network: Evaluated without dropout and with running statistics.
        parameters: Those wanted, by name.
        x: Inputs (N, ...), in the order in which they are divided into batches.
        y: True labels (N,).
        batch: Samples of a mini-batch; the last one may have fewer.

    Returns:
        Non-negative tensors of the parameters' shapes, by name.
    """
    total = {name: torch.zeros_like(value.detach()) for name, value in parameters.items()}
    batches = list(zip(torch.split(x, batch), torch.split(y, batch), strict=True))
    model = network.model
    with evaluation_mode(model), requiring_gradients(model), differentiable(model):
        for inputs, labels in batches:
            with torch.enable_grad():
                loss = functional.cross_entropy(network(inputs), labels)
            found = torch.autograd.grad(loss, list(parameters.values()), allow_unused=True)
            for name, gradient in zip(parameters, found, strict=True):
                if gradient is not None:
                    total[name].addcmul_(gradient, gradient, value=1 / len(batches))
    return total


class _SquaredGradients(Sum):
    """Squared gradients, by the factors of the logits' Fisher information.

    Args:
        labels: Given probabilities (n, C) and the slice of samples they belong to, returns their
            labels (n,), or ``None`` for the expectation over labels.
    """

    kinds = tuple(LAYERS)

    def __init__(self, labels: Callable[[Tensor, slice], Tensor | None]) -> None:
        self._labels = labels

    def vectors(self, logits: Tensor, part: slice) -> Iterator[Tensor]:
        """Return the factors."""
        p = precise(logits).softmax(dim=-1)
        return factors(p, self._labels(p, part))

    def of_gradients(self, gradients: Tensor) -> Tensor:
        """Return the squares."""
        return gradients.square()

    def of_uses(
        self, logits: Tensor, uses: Sequence[WeightUse], vectors: Iterable[Tensor]
    ) -> dict[Tensor, Tensor]:
        """Return the closed forms."""
        sums = [squared_gradients(use.layer, use.inputs, use.zeros) for use in uses]
        for gradients in backward(logits, uses, vectors):
            for total, gradient in zip(sums, gradients, strict=True):
                total.add(precise(gradient))
        found: dict[Tensor, Tensor] = {}
        for use, total in zip(uses, sums, strict=True):
            weight, bias = total.sums()
            found[use.weight] = weight.view_as(use.weight)
            if use.bias is not None:
                found[use.bias] = bias.view_as(use.bias)
        return found


def fisher_of_training(
    strategy: Any,
    parameters: Mapping[str, Tensor],
    *,
    estimator: Estimator,
    samples: int,
    batch: int,
    seed: int,
) -> dict[str, Tensor]:
    """Estimate the Fisher information of the model that an Avalanche strategy just trained.

    Args:
        strategy: Its ``adapted_dataset`` gives the samples, without augmentation.
        parameters: The parameters to estimate for, by name.
        estimator: See ``diagonal_fisher``.
        samples: How many are drawn.
        batch: Samples of a mini-batch of ``batched``.
        seed: Of their choice, another one for each model.

    Returns:
        Non-negative tensors of the parameters' shapes, by name.
    """
    generator = torch.Generator().manual_seed(seed)
    return fisher_of_samples(
        strategy,
        parameters,
        *draw(strategy.adapted_dataset, samples, generator),
        estimator=estimator,
        generator=generator,
        batch=batch,
    )


def fisher_of_samples(
    strategy: Any,
    parameters: Mapping[str, Tensor],
    x: Tensor,
    y: Tensor,
    labels: Tensor,
    *,
    estimator: Estimator,
    generator: torch.Generator | None = None,
    batch: int = 128,
) -> dict[str, Tensor]:
    """Estimate the Fisher information of an Avalanche strategy's models, each on its samples.

    Args:
        strategy: Has the network, and the device that it is on.
        parameters: The parameters to estimate for, by name.
        x: Inputs (N, ...).
        y: True labels (N,).
        labels: Task labels (N,).
        estimator: See ``diagonal_fisher``, as for the others.
        generator: Draws labels.
        batch: Samples of a mini-batch.

    Returns:
        The mean over all samples, by name.
    """

    def of_label(label: int, own: Tensor) -> dict[str, Tensor]:
        return diagonal_fisher(
            strategy.model,
            parameters,
            x[own].to(strategy.device),
            y[own].to(strategy.device),
            estimator=estimator,
            task_label=label,
            generator=generator,
            batch=batch,
        )

    return mean_over_labels(parameters, labels, of_label)


def mean_over_labels(
    parameters: Mapping[str, Tensor],
    labels: Tensor,
    of_label: Callable[[int, Tensor], Mapping[str, Tensor]],
) -> dict[str, Tensor]:
    """Combine the means over the samples of each task label into the mean over all samples.

    Args:
        parameters: The parameters that there are values for, by name.
        labels: The task label of each sample (N,).
        of_label: Given a label and which samples have it (N,), the mean over those, by name.

    Returns:
        Tensors of the parameters' shapes, by name.
    """
    total = {name: torch.zeros_like(value.detach()) for name, value in parameters.items()}
    for label in sorted(set(labels.tolist())):
        own = labels == label
        for name, value in of_label(label, own).items():
            total[name].add_(value, alpha=int(own.sum()) / len(labels))
    return total


def draw(dataset: Any, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Draw samples without replacement.

    Args:
        dataset: An Avalanche dataset, used with its evaluation transforms (no augmentation).
            If it has ``samples`` or ``tensors`` (inputs, targets, task labels), these are indexed
            at once; ``samples`` may have another form than a tensor.
        count: How many; all if the dataset has fewer.
        generator: The only source of randomness, on the CPU.

    Returns:
        Inputs (n, ...), targets (n,) and task labels (n,), 0 if the dataset has none.
    """
    chosen = torch.randperm(len(dataset), generator=generator)[:count]
    samples = getattr(dataset, "samples", None)
    if not isinstance(samples, tuple):  # other data sets have lists of this name
        samples = getattr(dataset, "tensors", None)
    if samples is not None:
        x, y, task = samples
        chosen = chosen.to(x.device)
        labels = torch.full_like(chosen, task) if isinstance(task, int) else task[chosen]
        return x[chosen], y[chosen], labels
    dataset = dataset.eval()
    items = [dataset[int(i)] for i in chosen]
    return (
        torch.stack([item[0] for item in items]),
        torch.tensor([int(item[1]) for item in items]),
        torch.tensor([int(item[2]) if len(item) > 2 else 0 for item in items]),
    )
