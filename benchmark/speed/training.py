"""The same training three times: a hand-written loop, stock Avalanche and this harness.

All three start from the same weights and see the same batches in the same order, so that
fine-tuning ends with the same weights, except where images are augmented: each draws its own
changes. Each method's importance pass is included, with its own
defaults: ours takes the exact Fisher information of 1,000 samples, Avalanche's EWC the squared
gradients of all its batches.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from avalanche import training as shipped
from avalanche.benchmarks import (
    benchmark_from_datasets,
    task_incremental_benchmark,
    with_classes_timeline,
)
from avalanche.benchmarks.utils import as_classification_dataset
from avalanche.evaluation.metrics import accuracy_metrics
from avalanche.training.plugins import EvaluationPlugin
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import Dataset, TensorDataset
from torchvision.datasets import MNIST
from torchvision.transforms import Compose, Normalize, RandomCrop, RandomHorizontalFlip, ToTensor

from palimpsest.benchmark.data.formats.pixels import Pixels
from palimpsest.benchmark.randomness.seeding import derive
from palimpsest.benchmark.runs.preparation import TRAINING, PreparedRun, prepare, scenario_settings
from palimpsest.benchmark.scenarios.settings.optimizers import SGD, Adam, RMSprop
from palimpsest.benchmark.scenarios.settings.scenario import ScenarioSettings
from palimpsest.benchmark.speed.measure import STEPS, Case, Implementation, Stopwatch
from palimpsest.benchmark.suites.suite import Run
from palimpsest.benchmark.training.evaluation import evaluate
from palimpsest.benchmark.training.template import EVALUATION_BATCH
from palimpsest.strategies.base.catalogue import STRATEGIES
from palimpsest.strategies.ewc import EWC
from palimpsest.strategies.finetune import Finetune
from palimpsest.strategies.si import SI

Trained = tuple[dict[str, float], nn.Module]
"""Seconds of each phase, and the trained model."""

_PADDING = 4

_STOCK: dict[type[Any], tuple[type[Any], dict[str, float]]] = {
    Finetune: (shipped.Naive, {}),
    EWC: (shipped.EWC, {"ewc_lambda": 1.0}),
    SI: (shipped.SynapticIntelligence, {"si_lambda": 1.0}),
}
"""Our methods that Avalanche has, too."""


def cases(
    run: Run, root: Path, implementations: Sequence[Implementation] = get_args(Implementation)
) -> list[Case]:
    """Return the cases that time a run, one per implementation that has its method."""
    method, plain = run.spec.strategy.kind, run.facts.role == "baseline"
    trainings: dict[Implementation, Callable[[Run, Path], Trained]] = {}
    if plain and "loop" in implementations:
        trainings["loop"] = train_by_loop
    if STRATEGIES[method] in _STOCK and "avalanche" in implementations:
        trainings["avalanche"] = train_by_avalanche
    trainings["palimpsest"] = train_by_harness
    scenario = prepare(run, root).scenario
    trained = sum(len(experience.dataset) for experience in scenario.train)
    samples = {
        "train": trained,
        STEPS: trained,
        "evaluate": sum(len(experience.dataset) for experience in scenario.test),
    }
    return [
        Case(run.scenario, method, name, samples, lambda train=train: train(run, root)[0])  # type: ignore[misc]
        for name, train in trainings.items()
    ]


def train_by_harness(run: Run, root: Path) -> Trained:
    """Train and evaluate as ``palimpsest run`` does.

    A method's steps are timed without what it does before the first and after the last of a model,
    too.
    """
    ready = prepare(run, root)
    watch = Stopwatch(run.spec.device)
    for experience in ready.scenario.train:
        ready.strategy.train(experience, **TRAINING)
    seconds = {"train": watch.seconds()}
    if run.facts.role != "baseline":
        costs = ready.costs.result(ready.scenario.model)
        seconds[STEPS] = sum(costs["training_seconds"])
        watch.seconds()
    evaluate(ready.strategy, ready.scenario.test)
    return {**seconds, "evaluate": watch.seconds()}, ready.scenario.model


def train_by_loop(run: Run, root: Path) -> Trained:
    """Train and evaluate with a loop as one would write it by hand, without a penalty."""
    settings, ready = scenario_settings(run.spec), prepare(run, root)
    bank = ready.scenario.model
    models = [nn.Sequential(*(bank.blocks[name] for name in path)) for path in bank.paths]
    criterion = nn.CrossEntropyLoss()
    train, test = ([*_tensors(each)] for each in (ready.scenario.train, ready.scenario.test))
    watch = Stopwatch(run.spec.device)
    for i, (x, y, task) in enumerate(train):
        model = models[task]
        optimizer = _optimizer(settings, model)
        order = _order(run, i, len(x)).to(x.device)
        for chosen in torch.split(order, settings.batch_size):
            optimizer.zero_grad()
            images = x[chosen] if settings.augment is None else cropped_and_flipped(x[chosen])
            loss = criterion(model(images), y[chosen])
            loss.backward()
            optimizer.step()
    training = watch.seconds()
    with torch.no_grad():
        for x, y, task in test:
            right = torch.zeros((), device=x.device)
            split = (torch.split(tensor, EVALUATION_BATCH) for tensor in (x, y))
            for images, labels in zip(*split, strict=True):
                right += (models[task](images).argmax(dim=1) == labels).sum()
            float(right / len(x))
    return {"train": training, "evaluate": watch.seconds()}, bank


def train_by_avalanche(run: Run, root: Path) -> Trained:
    """Train and evaluate with Avalanche's own strategy, loader and metrics.

    A bank with one model is replaced by that model, which spares Avalanche its dispatch on
    task labels.
    """
    settings, ready = scenario_settings(run.spec), prepare(run, root)
    bank = ready.scenario.model
    alone = len(bank.paths) == 1
    model = nn.Sequential(*(bank.blocks[name] for name in bank.paths[0])) if alone else bank
    streams = _stock_streams(run, ready, root)
    strategy_class, arguments = _STOCK[STRATEGIES[run.spec.strategy.kind]]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about the lack of loggers
        metrics = EvaluationPlugin(accuracy_metrics(experience=True), loggers=[])
    strategy = strategy_class(
        model=model,
        optimizer=_optimizer(settings, model),
        criterion=nn.CrossEntropyLoss(),
        train_mb_size=settings.batch_size,
        train_epochs=1,
        eval_mb_size=EVALUATION_BATCH,
        device=run.spec.device,
        evaluator=metrics,
        **arguments,
    )
    watch = Stopwatch(run.spec.device)
    for experience in streams["train"]:
        strategy.train(experience, shuffle=False, reset_optimizer_state=True)
    training = watch.seconds()
    strategy.eval(streams["test"])
    return {"train": training, "evaluate": watch.seconds()}, bank


def _optimizer(settings: ScenarioSettings, model: nn.Module) -> torch.optim.Optimizer:
    """The optimizers of the suite ``speed``, with torch's defaults."""
    kinds: dict[type[Any], Callable[..., torch.optim.Optimizer]] = {
        SGD: torch.optim.SGD,
        Adam: torch.optim.Adam,
        RMSprop: torch.optim.RMSprop,
    }
    kind = kinds[type(settings.optimizer)]
    return kind(model.parameters(), lr=settings.optimizer.learning_rate)


