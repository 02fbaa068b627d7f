"""From where runs shall be carried out to the executor that does it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from palimpsest.benchmark.executors.executor import Executor
from palimpsest.benchmark.executors.paths import RAY, SLURM, Place
from palimpsest.benchmark.runs.checkpoints.paths import Checkpoints
from palimpsest.benchmark.suites.resources import Resources


@dataclass(frozen=True)
class Conditions:
    """What executors need to know.

    Attributes:
        root: The folder that holds the data sets.
        store: The results database, beside which a cluster's files may be.
        checkpoints: Of the jobs, or ``None``.
        workers: How many jobs at a time, each in a process of its own; with 0, one at a time in
            this process. ``None``: as many as a cluster has room for.
        scratch: Where to make a folder for shared files; ``None`` for the system's.
        run_timeout: Seconds that a run may take in a process of its own, or ``None``.
        retries: How often a lost run is tried again.
        resources: What a run of each suite needs on a cluster, by the suite's name.
    """

    root: Path
    store: Path
    checkpoints: Checkpoints | None
    workers: int | None
    scratch: Path | None = None
    run_timeout: float | None = None
    retries: int = 1
    resources: Mapping[str, Resources] = field(default_factory=dict)


def executor_at(place: Place, conditions: Conditions) -> Executor:
    """Return what carries out jobs at a place.

    Raises:
        UserError: A cluster cannot be reached, or is not such as was asked for.
    """
    it = conditions
    if place.kind == RAY:
        from palimpsest.benchmark.executors.ray.cluster import RayCluster

        return RayCluster(
            it.root, place.address, it.workers, it.scratch, it.run_timeout, it.retries,
            it.resources, it.checkpoints,
        )  # fmt: skip
    if place.kind == SLURM:
        from palimpsest.benchmark.executors.slurm.arrays import SlurmArrays

        return SlurmArrays(
            it.root, it.store, it.workers or 1, it.scratch, it.run_timeout, it.resources,
            place.slurm, it.checkpoints,
        )  # fmt: skip
    if it.workers == 0:
        from palimpsest.benchmark.executors.in_process import InProcess

        return InProcess(it.root, it.scratch, it.checkpoints)
    from palimpsest.benchmark.executors.local.workers import WorkerProcesses

    return WorkerProcesses(it.root, it.workers or 1, it.scratch, it.run_timeout, it.checkpoints)
