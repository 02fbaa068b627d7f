"""Fine-tuning: the lower reference."""

from avalanche.training.plugins import SupervisedPlugin

from palimpsest.strategies.base.facts import Facts
from palimpsest.strategies.base.settings import StrategySettings


class Finetune(SupervisedPlugin):
    """Train each model from where the previous one left the shared parameters; protect nothing.

    Limits:
        The other strategies are measured against it: ``forgetting_reduction`` needs it in the
        suite.
    """

    facts = Facts(
        name="finetune",
        summary="continue training with each model, protect nothing",
        source="the lower reference",
        role="baseline",
        color="#222222",
        ends_only=True,
    )
    Settings = StrategySettings