def _order(run: Run, experience: int, count: int) -> Tensor:
    """The order in which the harness visits the samples of an experience in its first pass."""
    generator = torch.Generator().manual_seed(derive(run.seed, "order", experience))
    return torch.randperm(count, generator=generator)


def _tensors(experiences: list[Any]) -> Iterator[tuple[Tensor, Tensor, int]]:
    """Inputs as float tensors, as such a loop would have them, targets and task label."""
    for experience in experiences:
        yield experience.dataset.tensors


def _stock_streams(run: Run, ready: PreparedRun, root: Path) -> Any:
    """The scenario's samples as a user of Avalanche would have them, in the harness's order."""

    def datasets(experiences: list[Any], shuffled: bool) -> list[Any]:
        made = []
        for i, (x, y, _) in enumerate(_tensors(experiences)):
            order = _order(run, i, len(x)) if shuffled else torch.arange(len(x))
            targets = y[order].cpu()
            if x.shape[1] == 3:
                images = experiences[i].dataset.samples[0]
                made.append(stock_images(images, order, targets, shuffled))
            else:
                made.append(_stock_dataset(x[order].cpu(), targets, run, root))
        return made

    benchmark = benchmark_from_datasets(
        train=datasets(ready.scenario.train, shuffled=True),
        test=datasets(ready.scenario.test, shuffled=False),
    )
    if len(ready.scenario.model.paths) > 1:
        benchmark = task_incremental_benchmark(benchmark)
    return with_classes_timeline(benchmark).streams


