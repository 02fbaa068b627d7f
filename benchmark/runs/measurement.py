"""The accuracies of one run. Other runs of its job may share the training."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from palimpsest.benchmark.scenarios.scenario import Scenario
from palimpsest.benchmark.scenarios.schedule import Schedule, Visit
from palimpsest.benchmark.scenarios.settings.scenario import Curve
from palimpsest.benchmark.suites.suite import Run
from palimpsest.benchmark.training.evaluation import LOADER, CurveRecorder, evaluate
from palimpsest.strategies.base.hooks import Turns

_Matrix = list[list[float | None]]


class Measurement:
    """The accuracies of one run.

    If the dial acts after training, it is set for each evaluation. If an evaluation fails, the run
    has failed and is not evaluated any more. The job continues until all its runs have failed.

    Args:
        run: The run.
        plugin: The strategy under test; ``None`` for an Avalanche class.
        scenario: The experiences.
        curve: When curves are measured.
        job: The measurements of all runs of the job; this one adds itself.

    Attributes:
        recorder: The plugin that measures curves.
        error: The reason why the run has failed, or ``None``.
    """

    def __init__(
        self, run: Run, plugin: Any, scenario: Scenario, curve: Curve, job: list[Measurement]
    ) -> None:
        self._run = run
        self._plugin = plugin
        self._scenario = scenario
        self._job = job
        job.append(self)
        self._initial: list[float] = []
        self._test: _Matrix = []
        self._validation: _Matrix = []
        self._moments: list[dict[str, Any]] = []
        self.recorder = CurveRecorder(curve, scenario.curve_data, self.accuracies)
        self.error: Exception | None = None

    def before(self, strategy: Any, schedule: Schedule) -> None:
        """Measure the models as they were built."""
        self._initial = self.accuracies(strategy, self._scenario.test)
        if schedule.fills_matrix:
            count = len(self._scenario.train)
            self._test = [[None] * count for _ in range(count)]
            self._validation = [[None] * count for _ in range(count)]

    def after(self, strategy: Any, schedule: Schedule, number: int) -> None:
        """Measure after a visit.

        Args:
            strategy: The Avalanche strategy.
            schedule: The run's.
            number: The visit's number, counted from 0.
        """
        visit = schedule.visits[number]
        if not visit.evaluated:
            return
        test = self._of_all(strategy, self._scenario.test, visit)
        validation: list[float | None] | None = None
        if len(self._scenario.validation[0].dataset):
            validation = self._of_all(strategy, self._scenario.validation, visit)
        if schedule.fills_matrix:
            row = visit.models[-1]
            self._test[row] = test
            if validation is not None:
                self._validation[row] = validation
            return
        steps = schedule.ends[number + 1]
        moment: dict[str, Any] = {"visit": number, "steps": steps, "accuracy": test}
        if validation is not None:
            moment["validation_accuracy"] = validation
        self._moments.append(moment)

    def accuracies(self, strategy: Any, experiences: Sequence[Any]) -> list[float]:
        """Return the accuracy of each experience's model; NaN if the run has failed.

        Raises:
            Exception: The evaluation's, if all runs of the job have failed.
        """
        if self.error is None:
            try:
                if isinstance(self._plugin, Turns) and self._run.strength is not None:
                    self._plugin.turn(self._run.strength)
                return evaluate(strategy, experiences, **LOADER)
            except Exception as error:
                self.error = error
                if all(run.error is not None for run in self._job):
                    raise
        return [math.nan] * len(experiences)

    def result(self) -> dict[str, Any]:
        """Return the measured fields of a record."""
        return {
            "accuracy_matrix": self._test,
            "validation_matrix": self._validation,
            "initial_accuracy": list(self._initial),
            "curves": self.recorder.curves,
            "moments": self._moments,
        }

    def _of_all(
        self, strategy: Any, experiences: Sequence[Any], visit: Visit
    ) -> list[float | None]:
        """Return the accuracy of each model evaluated after a visit, ``None`` for the others."""
        found = self.accuracies(strategy, [experiences[model] for model in visit.evaluated])
        by_model = dict(zip(visit.evaluated, found, strict=True))
        return [by_model.get(model) for model in range(len(experiences))]
