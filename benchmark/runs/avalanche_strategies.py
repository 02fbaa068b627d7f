"""Avalanche's own strategies, by name and with their arguments."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import avalanche.training.supervised as shipped
import torch
from avalanche.training.templates import SupervisedTemplate
from torch import nn

from palimpsest.benchmark.errors import SettingError, UserError, nearest
from palimpsest.benchmark.models.bank import ModelBank
from palimpsest.benchmark.settings.arguments import check_signature
from palimpsest.benchmark.suites.avalanche import AVALANCHE, CANNOT
from palimpsest.benchmark.training.template import EVALUATION_BATCH, silent_evaluator

_OURS = {
    "self",
    "model",
    "optimizer",
    "criterion",
    "train_mb_size",
    "train_epochs",
    "eval_mb_size",
    "device",
    "plugins",
    "evaluator",
    "eval_every",
    "peval_mode",
}
"""The constructor arguments that the scenario sets."""


def find(kind: str) -> type[Any]:
    """Return one of Avalanche's strategy classes.

    Args:
        kind: ``avalanche:`` and the class's name.

    Raises:
        UserError: There is no such class; the message names the nearest.
    """
    name = kind.removeprefix(AVALANCHE)
    classes = {
        n: value
        for n, value in vars(shipped).items()
        if isinstance(value, type) and issubclass(value, SupervisedTemplate)
    }
    if name not in classes:
        raise UserError(f"Avalanche has no supervised strategy {name!r}; {nearest(name, classes)}")
    return classes[name]


def check_arguments(kind: str, arguments: Mapping[str, Any]) -> None:
    """Refuse missing and unknown arguments of a class.

    Args:
        kind: ``avalanche:`` and the class's name.
        arguments: As the suite gives them.

    Raises:
        SettingError: Names the argument and the nearest valid one.
        UserError: An argument is missing, there is no such class, or it cannot train a bank.
    """
    if reason := CANNOT.get(kind.removeprefix(AVALANCHE)):
        raise UserError(f"{kind} {reason}")
    documentation = f"Avalanche's documentation of {kind.removeprefix(AVALANCHE)}"
    check_signature(kind, _parameters(find(kind)), _OURS, arguments, documentation)
    size = arguments.get("mem_size", 0)  # some classes fail only once they store something
    if isinstance(size, int) and size < 0:
        raise SettingError(("arguments", "mem_size"), f"expected 0 or more, got {size}")
    _try_out(kind, arguments)


def _try_out(kind: str, arguments: Mapping[str, Any]) -> None:
    """Refuse arguments that the class's constructor refuses, such as an unknown mode."""
    if any("layer" in name for name in arguments):  # of the scenario's own network
        return
    bank = ModelBank({"hidden": nn.Linear(4, 4), "head": nn.Linear(4, 2)}, [["hidden", "head"]], 2)
    try:
        make(
            find(kind),
            copy.deepcopy(dict(arguments)),
            model=bank,
            optimizer=torch.optim.SGD(bank.parameters(), lr=0.1),
            batch_size=1,
            most_epochs=1,
            device="cpu",
            plugins=[],
        )
    except (AssertionError, AttributeError, KeyError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"{kind}: cannot be made with these arguments: {reason}") from None


def make(
    template: type[Any],
    arguments: Mapping[str, Any],
    *,
    model: nn.Module,
    optimizer: Any,
    batch_size: int,
    most_epochs: int,
    device: str,
    plugins: Sequence[Any],
    loss: Any = None,
) -> Any:
    """Build a strategy that is an Avalanche template, with its own data loading and losses.

    Args:
        template: The class, Avalanche's or one derived from it.
        arguments: The arguments of its constructor that the scenario does not set.
        model: The bank.
        optimizer: Over all parameters of the bank.
        batch_size: Samples of a training batch.
        most_epochs: Enough for every model; a ``StepLimit`` among the plugins stops the training.
        device: Of the model and the data.
        plugins: The other plugins.
        loss: The training loss; cross-entropy by default.
    """
    return template(
        model=model,
        optimizer=optimizer,
        criterion=loss or nn.CrossEntropyLoss(),
        train_mb_size=batch_size,
        train_epochs=most_epochs,
        eval_mb_size=EVALUATION_BATCH,
        device=device,
        plugins=list(plugins),
        evaluator=silent_evaluator,
        **arguments,
    )


def _parameters(found: type[Any]) -> dict[str, inspect.Parameter]:
    """Return the named arguments of a class, including those that it passes to its base."""
    # Avalanche wraps every constructor; the class's own signature is underneath.
    parameters = inspect.signature(inspect.unwrap(found.__init__)).parameters
    named = {n: p for n, p in parameters.items() if p.kind not in {p.VAR_KEYWORD, p.VAR_POSITIONAL}}
    if len(named) < len(parameters) and found.__base__ is not None:
        return _parameters(found.__base__) | named
    return named
