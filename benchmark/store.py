"""The results database: one SQLite file, one row a run.

A run is written once, in one transaction, when it has ended (done or failed), so that an
interruption at any moment loses nothing that was finished.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, TypeVar

from benchmark.database import DAMAGED, open_database, told
from benchmark.errors import UserError
from benchmark.metrics import FINETUNE_FORGETTING, METRICS, NEEDS_REFERENCE, paired_metrics

_Row = TypeVar("_Row")

JSON_COLUMNS: dict[str, type] = {
    "spec": dict,
    "metrics": dict,
    "accuracy_matrix": list,
    "validation_matrix": list,
    "initial_accuracy": list,
    "curves": list,
    "versions": dict,
    "cost": dict,
    "probes": dict,
    "moments": list,
}
"""The columns that are kept as JSON, and what that is of."""


@dataclass(frozen=True)
class Record:
    """A run that has ended, as it stands in the store.

    Attributes:
        key: Hash of everything that decides the result.
        suite: Name of the suite that first asked for it.
        scenario: The scenario's name in the suite.
        strategy: The strategy's name in the suite.
        strength: The strategy's dial, ``None`` where it has none.
        seed: The run's seed.
        status: ``done`` or ``failed``.
        error: Why it failed, else ``None``.
        spec: All settings, defaults filled in; ``spec["strategy"]["strategy"]`` is the kind
            of strategy (``wpl``), ``spec["scenario"]["family"]`` the kind of scenario.
        metrics: By name, fractions; see ``benchmark/metrics.py``. Read through
            ``Store.records`` it holds those that need a reference run, too.
        accuracy_matrix: ``R[i][j]``, test accuracy of model j after model i.
        validation_matrix: The same on the validation split, for choosing settings.
        initial_accuracy: Test accuracy of each model before anything was trained.
        curves: One dict a model i that was trained: ``model`` (i), ``steps`` (n,) optimizer
            steps done, and ``accuracy``, for each model j = 0..i its test accuracy at these
            steps, (i+1, n).
        started: UTC time, ISO 8601.
        seconds: Wall-clock time of the run.
        peak_memory: Bytes, the process's largest resident set during the run (where the system
            cannot tell, since the process began); on a device, the most allocated.
        versions: Of Python, torch, Avalanche, this project, and the machine.
        cost: What the training took, see ``benchmark/cost.py``; empty where it failed and in
            runs of before version 2.
        probes: By name of the probe, see ``benchmark/probes``: ``{"rows": [...]}``, or
            ``{"absent": reason}``; empty where the suite asked for none.
        moments: Where models are trained by turns, again and again, there is no accuracy matrix;
            each moment at which models were evaluated is a dict: ``visit`` (its number), ``steps``
            (of all visits so far), ``accuracy`` (on test data, one per model, ``None`` for those
            not evaluated) and, where there is a validation split, ``validation_accuracy``.
    """

    key: str
    suite: str
    scenario: str
    strategy: str
    strength: float | None
    seed: int
    status: Literal["done", "failed"]
    error: str | None
    spec: dict[str, Any]
    metrics: dict[str, float | None] = field(default_factory=dict)
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
    moments: list[dict[str, Any]] = field(default_factory=list)


COLUMNS = tuple(column.name for column in fields(Record))
"""Of the table of runs: the attributes of a record."""


class Store:
    """Finished runs in one SQLite file (write-ahead log, so readers never block the writer).

    A store that is opened for reading stays as it is, to the last byte; one of an earlier
    version, too.

    Args:
        path: The database file.
        create: Open it for writing: make the file where there is none, and bring one of an
            earlier version up to date.

    Raises:
        UserError: The file is missing, is no store, is damaged, belongs to a newer version, or
            cannot be written where that was asked for.
    """

    def __init__(self, path: Path | str, *, create: bool = False) -> None:
        self.path = Path(path)
        self._write = create
        self._file = open_database(self.path, COLUMNS, write=create)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._file.connection.close()

    def put(self, record: Record) -> None:
        """Write a run; one with the same key is replaced (a failed run that was tried again).

        Raises:
            UserError: It cannot be written (a full disk); the runs before it are kept.
        """
        row = [getattr(record, column) for column in COLUMNS]
        row = [
            json.dumps(value, allow_nan=False) if column in JSON_COLUMNS else value
            for column, value in zip(COLUMNS, row, strict=True)
        ]
        marks = ", ".join("?" * len(COLUMNS))
        advice = "the runs before it are kept; mend that, and the same command goes on from there"
        with told(self.path, "a run cannot be written", advice), self._file.connection:
            self._file.connection.execute(
                f"INSERT OR REPLACE INTO runs ({', '.join(COLUMNS)}) VALUES ({marks})", row
            )

    def statuses(self) -> dict[str, str]:
        """Return the status of every stored run by its key."""
        return dict(self._fresh(lambda: self._rows("SELECT key, status FROM runs")))

    def records(self, keys: Sequence[str] | None = None) -> list[Record]:
        """Return the runs in a stable order, their metrics complete.

        Metrics that compare a run with a reference (``NEEDS_REFERENCE``) are computed here,
        from what the whole store holds of the same scenario and seed.

        Args:
            keys: Only these runs; all where ``None``.

        Raises:
            UserError: The file is damaged.
        """
        runs = self._fresh(self._read)
        pairings = [pairing(run["spec"]) for run in runs]
        references = _references(runs, pairings)
        wanted = None if keys is None else set(keys)
        return [
            Record(**run | {"metrics": _metrics(run, references.get(pairing, {}))})
            for run, pairing in zip(runs, pairings, strict=True)
            if wanted is None or run["key"] in wanted
        ]

    def _fresh(self, read: Callable[[], Iterator[_Row]]) -> list[_Row]:
        """Read until no other process wrote meanwhile: reading takes no locks that prevent it."""
        while True:
            try:
                found = list(read())
            except UserError:
                if self._file.is_current():
                    raise
            else:
                if self._file.is_current():
                    return found
            self.close()
            self._file = open_database(self.path, COLUMNS, write=self._write)

    def _rows(self, query: str) -> Iterator[Any]:
        if self._file.columns:
            with told(self.path, *DAMAGED):
                yield from self._file.connection.execute(query)

    def _read(self) -> Iterator[dict[str, Any]]:
        """Read all rows; the JSON of a row is parsed in one go, which takes half the time."""
        plain = [column for column in COLUMNS if column not in JSON_COLUMNS]
        empty: dict[type, str] = {dict: "'{}'", list: "'[]'"}
        there = [
            column if column in self._file.columns else empty[kind]
            for column, kind in JSON_COLUMNS.items()
        ]
        together = " || ',' || ".join(there)
        for *values, text in self._rows(
            f"SELECT {', '.join(plain)}, '[' || {together} || ']' FROM runs "
            "ORDER BY scenario, strategy, strength, seed, key"
        ):
            run = dict(zip(plain, values, strict=True)) | _parsed(text)
            if not is_whole(run):
                what, advice = DAMAGED
                raise UserError(f"{self.path}: {what} (run {run['key']!r}); {advice}")
            yield run


def _parsed(text: Any) -> dict[str, Any]:
    """The columns that hold JSON, or none where it is broken."""
    try:
        return dict(zip(JSON_COLUMNS, json.loads(text), strict=True))
    except (TypeError, ValueError):
        return {}


def is_whole(run: dict[str, Any]) -> bool:
    """Whether a row, its JSON parsed, has the shape that `Store.put` gave it."""
    if not all(isinstance(run.get(column), kind) for column, kind in JSON_COLUMNS.items()):
        return False
    scenario, strategy = (run["spec"].get(name) for name in ("scenario", "strategy"))
    return (
        isinstance(scenario, dict)
        and isinstance(strategy, dict)
        and isinstance(strategy.get("strategy"), str)
        and all(isinstance(run[name], str) for name in ("key", "suite", "scenario", "strategy"))
        and isinstance(run["seed"], int)
        and run["status"] in {"done", "failed"}
    )


def pairing(spec: dict[str, Any]) -> str:
    """Return what a run has in common with those that it is compared with seed by seed.

    Args:
        spec: Of the run's record.
    """
    common = {k: spec.get(k) for k in ("scenario", "seed", "device", "results_version")}
    return json.dumps(common, sort_keys=True)


_References = dict[str, list[list[float | None]]]
"""The accuracy matrices of the reference runs, by kind of strategy."""


def _references(runs: Sequence[dict[str, Any]], pairings: Sequence[str]) -> dict[str, _References]:
    found: dict[str, _References] = {}
    for run, pairing in zip(runs, pairings, strict=True):
        kind = run["spec"]["strategy"]["strategy"]
        known = run["status"] == "done" and run["accuracy_matrix"]
        if known and kind in NEEDS_REFERENCE.values():
            found.setdefault(pairing, {})[kind] = run["accuracy_matrix"]
    return found


def _metrics(run: dict[str, Any], references: _References) -> dict[str, float | None]:
    metrics: dict[str, float | None] = dict.fromkeys((*METRICS, FINETUNE_FORGETTING))
    if run["status"] == "done":
        metrics |= run["metrics"] | paired_metrics(run["accuracy_matrix"], references)
    return metrics
