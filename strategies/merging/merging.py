"""The common mechanism of strategies that merge models trained apart."""

from abc import abstractmethod
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import Parameter

from palimpsest.strategies.base.facts import Facts
from palimpsest.strategies.base.grown import extended
from palimpsest.strategies.base.hooks import Hooked
from palimpsest.strategies.base.network import running_statistics
from palimpsest.strategies.base.settings import StrategySettings
from palimpsest.strategies.base.used_parameters import NotesUse

Values = dict[str, Tensor]


class MergeSettings(StrategySettings):
    """The settings of every strategy that merges models trained apart."""

    start: Literal["first", "initial", "merged"] = Field(
        "first",
        description="Where the training of a shared parameter begins. 'first': at its value after "
        "the first model that used it, whose task vector is then 0. 'initial': as the network was "
        "built, which has to be pre-trained. 'merged': at the merged weights, one model after "
        "another; a dial that else acts after training then acts on it, too.",
    )

    def facts(self, facts: Facts) -> Facts:
        """Tell where trainings begin at what the dial has made of earlier ones."""
        if self.start != "merged" or facts.dial is None:
            return facts
        return replace(facts, dial=replace(facts.dial, after_training=False))


class Merging(Hooked, NotesUse):
    """Train each model apart from the same start, and evaluate all with merged weights.

    Before a model trains, each parameter that an earlier one used is set to its start theta_0, and
    the optimizer's state is cleared, so that no training depends on those between. When model t has
    been trained, its task vector of a shared parameter is ``tau_t = theta_t - theta_0``. Models are
    evaluated with what the subclass makes of the task vectors; the model in training is left in its
    own state. With ``start: merged`` a training begins at the merged weights, and tau_t is measured
    from there.

    A parameter that one model alone has used so far is that model's own: it keeps the trained
    value. When a second model has used it, it is shared, and the first model's task vector of it
    counts, too (0 where that model's value is the start).

    Running statistics of normalisation are not merged: each model is evaluated with those that its
    training ended with, and a training begins with those of the start. A head that grows is one
    parameter; its new rows have no task vector of earlier models, and start where they were built
    or, like all else, where the first model leaves them.

    To this a visit of a model is a training like any other: it adds one more task vector.

    Attributes:
        starts: theta_0, by name.
        own: The trained values of what one model alone has used, by name.
        statistics: The running statistics that each model's training has changed, by name.
    """

    Settings = MergeSettings
    settings: MergeSettings

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.starts: Values = {}
        self.own: Values = {}
        self.statistics: dict[int, Values] = {}
        self._owners: dict[str, int] = {}
        self._shared: set[str] = set()
        self._start_statistics: Values = {}
        self._learning: int | None = None
        self._began: Values = {}
        self._statistics_began: Values = {}
        self._known_shapes: dict[str, torch.Size] = {}

    @abstractmethod
    def take(self, model: nn.Module, index: int, trained: Values, began: Values) -> None:
        """Take in a model that has been trained.

        Args:
            model: The whole network.
            index: Which model; the same one comes again when more of its parameters become shared.
            trained: Its values of shared parameters, by name.
            began: Where their training began, so that the task vector is ``trained - began``.
        """

    @abstractmethod
    def merged(self, index: int) -> Mapping[str, Tensor]:
        """Return the values of all shared parameters, by name.

        Args:
            index: The model that they are for.
        """

    def before_training_exp(self, strategy: Any, *arguments: Any, **keywords: Any) -> None:
        """Go to the start.

        Raises:
            ValueError: A parameter has another shape than when an earlier model used it.
        """
        super().before_training_exp(strategy, *arguments, **keywords)
        self._learning = int(strategy.experience.current_experience)
        model = strategy.model
        self._known_shapes = {name: value.shape for name, value in self.starts.items()}
        for name, parameter in self._parameters.items():
            if name in self.starts:
                self.starts[name] = _grown(name, self.starts[name], parameter.detach())
            elif self.settings.start == "initial":
                self.starts[name] = parameter.detach().clone()
        if self.settings.start == "initial":
            self._start_statistics = copied(running_statistics(model)) | self._start_statistics
        fill(self._parameters, self._beginning(self._learning))
        fill(running_statistics(model), self._start_statistics)
        strategy.optimizer.state = defaultdict(dict)
        self._began = copied(self._parameters)
        self._statistics_began = copied(running_statistics(model))

    def after_backward(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Note which parameters the model uses."""
        self.note_gradients()

    @torch.no_grad()
    def keep(self, strategy: Any, used: dict[str, Parameter]) -> None:
        """Tell what is the model's own from what it shares, and take in its task vectors."""
        index = int(strategy.experience.current_experience)
        self._learning = None
        trained = copied(used)
        if self.settings.start != "initial":
            self._start_new_rows(trained)
        earlier: dict[int, tuple[Values, Values]] = defaultdict(lambda: ({}, {}))
        for name, value in trained.items():
            if self._owners.setdefault(name, index) == index and name not in self._shared:
                self.own[name] = value
                if self.settings.start != "initial":
                    self.starts[name] = value
                continue
            if name in self.own:
                before = earlier[self._owners[name]]
                before[1][name] = self.starts[name]
                before[0][name] = _grown(name, self.own.pop(name), self.starts[name])
            self._shared.add(name)
        for owner, values in earlier.items():
            self.take(strategy.model, owner, *values)
        shared = {name: value for name, value in trained.items() if name in self._shared}
        if shared:
            self.take(strategy.model, index, shared, {name: self._began[name] for name in shared})
        self._keep_statistics(strategy.model, index)
        self._began = {}

    def evaluating(self, model: nn.Module, index: int) -> AbstractContextManager[None]:
        """Return a context with the merged weights, and what is the model's own."""
        if index == self._learning:
            return nullcontext()
        return placed(model, self.own | {**self.merged(index)}, self.statistics.get(index, {}))

    def _beginning(self, index: int) -> Values:
        """Return where the training of a model begins, as far as earlier ones decide it."""
        own = {n: value for n, value in self.own.items() if self._owners[n] == index}
        merged = self.merged(index) if self.settings.start == "merged" else {}
        return self.starts | own | {**merged}

    def _start_new_rows(self, trained: Values) -> None:
        """Let rows that have grown start where their first model leaves them."""
        for name, value in trained.items():
            known = self._known_shapes.get(name, value.shape)
            if known != value.shape:
                new = torch.ones_like(value, dtype=torch.bool)
                new[tuple(map(slice, known))] = False
                for start in (self.starts, self._began):
                    start[name] = torch.where(new, value, start[name])

    def _keep_statistics(self, model: nn.Module, index: int) -> None:
        found = copied(running_statistics(model))
        began, self._statistics_began = self._statistics_began, {}
        changed = {n: b for n, b in found.items() if n in began and not torch.equal(b, began[n])}
        self.statistics[index] = changed
        self._start_statistics = changed | self._start_statistics


def copied(values: Mapping[str, Tensor]) -> Values:
    """Return copies of tensors, without their history."""
    return {name: value.detach().clone() for name, value in values.items()}


@torch.no_grad()
def fill(tensors: Mapping[str, Tensor], values: Mapping[str, Tensor]) -> None:
    """Set tensors in place; of those that have grown since, the part that a value has."""
    for name, value in values.items():
        if name in tensors:
            tensors[name][tuple(map(slice, value.shape))] = value


@contextmanager
def placed(model: nn.Module, values: Values, statistics: Values) -> Iterator[None]:
    """Put values of parameters and running statistics in, and afterwards put back what was there.

    Args:
        model: The network.
        values: Of parameters, by name.
        statistics: Of normalisation layers, by name.
    """
    parameters, running = dict(model.named_parameters()), running_statistics(model)
    before = copied({name: parameters[name] for name in values if name in parameters})
    running_before = copied({name: running[name] for name in statistics if name in running})
    try:
        fill(parameters, values)
        fill(running, statistics)
        yield
    finally:
        fill(parameters, before)
        fill(running, running_before)


def _grown(name: str, value: Tensor, now: Tensor) -> Tensor:
    """Return a value in the shape that its parameter has now, with that one's new rows.

    Raises:
        ValueError: The parameter has not grown but changed.
    """
    if value.shape == now.shape:
        return value
    sizes = zip(value.shape, now.shape, strict=False)
    if value.ndim != now.ndim or any(before > after for before, after in sizes):
        raise ValueError(
            f"{name} has the shape {tuple(now.shape)}, and {tuple(value.shape)} when an earlier "
            "model used it; models that are merged need parameters of the same shapes"
        )
    return extended(value, now)
