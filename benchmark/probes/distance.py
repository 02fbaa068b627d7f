"""How far the shared parameters move while a model trains."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from palimpsest.benchmark.probes.base.probe import Probe, parameters_of


@dataclass(frozen=True)
class _Start:
    """A parameter before a model trained, with the penalty that applied to it."""

    value: Tensor
    anchor: Tensor | None
    importance: Tensor | None


@dataclass
class _SquaredDistances:
    """Sums over parameters; those from the anchors are ``None`` if no parameter has an anchor."""

    size: float = 0.0
    moved: float = 0.0
    from_anchor: float | None = None
    weighted: float | None = None

    def add(self, start: _Start, end: Tensor) -> None:
        """Add a parameter to the sums."""
        self.size += _sum(start.value.square())
        self.moved += _sum((end - start.value).square())
        if start.anchor is not None and start.importance is not None:
            squares = (end - start.anchor).square()
            self.from_anchor = (self.from_anchor or 0.0) + _sum(squares)
            self.weighted = (self.weighted or 0.0) + _sum(start.importance * squares)


class Distance(Probe):
    """For every model i >= 1, how far the parameters move that it shares with earlier models.

    With theta_0 before its training and theta after it, and anchor a and importance I as the
    penalty had them meanwhile, in the unit of the parameters: ``moved = |theta - theta_0|``,
    ``relative = moved / |theta_0|``, ``from_anchor = |theta - a|`` and ``weighted =
    (sum_i I_i (theta_i - a_i)^2)^(1/2)``: the penalty is strength/2 times its square. A row for
    each block and one for all of them (``block`` is ``None``). Strategies without anchors have
    ``None`` there. With ``independent``, which starts each model from the initial weights,
    distances are measured from these.
    """

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._start: dict[str, _Start] = {}

    def absent(self) -> str | None:
        """Return a reason if no model is trained after another that it shares parameters with."""
        if self.subject.unordered:
            return f"{self.subject.unordered}: none starts from what another left"
        if not any(self.subject.inherited(i) for i in range(len(self.subject.paths))):
            return "no model shares parameters with an earlier one"
        return None

    def before_training_exp(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Keep the shared parameters, their anchors and importances."""
        penalty = self.subject.regularizer
        anchors = penalty.anchors if penalty else {}
        importances = penalty.importances if penalty else {}
        self._start = {
            name: _Start(
                parameter.detach().clone(),
                anchors[name].clone() if name in anchors else None,
                importances[name].clone() if name in anchors else None,
            )
            for block in self.subject.inherited(strategy.experience.current_experience)
            for name, parameter in parameters_of(strategy.model, block).items()
        }

    def after_training_exp(self, strategy: Any, *_: Any, **__: Any) -> None:
        """Measure the distances."""
        model = strategy.experience.current_experience
        blocks = self.subject.inherited(model)
        whole = _SquaredDistances()
        for block in blocks:
            squares = _SquaredDistances()
            for name, parameter in parameters_of(strategy.model, block).items():
                for sums in (squares, whole):
                    sums.add(self._start[name], parameter.detach())
            self.rows.append(_row(model, block, squares))
        if blocks:
            self.rows.append(_row(model, None, whole))
        self._start = {}


def _row(model: int, block: str | None, squares: _SquaredDistances) -> dict[str, Any]:
    return {
        "model": model,
        "block": block,
        "moved": squares.moved**0.5,
        "relative": (squares.moved / squares.size) ** 0.5 if squares.size else None,
        "from_anchor": None if squares.from_anchor is None else squares.from_anchor**0.5,
        "weighted": None if squares.weighted is None else squares.weighted**0.5,
    }


def _sum(values: Tensor) -> float:
    return float(values.double().sum())
