"""The shape of a stored run. Whatever reads a run relies on it."""

from __future__ import annotations

from collections.abc import Mapping, Sized
from types import NoneType
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    Field,
    NonNegativeInt,
    Strict,
    StrictInt,
    StrictStr,
    ValidationError,
    model_validator,
)

from palimpsest.benchmark.errors import quoted
from palimpsest.benchmark.suites.spec import STRENGTH

_Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
_Row = list[_Number | None]
_Count = Annotated[NonNegativeInt, Strict()]


def _square(matrix: list[_Row]) -> list[_Row]:
    if any(len(row) != len(matrix) for row in matrix):
        raise ValueError("expected a square")
    return matrix


_Square = Annotated[list[_Row], AfterValidator(_square)]

_NUMBERS = {int, float, NoneType}
_LABELS: dict[str, set[type]] = {
    "model": {int},
    "trained": {int},
    "block": {str, NoneType},
    "moment": {str},
    "weights": {str},
    "epoch": {int},
    "architecture": {str},
}
"""The values in a probe's row that say what the row is about. All others are numbers."""


class _ScenarioShape(BaseModel):
    name: StrictStr = ""
    family: StrictStr = ""
    fingerprints: dict[str, Any] = {}
    plugin: StrictStr | None = None
    network_plugin: StrictStr | None = None


class _StrategyShape(BaseModel):
    name: StrictStr = ""
    strategy: StrictStr
    settings: dict[str, Any] = {}
    plugin: StrictStr | None = None
    dial: StrictStr = STRENGTH

    @model_validator(mode="after")
    def _check_dial(self) -> Self:
        value = self.settings.get(self.dial)
        if type(value) not in _NUMBERS:
            raise ValueError(f"expected a number for its dial, got {quoted(value)}")
        return self


class _SpecShape(BaseModel):
    scenario: _ScenarioShape
    strategy: _StrategyShape
    seed: StrictInt = 0
    device: StrictStr = ""
    versions: dict[str, StrictInt] = {}
    defaults: dict[str, list[StrictStr]] = {}
    probes: list[StrictStr] = []


class _CurveShape(BaseModel):
    model: _Count
    steps: list[StrictInt]
    accuracy: list[_Row]

    @model_validator(mode="after")
    def _check_lengths(self) -> Self:
        if len(self.accuracy) > self.model + 1 or {*map(len, self.accuracy)} - {len(self.steps)}:
            raise ValueError("expected an accuracy for each step, of no later model")
        return self


class _MomentShape(BaseModel):
    visit: StrictInt
    steps: StrictInt
    accuracy: _Row
    validation_accuracy: _Row = []

    @model_validator(mode="after")
    def _check_lengths(self) -> Self:
        if self.validation_accuracy and len(self.validation_accuracy) != len(self.accuracy):
            raise ValueError("expected a validation accuracy for each model")
        return self


class _CapacityShape(BaseModel):
    parameters: _Count
    free: _Row


class _CostShape(BaseModel):
    training_seconds: _Row = []
    steps: _Row = []
    consolidation_seconds: _Row = []
    evaluation_seconds: _Number | None = None
    building_seconds: _Number | None = None
    state_bytes: _Number | None = None
    shared_parameters: _Number | None = None
    shared_statistics: _Number | None = None
    lost: _Number | None = None
    classes: list[list[StrictStr]] = []
    capacity: dict[str, _CapacityShape] = {}


def _labelled(row: dict[str, Any]) -> dict[str, Any]:
    for name, value in row.items():
        if type(value) not in _LABELS.get(name, _NUMBERS):
            raise ValueError(f"expected another type of {name}")
    return row


_ProbeRows = list[Annotated[dict[str, Any], AfterValidator(_labelled)]]


class _ProbeShape(BaseModel):
    rows: _ProbeRows | None = None
    absent: StrictStr | None = None
    ranking: _ProbeRows = []
    derived: dict[str, Any] = {}
    rewards: _Row = []
    perplexity: Annotated[bool, Strict()] = False

    @model_validator(mode="after")
    def _check_presence(self) -> Self:
        _labelled(self.derived)
        if self.rows is None and self.absent is None:
            raise ValueError("expected rows, or the reason why there are none")
        return self


class _RunShape(BaseModel):
    key: StrictStr
    suite: StrictStr
    scenario: StrictStr
    strategy: StrictStr
    strength: _Number | None
    seed: StrictInt
    status: Literal["done", "failed"]
    error: StrictStr | None
    spec: _SpecShape
    accuracy_matrix: _Square
    validation_matrix: _Square
    initial_accuracy: _Row
    curves: list[_CurveShape]
    moments: list[_MomentShape]
    started: StrictStr
    seconds: _Number
    peak_memory: StrictInt
    versions: dict[str, StrictStr]
    cost: _CostShape
    probes: dict[str, _ProbeShape]

    @model_validator(mode="after")
    def _check_models(self) -> Self:
        matrices: dict[str, Sized] = {
            "accuracy_matrix": self.accuracy_matrix,
            "validation_matrix": self.validation_matrix,
            "initial_accuracy": self.initial_accuracy,
            "classes": self.cost.classes,
        }
        lengths = {name: len(values) for name, values in matrices.items() if values}
        lengths |= {f"moment {i}": len(each.accuracy) for i, each in enumerate(self.moments)}
        capacity = self.cost.capacity
        lengths |= {f"capacity of {name}": len(own.free) for name, own in capacity.items()}
        if len({*lengths.values()}) > 1:
            found = ", ".join(f"{name} {length}" for name, length in lengths.items())
            raise ValueError(f"different numbers of models: {found}")
        models = max(lengths.values(), default=None)
        if models is not None and any(curve.model >= models for curve in self.curves):
            raise ValueError(f"expected curves of its {models} models only")
        return self


def check_shapes(values: Mapping[str, Any]) -> None:
    """Refuse values of a run that do not have the shape in which runs are stored.

    Args:
        values: By column, JSON parsed.

    Raises:
        ValueError: Says which value is wrong, and what was expected.
    """
    try:
        _RunShape.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        reason = first["msg"].removeprefix("Value error, ")
        where = f"its {place} is {quoted(first['input'])}: " if place else ""
        raise ValueError(f"{where}{reason}") from None
