"""Accuracies, measured by Avalanche's evaluation loop so that every plugin takes part.

Evaluation has random numbers of its own, the same each time. It restores the modes and the state
of strategy and model.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from avalanche.training.plugins import SupervisedPlugin

from palimpsest.benchmark.randomness.generators import own_numbers
from palimpsest.benchmark.scenarios.scenario import OfOutputs, right_class
from palimpsest.benchmark.scenarios.settings.scenario import Curve
from palimpsest.strategies.base.hooks import Hooked
from palimpsest.strategies.base.network import modes_kept

LOADER = {"pin_memory": False}
"""For Avalanche's data loaders: the data are already on the device."""


class AccuracyMeter(SupervisedPlugin):
    """Counts correct predictions of samples, or of their tokens, in each evaluated experience.

    Args:
        right: See ``Scenario.right``.

    Attributes:
        accuracies: Of the last evaluation, one per experience.
        seconds: Spent in all evaluations so far.
    """

    def __init__(self, right: OfOutputs = right_class) -> None:
        super().__init__()
        self._found = right
        self.accuracies: list[float] = []
        self.seconds = 0.0
        self._right: torch.Tensor | int = 0
        self._total = 0

    def before_eval(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Forget earlier evaluations."""
        self.accuracies = []

    def before_eval_exp(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Start to count."""
        self._right, self._total = 0, 0

    def after_eval_iteration(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Count a batch."""
        found = self._found(strategy.mb_output, strategy.mb_y)
        self._right = self._right + found.sum()
        self._total += found.numel()

    def after_eval_exp(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Note the experience's accuracy."""
        self.accuracies.append(int(self._right) / self._total)


def evaluate(strategy: Any, experiences: Sequence[Any], **arguments: Any) -> list[float]:
    """Return the accuracy of each experience's model, as a fraction.

    Args:
        strategy: An Avalanche strategy that has an ``AccuracyMeter`` among its plugins.
        experiences: Avalanche experiences of one stream.
        **arguments: For Avalanche's data loader.
    """
    meter = next(p for p in strategy.plugins if isinstance(p, AccuracyMeter))
    start = now(strategy.device)
    before = strategy._save_train_state()
    # Avalanche puts modes back by train(mode), which sets layers of two models to the last one's.
    with modes_kept(strategy.model):
        try:
            with own_numbers(strategy.device):  # for stock loaders, and networks that draw, too
                strategy.eval(list(experiences), **arguments)
        except BaseException:
            for plugin in strategy.plugins:
                if isinstance(plugin, Hooked):
                    plugin.leave()
            strategy._load_train_state(before)  # as Avalanche does where nothing is raised
            raise
    meter.seconds += now(strategy.device) - start
    return list(meter.accuracies)


@contextmanager
def without_plugin(strategy: Any, plugin: Any) -> Iterator[None]:
    """Remove a plugin from an Avalanche strategy for a while.

    Args:
        strategy: The Avalanche strategy.
        plugin: One of its plugins. Afterwards it has its old position in the list.
    """
    index = strategy.plugins.index(plugin)
    del strategy.plugins[index]
    try:
        yield
    finally:
        strategy.plugins.insert(index, plugin)


def now(device: torch.device) -> float:
    """Return the time in seconds after the device has finished its work.

    On a CPU it is the CPU time of this process, which hardly depends on other programs.
    """
    if device.type != "cuda":
        return time.process_time()
    torch.cuda.synchronize(device)
    return time.perf_counter()


class CurveRecorder(SupervisedPlugin):
    """Measures the test accuracy of all models so far while one trains.

    Args:
        schedule: After which steps. Curves always include the time before the first step and after
            the last one.
        test: The test experiences.
        measure: Returns the accuracies of experiences, given the strategy and them.

    Attributes:
        curves: One per trained model, as stored.
    """

    def __init__(
        self, schedule: Curve, test: Sequence[Any], measure: Callable[..., list[float]] = evaluate
    ) -> None:
        super().__init__()
        self._schedule = schedule
        self._test = test
        self._measure_accuracies = measure
        self.curves: list[dict[str, Any]] = []
        self._adopted: dict[str, Any] | None = None

    def adopt(self, curve: dict[str, Any]) -> None:
        """Use this stored curve for the next model."""
        self._adopted = curve

    def before_training_exp(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Begin the curve of a model, unless it was adopted."""
        if self._adopted is not None:
            self.curves.append(self._adopted)
            self._adopted = None
            return
        model = strategy.step_clock.model
        self.curves.append(
            {"model": model, "steps": [], "accuracy": [[] for _ in range(model + 1)]}
        )
        self._measure(strategy)

    def after_training_iteration(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Measure if the schedule says so."""
        step = strategy.step_clock.step
        if step <= self._schedule.first or step % self._schedule.every == 0:
            self._measure(strategy)

    def after_training_exp(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Measure after the last step."""
        if self.curves[-1]["steps"][-1] != strategy.step_clock.step:
            self._measure(strategy)

    def _measure(self, strategy: Any) -> None:
        curve = self.curves[-1]
        curve["steps"].append(strategy.step_clock.step)
        accuracies = self._measure_accuracies(strategy, self._test[: curve["model"] + 1])
        for values, accuracy in zip(curve["accuracy"], accuracies, strict=True):
            values.append(accuracy)
