"""A connection to a database that waits for locks so that signals are heard meanwhile."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from typing import Any

PATIENCE = 30.0
"""Seconds that a statement waits for other processes, unless a connection is told otherwise."""

AT_A_TIME = 0.5
"""Seconds that SQLite waits by itself; no signal is heard meanwhile."""


class Connection(sqlite3.Connection):
    """A connection that waits for locks a moment at a time.

    SQLite waits outside of Python, which hears of an interrupt only when that is over. A statement
    that begins a transaction, or stands alone, is tried again. One inside a transaction is not: it
    waits for nothing once the transaction has begun with ``BEGIN IMMEDIATE``.
    """

    _patience = PATIENCE
    guard: Callable[[], None] | None = None
    """Called before a statement that begins a transaction or stands alone; raises to prevent it."""

    @property
    def patience(self) -> float:
        """Seconds that a statement waits in all."""
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
