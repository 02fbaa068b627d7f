"""The diagonal Fisher information of a classifier, per sample.

With ``p(c | x; theta) = softmax(f(x; theta))_c`` and N samples::

    exact         F_i = 1/N sum_n sum_c p(c | x_n) (d log p(c | x_n) / d theta_i)^2
    monte_carlo   F_i = 1/N sum_n (d log p(c_n | x_n) / d theta_i)^2,   c_n ~ p(. | x_n)
    empirical     F_i = 1/N sum_n (d log p(y_n | x_n) / d theta_i)^2,   y_n the true labels

The square of a batch's mean gradient is none of these: it shrinks with the batch size.
Sources: Martens, New insights and perspectives on the natural gradient method, JMLR 2020,
section 5; Kunstner et al., Limitations of the empirical Fisher, NeurIPS 2019.

Linear layers take a short cut: with input a_n and gradient d_nc by the layer's output, the
gradient by the weight is the outer product d_nc a_n^T, so its square sums to
``(sum_c p_c d_c^2)^T (a^2)`` and no gradient of a weight is ever formed. All other parameters
go through ``torch.func``, in chunks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from avalanche.models.utils import avalanche_forward, is_multi_task_module
from torch import Tensor, nn
from torch.func import functional_call, grad, vjp, vmap

from strategies.settings import Estimator, FisherSettings

_BATCH = 256
"""Samples that one forward pass takes."""

_CHUNK_ELEMENTS = 2**22
"""Elements of per-sample gradients held at once; more leaves the processor's cache."""


def diagonal_fisher(
    model: nn.Module,
    parameters: Mapping[str, Tensor],
    x: Tensor,
    y: Tensor,
    *,
    estimator: Estimator = "exact",
    task_label: int = 0,
    generator: torch.Generator | None = None,
) -> dict[str, Tensor]:
    """Estimate the diagonal Fisher information of some of a model's parameters.

    The model is in evaluation mode during the estimate (no dropout, running statistics for
    normalisation) and left as it was found; its gradients are not touched.

    Args:
        model: Returns logits (N, C); an Avalanche ``MultiTaskModule`` is called with the label.
        parameters: The parameters to estimate for, by their name in the model.
        x: Inputs (N, ...).
        y: True labels (N,), used by the empirical estimator only.
        estimator: ``exact``, ``monte_carlo`` or ``empirical``.
        task_label: Which model of a bank the samples belong to.
        generator: Draws the labels of ``monte_carlo``, on the CPU.

    Returns:
        Non-negative tensors of the parameters' shapes, by name.
    """
    totals = {name: torch.zeros_like(value.detach()) for name, value in parameters.items()}
    with _evaluation_mode(model), torch.enable_grad():
        for start in range(0, len(x), _BATCH):
            samples, labels = x[start : start + _BATCH], y[start : start + _BATCH]
            weights = _class_weights(model, samples, labels, estimator, task_label, generator)
            done = _add_linear_layers(totals, model, samples, weights, task_label)
            rest = {n: value.detach() for n, value in parameters.items() if n not in done}
            if rest:
                one_label = estimator != "exact"
                _add_others(totals, model, rest, samples, weights, task_label, one_label)
    return {name: total / len(x) for name, total in totals.items()}


def fisher_of_training(
    strategy: Any, parameters: Mapping[str, Tensor], settings: FisherSettings, model_index: int
) -> dict[str, Tensor]:
    """Estimate the Fisher information of the model that an Avalanche strategy just trained.

    Args:
        strategy: Its ``adapted_dataset`` gives the samples, without augmentation.
        parameters: The parameters to estimate for, by name.
        settings: The estimator, the number of samples and the seed of their choice.
        model_index: How many models came before, so that each draws its own samples.

    Returns:
        Non-negative tensors of the parameters' shapes, by name.
    """
    generator = torch.Generator().manual_seed(settings.seed + model_index)
    x, y, labels = draw(strategy.adapted_dataset, settings.samples, generator)
    total = {name: torch.zeros_like(value.detach()) for name, value in parameters.items()}
    for label in sorted(set(labels.tolist())):
        own = labels == label
        part = diagonal_fisher(
            strategy.model,
            parameters,
            x[own].to(strategy.device),
            y[own].to(strategy.device),
            estimator=settings.fisher,
            task_label=label,
            generator=generator,
        )
        for name, value in part.items():
            total[name].add_(value, alpha=int(own.sum()) / len(x))
    return total


