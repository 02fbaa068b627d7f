"""The tables of a store."""

from __future__ import annotations

import sqlite3

from palimpsest.benchmark.store.active_runs import LEASES
from palimpsest.benchmark.store.active_runs import TABLES as ACTIVE

SCHEMA_VERSION = 1

TABLES = ("runs", "suites", "processes", "active_jobs", "leases")

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
    facts             TEXT NOT NULL,
    accuracy_matrix   TEXT NOT NULL,
    validation_matrix TEXT NOT NULL,
    initial_accuracy  TEXT NOT NULL,
    curves            TEXT NOT NULL,
    started           TEXT NOT NULL,
    seconds           REAL NOT NULL,
    peak_memory       INTEGER NOT NULL,
    versions          TEXT NOT NULL,
    cost              TEXT NOT NULL,
    probes            TEXT NOT NULL,
    failure           TEXT NOT NULL,
    moments           TEXT NOT NULL
);
CREATE INDEX runs_by_cell ON runs (scenario, strategy, strength, seed);
CREATE TABLE suites (
    name              TEXT PRIMARY KEY,
    description       TEXT NOT NULL,
    scenarios         TEXT NOT NULL,
    strategies        TEXT NOT NULL
);
{ACTIVE}{LEASES}"""


def version_of(connection: sqlite3.Connection) -> int:
    """Return the version of a store; 0 if its tables are still missing."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def make_tables(connection: sqlite3.Connection) -> None:
    """Make the tables, all at once or not at all, unless another process has made them."""
    with connection:
        connection.execute("BEGIN IMMEDIATE")
        if version_of(connection) == 0:
            for statement in _SCHEMA.split(";"):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
