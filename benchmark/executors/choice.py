"""Chooses the executor for a target."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from palimpsest.benchmark.executors.executor import Executor
from palimpsest.benchmark.executors.options import RunOptions
from palimpsest.benchmark.executors.target import RAY, SLURM
from palimpsest.benchmark.runs.checkpoints.paths import CheckpointSettings
from palimpsest.benchmark.suites.resources import Resources


def make_executor(
    options: RunOptions,
    *,
    root: Path,
    workers: int | None,
    checkpoints: CheckpointSettings | None = None,
    resources: Mapping[str, Resources] | None = None,
) -> Executor:
    """Return the executor that the options ask for.

    Args:
        options: Of all runs.
        root: The folder that holds the data sets.
        workers: How many jobs at a time; 0: in this process. ``None``: as many as a cluster has
            room for.
        checkpoints: Of the jobs, or ``None``.
        resources: What a run of each suite needs on a cluster, by the suite's name.

    Raises:
        UserError: A cluster cannot be reached, or is not such as was asked for.
    """
    target, scratch, timeout = options.target, options.scratch, options.run_timeout
    if target.kind == RAY:
        from palimpsest.benchmark.executors.ray.cluster import RayCluster

        return RayCluster(
            root, target.address, workers, scratch, timeout, options.retries, resources, checkpoints
        )
    if target.kind == SLURM:
        from palimpsest.benchmark.executors.slurm.arrays import SlurmArrays

        return SlurmArrays(
            root, options.store, workers or 1, scratch, timeout, resources, target.slurm,
            checkpoints,
        )  # fmt: skip
    if workers == 0:
        from palimpsest.benchmark.executors.in_process import InProcess

        return InProcess(root, scratch, checkpoints)
    from palimpsest.benchmark.executors.local.workers import WorkerProcesses

    return WorkerProcesses(root, workers or 1, scratch, timeout, checkpoints)