def draw(dataset: Any, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Draw samples without replacement.

    Args:
        dataset: An Avalanche dataset, used with its evaluation transforms (no augmentation).
            Where it has ``tensors`` (inputs, targets, task labels) they are indexed at once.
        count: How many; all where the dataset has fewer.
        generator: The only source of randomness, on the CPU.

    Returns:
        Inputs (n, ...), targets (n,) and task labels (n,), 0 where the dataset has none.
    """
    chosen = torch.randperm(len(dataset), generator=generator)[:count]
    tensors = getattr(dataset, "tensors", None)
    if tensors is not None:
        x, y, task = tensors
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


@torch.no_grad()
def _class_weights(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    estimator: Estimator,
    task_label: int,
    generator: torch.Generator | None,
) -> Tensor:
    """Weight (N, C) of each class's squared score: its probability, or one-hot for one label."""
    probabilities: Tensor = avalanche_forward(model, x, task_label).softmax(dim=-1)
    if estimator == "exact":
        return probabilities
    if estimator == "monte_carlo":
        y = torch.multinomial(probabilities.cpu(), 1, generator=generator)[:, 0].to(x.device)
    return nn.functional.one_hot(y, probabilities.shape[-1]).to(probabilities.dtype)


def _add_linear_layers(
    totals: dict[str, Tensor], model: nn.Module, x: Tensor, weights: Tensor, task_label: int
) -> set[str]:
    """Add the sum over samples for all linear layers; return the names that this covers."""
    layers = _own_linear_layers(model, totals)
    inputs: dict[str, Tensor] = {}
    outputs: dict[str, Tensor] = {}
    calls: Counter[str] = Counter()

    def watch(name: str, layer: nn.Linear) -> Callable[..., Tensor]:
        def hook(_: nn.Module, arguments: tuple[Tensor, ...], output: Tensor) -> Tensor:
            calls[name] += 1
            inputs[name] = arguments[0].detach()
            outputs[name] = torch.zeros_like(output, requires_grad=True)
            # The weights stay out of the graph, so that any other use of them shows.
            bias = None if layer.bias is None else layer.bias.detach()
            fixed = nn.functional.linear(arguments[0], layer.weight.detach(), bias)
            return fixed + outputs[name]

        return hook

    handles = [layer.register_forward_hook(watch(name, layer)) for name, layer in layers.items()]
    try:
        log_p = avalanche_forward(model, x, task_label).log_softmax(dim=-1)
    finally:
        for handle in handles:
            handle.remove()
    # One that saw sequences, or was used twice, adds up gradients before they are squared.
    names = [
        name
        for name, layer in layers.items()
        if calls[name] == 1
        and inputs[name].ndim == 2
        and len(inputs[name]) == len(x)
        and not _reaches(layer, log_p)
    ]
    if not names:
        return set()
    squares = {name: torch.zeros_like(outputs[name]) for name in names}
    classes = weights.any(dim=0).nonzero()[:, 0].tolist()
    for c in classes:
        gradients = torch.autograd.grad(
            log_p[:, c].sum(),
            [outputs[name] for name in names],
            retain_graph=c != classes[-1],
            materialize_grads=True,
        )
        for name, gradient in zip(names, gradients, strict=True):
            squares[name].addcmul_(gradient.square(), weights[:, c, None])
    covered = set()
    for name in names:
        for parameter, value in (
            (f"{name}.weight", squares[name].T @ inputs[name].square()),
            (f"{name}.bias", squares[name].sum(dim=0)),
        ):
            if parameter in totals:
                totals[parameter] += value
                covered.add(parameter)
    return covered


def _reaches(layer: nn.Linear, log_p: Tensor) -> bool:
    """Whether a layer's parameters are in the graph of ``log_p``; free where they are not."""
    parameters = [p for p in layer.parameters() if p.requires_grad]
    if not parameters or not log_p.requires_grad:
        return False
    found = torch.autograd.grad(log_p.sum(), parameters, retain_graph=True, allow_unused=True)
    return any(gradient is not None for gradient in found)


def _own_linear_layers(model: nn.Module, wanted: Mapping[str, Any]) -> dict[str, nn.Linear]:
    """Linear layers with wanted parameters that no other module shares."""
    owners = Counter(id(p) for _, p in model.named_parameters(remove_duplicate=False))
    return {
        name: module
        for name, module in model.named_modules()
        if type(module) is nn.Linear
        and any(f"{name}.{p}" in wanted for p, _ in module.named_parameters())
        and all(owners[id(p)] == 1 for p in module.parameters())
    }


def _add_others(
    totals: dict[str, Tensor],
    model: nn.Module,
    values: dict[str, Tensor],
    x: Tensor,
    weights: Tensor,
    task_label: int,
    one_label: bool,
) -> None:
    """Add the sum over samples of the weighted squared scores, one gradient a sample and class."""
    label = (task_label,) if is_multi_task_module(model) else ()

    def log_p(theta: dict[str, Tensor], sample: Tensor) -> Tensor:
        logits: Tensor = functional_call(model, theta, (sample[None], *label))[0]
        return logits.log_softmax(dim=-1)

    def expected_square(sample: Tensor, weight: Tensor) -> dict[str, Tensor]:
        backward: Callable[[Tensor], Any] = vjp(lambda theta: log_p(theta, sample), values)[1]
        (scores,) = vmap(backward)(torch.eye(len(weight), dtype=weight.dtype, device=x.device))
        return {n: torch.tensordot(weight, s.square(), dims=1) for n, s in scores.items()}

    def square(sample: Tensor, weight: Tensor) -> dict[str, Tensor]:
        scores = grad(lambda theta: (log_p(theta, sample) * weight).sum())(values)
        return {n: s.square() for n, s in scores.items()}

    def squares_in_turn(samples: Tensor, weights: Tensor) -> dict[str, Tensor]:
        found = {n: torch.zeros_like(value)[None] for n, value in values.items()}
        for sample, weight in zip(samples, weights, strict=True):
            for c in weight.nonzero()[:, 0]:
                scores = grad(lambda theta, c=c, sample=sample: log_p(theta, sample)[c])(values)
                for n, s in scores.items():
                    found[n].addcmul_(s, s, value=float(weight[c]))
        return found

    compute: Callable[[Tensor, Tensor], dict[str, Tensor]]
    compute = vmap(square if one_label else expected_square)
    if any(isinstance(module, nn.RNNBase) for module in model.modules()):
        compute = squares_in_turn  # torch cannot batch over them
    copies = 1 if one_label else weights.shape[1]
    chunk = max(1, _CHUNK_ELEMENTS // (copies * sum(v.numel() for v in values.values())))
    for start in range(0, len(x), chunk):
        part = slice(start, start + chunk)
        for name, value in compute(x[part], weights[part]).items():
            totals[name] += value.sum(dim=0)


@contextmanager
def _evaluation_mode(model: nn.Module) -> Iterator[None]:
    """Evaluation mode, each module's own mode restored afterwards."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training
