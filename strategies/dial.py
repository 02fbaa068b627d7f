"""The setting of a strategy that a suite sweeps over."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Dial:
    """What a suite sweeps over: the strength of a penalty, a rank, a density, a scale.

    Its range, its default and what it means stand in the strategy's settings, in the field of its
    name. Stores keep its value as the run's ``strength``, whatever its name is.

    Attributes:
        name: The setting, such as ``rank``.
        plural: In a suite, the key that lists several values of it: ``ranks: [2, 4, 8]``.
        after_training: Training does not depend on it, only evaluation does (the scale at which
            weights are merged). Runs that differ in nothing else are trained once; the strategy's
            hook ``turn`` sets the value that is evaluated.
    """

    name: str
    plural: str
    after_training: bool = False


STRENGTH = Dial("strength", "strengths")
"""Of every penalty."""
