"""The order in which the plugins of a run act.

Avalanche calls plugins in the order of its list at every event, and much depends on it. A plugin
that is not here is the strategy under test, or one that an Avalanche class brings with it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

UNDER_TEST = "the strategy under test"
OF_AVALANCHE = "Avalanche's own"

ORDER: tuple[tuple[str, str], ...] = (
    ("FirstModelSaver", "sees the end of the first training before any strategy does"),
    ("StepClock", "all others read its count of the step"),
    ("Sampling", "whatever the others do is with the architecture of the visit"),
    ("CarriedState", "hands on the state of that architecture"),
    ("EpochDecay", "lowers the rate of whichever optimizer trains, when an epoch begins"),
    ("Augmentation", "the others see the images as they are trained on"),
    ("EachOptimizer", "a strategy may clear the optimizer's state, or make its own optimizer"),
    ("SeenOutputs", "a strategy sees the outputs that the loss is of"),
    ("ClipGradient", "a strategy adds its penalty to the clipped gradient of the loss"),
    (UNDER_TEST, ""),
    ("ClipPenalisedGradient", "clips the sum, for strategies that ask for it"),
    ("AccuracyMeter", "counts what the strategy leaves of the outputs"),
    ("TrainingMonitor", "checks the loss and the outputs as the strategy leaves them"),
    ("Warmup", "changes the rates of the optimizer that a strategy may have brought"),
    ("LearningRates", "its schedule begins when the warm-up is over"),
    ("StopAtTarget", "measures the model after the strategy has changed it"),
    ("CurveRecorder", "measures the model after the strategy has changed it"),
    ("StepLimit", "ends the training when all have seen the step"),
    (OF_AVALANCHE, ""),
    ("Costs", "its time includes all that the strategy does when a training ends"),
    ("Probe", "looks at what all others leave, after the time was taken"),
    ("CheckpointTaker", "saves what all others leave"),
)
"""What a plugin is called, and why it acts there: after those before it, before those after."""

_RANK = {name: rank for rank, (name, _) in enumerate(ORDER)}


def rank_of(plugin: Any, under_test: Any) -> int:
    """Return the place of a plugin in ``ORDER``, by the name of its class or of a base.

    Args:
        plugin: Any plugin of a run.
        under_test: The strategy under test; ``None`` for a class of Avalanche's.
    """
    if plugin is under_test:
        return _RANK[UNDER_TEST]
    names = (base.__name__ for base in type(plugin).__mro__)
    return next((_RANK[name] for name in names if name in _RANK), _RANK[OF_AVALANCHE])


def in_order(plugins: Iterable[Any], under_test: Any) -> list[Any]:
    """Return plugins in the order in which they act; those of one kind stay as they are."""
    return sorted(plugins, key=lambda plugin: rank_of(plugin, under_test))
