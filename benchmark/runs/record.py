"""A finished run, and its columns in a store and in an archive."""

from __future__ import annotations

import json
import warnings
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property, lru_cache
from typing import Any, Literal

from palimpsest.benchmark.errors import Remark, UserError
from palimpsest.benchmark.files.untrusted import parsed
from palimpsest.benchmark.metrics import Accuracies, Computed, Matrix, reference_roles
from palimpsest.benchmark.runs.failure import Failure
from palimpsest.benchmark.runs.record_shapes import check_shapes
from palimpsest.benchmark.suites.spec import Spec
from palimpsest.strategies.base.facts import (
    ALONE,
    BASELINE,
    JOINT,
    LIMIT,
    ROLES,
    STRENGTH,
    Dial,
    Facts,
    Role,
)

__all__ = [
    "ALONE", "BASELINE", "COLUMNS", "JOINT", "JSON_COLUMNS", "LIMIT", "ROLES", "STRENGTH", "Dial",
    "Facts", "Record", "Role", "check_record", "columns_of", "free_share", "readable",
    "record_of", "with_references",
]  # fmt: skip


@dataclass(frozen=True)
class Record:
    """A finished run, as stored.

    Attributes:
        key: Hash of everything that decides the result.
        suite: The name of the first suite with this run.
        scenario: The scenario's name in the suite.
        strategy: The strategy's name in the suite.
        strength: The value of the strategy's dial, ``None`` if it has none.
        seed: The run's seed.
        status: ``done`` or ``failed``.
        spec: All settings, including defaults.
        facts: The facts of the strategy with these settings.
        accuracy_matrix: ``R[i][j]``, test accuracy of model j after model i.
        validation_matrix: The same on the validation split, for choosing settings.
        initial_accuracy: Test accuracy of each model before anything was trained.
        curves: One dict per model i that was trained: ``model`` (i), ``steps`` (n,) optimizer
            steps done, and ``accuracy``, for each model j = 0..i its test accuracy at these
            steps, (i+1, n).
        started: UTC time, ISO 8601.
        seconds: Wall-clock time of the run.
        peak_memory: Bytes. On a CPU the largest resident set of the process during the run (on some
            systems, since the process began); on a GPU the largest allocated memory.
        versions: Of Python, torch, Avalanche, this project, and the machine.
        cost: The costs of the training, see ``runs/cost.py``; empty if it failed. Optional:
            ``classes``, the names of the classes of each experience; ``lost``, how often the run's
            process has ended before the run did.
        probes: By name of the probe, see ``benchmark/probes``: ``{"rows": [...]}``, or
            ``{"absent": reason}``.
        failure: Why the run failed, or ``None``.
        moments: The evaluations, if models are trained in alternating visits and so there is no
            accuracy matrix. Each is a dict: ``visit`` (its number), ``steps`` (of all visits so
            far), ``accuracy`` (on test data, one per model, ``None`` for those not evaluated) and,
            if there is a validation split, ``validation_accuracy``.
        references: Accuracy matrices of the reference runs with the same scenario and seed, by
            role. They are not stored, but looked up when runs are read.
    """

    key: str
    suite: str
    scenario: str
    strategy: str
    strength: float | None
    seed: int
    status: Literal["done", "failed"]
    spec: Spec
    facts: Facts
    accuracy_matrix: list[list[float | None]] = field(default_factory=list)
    validation_matrix: list[list[float | None]] = field(default_factory=list)
    initial_accuracy: list[float | None] = field(default_factory=list)
    curves: list[dict[str, Any]] = field(default_factory=list)
    started: str = ""
    seconds: float = 0.0
    peak_memory: int = 0
    versions: dict[str, str] = field(default_factory=dict)
    cost: dict[str, Any] = field(default_factory=dict)
    probes: dict[str, dict[str, Any]] = field(default_factory=dict)
    failure: Failure | None = None
    moments: list[dict[str, Any]] = field(default_factory=list)
    references: Mapping[Role, Matrix] = field(default_factory=dict, repr=False)

    @cached_property
    def metrics(self) -> Mapping[str, float | None]:
        """The metrics by name, see ``benchmark/metrics``; they are computed on demand."""
        return Computed(self)

    @property
    def final_accuracy(self) -> Accuracies:
        """Test accuracy of each model at the end: the last row of the matrix, or the last moment.

        ``None`` for models that were not evaluated then; empty if there is neither.
        """
        return _final(self.accuracy_matrix, self.moments, "accuracy")

    @property
    def final_validation(self) -> Accuracies:
        """The same on the validation split; empty if the scenario has none."""
        return _final(self.validation_matrix, self.moments, "validation_accuracy")

    @property
    def free_shares(self) -> Accuracies:
        """The share of the shared parameters that can still change after each model.

        Empty if the strategy is no ``Capacity``; ``None`` for a model without a measurement.
        """
        return free_share(self.cost.get("capacity", {}).values())

    @property
    def visits(self) -> list[dict[str, Any]]:
        """The measured visits of a search, with error rates; see ``benchmark/search/measuring``."""
        return self._visits(perplexity=False)

    @property
    def visits_perplexity(self) -> list[dict[str, Any]]:
        """The same for a search on text, with perplexities."""
        return self._visits(perplexity=True)

    def _visits(self, *, perplexity: bool) -> list[dict[str, Any]]:
        found = self.probes.get("search", {})
        rows: list[dict[str, Any]] = found.get("rows", [])
        return rows if found.get("perplexity") is perplexity else []

    @property
    def error(self) -> str | None:
        """The message of its failure, or ``None``."""
        return None if self.failure is None else self.failure.message


