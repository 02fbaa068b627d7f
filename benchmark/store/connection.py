"""A connection to a database that handles signals while it waits for locks."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from typing import Any

PATIENCE = 30.0
"""The default seconds that a statement waits for other processes."""

AT_A_TIME = 0.5
"""Seconds that SQLite waits without handling signals."""


class Connection(sqlite3.Connection):
    """A connection that waits for locks in short steps.

    SQLite waits outside of Python, which handles an interrupt only afterwards. A statement that
    begins a transaction, or is outside of one, is retried. A statement inside a transaction never
    waits after ``BEGIN IMMEDIATE``.
    """

    _patience = PATIENCE
    guard: Callable[[], None] | None = None
    """Called before a statement outside of a transaction; it may raise to prevent the statement."""

    @property
    def patience(self) -> float:
        """The total seconds that a statement waits."""
        return self._patience

    @patience.setter
    def patience(self, seconds: float) -> None:
        self._patience = seconds
        super().execute(f"PRAGMA busy_timeout = {round(1000 * min(seconds, AT_A_TIME))}")

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        """Execute a statement.

        Raises:
            sqlite3.OperationalError: Another process holds a lock for longer than ``patience``.
        """
        if self.guard is not None and not self.in_transaction and not sql.startswith("PRAGMA"):
            self.guard()
        end = time.monotonic() + self._patience
        while True:
            try:
                return super().execute(sql, parameters)
            except sqlite3.OperationalError as error:
                busy = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
                if not busy or self.in_transaction or time.monotonic() >= end:
                    raise


def connect(name: str, patience: float = PATIENCE) -> Connection:
    """Open a database.

    Args:
        name: A URI.
        patience: Seconds that a statement waits for other processes.
    """
    connection = sqlite3.connect(name, uri=True, factory=Connection)
    connection.patience = patience
    return connection
