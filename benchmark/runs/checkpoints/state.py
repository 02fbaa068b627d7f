"""The state of a training, between two steps or before the first one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from palimpsest.benchmark.randomness.rng_state import rng_state, set_rng_state
from palimpsest.benchmark.runs.checkpoints.decoding import decode
from palimpsest.benchmark.runs.checkpoints.encoding import Encoded, encode
from palimpsest.benchmark.runs.checkpoints.graph import Reference
from palimpsest.benchmark.runs.first_model.reuse import FirstModelSaver

_STEP = ("mbatch", "mb_output", "loss")
"""Attributes of an Avalanche strategy that belong to a step; saved without their history."""


class TrainingState:
    """Everything that a training changes: model, strategy, plugins and random generators.

    Args:
        strategy: The Avalanche strategy.
        **others: Other objects that the training changes, by name.
    """

    def __init__(self, strategy: Any, **others: Any) -> None:
        self._strategy = strategy
        self._others = others

    def reference(self) -> Reference:
        """Return the objects that exist now."""
        return Reference(self._roots())

    def saved(self, reference: Reference) -> Encoded:
        """Return the current state. Its tensors are those of the training, not copies.

        Args:
            reference: The objects at an earlier moment that can be reproduced.

        Raises:
            UnsavableError: A part of the state cannot be saved.
        """
        changing = {"rng": rng_state(self._strategy.device), "step": self._step()}
        return encode(self._roots() | changing, reference)

    def restore(self, encoded: Encoded, reference: Reference) -> None:
        """Restore a state.

        Args:
            encoded: The state.
            reference: The objects of this training at the same moment as for ``saved``.

        Raises:
            UnfitError: The state does not fit; the training must not be used any more.
        """
        found = decode(encoded, reference)
        for name, value in found["step"].items():
            setattr(self._strategy, name, value)
        set_rng_state(found["rng"], self._strategy.device)

    def _roots(self) -> dict[str, Any]:
        roots: dict[str, Any] = {"model": self._strategy.model}
        for plugin in self._strategy.plugins:
            if not isinstance(plugin, FirstModelSaver | CheckpointTaker):
                name = type(plugin).__name__
                again = sum(root.partition(" ")[0] == name for root in roots)
                roots[f"{name} {again + 1}" if again else name] = plugin
        return {**roots, "Avalanche's strategy": self._strategy, **self._others}

    def _step(self) -> dict[str, Any]:
        return {name: _detached(getattr(self._strategy, name)) for name in _STEP}


class CheckpointTaker:
    """The plugin that saves and resumes a training between two steps.

    It does nothing without a call of ``next_training``. States refer to the objects before the
    training's first step.

    Args:
        state: Of the training.
    """

    def __init__(self, state: TrainingState) -> None:
        self._state = state
        self._save: Callable[[Any, int, Reference], None] | None = None
        self._resume: Callable[[Any, Reference], None] | None = None
        self._reference: Reference | None = None

    def next_training(
        self,
        save: Callable[[Any, int, Reference], None] | None,
        resume: Callable[[Any, Reference], None] | None = None,
    ) -> None:
        """Set the callbacks for the next training.

        Args:
            save: Called after every step with the strategy, the number of completed steps, and the
                objects before the first step; ``None``: nothing is saved.
            resume: Restores a state, given the strategy and the objects before the first step.
        """
        self._save, self._resume, self._reference = save, resume, None

    def before_training_epoch(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Note the existing objects, and resume an interrupted training."""
        if self._reference is not None or (self._save is None and self._resume is None):
            return
        self._reference = self._state.reference()
        resume, self._resume = self._resume, None
        if resume is not None:
            resume(strategy, self._reference)
            strategy.dataloader.skipped = strategy.step_clock.step

    def after_training_iteration(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Call ``save``, except after a step that ends the training."""
        if self._save is not None and self._reference and not strategy._stop_training:
            self._save(strategy, strategy.step_clock.step, self._reference)

    def after_training_epoch(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Stop saving: the training's steps are over."""
        self._save = None


def _detached(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.detach()
    return [_detached(part) for part in value] if isinstance(value, list | tuple) else None