def _final(matrix: Matrix, moments: Sequence[Mapping[str, Any]], name: str) -> Accuracies:
    if matrix:
        return matrix[-1]
    found: Accuracies = moments[-1].get(name, []) if moments else []
    return found


def free_share(tensors: Collection[Mapping[str, Any]]) -> Accuracies:
    """Return the free share of several tensors after each model, weighted by their sizes.

    Args:
        tensors: ``parameters`` and ``free`` of each, as in ``cost``.

    Returns:
        One share per model; empty if all tensors are empty.
    """
    total = sum(tensor["parameters"] for tensor in tensors)
    if not total:  # all of them are empty
        return []
    after = zip(*(tensor["free"] for tensor in tensors), strict=True)
    weights = [tensor["parameters"] / total for tensor in tensors]
    return [
        None if None in shares else sum(w * s for w, s in zip(weights, shares, strict=True))
        for shares in after
    ]


JSON_COLUMNS: dict[str, type] = {
    "spec": dict,
    "accuracy_matrix": list,
    "validation_matrix": list,
    "initial_accuracy": list,
    "curves": list,
    "versions": dict,
    "cost": dict,
    "probes": dict,
    "failure": dict,
    "moments": list,
}
"""The columns stored as JSON, and their types. Facts are kept as text, since many runs share
them."""

_OF_RECORDS = [each.name for each in fields(Record) if each.name != "references"]
_STATUS = _OF_RECORDS.index("status") + 1
COLUMNS = (*_OF_RECORDS[:_STATUS], "error", *_OF_RECORDS[_STATUS:])
"""The columns of a store and an archive: the fields of a record, and its error message."""


def columns_of(record: Record) -> dict[str, Any]:
    """Return the stored values of a run, by column.

    Raises:
        ValueError: A number is not finite.
    """
    values = {column: getattr(record, column) for column in COLUMNS}
    values["spec"] = record.spec.data
    values["facts"] = json.dumps(record.facts.data)
    values["failure"] = {} if record.failure is None else record.failure.to_json()
    return {
        column: json.dumps(value, allow_nan=False) if column in JSON_COLUMNS else value
        for column, value in values.items()
    }


def record_of(values: Mapping[str, Any]) -> Record:
    """Return the run with the values of ``columns_of``.

    Args:
        values: By column, with JSON parsed, and the facts as text.

    Raises:
        ValueError: The values have another shape.
    """
    if not all(isinstance(values[column], kind) for column, kind in JSON_COLUMNS.items()):
        raise ValueError("a column has the wrong type")
    check_shapes(values)
    own = {name: value for name, value in values.items() if name != "error"}
    failed = values["status"] == "failed"
    own["failure"] = Failure.read(values["failure"]) if failed else None
    own["facts"] = _facts(values["facts"])
    own["spec"] = spec = Spec(values["spec"])
    if spec.strength == own["strength"]:  # of columns of numbers, none is whole
        own["strength"] = spec.strength
    return Record(**own)


@lru_cache(maxsize=4096)
def _facts(text: str) -> Facts:
    try:
        return Facts.of(parsed(text))
    except ValueError as error:
        raise ValueError("its facts are not those of a strategy") from error


def readable(found: Iterable[Record | UserError]) -> list[Record]:
    """Return the readable runs, and warn of the others with a ``Remark``.

    Args:
        found: Each run, or the reason why it cannot be read.
    """
    runs = []
    for one in found:
        if isinstance(one, Record):
            runs.append(one)
        else:
            warnings.warn(f"left out: {one}", Remark, stacklevel=3)
    return runs


def check_record(record: Record) -> None:
    """Refuse a run that could not be read again after it is stored.

    Raises:
        ValueError: Says which value is wrong, and what was expected.
    """
    values = columns_of(record)
    record_of(values | {name: json.loads(values[name]) for name in JSON_COLUMNS})


def with_references(records: Sequence[Record]) -> list[Record]:
    """Return the runs, each with its reference runs among them.

    If a reference has several versions, the latest one counts.
    """
    roles = reference_roles()
    found: dict[str, dict[Role, tuple[int, Matrix]]] = {}
    for record in records:
        role, version = record.facts.role, record.facts.version
        if record.status == "done" and role in roles:
            own = found.setdefault(record.spec.pairing, {})
            if role not in own or version >= own[role][0]:
                own[role] = version, record.accuracy_matrix
    return [
        replace(record, references={
            role: matrix
            for role, (_, matrix) in found.get(record.spec.pairing, {}).items()
        })
        for record in records
    ]  # fmt: skip
