"""The control groups of this process: the limits of a container, a batch job or a service.

Both versions of control groups are read. The limits of parent groups count, too.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class ControlGroups:
    """The control groups of this process.

    Attributes:
        tree: The mount point.
        own: The file with the names of this process's groups.
    """

    tree: Path = Path("/sys/fs/cgroup")
    own: Path = Path("/proc/self/cgroup")

    def memory_kills(self) -> int:
        """Return how many of its processes were killed for lack of memory; 0 if unknown."""
        for folder in self._folders("memory"):
            for name in ("memory.events", "memory.oom_control"):
                counts = _table(folder / name)
                if "oom_kill" in counts:
                    return counts["oom_kill"]
        return 0

    def processors(self) -> float | None:
        """Return the number of processors that may be used; ``None`` without a limit."""
        limits = []
        for folder in self._folders("cpu"):
            quota, *period = _words(folder / "cpu.max") or ["max"]
            if quota == "max":
                quota, *period = _words(folder / "cpu.cfs_quota_us") or ["-1"]
                period = _words(folder / "cpu.cfs_period_us")
            with contextlib.suppress(ValueError, IndexError, ZeroDivisionError):
                limits.append(int(quota) / int(period[0]))
        return min((limit for limit in limits if limit > 0), default=None)

    def free_memory(self) -> int | None:
        """Return the free memory in bytes; ``None`` without a limit.

        The system's file cache counts as free.
        """
        left = []
        for folder in self._folders("memory"):
            usage_of = _table(folder / "memory.stat")
            dropped = usage_of.get("total_inactive_file", usage_of.get("inactive_file", 0))
            for most, used in (
                ("memory.max", "memory.current"),
                ("memory.limit_in_bytes", "memory.usage_in_bytes"),
            ):
                with contextlib.suppress(ValueError, IndexError):
                    limit, usage = (int(_words(folder / name)[0]) for name in (most, used))
                    left.append(max(0, limit - usage + dropped))
        return min(left, default=None)

    def _folders(self, controller: str) -> Iterator[Path]:
        """Yield the folder of the process's group and of its parents.

        In a container, the tree may begin at the process's own group.
        """
        for line in (_text(self.own) or "").splitlines():
            number, controllers, path = line.split(":", 2)
            if number == "0":
                tree = self.tree
            elif controller in controllers.split(","):
                tree = self.tree / controllers
                tree = tree if tree.is_dir() else self.tree / controller
            else:
                continue
            folder = tree / path.lstrip("/")
            yield folder
            while folder != tree:
                folder = folder.parent
                yield folder


def _text(file: Path) -> str | None:
    with contextlib.suppress(OSError, UnicodeDecodeError):
        return file.read_text()
    return None


def _words(file: Path) -> list[str]:
    return (_text(file) or "").split()


def _table(file: Path) -> dict[str, int]:
    """Parse lines of a name and a number."""
    rows = [line.split() for line in (_text(file) or "").splitlines()]
    return {row[0]: int(row[1]) for row in rows if len(row) == 2 and row[1].isdigit()}
