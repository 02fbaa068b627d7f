"""The measurements of a search: of visits, epoch by epoch, and of architectures at the end."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from torch.nn import functional

from palimpsest.benchmark.probes.base.probe import Probe, Subject, storable
from palimpsest.benchmark.search.controller import Policy
from palimpsest.benchmark.search.plan import Moment, SearchPlan
from palimpsest.benchmark.search.supernet_bank import SupernetBank
from palimpsest.benchmark.search.supernets.supernet import Architecture
from palimpsest.benchmark.training.evaluation import LOADER, evaluate

_RANKED = 0
"""Seeds the choice of the architectures that are ranked: the same for all runs of a space."""


class Measuring(Probe):
    """Errors of architectures in evaluation mode: error rates, or perplexities per token.

    Visits are measured on a fixed part of the validation split, before, right after, and at the end
    of the epoch; the ranking is on the whole validation split and the test set. It changes nothing.
    """

    def __init__(self, subject: Subject, search: SearchPlan, policy: Policy | None) -> None:
        super().__init__(subject)
        self._search = search
        self._policy = policy
        self._epoch: list[dict[str, Any]] = []
        self._losses: list[float] = []
        self._loss, self._tokens = 0.0, 0

    # Around every visit.

    def before_training_exp(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Measure the architectures of a visit before its training."""
        moment = self._search.moment_of(strategy.step_clock.training)
        slots = self._slots(moment)
        for slot, error in zip(slots, self._errors(strategy, slots), strict=True):
            self._epoch.append({
                "epoch": moment.epoch,
                "visit": moment.visit,
                "slot": slot,
                "architecture": name_of(self._bank.architectures[slot]),
                "before": error,
            })  # fmt: skip

    def after_training_exp(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Measure them after it; when an epoch ends, measure all of the epoch again."""
        moment = self._search.moment_of(strategy.step_clock.training)
        slots = self._slots(moment)
        rows = self._epoch[len(self._epoch) - len(slots) :]
        for row, error in zip(rows, self._errors(strategy, slots), strict=True):
            row["after"] = error
        if moment.epoch is not None and moment.visit == self._search.visits - 1:
            ends = self._errors(strategy, [row.pop("slot") for row in self._epoch])
            for row, error in zip(self._epoch, ends, strict=True):
                self.rows.append({**row, "end": error})
            self._epoch = []

    def _slots(self, moment: Moment) -> list[int]:
        """Return the slots that are measured around a training."""
        if moment.epoch is None or moment.visit not in self._search.measured:
            return []
        first = self._search.slot_of(moment.visit)
        return [*range(first, first + self._search.width)]

    # At the end.

    def result(self, strategy: Any) -> dict[str, Any]:
        """Return the measurements, for the store.

        Returns:
            ``rows``, one for each measured visit of an architecture: ``epoch``, ``visit`` of the
            epoch, ``architecture`` (its options, joined by ``-``), and its error ``before``,
            ``after`` and at the ``end`` of the epoch. ``ranking``, one row for each architecture
            that is ranked: ``architecture``, ``validation`` and ``test`` error, and its
            ``probability`` if a controller draws. ``rewards``: the mean reward of each of the
            controller's steps. ``derived``: the architecture that the controller has found, a row
            as in the ranking. ``perplexity``: whether errors are perplexities, not error rates.
        """
        found: dict[str, Any] = {"rows": self.rows, "perplexity": self._search.perplexity}
        found["ranking"] = self._ranked(strategy, self._chosen())
        if self._policy is not None:
            for row in found["ranking"]:
                row["probability"] = self._policy.probability(architecture_of(row["architecture"]))
            found["rewards"] = self._policy.rewards
            found["derived"] = self._derived(strategy)
        return {name: storable(value) for name, value in found.items()}

    def _chosen(self) -> list[Architecture]:
        """Return the architectures to rank: all of the space, or some, chosen by a fixed seed."""
        if not self._search.shared:
            return list(self._bank.architectures)
        space, count = self._bank.space, self._search.ranked
        if count is None or count >= space.size:
            return list(space.all())
        generator = np.random.default_rng(_RANKED)
        found: dict[Architecture, None] = {}
        while len(found) < count:
            found[space.sample(generator)] = None
        return list(found)

    def _ranked(self, strategy: Any, architectures: list[Architecture]) -> list[dict[str, Any]]:
        scenario = self.subject.scenario
        validation, test = (
            self._errors_of(strategy, architectures, stream)
            for stream in (scenario.validation, scenario.test)
        )
        return [
            {"architecture": name_of(each), "validation": one, "test": other}
            for each, one, other in zip(architectures, validation, test, strict=True)
        ]

    def _derived(self, strategy: Any) -> dict[str, Any]:
        """Return the best on the validation split of some that the controller draws."""
        assert self._policy is not None
        drawn = list(dict.fromkeys(self._policy.draw(self._policy.settings.derived)))
        errors = self._errors_of(strategy, drawn, self.subject.scenario.validation)
        best = drawn[int(np.argmin(errors))]
        (row,) = self._ranked(strategy, [best])
        return {**row, "probability": self._policy.probability(best)}

    def _errors_of(
        self, strategy: Any, architectures: list[Architecture], stream: list[Any]
    ) -> list[float]:
        """Measure architectures in the slots, as many at a time as there are."""
        bank, before = self._bank, list(self._bank.architectures)
        if not self._search.shared:
            return self._errors(strategy, range(len(before)), stream)
        found: list[float] = []
        try:
            for start in range(0, len(architectures), len(before)):
                part = architectures[start : start + len(before)]
                bank.architectures[: len(part)] = part
                found += self._errors(strategy, range(len(part)), stream)
        finally:
            bank.architectures[:] = before
        return found

    # How an error is measured.

    def _errors(
        self, strategy: Any, slots: range | list[int], stream: list[Any] | None = None
    ) -> list[float]:
        """Return the error of each slot's architecture, on the part for visits or on a stream."""
        if not slots:
            return []
        stream = self.subject.scenario.curve_data if stream is None else stream
        accuracies = evaluate(strategy, [stream[slot] for slot in slots], **LOADER)
        if not self._search.perplexity:
            return [1 - accuracy for accuracy in accuracies]
        return [_exp(loss) for loss in self._losses]

    def before_eval(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Forget earlier evaluations."""
        self._losses = []

    def before_eval_exp(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Begin the sum of an architecture's losses."""
        self._loss, self._tokens = 0.0, 0

    def after_eval_iteration(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Sum the cross-entropy of each token, for a perplexity."""
        if self._search.perplexity:
            outputs, y = strategy.mb_output.flatten(0, -2), strategy.mb_y.flatten()
            self._loss += float(functional.cross_entropy(outputs, y, reduction="sum"))
            self._tokens += y.numel()

    def after_eval_exp(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Note the mean."""
        if self._search.perplexity:
            self._losses.append(self._loss / self._tokens)

    @property
    def _bank(self) -> SupernetBank:
        bank = self.subject.scenario.model
        assert isinstance(bank, SupernetBank)
        return bank


def name_of(architecture: Architecture) -> str:
    """Return an architecture as stores name it: ``0-2-1``."""
    return "-".join(map(str, architecture))


def architecture_of(name: str) -> Architecture:
    """Return the architecture that a store names."""
    return tuple(map(int, name.split("-")))


def _exp(loss: float) -> float:
    return math.exp(loss) if loss < 700 else math.inf
