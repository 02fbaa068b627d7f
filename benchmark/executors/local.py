"""The executors of this machine."""

from __future__ import annotations

from pathlib import Path

from benchmark.executors.executor import Executor


def local_executor(root: Path, workers: int) -> Executor:
    """Return what carries out jobs on this machine.

    Args:
        root: The folder that holds the data sets.
        workers: How many jobs at a time; with 1, no other process is started.
    """
    if workers == 1:
        from benchmark.executors.in_process import InProcess

        return InProcess(root)
    from benchmark.executors.workers import WorkerProcesses

    return WorkerProcesses(root, workers)
