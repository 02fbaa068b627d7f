"""The end of a worker process, in words."""

from __future__ import annotations

import signal
from dataclasses import dataclass

from palimpsest.benchmark.runs.failure import FailureKind

_MAPPED = (
    "a file that it had mapped into memory could not be read or written; the disk or memory file "
    "system of the scratch files is full, or they were changed or cut off (--scratch DIR puts them "
    "elsewhere)"
)


@dataclass(frozen=True)
class ProcessExit:
    """The end of a worker process.

    Attributes:
        code: Its exit status, or minus the number of the signal; ``None`` if unknown.
        out_of_memory: Whether the system has meanwhile killed a process of this control group for
            lack of memory.
    """

    code: int | None
    out_of_memory: bool = False

    @property
    def kind(self) -> FailureKind:
        """The kind of failure for the runs of the process."""
        known = self.code == -signal.SIGKILL and self.out_of_memory
        return FailureKind.OUT_OF_MEMORY if known else FailureKind.KILLED

    def __str__(self) -> str:
        if self.code is None:
            return "its worker process was lost"
        if self.code >= 0:
            return f"its worker process ended itself with exit status {self.code}"
        if self.code != -signal.SIGKILL:
            reason = f"its worker process was ended by signal {-self.code} ({_name(-self.code)})"
            return f"{reason}: {_MAPPED}" if self.code == -signal.SIGBUS else reason
        advice = "try fewer workers (--workers)"
        if self.out_of_memory:
            return f"its worker process was killed (SIGKILL): out of memory; {advice}"
        return f"its worker process was killed (SIGKILL), perhaps out of memory; {advice}"


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal
        return "without a name"
