"""Runs suites from Python. The command ``palimpsest run`` adds the output."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from palimpsest.benchmark.errors import UserError
from palimpsest.benchmark.executors.executor import Executor
from palimpsest.benchmark.executors.options import RunOptions
from palimpsest.benchmark.executors.run_jobs import run_jobs
from palimpsest.benchmark.executors.target import LOCAL, RAY, SLURM
from palimpsest.benchmark.orchestration.eta import Eta
from palimpsest.benchmark.orchestration.plan import Plan, make_plan
from palimpsest.benchmark.plugins import load_files
from palimpsest.benchmark.results.results import Results
from palimpsest.benchmark.runs.checkpoints.paths import (
    CheckpointSettings,
    checkpoints_folder,
    remove_checkpoints,
)
from palimpsest.benchmark.runs.failure import FailureKind
from palimpsest.benchmark.runs.job_progress import JobProgress
from palimpsest.benchmark.store.heartbeat import Heartbeat
from palimpsest.benchmark.store.leases import Leases
from palimpsest.benchmark.store.store import Record, Store
from palimpsest.benchmark.store.unsaved_runs import save_beside, take_in
from palimpsest.benchmark.store.writer import RunWriter
from palimpsest.benchmark.suites.jobs import Job
from palimpsest.benchmark.suites.loading import SuiteLike, load_suite
from palimpsest.benchmark.suites.suite import Suite


@dataclass(frozen=True)
class Progress:
    """Progress while suites run: a run has ended, or a job has advanced.

    Attributes:
        done: The number of ended runs, including those that the store had before.
        total: The number of runs of the suites.
        record: The run that has ended; ``None`` if a job is active.
        job: The runs of the job, which are trained together.
        fraction: The completed fraction of the job, from 0 to 1.
        seconds_left: The estimated remaining time; ``None`` if there is no estimate yet.
        message: A sentence for the user, for example if the store cannot be written at present.
    """

    done: int
    total: int
    record: Record | None
    job: Job
    fraction: float
    seconds_left: float | None
    message: str = ""


Watcher = Callable[[Progress], None]
"""Called with progress, in the thread that runs the suite; an exception in it ends the suite."""


def run_suite(
    *suites: Suite | SuiteLike,
    store: Path | str = "palimpsest.db",
    device: str = "cpu",
    workers: int | None = None,
    data_root: Path | str | None = None,
    scratch: Path | str | None = None,
    run_timeout: float | None = None,
    retries: int = 1,
    checkpoint_every: int | None = None,
    plugins: Iterable[Path | str] = (),
    progress: Watcher | None = None,
    hold: float | None = None,
    executor: str = LOCAL,
    address: str | None = None,
    slurm: Mapping[str, str] | None = None,
) -> Results:
    """Execute the runs of suites that a store does not have yet, and return all runs.

    Other processes may run suites into the same store at the same time, and share the runs. A run
    is stored as soon as it has ended, so an interrupt (``KeyboardInterrupt``) loses none: the same
    call continues from there. If the store cannot be written (a full disk, a lock), runs are held
    in memory, tried again, and then written into files next to the store, from which the next call
    moves them into the store. Nothing is printed.

    Args:
        *suites: Results or arguments of ``load_suite``.
        store: The results database; created if missing.
        device: In torch's notation: ``cpu``, ``cuda``, ``cuda:1``.
        workers: The number of worker processes. ``None``: one per available processor, or fewer if
            there is too little memory. 0 runs everything in this process, for a debugger, or for
            objects that only a notebook defines.
        data_root: The folder that holds the data sets; ``None`` for ``$PALIMPSEST_DATA``, else the
            user's cache.
        scratch: The folder for temporary files that runs share, such as decoded data sets; ``None``
            for the system's folder of temporary files.
        run_timeout: Seconds after which a run is ended and recorded as failed; ``None`` for no
            limit.
        retries: How often a run is tried again after its process has died.
        checkpoint_every: Optimizer steps between the checkpoints of a run, besides one after each
            model; ``None``: after a model, at most once a minute. A run whose process was killed is
            resumed from its last checkpoint. They are in ``STORE.checkpoints`` until the run is in
            the store.
        plugins: Python files that add strategies and scenarios, for suites that are not loaded yet,
            and metrics. The process keeps these additions.
        progress: Called with the progress.
        hold: The seconds for which a run is held in memory if the store cannot be written; ``None``
            for 60.
        executor: ``local`` for this machine; ``ray`` or ``slurm`` for a cluster. There ``workers``
            is the number of parallel runs; ``None`` for the room of the Ray cluster, or 32 on
            Slurm.
        address: Of the Ray cluster, ``HOST:PORT``; ``None`` for the cluster of this machine.
        slurm: Parameters of ``sbatch``, such as ``{"partition": "gpu", "time": "120"}``.

    Returns:
        The suites' runs, including those that the store had before. Failed runs are included
        (``Results.failed``) and are tried again next time.

    Raises:
        UserError: Anything the user has to fix. If it is found before the first run, nothing has
            been written. At the end: runs are not in the store; says where they are.
    """
    if not suites:
        raise UserError(
            "run_suite: no suite was given; expected one or more suite files, names of shipped "
            "suites ('quick'), mappings, or what load_suite returns"
        )
    options = RunOptions(
        store=Path(store),
        device=device,
        workers=workers,
        data_root=None if data_root is None else Path(data_root),
        scratch=None if scratch is None else Path(scratch),
        run_timeout=run_timeout,
        retries=retries,
        checkpoint_every=checkpoint_every,
        hold=hold,
        executor=executor,
        address=address,
        slurm=slurm,
    )
    options.target.require()
    load_files(plugins)
    plan = make_plan(
        [suite if isinstance(suite, Suite) else load_suite(suite) for suite in suites], options
    )
    for remark in plan.remarks:
        warnings.warn(remark, stacklevel=2)
    return run_plan(plan, progress)


def run_plan(plan: Plan, progress: Watcher | None = None) -> Results:
    """Execute the missing runs of a plan, and return all of its runs.

    Args:
        plan: The result of ``make_plan``.
        progress: Called with the progress.

    Raises:
        UserError: Runs cannot be written, or workers cannot start; no run that has ended is lost.
    """
    create = bool(plan.todo or plan.unsaved.runs)
    # A cluster that cannot be reached is an error before the store is created.
    with _make_executor(plan) as executor, Store(plan.options.store, create=create) as store:
        take_in(store, plan.unsaved)
        if executor is not None:
            _run_missing(plan, store, executor, progress or (lambda news: None))
        records = store.records([run.key for run in plan.runs])
        if create and not store.in_place:
            raise UserError(_elsewhere(store.path, records))
        return Results(store.path, tuple(records), tuple(store.suites()))


def _elsewhere(path: Path, records: Sequence[Record]) -> str:
    """Write the runs of a removed store into files, and return a message that says where."""
    folders = sorted({str(save_beside(path, record)) for record in records})
    return (
        f"{path}: this store was removed or replaced while runs were active; {len(records)} runs "
        f"of these suites are in {' and '.join(folders)}; the next 'palimpsest run' takes them in"
    )


def _make_executor(plan: Plan) -> AbstractContextManager[Executor | None]:
    """Return the executor for a plan; ``None`` if no run is missing.

    Raises:
        UserError: A cluster cannot be reached, or is not the one that the options name.
    """
    if not plan.todo:
        return nullcontext()
    options, root, resources = plan.options, plan.root, plan.resources
    checkpoints, target, timeout = _checkpoints(plan), options.target, options.run_timeout
    if target.kind == RAY:
        from palimpsest.benchmark.executors.ray.cluster import RayCluster

        return RayCluster(
            root, target.address, plan.workers, options.scratch, timeout, options.retries,
            resources, checkpoints,
        )  # fmt: skip
    if target.kind == SLURM:
        from palimpsest.benchmark.executors.slurm.arrays import SlurmArrays

        return SlurmArrays(
            root, options.store, plan.workers or 1, options.scratch, timeout, resources,
            target.slurm, checkpoints,
        )  # fmt: skip
    if plan.workers == 0:
        from palimpsest.benchmark.executors.in_process import InProcess

        return InProcess(root, options.scratch, checkpoints)
    from palimpsest.benchmark.executors.local.workers import WorkerProcesses

    return WorkerProcesses(root, plan.workers or 1, options.scratch, timeout, checkpoints)


def _checkpoints(plan: Plan) -> CheckpointSettings:
    folder = checkpoints_folder(plan.options.store)
    return CheckpointSettings(folder, plan.options.checkpoint_every)


def _run_missing(plan: Plan, store: Store, executor: Executor, progress: Watcher) -> None:
    total = len(plan.runs)
    done = total - len(plan.todo)
    runs = {run.key: run for run in plan.todo}
    before = [run.key for run in plan.runs if run.key not in runs]
    eta = Eta(plan.todo, store.records(before) if before else ())
    heartbeat = Heartbeat(plan.options.store, done, total)
    messages: list[str] = []
    said: set[str] = set()
    writer = RunWriter(store, plan.options.hold, messages.append)

    def notify(job: Job, fraction: float, record: Record | None = None) -> None:
        message = ". ".join(messages)
        messages.clear()
        progress(Progress(done, total, record, job, fraction, eta.seconds, message))

    def report(job: Job, job_progress: JobProgress) -> None:
        if job_progress.message and job_progress.message not in said:
            said.add(job_progress.message)
            messages.append(job_progress.message)
        eta.progressed(job, job_progress.fraction)
        heartbeat.progressed(job, job_progress, eta.seconds)
        writer.try_again()
        notify(job, job_progress.fraction)

    for note in plan.suites:
        store.put_suite(note)

    def elsewhere(key: str) -> None:
        nonlocal done
        done += 1
        record = store.record(key)
        eta.ended(record)
        heartbeat.ended(key, done, eta.seconds)
        notify((runs[key],), 1.0, record)

    checkpoints = _checkpoints(plan)
    ended = {key for key, status in store.statuses().items() if status == "done"}
    remove_checkpoints(checkpoints.folder, ended)
    with heartbeat, writer:
        leases = Leases(store, heartbeat.process, elsewhere, writer.try_again)
        for record in run_jobs(plan.todo, executor, report, plan.options.retries, leases.rounds):
            writer.put(record)
            if record.failure is None or record.failure.kind is not FailureKind.KILLED:
                ended.add(record.key)
            if not writer.holds:
                remove_checkpoints(checkpoints.folder, ended)
            done += 1
            eta.ended(record)
            heartbeat.ended(record.key, done, eta.seconds)
            notify((runs[record.key],), 1.0, record)
    remove_checkpoints(checkpoints.folder, ended)
