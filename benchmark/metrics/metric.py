"""The class of metrics, and all metrics by name."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple, TypeVar, get_args

from palimpsest.strategies.base.facts import Role


class Bounds(NamedTuple):
    """The least and the greatest value that a number can have; its interval is cut off there.

    Attributes:
        low: The least.
        high: The greatest.
        fraction: Whether it is a fraction. Outliers among seeds are found for fractions only,
            since the gap is in percentage points.
    """

    low: float
    high: float
    fraction: bool = True

    @property
    def of_difference(self) -> Bounds:
        """The bounds of the difference of two numbers with these bounds."""
        return Bounds(self.low - self.high, self.high - self.low, self.fraction)


ACCURACY = Bounds(0.0, 1.0)
CHANGE = Bounds(-1.0, 1.0)
"""The bounds of the difference of two accuracies."""
UNBOUNDED = Bounds(-math.inf, math.inf)
"""For a fraction without bounds, such as the share of forgetting removed (there may be a gain)."""

REFERENCES: tuple[Role, ...] = tuple(role for role in get_args(Role) if role != "contender")
"""The roles of strategies that others are compared with."""

Need = Literal[
    "accuracy_matrix",
    "final_accuracy",
    "validation_matrix",
    "initial_accuracy",
    "curves",
    "moments",
    "cost",
    "probes",
    "visits",
    "visits_perplexity",
    "free_shares",
]
"""The parts of a run that a metric can be computed from: attributes of
``palimpsest.benchmark.runs.record.Record``."""

NEGLIGIBLE = 0.01
"""The default for a difference of fractions that does not matter: one point."""

NAME = re.compile(r"[a-z][a-z0-9_]*")

_PERCENTAGES = {"%", "points"}


@dataclass(frozen=True)
class Metric:
    """A number that is computed for every finished run.

    Attributes:
        name: As stores, tables and pages name it: lower-case letters, digits and underscores.
        function: Takes what the metric ``needs``, in that order, then the accuracy matrix of the
            ``reference`` if there is one. Returns a number, or ``None`` where it is not defined.
        meaning: What it says, in a sentence without a full stop.
        unit: ``%`` or ``points`` (percentage points) for fractions, which are shown times 100.
            Anything else (``s``, ``MiB``, nothing) is shown as it is.
        better: Which way is better.
        bounds: The least and the greatest value that it can have, two numbers: ``(0, 25)``.
        needs: What it is computed from, see ``Need``. It is ``None`` for runs that have no such
            ``accuracy_matrix``, ``moments``, ``final_accuracy``, ``visits`` or
            ``visits_perplexity``.
        reference: The role of the strategy that it compares with (``baseline``: fine-tuning,
            ``alone``, ``joint``); the metric is ``None`` if the store has no finished run of such a
            strategy with the same scenario and seed.
        signed: Whether it is written with its sign.
        title: Its heading; by default its name in words.
        source: Where it was published.
        negligible: The largest difference that does not matter: values whose difference is known
            to be smaller are the same (``palimpsest compare``). Where it is not given, one
            percentage point; ``None`` for other units, where it is not known.
        ratio: The names of two metrics, where it is ``1 - mean of the first / mean of the second``
            over seeds, not the mean of its values.
        digits: How many decimals are written, of other units than per cent and points; four
            significant digits where it is not given.
        counted: Whether it is counted, not measured, such as bytes: where it is equal for every
            seed it has no interval.

    Raises:
        ValueError: One of these is invalid; says which and what was expected.
    """

    name: str
    function: Callable[..., float | None]
    meaning: str
    unit: str = "%"
    better: Literal["higher", "lower"] = "higher"
    bounds: Bounds = ACCURACY
    needs: tuple[Need, ...] = ("accuracy_matrix",)
    reference: Role | None = None
    signed: bool = False
    title: str = ""
    source: str = ""
    negligible: float | None = None
    ratio: tuple[str, str] | None = None
    digits: int | None = None
    counted: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not NAME.fullmatch(self.name):
            raise ValueError(
                f"metric {self.name!r}: expected a name of lower-case letters, digits and "
                "underscores, such as my_metric"
            )
        for problem in self._problems():
            raise ValueError(f"metric {self.name!r}: {problem}")
        fraction = self.is_percentage and Bounds(*self.bounds).fraction
        bounds = Bounds(*self.bounds[:2], fraction=fraction)
        object.__setattr__(self, "bounds", bounds)
        object.__setattr__(self, "title", self.title or self.name.replace("_", " "))
        if self.negligible is None and self.is_percentage:
            object.__setattr__(self, "negligible", NEGLIGIBLE)

    def _problems(self) -> list[str]:
        found = []
        if not callable(self.function):
            found.append(f"function is {self.function!r}, expected a function")
        for name in ("meaning", "unit", "title", "source"):
            if not isinstance(getattr(self, name), str):
                found.append(f"{name} is {getattr(self, name)!r}, expected a text")
        if self.better not in {"higher", "lower"}:
            found.append(f"better is {self.better!r}, expected 'higher' or 'lower'")
        if not _are_bounds(self.bounds):
            found.append(
                f"bounds are {self.bounds!r}, expected two numbers, the lower first: (0, 1)"
            )
        if not isinstance(self.needs, tuple) or not {*self.needs} <= {*get_args(Need)}:
            names = ", ".join(get_args(Need))
            found.append(f"needs is {self.needs!r}, expected a tuple of some of: {names}")
        if self.reference is not None and self.reference not in REFERENCES:
            roles = ", ".join(REFERENCES)
            found.append(f"reference is {self.reference!r}, expected the role of one: {roles}")
        if self.negligible is not None and not _is_positive(self.negligible):
            found.append(f"negligible is {self.negligible!r}, expected a number above 0")
        return found

    @property
    def is_percentage(self) -> bool:
        """Whether it is a fraction that is shown in per cent or percentage points."""
        return self.unit in _PERCENTAGES

    @property
    def scale(self) -> float:
        """The factor that converts a value to its unit."""
        return 100.0 if self.is_percentage else 1.0

    @property
    def difference(self) -> Metric:
        """The difference of two values: of percentages with its sign."""
        bounds, signed = self.bounds.of_difference, self.signed or self.is_percentage
        return replace(self, unit=self.difference_unit, bounds=bounds, signed=signed)

    @property
    def difference_unit(self) -> str:
        """The unit of the difference of two values."""
        return "points" if self.is_percentage else self.unit


METRICS: dict[str, Metric] = {}
"""Every metric by name, in the order of tables: those of this folder, and those of plugins."""

_Function = TypeVar("_Function", bound=Callable[..., float | None])


def metric(meaning: str, **known: Any) -> Callable[[_Function], _Function]:
    """Make a function the metric of its name; for the files of this folder.

    Args:
        meaning: What it says, as in ``Metric``.
        known: Its other attributes, likewise.
    """

    def add(function: _Function) -> _Function:
        METRICS[function.__name__] = Metric(function.__name__, function, meaning, **known)
        return function

    return add


def _is_positive(value: Any) -> bool:
    return isinstance(value, int | float) and 0 < value < math.inf


def _are_bounds(bounds: Any) -> bool:
    try:
        low, high = map(float, bounds[:2] if isinstance(bounds, Bounds) else bounds)
    except (TypeError, ValueError):
        return False
    return low < high
