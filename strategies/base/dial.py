"""The setting of a strategy that a suite sweeps over."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Dial:
    """What a suite sweeps over: the strength of a penalty, a rank, a density, a scale.

    Its range, default and meaning are in the strategy's settings, in the field with its name.
    Stores keep its value as the run's ``strength``, whatever its name.

    Attributes:
        name: The setting, such as ``rank``.
        plural: In a suite, the key that lists several values of it: ``ranks: [2, 4, 8]``.
        after_training: Only evaluation depends on it, not training (the scale at which weights are
            merged). Runs that differ only in it are trained once; the strategy's hook ``turn`` sets
            the value to evaluate. Some settings may undo that: ``StrategySettings.dial_trains``.
        idle: The value at which the strategy is fine-tuning, bit for bit; ``None``: there is none.
    """

    name: str
    plural: str
    after_training: bool = False
    idle: float | None = None


STRENGTH = Dial("strength", "strengths", idle=0)
"""The dial of every penalty."""

MEMORY = Dial("memory", "memories", idle=0)
"""The dial of methods that store samples: how many."""

EPSILON = Dial("epsilon", "epsilons", idle=0)
"""The dial of novelty search: the share of the loss that the other architectures have."""

RANK = Dial("rank", "ranks", idle=0)
"""The dial of methods that project: directions that are kept of each tensor."""

SHARE = Dial("share", "shares", idle=0)
"""The dial of methods that hold parameters: how many of them."""

ENERGY = Dial("energy", "energies", idle=0)
"""The dial of methods that keep what earlier models fed a layer: the share of it."""

DENSITY = Dial("density", "densities")
"""The dial of methods that mask weights: the share that a model uses."""

BETA = Dial("beta", "betas")
"""The dial of variational posteriors: the weight of the divergence from earlier ones."""

ETA = Dial("eta", "etas")
"""The dial of Bayesian optimizers: how far a mean moves per unit of variance."""

SCALE = Dial("scale", "scales", after_training=True)
"""The dial of methods that add task vectors to a start: what these are multiplied by."""

LOW_RANK = Dial("rank", "ranks")
"""The dial of methods that keep a low-rank part of a matrix."""
