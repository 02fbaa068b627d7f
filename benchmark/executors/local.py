"""The executors of this machine."""

from __future__ import annotations

from pathlib import Path

from benchmark.executors.executor import Executor


def local_executor(
    root: Path, workers: int, scratch: Path | None = None, run_timeout: float | None = None
) -> Executor:
    """Return what carries out jobs on this machine.

    Args:
        root: The folder that holds the data sets.
        workers: How many jobs at a time, each in a process of its own; with 0, one at a time in
            this process.
        scratch: Where to make a folder for shared files; ``None`` for the system's.
        run_timeout: Seconds that a run may take in a process of its own, or ``None``.
    """
    if workers == 0:
        from benchmark.executors.in_process import InProcess

        return InProcess(root, scratch)
    from benchmark.executors.workers import WorkerProcesses

    return WorkerProcesses(root, workers, scratch, run_timeout)
