"""The costs of a run: time of each model, memory of the strategy's state, used capacity.

Nothing here runs during a training step.
"""

from __future__ import annotations

import contextlib
import resource
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from palimpsest.benchmark.scenarios.scenario import Scenario
from palimpsest.benchmark.training.evaluation import AccuracyMeter, now
from palimpsest.strategies.base.hooks import Capacity

_ROUNDING = 1e-6
"""How far a strategy's free share may be above 1, since it is a sum of fractions."""


class Costs:
    """Times each model's training, as a plugin.

    The clock starts with the first step of a training and excludes evaluations. The times of a
    model that is trained several times are summed.

    Args:
        scenario: With the bank as it was built. Later additions count as the strategy's state.
        at_once: Whether all models are trained at once; that training counts for the last model.
        meter: Times the evaluations.
        plugin: The strategy under test, or ``None`` for an Avalanche class.
        building: The seconds for loading the data and building the models.
    """

    def __init__(
        self,
        scenario: Scenario,
        at_once: bool,
        meter: AccuracyMeter,
        plugin: Any,
        building: float = 0.0,
    ) -> None:
        bank, models = scenario.model, len(scenario.train)
        self._built = dict((*bank.named_parameters(), *bank.named_buffers()))
        self._shared = shared_parameters(scenario)
        self._plugin = plugin
        self._free: list[dict[str, float] | None] = [None] * models
        self._training: list[float | None] = [None] * models
        self._steps: list[int | None] = [None] * models
        self._consolidation: list[float | None] = [None] * models
        self._at_once = at_once
        self._meter = meter
        self._building = building
        self._first_step: float | None = None
        self._last_step: float | None = None
        self._earlier = (0.0, 0, 0.0)
        self._left_out = 0.0

    def before_training_exp(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Reset the clock, and keep the costs of earlier trainings of the model."""
        self._first_step = self._last_step = None
        model = self._model(strategy)
        sums = (self._training[model], self._steps[model], self._consolidation[model])
        self._earlier = (sums[0] or 0.0, sums[1] or 0, sums[2] or 0.0)

    def before_training_epoch(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Start the clock with the first epoch."""
        if self._first_step is None:
            self._first_step = self.reading(strategy)

    def after_training_epoch(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Note the time, since this may be the last epoch."""
        if self._first_step is not None:
            model = self._model(strategy)
            self._last_step = self.reading(strategy)
            self._training[model] = self._earlier[0] + self._last_step - self._first_step
            self._steps[model] = self._earlier[1] + strategy.step_clock.step

    def after_training_exp(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Note the time after the last step, and the share that later models can still change."""
        if self._last_step is not None:
            after = self.reading(strategy) - self._last_step
            self._consolidation[self._model(strategy)] = self._earlier[2] + after
            self._last_step = None
        if isinstance(self._plugin, Capacity):
            self._free[self._model(strategy)] = self._free_now(strategy.model, self._plugin)

    def result(self, model: nn.Module, runs: int = 1) -> dict[str, Any]:
        """Return the ``cost`` of a record.

        Seconds on a CPU are CPU time of the process over all its cores; elsewhere they are
        wall-clock time.

        Args:
            model: The bank.
            runs: The number of runs that share the training, and so its building and evaluations.

        Returns:
            One per model: ``training_seconds``, ``steps`` and ``consolidation_seconds`` (after the
            last step, for importances). They are ``None`` for a reused first model and, if all
            models are trained at once, for all but the last. ``evaluation_seconds``: of all
            evaluations and curves. ``building_seconds``: before the first evaluation.
            ``state_bytes``: of the tensors that the strategy holds at the end; ``None`` for an
            Avalanche class. ``shared_parameters``: the count of numbers that several models use; 0
            in a search. ``capacity``, if the strategy is a ``hooks.Capacity``: for each shared
            tensor, by its name in the bank, the count of its ``parameters`` and the share that is
            ``free`` after each model.
        """
        own = None if self._plugin is None else state_bytes(self._plugin, model, self._built)
        found = {
            "training_seconds": self._training,
            "steps": self._steps,
            "consolidation_seconds": self._consolidation,
            "evaluation_seconds": self._meter.seconds / runs,
            "building_seconds": self._building / runs,
            "state_bytes": own,
            "shared_parameters": sum(parameter.numel() for parameter in self._shared.values()),
        }
        if not isinstance(self._plugin, Capacity):
            return found
        return found | {
            "capacity": {
                name: {
                    "parameters": parameter.numel(),
                    "free": [None if free is None else free[name] for free in self._free],
                }
                for name, parameter in self._shared.items()
            }
        }

    def _free_now(self, model: nn.Module, plugin: Capacity) -> dict[str, float]:
        """Return the free share of every shared parameter, by its first name."""
        free = plugin.free(model)
        now = {id(parameter): name for name, parameter in model.named_parameters()}
        shares = {
            name: float(free.get(now.get(id(parameter), name), 1.0)) if parameter.numel() else 1.0
            for name, parameter in self._shared.items()
        }
        for name, share in shares.items():
            if 1 < share < 1 + _ROUNDING:
                shares[name] = 1.0
            elif not 0 <= share <= 1:
                raise ValueError(
                    f"{type(plugin).__name__}.free says {share} of {name!r}; expected the share "
                    "of it that later models can change, from 0 to 1"
                )
        return shares

    def reading(self, strategy: Any) -> float:
        """Return the time on the clock, in seconds."""
        return now(strategy.device) - self._meter.seconds - self._left_out

    def set_reading(self, strategy: Any, seconds: float) -> None:
        """Set the clock to an earlier reading: the time since then does not count."""
        self._left_out += self.reading(strategy) - seconds

    def _model(self, strategy: Any) -> int:
        if self._at_once:
            return len(self._steps) - 1
        return int(strategy.experience.current_experience)


def shared_parameters(scenario: Scenario) -> dict[str, nn.Parameter]:
    """Return the parameters that several experiences train, by name.

    An architecture search has none: its models are other architectures in each epoch.
    """
    if scenario.search is not None:
        return {}
    bank = scenario.model
    uses = Counter(n for each in scenario.train for n in bank.parameters_of(each.task_label))
    return {name: p for name, p in bank.named_parameters() if uses[name] > 1}


def shared_statistics(scenario: Scenario) -> dict[str, int]:
    """Count the normalisation layers whose running statistics several trainings change.

    Returns:
        ``{"shared_statistics": count}``, or an empty dict if there are none.
    """
    seen = Counter(
        layer
        for experience in scenario.train
        for layer in {*scenario.model.statistics_of(experience.task_label)}
    )
    count = sum(trainings > 1 for trainings in seen.values())
    return {"shared_statistics": count} if count else {}


def state_bytes(plugin: Any, model: nn.Module, built: Mapping[str, Tensor] | None = None) -> int:
    """Return the bytes of all tensors that a strategy's plugin holds, or has added to the model.

    Its attributes count with their containers, dataclasses, modules and optimizers, each storage
    once and in full. Parameters, gradients and buffers of the model do not count.

    Args:
        plugin: The strategy.
        model: The trained model.
        built: Parameters and buffers of the model before the strategy adapted it, by name;
            ``None``: all are the model's own.
    """
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    present = dict((*model.named_parameters(), *model.named_buffers()))
    known = {id(tensor) for tensor in (present if built is None else built).values()}
    names = present.keys() if built is None else built.keys()
    own = [tensor for name, tensor in present.items() if name in names or id(tensor) in known]
    added = [tensor for name, tensor in present.items() if name not in names]
    others = {tensor.untyped_storage().data_ptr() for tensor in [*own, *gradients]}
    storages = [tensor.untyped_storage() for tensor in (*_tensors(vars(plugin)), *added)]
    sizes = {storage.data_ptr(): storage.nbytes() for storage in storages}
    return sum(size for place, size in sizes.items() if place not in others)


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, nn.Module):
        yield from (*value.parameters(), *value.buffers())
    elif isinstance(value, torch.optim.Optimizer):
        yield from _tensors(value.state)
    elif isinstance(value, Mapping):
        yield from _tensors(list(value.values()))
    elif isinstance(value, list | tuple | set):
        for part in value:
            yield from _tensors(part)
    elif is_dataclass(value):
        yield from _tensors(vars(value))


def reset_peak_memory(device: str) -> None:
    """Reset the peak of a device, since a worker process executes many runs."""
    if device.startswith("cuda"):
        torch.cuda.reset_peak_memory_stats(device)
    with contextlib.suppress(OSError):  # Linux only: 5 resets the peak resident set
        Path("/proc/self/clear_refs").write_text("5", "ascii")


def peak_memory(device: str) -> int:
    """Return the peak memory since ``reset_peak_memory``, in bytes.

    On a CPU it is the resident set of the process, on a GPU the memory that torch has allocated.
    """
    if device.startswith("cuda"):
        return torch.cuda.max_memory_allocated(device)
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
