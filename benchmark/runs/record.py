"""A run that has ended, and its columns in a store and in an archive."""

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
    """A run that has ended, as the store holds it.

    Attributes:
        key: Hash of everything that decides the result.
        suite: Name of the suite that first asked for it.
        scenario: The scenario's name in the suite.
        strategy: The strategy's name in the suite.
        strength: The value of the strategy's dial, ``None`` if it has none.
        seed: The run's seed.
        status: ``done`` or ``failed``.
        spec: All settings, defaults filled in.
        facts: What others must know of the strategy with these settings.
        accuracy_matrix: ``R[i][j]``, test accuracy of model j after model i.
        validation_matrix: The same on the validation split, for choosing settings.
        initial_accuracy: Test accuracy of each model before anything was trained.
        curves: One dict per model i that was trained: ``model`` (i), ``steps`` (n,) optimizer
            steps done, and ``accuracy``, for each model j = 0..i its test accuracy at these
            steps, (i+1, n).
        started: UTC time, ISO 8601.
        seconds: Wall-clock time of the run.
        peak_memory: Bytes, the process's largest resident set during the run (where the system
            cannot tell, since the process began); on a device, the most allocated.
        versions: Of Python, torch, Avalanche, this project, and the machine.
        cost: What the training cost, see ``runs/cost.py``; empty if it failed. ``classes``, if
            it is there: of each experience the names of its classes. ``lost``, likewise: how often
            the process that carried it out ended before the run did, until this time.
        probes: By name of the probe, see ``benchmark/probes``: ``{"rows": [...]}``, or
            ``{"absent": reason}``; empty if the suite asked for none.
        failure: Why it failed; ``None`` if it did not.
        moments: If models are trained in alternating visits, there is no accuracy matrix; each
            moment at which models were evaluated is a dict: ``visit`` (its number), ``steps``
            (of all visits so far), ``accuracy`` (on test data, one per model, ``None`` for those
            not evaluated) and, if there is a validation split, ``validation_accuracy``.
        references: Accuracy matrices of the runs of the same scenario and seed that metrics compare
            it with, by role; not stored, but looked up when runs are read.
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
        """The metrics by name, see ``benchmark/metrics``; computed on demand."""
        return Computed(self)

    @property
    def final_accuracy(self) -> Accuracies:
        """Test accuracy of each model at the end: last row of the matrix, or last moment.

        ``None`` for models that were not evaluated at that moment; empty where there is neither.
        """
        return _final(self.accuracy_matrix, self.moments, "accuracy")

    @property
    def final_validation(self) -> Accuracies:
        """The same on the validation split; empty where the scenario has none."""
        return _final(self.validation_matrix, self.moments, "validation_accuracy")

    @property
    def free_shares(self) -> Accuracies:
        """Which share of the shared parameters can still change after each model, see ``Capacity``.

        Empty where the strategy does not tell it; ``None`` for a model after which it was not
        asked.
        """
        return free_share(self.cost.get("capacity", {}).values())

    @property
    def visits(self) -> list[dict[str, Any]]:
        """The measured visits of a search, with error rates; see ``benchmark/search/measuring``."""
        return self._visits(perplexity=False)

    @property
    def visits_perplexity(self) -> list[dict[str, Any]]:
        """The same of a search in text, with perplexities."""
        return self._visits(perplexity=True)

    def _visits(self, *, perplexity: bool) -> list[dict[str, Any]]:
        found = self.probes.get("search", {})
        rows: list[dict[str, Any]] = found.get("rows", [])
        return rows if found.get("perplexity") is perplexity else []

    @property
    def error(self) -> str | None:
        """Why it failed, in words; ``None`` if it did not."""
        return None if self.failure is None else self.failure.message


def _final(matrix: Matrix, moments: Sequence[Mapping[str, Any]], name: str) -> Accuracies:
    if matrix:
        return matrix[-1]
    found: Accuracies = moments[-1].get(name, []) if moments else []
    return found


def free_share(tensors: Collection[Mapping[str, Any]]) -> Accuracies:
    """Return the share of several tensors that is free after each model, by their sizes.

    Args:
        tensors: ``parameters`` and ``free`` of each, as in ``cost``.

    Returns:
        One share per model; nothing where the tensors hold no number.
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
"""The columns that are kept as JSON, and their types; but for the facts, which most runs have in
common with others."""

_OF_RECORDS = [each.name for each in fields(Record) if each.name != "references"]
_STATUS = _OF_RECORDS.index("status") + 1
COLUMNS = (*_OF_RECORDS[:_STATUS], "error", *_OF_RECORDS[_STATUS:])
"""Of a store and an archive: the fields of a record, and its error message in a column of its
own."""


def columns_of(record: Record) -> dict[str, Any]:
    """Return what is stored for a run, by column.

    Raises:
        ValueError: It holds a number that is not finite.
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
    """Return the run that ``columns_of`` stored.

    Args:
        values: By column, JSON parsed; the facts as text.

    Raises:
        ValueError: They have another shape.
    """
    if not all(isinstance(values[column], kind) for column, kind in JSON_COLUMNS.items()):
        raise ValueError("a column has the wrong type")
    check_shapes(values)
    own = {name: value for name, value in values.items() if name != "error"}
    failed = values["status"] == "failed"
    own["failure"] = Failure.read(values["failure"], values["error"]) if failed else None
    own["spec"] = Spec(values["spec"])
    own["facts"] = _facts(values["facts"])
    return Record(**own)


@lru_cache(maxsize=4096)
def _facts(text: str) -> Facts:
    try:
        return Facts.of(parsed(text))
    except ValueError as error:
        raise ValueError("its facts are not those of a strategy") from error


def readable(found: Iterable[Record | UserError]) -> list[Record]:
    """Return the runs that could be read; of the others a ``Remark`` says why.

    Args:
        found: Of each run, itself or what is wrong with it.
    """
    runs = []
    for one in found:
        if isinstance(one, Record):
            runs.append(one)
        else:
            warnings.warn(f"left out: {one}", Remark, stacklevel=3)
    return runs


def check_record(record: Record) -> None:
    """Refuse a run that could not be read again once it is stored.

    Raises:
        ValueError: Says which of its values, and what was expected.
    """
    values = columns_of(record)
    record_of(values | {name: json.loads(values[name]) for name in JSON_COLUMNS})


def with_references(records: Sequence[Record]) -> list[Record]:
    """Give each run its reference runs, from all that are read together.

    Of several, that of its own results version counts, or else that of the latest.
    """
    roles = reference_roles()
    found: dict[str, dict[Role, dict[int, Matrix]]] = {}
    for record in records:
        role = record.facts.role
        if record.status == "done" and role in roles:
            own = found.setdefault(record.spec.pairing, {}).setdefault(role, {})
            own[record.spec.results_version or 0] = record.accuracy_matrix
    return [
        replace(record, references={
            role: versions.get(record.spec.results_version or 0, versions[max(versions)])
            for role, versions in found.get(record.spec.pairing, {}).items()
        })
        for record in records
    ]  # fmt: skip
