"""The tables of a store in every version, and how one of an earlier version becomes one of this."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from pathlib import Path

from palimpsest.benchmark.errors import UserError
from palimpsest.benchmark.store.active_runs import LEASES
from palimpsest.benchmark.store.active_runs import TABLES as ACTIVE

SCHEMA_VERSION = 6

_SUITES = """
CREATE TABLE suites (
    name              TEXT PRIMARY KEY,
    description       TEXT NOT NULL,
    scenarios         TEXT NOT NULL,
    strategies        TEXT NOT NULL
);
"""

_SCHEMA = f"""
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
    cost              TEXT NOT NULL DEFAULT '{{}}',
    probes            TEXT NOT NULL DEFAULT '{{}}',
    failure           TEXT NOT NULL DEFAULT '{{}}',
    moments           TEXT NOT NULL DEFAULT '[]'
);
CREATE INDEX runs_by_cell ON runs (scenario, strategy, strength, seed);
{_SUITES}{ACTIVE}{LEASES}"""

UPGRADES = {
    1: """
ALTER TABLE runs ADD COLUMN cost TEXT NOT NULL DEFAULT '{}';
ALTER TABLE runs ADD COLUMN probes TEXT NOT NULL DEFAULT '{}';
""",
    2: """
ALTER TABLE runs ADD COLUMN failure TEXT NOT NULL DEFAULT '{}';
ALTER TABLE runs ADD COLUMN moments TEXT NOT NULL DEFAULT '[]';
""",
    3: _SUITES,
    4: ACTIVE,
    5: LEASES,
}
"""SQL that turns a store of each version into one of the next; what is new starts empty."""

_TABLE = re.compile(r"CREATE TABLE (\w+)")
_COLUMN = re.compile(r"ADD COLUMN (\w+)")


def additions(version: int) -> tuple[set[str], set[str]]:
    """Return what a store of a version has: its tables, and the columns of runs that it lacks."""
    later = "".join(UPGRADES[v] for v in range(version, SCHEMA_VERSION))
    return set(_TABLE.findall(_SCHEMA)) - set(_TABLE.findall(later)), set(_COLUMN.findall(later))


def version_of(connection: sqlite3.Connection) -> int:
    """The version of a store; 0 if its tables are still to be made."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def upgrade(connection: sqlite3.Connection, path: Path) -> Path | None:
    """Make the tables, or bring them to this version: all at once or not at all.

    Returns:
        The copy of an earlier version, made before anything is changed.
    """
    kept = None
    try:
        with connection:
            connection.execute("BEGIN IMMEDIATE")
            version = version_of(connection)  # another process may have been here in the meantime
            if version not in {0, SCHEMA_VERSION}:
                kept = _copy_of(path, version)
            before = _count(connection) if version else 0
            steps = [UPGRADES[v] for v in range(version, SCHEMA_VERSION)] if version else [_SCHEMA]
            for statement in ";".join(steps).split(";"):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
            (state,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
            if state != "ok" or _count(connection) != before:
                raise UserError(
                    f"{path}: the store cannot be brought up to date from version {version} "
                    "without a loss, and is as it was; 'palimpsest doctor' says what can be read"
                )
    except BaseException:
        if kept:
            kept.unlink()
        raise
    return kept


def _count(connection: sqlite3.Connection) -> int:
    return int(connection.execute("SELECT count(*) FROM runs").fetchone()[0])


def _copy_of(path: Path, version: int) -> Path:
    """Copy a store, with what is in its log, to STORE.vN.bak beside it; whole, or not at all."""
    place = path.resolve()
    copy = place.with_name(f"{place.name}.v{version}.bak")
    number = 1
    while copy.exists():
        number += 1
        copy = place.with_name(f"{place.name}.v{version}-{number}.bak")
    partly = copy.with_name(f"{copy.name}.part")
    partly.unlink(missing_ok=True)
    try:
        with (
            closing(sqlite3.connect(f"{place.as_uri()}?mode=ro", uri=True)) as source,
            closing(sqlite3.connect(partly)) as target,
        ):
            source.backup(target)
            target.execute("PRAGMA journal_mode = DELETE")
        partly.rename(copy)
    finally:
        partly.unlink(missing_ok=True)
    return copy
