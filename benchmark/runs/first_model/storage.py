"""Where first models are kept: files in a folder that runs share, each with a checksum."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
from dataclasses import asdict
from pathlib import Path

import torch
from torch import nn

from palimpsest.benchmark.runs.first_model.model import FirstModel
from palimpsest.benchmark.scenarios.settings.scenario import ScenarioSettings
from palimpsest.benchmark.suites.suite import Run
from palimpsest.strategies.base.catalogue import STRATEGIES
from palimpsest.strategies.base.hooks import Adapts, Optimizes


def first_model_path(
    run: Run, settings: ScenarioSettings, scratch: Path | None, *, plain: bool = False
) -> Path | None:
    """Return the file of a run's first model, or ``None`` where the run trains its own.

    Args:
        run: Its seed, device and data decide the first model. Its strategy decides whether the
            model may be shared: only if the strategy uses nothing but the end of a model's
            training, and trains the model as built, with the scenario's own optimizer.
        settings: Of its scenario. Those that concern only later models do not count.
        scratch: The folder that runs share, or ``None``.
        plain: Whether the strategy takes no part in the first training. Then it only has to train
            the model as built, with the scenario's own optimizer.
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
    """Write a first model atomically: other processes see the whole file or none.

    If it cannot be written (the disk is full, for example), nothing is left behind and the other
    runs train their own.
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
    """Read a first model; ``None`` if there is none yet, or the file is damaged or does not fit.

    Args:
        path: Where it is kept.
        model: The bank that it has to fit.
        optimizer: That bank's.
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
