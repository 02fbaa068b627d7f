"""Whether a scenario's data can be trained on: looked at once, before anything trains."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from benchmark.errors import UserError
from benchmark.scenarios.scenario import Scenario


def check_experiences(scenario: Scenario) -> None:
    """Refuse data on which every run would fail, or would mean nothing.

    Args:
        scenario: As its family has built it.

    Raises:
        UserError: An experience has no samples, inputs that are not finite or that the model does
            not take, or labels that are no classes of the model.
    """
    for stream, what in (("train", "training"), ("test", "test")):
        for number, experience in enumerate(getattr(scenario, stream), 1):
            place = f"experience {number}, {what} data"
            dataset: Any = experience.dataset
            if not len(dataset):
                raise UserError(f"{place}: it has no samples; give every experience some")
            tensors = getattr(dataset, "tensors", None)
            if tensors is not None:
                _check_inputs(place, tensors[0])
                _check_labels(place, scenario, *tensors)


def _check_inputs(place: str, x: Tensor) -> None:
    if x.is_floating_point() and not bool(torch.isfinite(x).all()):
        bad = int((~torch.isfinite(x)).reshape(len(x), -1).any(dim=1).sum())
        raise UserError(
            f"{place}: {bad:,} of {len(x):,} samples have inputs that are NaN or infinite; repair "
            "or leave them out"
        )


def _check_labels(place: str, scenario: Scenario, x: Tensor, y: Tensor, task: int | Tensor) -> None:
    if not isinstance(scenario.loss, nn.CrossEntropyLoss):
        return  # what targets are is the family's own matter
    if y.is_floating_point() or y.dtype == torch.bool:
        raise UserError(f"{place}: labels are of type {y.dtype}; expected whole numbers, int64")
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
