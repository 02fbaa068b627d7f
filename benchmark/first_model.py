"""The first model of a scenario, trained once for all runs that train it alike.

Nothing is protected while the first model trains, so that strategies which only look at its
end (fine-tuning, freezing, EWC, WPL, ...) all train the same first model on the same batches.
Where one run has trained it, the others of the same seed whose scenario trains it alike take
it over; their results stay bit-identical.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmark.scenarios.settings import ScenarioSettings
from benchmark.suite import Run


@dataclass(frozen=True)
class FirstModel:
    """What is left of the first model's training.

    Attributes:
        state: Its parameters and the bank's buffers afterwards, by name.
        trained: Names of the parameters that had a gradient.
        optimizer: The optimizer's state dict.
        curve: What was measured on the way, or ``None``.
    """

    state: dict[str, Tensor]
    trained: list[str]
    optimizer: dict[str, Any]
    curve: dict[str, Any] | None


def path_for(run: Run, settings: ScenarioSettings, scratch: Path) -> Path:
    """Return where the first model of a run is kept.

    Args:
        run: Its seed, device and data decide the first model.
        settings: So do those of its scenario that the first model's training depends on.
        scratch: The folder.
    """
    shared = {
        "scenario": settings.model_dump(mode="json", exclude=settings.later_models_only),
        "data": run.spec["scenario"]["fingerprints"][settings.data],
        **{k: run.spec[k] for k in ("seed", "device")},
    }
    digest = hashlib.sha256(json.dumps(shared, sort_keys=True).encode()).hexdigest()
    return scratch / f"{digest[:16]}.first"


def save(model: FirstModel, path: Path) -> None:
    """Write a first model, all at once, so that other processes see it whole or not at all."""
    temporary = path.with_suffix(f".{os.getpid()}")
    torch.save(asdict(model), temporary)
    temporary.replace(path)


def load(path: Path) -> FirstModel | None:
    """Read a first model; ``None`` if none was trained yet."""
    if not path.exists():
        return None
    return FirstModel(**torch.load(path, weights_only=True))
