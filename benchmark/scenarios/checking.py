"""Checks a scenario's data and settings once, before anything trains."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from palimpsest.benchmark.data.formats.pixels import Inputs, Pixels
from palimpsest.benchmark.errors import UserError
from palimpsest.benchmark.models.anatomy import check_kind
from palimpsest.benchmark.scenarios.scenario import OfOutputs, Scenario, right_class
from palimpsest.benchmark.scenarios.schedule import in_turn
from palimpsest.benchmark.scenarios.settings.augment import Augment, Jitter
from palimpsest.benchmark.scenarios.settings.scenario import ScenarioSettings
from palimpsest.benchmark.scenarios.streams.in_memory import InMemoryDataset, is_whole


def check_experiences(scenario: Scenario) -> None:
    """Refuse data on which every run would fail or be meaningless.

    Raises:
        UserError: An experience has no samples, inputs that are not finite or that the model does
            not take, or labels that are not classes of the model.
    """
    for stream, what in (("train", "training"), ("test", "test")):
        for number, experience in enumerate(getattr(scenario, stream), 1):
            place = f"experience {number}, {what} data"
            dataset: Any = experience.dataset
            if not len(dataset):
                raise UserError(f"{place}: it has no samples; give every experience some")
            samples = getattr(dataset, "samples", None)
            if samples is not None:
                _check_inputs(place, samples[0])
                _check_labels(place, scenario, *samples)


def has_classes(scenario: Scenario) -> bool:
    """Whether each target is one class: the loss and the accuracy are those of classes."""
    return type(scenario.loss) is nn.CrossEntropyLoss and scenario.right is right_class


def flatten_labels(scenario: Scenario) -> None:
    """Turn labels in a column, (N, 1), into (N,), if each is one class.

    The scenario's experiences get new datasets.
    """
    if not has_classes(scenario):
        return
    for stream in (scenario.train, scenario.validation, scenario.test, scenario.curve_data):
        for experience in stream:
            samples = getattr(experience.dataset, "samples", None)
            if samples is not None and samples[1].shape[1:] == (1,):
                x, y, task = samples
                experience._dataset = InMemoryDataset.of(x, y.flatten(), task)


def check_training(settings: ScenarioSettings, scenario: Scenario) -> None:
    """Refuse settings of the training that do not fit the scenario that they have built.

    Raises:
        UserError: The model cannot be trained, or not in this precision; a learning-rate schedule
            has no step; labels cannot be smoothed, or inputs not augmented; or a scenario with a
            schedule of its own is online.
    """
    if settings.online and scenario.schedule is not None:
        raise UserError(
            "online: the scenario returns to its models again and again; remove online, and give "
            "the length of its visits"
        )
    check_kind(scenario.model, "the model", settings.precision)
    check_smoothing(scenario.loss, settings.label_smoothing)
    if settings.augment is not None:
        check_images(settings.augment, scenario)
    schedule = scenario.schedule or in_turn(scenario.steps)
    for visit in schedule.visits:
        warmup = settings.warmup_of(visit.models[0])
        kind = settings.schedule_of(visit.models[0]).name
        if kind != "constant" and visit.steps <= warmup:
            raise UserError(
                f"learning_rate_schedule: {kind} has a length of zero, since the warm-up takes "
                f"{warmup} steps and a training has {visit.steps}; shorten warmup, or train longer"
            )


def check_smoothing(loss: OfOutputs, share: float) -> None:
    """Refuse to smooth the labels of a loss that has no ``label_smoothing``.

    Raises:
        UserError: The loss is not ``torch.nn.CrossEntropyLoss``.
    """
    if share and not isinstance(loss, nn.CrossEntropyLoss):
        name = getattr(loss, "__name__", type(loss).__name__)
        raise UserError(
            f"label_smoothing needs a scenario with the loss torch.nn.CrossEntropyLoss, and its "
            f"loss is {name}; remove label_smoothing, or smooth inside that loss"
        )


def check_images(settings: Augment, scenario: Scenario) -> None:
    """Refuse to augment inputs that do not fit the changes.

    Raises:
        UserError: The inputs are not images, or are too small; or colours change and are not known,
            or grey.
    """
    scales = []
    for number, experience in enumerate(scenario.train, 1):
        samples = getattr(experience.dataset, "samples", None)
        if samples is None:
            raise UserError(f"augment: experience {number} has no samples in memory; remove it")
        x = samples[0]
        bytes_ = isinstance(x, Pixels)
        place = f"augment: experience {number} has inputs"
        if len(x.shape) != 4 or not (bytes_ or x.is_floating_point()):
            raise UserError(
                f"{place} of shape {tuple(x.shape[1:])}; expected images (channels, height, "
                "width) of floating-point numbers; remove augment"
            )
        least = min(x.shape[-2:])
        for name in ("crop", "cutout"):
            if getattr(settings, name) > least:
                raise UserError(f"{place} of {least} pixels: {name} must be at most that")
        if settings.jitter is not None:
            if not bytes_ or x.shape[1] not in {1, 3}:
                raise UserError(
                    f"{place} whose colours are not known: jitter needs images of 1 or 3 channels "
                    "as they are stored, not turned by other angles than multiples of 90 degrees"
                )
            scales.append(torch.cat([x.mean, x.std]))
    if any(scale.shape != scales[0].shape or (scale != scales[0]).any() for scale in scales):
        raise UserError("augment: jitter needs experiences of one data set; remove jitter")
    if scales and scales[0].shape[1] == 1:
        assert settings.jitter is not None
        _check_grey(settings.jitter)


def _check_grey(jitter: Jitter) -> None:
    given = [name for name in ("saturation", "hue") if getattr(jitter, name)]
    if given:
        names = " and ".join(given)
        raise UserError(
            f"augment: the images are grey, and {names} of jitter would change nothing; "
            f"remove {names}"
        )


def _check_inputs(place: str, x: Inputs) -> None:
    if isinstance(x, Pixels):
        return
    if x.is_floating_point() and not bool(torch.isfinite(x).all()):
        bad = int((~torch.isfinite(x)).reshape(len(x), -1).any(dim=1).sum())
        raise UserError(
            f"{place}: {bad:,} of {len(x):,} samples have inputs that are NaN or infinite; repair "
            "or leave them out"
        )


def _check_labels(place: str, scenario: Scenario, x: Inputs, y: Tensor, task: int | Tensor) -> None:
    if not isinstance(scenario.loss, nn.CrossEntropyLoss):
        return  # what targets are is the family's own matter
    if not is_whole(y):
        raise UserError(f"{place}: labels are of type {y.dtype}; expected whole numbers, int64")
    if y.shape[1:] not in {(), (1,)} and has_classes(scenario):
        raise UserError(
            f"{place}: labels are of shape {tuple(y.shape)}; expected one number for each sample, "
            f"({len(y)},)"
        )
    counted = y[y != scenario.loss.ignore_index]
    classes = _classes(place, scenario.model, x[:2], task if isinstance(task, int) else task[:2])
    if len(counted) and not 0 <= int(counted.min()) <= int(counted.max()) < classes:
        raise UserError(
            f"{place}: labels from {int(counted.min())} to {int(counted.max())}, but the model has "
            f"the classes 0 to {classes - 1}"
        )


def _classes(place: str, model: nn.Module, x: Tensor, task: int | Tensor) -> int:
    training = model.training
    model.eval()  # so that looking changes no running statistics
    try:
        with torch.no_grad():
            outputs: Tensor = model(x, task)
    except (RuntimeError, IndexError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise UserError(
            f"{place}: the model does not take inputs of shape {tuple(x.shape[1:])} ({reason})"
        ) from error
    finally:
        model.train(training)
    return outputs.shape[-1]
