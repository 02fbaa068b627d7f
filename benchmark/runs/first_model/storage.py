"""First models as files in a folder that runs share, each with a checksum."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from palimpsest.benchmark.scenarios.settings.scenario import ScenarioSettings
from palimpsest.benchmark.suites.suite import Run
from palimpsest.strategies.base.catalogue import STRATEGIES
from palimpsest.strategies.base.hooks import Adapts, Optimizes


@dataclass(frozen=True)
class FirstModel:
    """The changes by the first model's training, right after its last step.

    Attributes:
        state: The changed parameters and buffers of the bank, by name.
        trained: Names of the parameters that had a gradient in some step.
        optimizer_state: The optimizer's state of each parameter, by the parameter's name.
        optimizer_options: The options of each of its groups, such as the learning rate.
        steps: The number of steps.
        curve: The measured curve, or ``None``.
    """

    state: dict[str, Tensor]
    trained: list[str]
    optimizer_state: dict[str, dict[str, Any]]
    optimizer_options: list[dict[str, Any]]
    steps: int
    curve: dict[str, Any] | None

    def fits(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> bool:
        """Whether a bank has all changed tensors, in the same shapes."""
        own = tensors_of(model)
        parameters = dict(model.named_parameters())
        shapes = all(n in own and own[n].shape == value.shape for n, value in self.state.items())
        named = {*self.trained, *self.optimizer_state} <= parameters.keys()
        return shapes and named and len(self.optimizer_options) == len(optimizer.param_groups)

    @torch.no_grad()
    def put_into(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> int:
        """Change a bank and its optimizer like the training, and return its steps.

        Private parts of later models do not change, and the trained parameters get a gradient of
        zero.
        """
        own = tensors_of(model)
        for name, value in self.state.items():
            own[name].copy_(value)
        for name, parameter in model.named_parameters():
            parameter.grad = torch.zeros_like(parameter) if name in self.trained else None
            if name in self.optimizer_state:
                optimizer.state[parameter] = dict(self.optimizer_state[name])
        for group, options in zip(optimizer.param_groups, self.optimizer_options, strict=True):
            group.update(options)
        return self.steps


def tensors_of(model: nn.Module) -> dict[str, Tensor]:
    """Return parameters and buffers by name, including those that a state dict leaves out."""
    named = (*model.named_parameters(), *model.named_buffers())
    return {name: value.detach() for name, value in named}


def first_model_path(
    run: Run, settings: ScenarioSettings, scratch: Path | None, *, plain: bool = False
) -> Path | None:
    """Return the file of a run's first model, or ``None`` if the run trains its own.

    A model is shared only if the strategy uses nothing but the end of a model's training, and
    trains the model as built, with the scenario's own optimizer.

    Args:
        run: Its seed, device and data identify the first model.
        settings: Of its scenario, which identify it, too, except those for later models.
        scratch: The folder that runs share, or ``None``.
        plain: Whether the strategy takes no part in the first training.
    """
    strategy = STRATEGIES.get(run.spec.strategy.kind)
    if scratch is None or strategy is None:
        return None
    if not plain and (run.facts.online or not run.facts.ends_only):
        return None
    if issubclass(strategy, Adapts | Optimizes):
        return None
    decisive = {
        "scenario": settings.of_first_model(),
        "data": run.spec.scenario.fingerprints.get(settings.data),
        "seed": run.spec.seed,
        "device": run.spec.device,
    }
    digest = hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()
    return scratch / f"{digest[:16]}.first"


def save(model: FirstModel, path: Path) -> None:
    """Write a first model atomically.

    If it cannot be written (for example on a full disk), no file is left, and the other runs train
    their own first model.
    """
    temporary = path.with_suffix(f".{os.getpid()}")
    content = io.BytesIO()
    try:
        torch.save(asdict(model), content)
        temporary.write_bytes(checksum(content.getvalue()) + content.getvalue())
        temporary.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def load(path: Path, model: nn.Module, optimizer: torch.optim.Optimizer) -> FirstModel | None:
    """Read a first model; ``None`` if there is none, it is damaged, or it does not fit.

    Args:
        path: The file.
        model: The bank of this run.
        optimizer: Of that bank.
    """
    try:
        content = path.read_bytes()
    except OSError:
        return None
    whole = content[_CHECKSUM_SIZE:]
    if content[:_CHECKSUM_SIZE] != checksum(whole):
        return None
    known = FirstModel(**torch.load(io.BytesIO(whole), weights_only=True))
    return known if known.fits(model, optimizer) else None


_CHECKSUM_SIZE = 64


def checksum(content: bytes) -> bytes:
    """Return a checksum of some bytes."""
    return hashlib.blake2b(content, digest_size=_CHECKSUM_SIZE).digest()
