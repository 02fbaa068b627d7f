"""Writes runs into a store, and loses none if the store cannot be written for some time.

A store may be locked by another program, or its disk may be full. A run that cannot be written is
held in memory while training goes on. The write is retried, and after some time the run is written
into a file next to the store (``benchmark/store/unsaved_runs.py``).
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from palimpsest.benchmark.errors import UserError
from palimpsest.benchmark.store.store import Record, Store
from palimpsest.benchmark.store.unsaved_runs import save_beside, take_in, unsaved_runs

HOLD_SECONDS = 60.0
"""How long a run is held in memory before it is written into a file."""

_WAIT_SECONDS = 1.0
"""How long a write waits for a locked store."""

_PAUSE_SECONDS = 10.0
"""The time between two writes."""


class RunWriter:
    """Writes runs into a store from entry to exit.

    At the exit, held runs are written: into the store if possible within the time, or else into
    files. If the suite was interrupted, there is no waiting.

    Args:
        store: Open for writing.
        hold: Seconds that a run is held in memory; ``None`` for ``HOLD_SECONDS``.
        tell: Called with a sentence when runs are held, were written into the store after all, or
            were written into files.
        clock: Returns seconds; for tests.
        sleep: Waits for some seconds; for tests.

    Raises:
        UserError: At the exit: runs are not in the store. Says where they are.
    """

    def __init__(
        self,
        store: Store,
        hold: float | None = None,
        tell: Callable[[str], None] = lambda text: None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._store = store
        self._hold = HOLD_SECONDS if hold is None else hold
        self._tell = tell
        self._clock = clock
        self._sleep = sleep
        self._held: list[tuple[float, Record]] = []
        self._next = 0.0
        self._folders: dict[Path, int] = {}
        self._failing = False
        self._reason = ""
        self._nowhere = ""

    @property
    def holds(self) -> bool:
        """Whether runs are waiting for the store."""
        return bool(self._held)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            while self._held and kind is None and self._clock() < self._held[-1][0] + self._hold:
                self._write()
                if self._held:
                    self._sleep(1.0)
        finally:  # also if this wait is interrupted
            self._write()
            self._rescue(after=0.0)
        if kind is None:
            if self._folders:
                self._take_in()
            if self._held or self._folders:
                raise UserError(self._conclusion())

    def put(self, record: Record) -> None:
        """Write a run, or hold it."""
        self._held.append((self._clock(), record))
        if len(self._held) == 1:
            self._next = self._clock()
        self.try_again()

    def try_again(self) -> None:
        """Write held runs if the time has come; called from time to time while a suite runs."""
        if not self._held or self._clock() < self._next:
            return
        self._write()
        self._rescue(after=self._hold)
        self._next = self._clock() + _PAUSE_SECONDS

    def _write(self) -> None:
        while self._held:
            try:
                with self._store.waiting(_WAIT_SECONDS):
                    self._store.put(self._held[0][1])
            except UserError as error:
                self._reason = str(error)
                if not self._failing:
                    self._tell(
                        f"{error}. Meanwhile training goes on: runs are held in memory, tried "
                        f"again, and after {self._hold:g} s written beside the store"
                    )
                self._failing = True
                return
            self._held.pop(0)
        if self._failing:
            self._tell(f"{self._store.path}: the store takes runs again")
        self._failing = False

    def _rescue(self, after: float) -> None:
        """Write runs into files that were held for this number of seconds."""
        while self._held and self._clock() >= self._held[0][0] + after:
            try:
                folder = save_beside(self._store.path, self._held[0][1])
            except UserError as error:
                if not self._nowhere:
                    self._tell(f"no run can be written anywhere, so they stay in memory ({error})")
                self._nowhere = str(error)
                return
            if folder not in self._folders:
                self._tell(f"runs are now written into {folder}; the next run takes them in")
            self._folders[folder] = self._folders.get(folder, 0) + 1
            self._held.pop(0)

    def _take_in(self) -> None:
        """Move rescued runs into the store, if it can be written again."""
        with contextlib.suppress(UserError), self._store.waiting(_WAIT_SECONDS):
            take_in(self._store, unsaved_runs(self._store.path))
            self._folders.clear()

    def _conclusion(self) -> str:
        count = sum(self._folders.values())
        places = " and ".join(str(folder) for folder in self._folders)
        text = self._reason
        if self._folders:
            text += f"; {_runs(count)} in {places}; the next 'palimpsest run' takes them in"
        if self._held:
            text += f"; {_runs(len(self._held))} lost ({self._nowhere})"
        return text


def _runs(count: int) -> str:
    return "1 finished run is" if count == 1 else f"{count} finished runs are"
