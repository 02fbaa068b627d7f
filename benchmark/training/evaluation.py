"""Accuracies, measured through Avalanche's evaluation loop so that every plugin takes part.

Evaluation takes no random numbers from training (its own are the same each time), and leaves the
modes and the state of strategy and model as they were.
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
from palimpsest.strategies.base.diverged import DivergedError
from palimpsest.strategies.base.hooks import Hooked
from palimpsest.strategies.base.network import modes_kept

LOADER = {"pin_memory": False}
"""For Avalanche's data loaders: the data are already where they are needed."""


class AccuracyMeter(SupervisedPlugin):
    """Counts correct predictions in each evaluated experience: of samples, or of their tokens.

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
        self._largest: torch.Tensor | None = None
        self._trained, self._step = 0, 0

    def before_training_exp(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Note which model is trained, for messages."""
        self._trained, self._step = strategy.experience.current_experience + 1, 0

    def after_training_iteration(self, *_: Any, **__: Any) -> None:
        """Count its steps, likewise."""
        self._step += 1

    def before_eval(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Forget earlier evaluations."""
        self.accuracies = []

    def before_eval_exp(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Start to count."""
        self._right, self._total, self._largest = 0, 0, None

    def after_eval_iteration(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Count a batch."""
        found = self._found(strategy.mb_output, strategy.mb_y)
        self._right = self._right + found.sum()
        self._total += found.numel()
        # NaN wins; -inf in the place of a class that is left out does not.
        largest = strategy.mb_output.max()
        before = largest if self._largest is None else self._largest
        self._largest = torch.maximum(before, largest)

    def after_eval_exp(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Note the experience's accuracy.

        Raises:
            DivergedError: An output is NaN or infinite, so that the largest one means nothing.
        """
        if self._largest is not None and not self._largest.isfinite():
            told = f"outputs of model {strategy.experience.current_experience + 1} are NaN or "
            if not self._trained:
                raise DivergedError(f"{told}infinite before any training; look at its network")
            raise DivergedError(
                f"{told}infinite after step {self._step} of model {self._trained}; a smaller "
                "learning rate, strength or scale may help"
            )
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
def left_out(strategy: Any, plugin: Any) -> Iterator[None]:
    """A plugin, such as the strategy under test, takes no part in what an Avalanche strategy does.

    Args:
        strategy: The Avalanche strategy.
        plugin: One of its plugins, which has its place again afterwards.
    """
    place = strategy.plugins.index(plugin)
    del strategy.plugins[place]
    try:
        yield
    finally:
        strategy.plugins.insert(place, plugin)


def now(device: torch.device) -> float:
    """Return the time in seconds, once the device has finished its work.

    On a CPU it is the CPU time of this process, which other programs on the machine affect little.
    """
    if device.type != "cuda":
        return time.process_time()
    torch.cuda.synchronize(device)
    return time.perf_counter()


class CurveRecorder(SupervisedPlugin):
    """Measures the test accuracy of every model so far while one trains.

    Args:
        schedule: After which steps; always before the first and after the last one, too.
        test: The test experiences to measure on.
        measure: Given the strategy and experiences, returns their accuracies.

    Attributes:
        curves: One per model trained, as the store keeps them.
    """

    def __init__(
        self, schedule: Curve, test: Sequence[Any], measure: Callable[..., list[float]] = evaluate
    ) -> None:
        super().__init__()
        self._schedule = schedule
        self._test = test
        self._measure_accuracies = measure
        self._step = 0
        self.curves: list[dict[str, Any]] = []
        self._adopted: tuple[dict[str, Any], int] | None = None

    def adopt(self, curve: dict[str, Any], steps: int) -> None:
        """Take the next model's curve from elsewhere, in place of measuring it.

        Args:
            curve: All of it, as the store keeps it.
            steps: Optimizer steps that the model has done.
        """
        self._adopted = curve, steps

    def before_training_exp(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Begin the curve of a model, unless it is known."""
        if self._adopted is not None:
            curve, self._step = self._adopted
            self.curves.append(curve)
            self._adopted = None
            return
        self._step = 0
        model = strategy.experience.current_experience
        self.curves.append(
            {"model": model, "steps": [], "accuracy": [[] for _ in range(model + 1)]}
        )
        self._measure(strategy)

    def after_training_iteration(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Measure when it is time."""
        self._step += 1
        if self._step <= self._schedule.first or self._step % self._schedule.every == 0:
            self._measure(strategy)

    def after_training_exp(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Measure the end."""
        if self.curves[-1]["steps"][-1] != self._step:
            self._measure(strategy)

    def _measure(self, strategy: Any) -> None:
        curve = self.curves[-1]
        curve["steps"].append(self._step)
        accuracies = self._measure_accuracies(strategy, self._test[: curve["model"] + 1])
        for values, accuracy in zip(curve["accuracy"], accuracies, strict=True):
            values.append(accuracy)
