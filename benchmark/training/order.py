"""The order of the plugins of a run.

At every event, Avalanche calls plugins in the order of its list, and results depend on it. A plugin
that is not listed here is the strategy under test, or belongs to an Avalanche class.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

UNDER_TEST = "the strategy under test"
OF_AVALANCHE = "Avalanche's own"

ORDER: tuple[tuple[str, str], ...] = (
    ("FirstModelSaver", "sees the end of the first training before any strategy does"),
    ("StepClock", "all others read its step"),
    ("Sampling", "all others use the architecture of the visit"),
    ("CarriedState", "passes on the state of that architecture"),
    ("EpochDecay", "lowers the rate of the current optimizer when an epoch begins"),
    ("Augmentation", "the others see the augmented images"),
    ("EachOptimizer", "a strategy may clear the optimizer's state, or make its own optimizer"),
    ("SeenOutputs", "a strategy sees the same outputs as the loss"),
    ("ClipGradient", "a strategy adds its penalty to the clipped gradient of the loss"),
    (UNDER_TEST, ""),
    ("ClipPenalisedGradient", "clips the sum, for strategies that ask for it"),
    ("AccuracyMeter", "counts outputs after the strategy has changed them"),
    ("TrainingMonitor", "checks loss and outputs after the strategy has changed them"),
    ("Warmup", "changes the rates of the optimizer, which may be the strategy's own"),
    ("LearningRates", "its schedule begins after the warm-up"),
    ("StopAtTarget", "measures the model after the strategy has changed it"),
    ("CurveRecorder", "measures the model after the strategy has changed it"),
    ("StepLimit", "ends the training when all have seen the step"),
    (OF_AVALANCHE, ""),
    ("Costs", "its time includes the strategy's work at the end of a training"),
    ("Probe", "looks at the final state, after the time was taken"),
    ("CheckpointTaker", "saves the final state"),
)
"""The names of the plugins in order, and why each has its position."""

_RANK = {name: rank for rank, (name, _) in enumerate(ORDER)}


def rank_of(plugin: Any, under_test: Any) -> int:
    """Return the position of a plugin in ``ORDER``, by the name of its class or of a base.

    Args:
        plugin: Any plugin of a run.
        under_test: The strategy under test; ``None`` for a class of Avalanche's.
    """
    if plugin is under_test:
        return _RANK[UNDER_TEST]
    names = (base.__name__ for base in type(plugin).__mro__)
    return next((_RANK[name] for name in names if name in _RANK), _RANK[OF_AVALANCHE])


def in_order(plugins: Iterable[Any], under_test: Any) -> list[Any]:
    """Return plugins in the order of ``ORDER``; plugins of one kind keep their order."""
    return sorted(plugins, key=lambda plugin: rank_of(plugin, under_test))
