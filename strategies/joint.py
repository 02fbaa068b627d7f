"""Joint training: all models at once."""

from typing import Any

from avalanche.benchmarks.utils import concat_datasets
from avalanche.models.utils import avalanche_model_adaptation
from avalanche.training.plugins import SupervisedPlugin

from palimpsest.strategies.base.facts import Facts
from palimpsest.strategies.base.settings import StrategySettings


class Joint(SupervisedPlugin):
    """Train all models at once: each mini-batch is drawn from the data of all of them.

    All training happens in the first experience, on the union of its stream; the later experiences
    train nothing. In a run it takes the steps of all of them together: 10,000 with ``steps: 2000``
    and five experiences. The reference for intransigence.

    Limits:
        It has all data at once and no order: only the last row of its accuracy matrix is defined,
        so that it has no forgetting and no curves. A reference for ``intransigence``, not a
        contender.
    """

    facts = Facts(
        name="joint",
        summary="train all models at once, on the data of all",
        source="the reference of intransigence",
        role="joint",
        color="#999999",
        trains="at once",
        keeps_statistics=True,
        moves_unused=True,
    )
    Settings = StrategySettings

    def after_train_dataset_adaptation(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Replace the first experience's data by those of the whole stream."""
        first = strategy.experience
        if first.current_experience > 0:
            return
        stream = list(first.origin_stream)
        for experience in stream:  # heads for all classes, if the model grows them
            avalanche_model_adaptation(strategy.model, experience)
        strategy.adapted_dataset = concat_datasets([e.dataset for e in stream]).train()

    def before_training_epoch(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Train nothing after the first experience."""
        if strategy.experience.current_experience > 0:
            strategy.stop_training()
