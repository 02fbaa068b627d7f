"""How a process has ended, in words."""

from __future__ import annotations

import contextlib
import signal
from dataclasses import dataclass
from pathlib import Path

from benchmark.failure import FailureKind

_GROUPS = Path("/sys/fs/cgroup")
_OWN_GROUPS = Path("/proc/self/cgroup")


@dataclass(frozen=True)
class Death:
    """How a worker process has ended.

    Attributes:
        code: Its exit status, or minus the number of the signal; ``None`` if nobody knows.
        out_of_memory: Whether the system has ended a process of this one's control group for want
            of memory meanwhile.
    """

    code: int | None
    out_of_memory: bool = False

    @property
    def kind(self) -> FailureKind:
        """What that means for the runs that it was carrying out."""
        known = self.code == -signal.SIGKILL and self.out_of_memory
        return FailureKind.OUT_OF_MEMORY if known else FailureKind.KILLED

    def __str__(self) -> str:
        if self.code is None:
            return "its worker process was lost"
        if self.code >= 0:
            return f"its worker process ended itself with exit status {self.code}"
        if self.code != -signal.SIGKILL:
            return f"its worker process was ended by signal {-self.code} ({_name(-self.code)})"
        advice = "try fewer workers (--workers)"
        if self.out_of_memory:
            return f"its worker process was killed (SIGKILL): out of memory; {advice}"
        return f"its worker process was killed (SIGKILL), perhaps out of memory; {advice}"


def memory_kills(groups: Path = _GROUPS, own: Path = _OWN_GROUPS) -> int:
    """Return how many processes of this control group were ended for want of memory; 0 if unknown.

    Args:
        groups: Where control groups are mounted.
        own: The file that names those of this process.
    """
    for file in _counters(groups, own):
        with contextlib.suppress(OSError, ValueError):
            told = dict(line.split() for line in file.read_text().splitlines())
            if "oom_kill" in told:
                return int(told["oom_kill"])
    return 0


def _counters(groups: Path, own: Path) -> list[Path]:
    """The files that may count them, in version 2 and version 1 of control groups.

    In a container the mounted tree may begin at the process's own group.
    """
    found = []
    with contextlib.suppress(OSError):
        for line in own.read_text().splitlines():
            number, controllers, path = line.split(":", 2)
            if number == "0":
                found += [groups / path.lstrip("/") / "memory.events", groups / "memory.events"]
            elif controllers == "memory":
                tree = groups / "memory"
                found += [f / "memory.oom_control" for f in (tree / path.lstrip("/"), tree)]
    return found


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal
        return "without a name"
