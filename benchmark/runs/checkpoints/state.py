"""The state of a training, between two steps or between two trainings."""

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
"""What a step leaves behind in an Avalanche strategy; values, without their history."""


class TrainingState:
    """All that a training changes: of the model, the strategy, its plugins, and of chance.

    Args:
        strategy: The Avalanche strategy.
        **others: What else belongs to it, by name.
    """

    def __init__(self, strategy: Any, **others: Any) -> None:
        self._strategy = strategy
        self._others = others

    def reference(self) -> Reference:
        """Return what there is now, for telling later what has been added."""
        return Reference(self._roots())

    def saved(self, reference: Reference) -> Encoded:
        """Return the state now; its tensors are those of the training, not copies.

        Args:
            reference: What there was at an earlier moment that can be reached again.

        Raises:
            UnsavableError: Something cannot be saved.
        """
        changing = {"rng": rng_state(self._strategy.device), "step": self._step()}
        return encode(self._roots() | changing, reference)

    def restore(self, encoded: Encoded, reference: Reference) -> None:
        """Return to a state.

        Args:
            encoded: The state.
            reference: Of this training, at the moment that the state was saved against.

        Raises:
            UnfitError: It does not fit; the training must not be used any more.
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
    """The part of an Avalanche plugin that saves and resumes in the middle of a training.

    It is idle unless it is told what to do in the training that comes next. The moment that states
    are saved against is the one before the training's first step.

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
        """Say what to do in the training that comes next.

        Args:
            save: Called after every step with the strategy, the number of steps done, and what
                there was before the first step; ``None``: nothing is saved.
            resume: Restores a state, given the strategy and what there is before the first step.
        """
        self._save, self._resume, self._reference = save, resume, None

    def before_training_epoch(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Note what there is, and go to where the training was interrupted."""
        if self._reference is not None or (self._save is None and self._resume is None):
            return
        self._reference = self._state.reference()
        resume, self._resume = self._resume, None
        if resume is not None:
            resume(strategy, self._reference)
            strategy.dataloader.skipped = strategy.step_clock.step

    def after_training_iteration(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Offer the state after a step; not after one that ends the training."""
        if self._save is not None and self._reference and not strategy._stop_training:
            self._save(strategy, strategy.step_clock.step, self._reference)

    def after_training_epoch(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Stop: what follows is not within this training any more."""
        self._save = None


def _detached(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.detach()
    return [_detached(part) for part in value] if isinstance(value, list | tuple) else None