def _stock_dataset(x: Tensor, y: Tensor, run: Run, root: Path) -> Any:
    """MNIST as torchvision has it, transformed image by image; other data as tensors."""
    if run.spec.scenario.settings["data"] != "mnist":
        data: Any = TensorDataset(x, y)
        data.targets = y.tolist()
        return as_classification_dataset(data)
    mean, std = _statistics(root)
    data = MNIST(root)
    data.data, data.targets = (x[:, 0] * std + mean).round().to(torch.uint8), y
    transform = Compose([ToTensor(), Normalize((mean / 255,), (std / 255,))])
    groups = {"train": (transform, None), "eval": (transform, None)}
    return as_classification_dataset(data, transform_groups=groups)


@cache
def _statistics(root: Path) -> tuple[float, float]:
    """Mean and standard deviation of MNIST's training pixels, 0 to 255."""
    pixels = MNIST(root).data.double()
    return float(pixels.mean()), float(pixels.std(correction=0))


def cropped_and_flipped(x: Tensor) -> Tensor:
    """Return images (N, C, H, W), each cropped after padding and perhaps mirrored, as one batch."""
    n, _, height, width = x.shape
    padded = functional.pad(x, [_PADDING] * 4)
    top, left = torch.randint(2 * _PADDING + 1, (2, n, 1), device=x.device)
    rows = top + torch.arange(height, device=x.device)
    columns = left + torch.arange(width, device=x.device)
    samples = torch.arange(n, device=x.device)[:, None, None]
    x = padded.permute(0, 2, 3, 1)[samples, rows[:, :, None], columns[:, None, :]]
    x = x.permute(0, 3, 1, 2).contiguous()
    return torch.where(torch.rand(n, 1, 1, 1, device=x.device) < 0.5, x.flip(-1), x)


class _Images(Dataset[Any]):
    """Images and labels as torchvision's CIFAR10 has them."""

    def __init__(self, data: np.ndarray[Any, Any], targets: list[int]) -> None:
        self.data, self.targets = data, targets

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> tuple[Image.Image, int]:
        return Image.fromarray(self.data[index]), self.targets[index]


def stock_images(images: Pixels, order: Tensor, targets: Tensor, augmented: bool) -> Any:
    """Return a data set of Avalanche's, transformed image by image as its users do."""
    pixels = images.bytes_of(order.to(images.device)).permute(0, 2, 3, 1).cpu().numpy()
    mean, std = ((each.flatten() / 255).tolist() for each in (images.mean, images.std))
    changes = [RandomCrop(pixels.shape[1], padding=_PADDING), RandomHorizontalFlip()]
    plain = [ToTensor(), Normalize(mean, std)]
    transform = Compose([*changes, *plain] if augmented else plain)
    groups = {"train": (transform, None), "eval": (transform, None)}
    return as_classification_dataset(_Images(pixels, targets.tolist()), transform_groups=groups)
