"""What merging costs: the accuracy of each model after its training, and when merged."""

from __future__ import annotations

from typing import Any

from palimpsest.benchmark.probes.base.probe import Probe
from palimpsest.benchmark.training.evaluation import LOADER, evaluate, without_plugin
from palimpsest.strategies.merging.merging import Merging


class Unmerged(Probe):
    """The test accuracy of each model without and with the others.

    A row per ``model``, right after its training: ``unmerged``, with the weights at the end of its
    training, and ``merged``, as the strategy evaluates it then. Models are trained apart, so later
    trainings do not change the first number. The second one at the end is in the accuracy matrix.
    """

    def absent(self) -> str | None:
        """Return a reason if the strategy merges nothing."""
        return (
            None if isinstance(self.subject.plugin, Merging) else "the strategy merges no weights"
        )

    def after_training_exp(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Evaluate the model both ways."""
        model = strategy.experience.current_experience
        test = [self.subject.scenario.test[model]]
        with without_plugin(strategy, self.subject.plugin):
            (unmerged,) = evaluate(strategy, test, **LOADER)
        (merged,) = evaluate(strategy, test, **LOADER)
        self.rows.append({"model": model, "unmerged": unmerged, "merged": merged})
