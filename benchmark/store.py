"""The results database: one SQLite file, one row a run.

A run is written once, in one transaction, when it has ended (done or failed), so that an
interruption at any moment loses nothing that was finished.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from benchmark.errors import UserError
from benchmark.metrics import FINETUNE_FORGETTING, METRICS, NEEDS_REFERENCE, paired_metrics

SCHEMA_VERSION = 2

_SCHEMA = """
CREATE TABLE runs (
    key               TEXT PRIMARY KEY,
    suite             TEXT NOT NULL,
    scenario          TEXT NOT NULL,
    strategy          TEXT NOT NULL,
    strength          REAL,
    seed              INTEGER NOT NULL,
    status            TEXT NOT NULL CHECK (status IN ('done', 'failed')),
    error             TEXT,
    spec              TEXT NOT NULL,
    metrics           TEXT NOT NULL,
    accuracy_matrix   TEXT NOT NULL,
    validation_matrix TEXT NOT NULL,
    initial_accuracy  TEXT NOT NULL,
    curves            TEXT NOT NULL,
    started           TEXT NOT NULL,
    seconds           REAL NOT NULL,
    peak_memory       INTEGER NOT NULL,
    versions          TEXT NOT NULL,
    cost              TEXT NOT NULL DEFAULT '{}',
    probes            TEXT NOT NULL DEFAULT '{}'
);
CREATE INDEX runs_by_cell ON runs (scenario, strategy, strength, seed);
"""

_UPGRADES = {
    1: """
ALTER TABLE runs ADD COLUMN cost TEXT NOT NULL DEFAULT '{}';
ALTER TABLE runs ADD COLUMN probes TEXT NOT NULL DEFAULT '{}';
""",
}
"""What turns a store of one version into one of the next."""

_JSON = {
    "spec",
    "metrics",
    "accuracy_matrix",
    "validation_matrix",
    "initial_accuracy",
    "curves",
    "versions",
    "cost",
    "probes",
}


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


_COLUMNS = tuple(column.name for column in fields(Record))


class Store:
    """Finished runs in one SQLite file (write-ahead log, so readers never block the writer).

    Args:
        path: The database file.
        create: Make the file where there is none.

    Raises:
        UserError: The file is missing, is no store, or belongs to a newer version.
    """

    def __init__(self, path: Path | str, *, create: bool = False) -> None:
        self.path = Path(path)
        if not create and not self.path.is_file():
            raise UserError(
                f"{self.path}: there is no store here; 'palimpsest run SUITE --store {self.path}' "
                "makes one"
            )
        try:
            self._connection = sqlite3.connect(self.path, timeout=30)
            self._prepare()
        except sqlite3.DatabaseError as error:
            raise UserError(
                f"{self.path}: not a Palimpsest store that can be opened ({error}); "
                "name another file with --store"
            ) from error

    def _prepare(self) -> None:
        version = self._version()
        if version > SCHEMA_VERSION:
            raise UserError(
                f"{self.path}: written by a newer Palimpsest (store format {version}, this one "
                f"reads {SCHEMA_VERSION}); upgrade palimpsest-bench"
            )
        if version == SCHEMA_VERSION:
            return
        if version == 0:
            if self._connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                raise UserError(
                    f"{self.path}: a database, but not a Palimpsest store; name another file with "
                    "--store"
                )
            self._connection.execute("PRAGMA journal_mode = WAL")
        self._upgrade()

    def _version(self) -> int:
        return int(self._connection.execute("PRAGMA user_version").fetchone()[0])

    def _upgrade(self) -> None:
        """Make the tables, or bring them to this version: all at once or not at all."""
        with self._connection:
            self._connection.execute("BEGIN IMMEDIATE")
            version = self._version()  # another process may have been here in the meantime
            steps = [_UPGRADES[v] for v in range(version, SCHEMA_VERSION)] if version else [_SCHEMA]
            for statement in ";".join(steps).split(";"):
                self._connection.execute(statement)
            self._connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")

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
        self._connection.close()

    def put(self, record: Record) -> None:
        """Write a run; one with the same key is replaced (a failed run that was tried again)."""
        row = [getattr(record, column) for column in _COLUMNS]
        row = [
            json.dumps(value, allow_nan=False) if column in _JSON else value
            for column, value in zip(_COLUMNS, row, strict=True)
        ]
        marks = ", ".join("?" * len(_COLUMNS))
        with self._connection:
            self._connection.execute(
                f"INSERT OR REPLACE INTO runs ({', '.join(_COLUMNS)}) VALUES ({marks})", row
            )

    def statuses(self) -> dict[str, str]:
        """Return the status of every stored run by its key."""
        return dict(self._connection.execute("SELECT key, status FROM runs"))

    def records(self, keys: Sequence[str] | None = None) -> list[Record]:
        """Return the runs in a stable order, their metrics complete.

        Metrics that compare a run with a reference (``NEEDS_REFERENCE``) are computed here,
        from what the whole store holds of the same scenario and seed.

        Args:
            keys: Only these runs; all where ``None``.
        """
        runs = list(self._read())
        pairings = [pairing(run["spec"]) for run in runs]
        references = _references(runs, pairings)
        wanted = None if keys is None else set(keys)
        return [
            Record(**run | {"metrics": _metrics(run, references.get(pairing, {}))})
            for run, pairing in zip(runs, pairings, strict=True)
            if wanted is None or run["key"] in wanted
        ]

    def _read(self) -> Iterator[dict[str, Any]]:
        """Read all rows; the JSON of a row is parsed in one go, which takes half the time."""
        plain = [column for column in _COLUMNS if column not in _JSON]
        coded = [column for column in _COLUMNS if column in _JSON]
        together = " || ',' || ".join(coded)
        rows = self._connection.execute(
            f"SELECT {', '.join(plain)}, '[' || {together} || ']' FROM runs "
            "ORDER BY scenario, strategy, strength, seed, key"
        )
        names = (*plain, *coded)
        for *values, text in rows:
            yield dict(zip(names, (*values, *json.loads(text)), strict=True))


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
        if run["status"] == "done" and kind in NEEDS_REFERENCE.values():
            found.setdefault(pairing, {})[kind] = run["accuracy_matrix"]
    return found


def _metrics(run: dict[str, Any], references: _References) -> dict[str, float | None]:
    metrics: dict[str, float | None] = dict.fromkeys((*METRICS, FINETUNE_FORGETTING))
    if run["status"] == "done":
        metrics |= run["metrics"] | paired_metrics(run["accuracy_matrix"], references)
    return metrics
