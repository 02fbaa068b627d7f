"""Runs spread over worker processes, which import once, load data once and are reused.

On Linux a fork server does the imports for all workers; data sets are shared through files in a
scratch folder. A worker tells how far it is through a file of its own there, so that no message
can block when a process is ended.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import multiprocessing
import os
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.context import BaseContext
from pathlib import Path

from benchmark import plugins
from benchmark.provenance import versions
from benchmark.store import Record
from benchmark.suite import Run

_POLL_SECONDS = 0.2
_PREPARATION = "benchmark.executors.worker_process"


def run_in_workers(
    runs: Sequence[Run], root: Path, workers: int, report: Callable[[Run, float], None]
) -> Iterator[Record]:
    """Carry out runs in worker processes with one thread each, and return each as it ends.

    Where a process dies (out of memory, most often), the runs that were under way are tried
    again one at a time; the one that kills its process again is recorded as failed.

    Args:
        runs: Started in this order.
        root: The folder that holds the data sets.
        workers: How many processes.
        report: Told the fraction done of every run under way, a few times a second.

    Yields:
        The finished runs, in the order in which they end.
    """
    with tempfile.TemporaryDirectory(prefix="palimpsest-") as folder:
        scratch = Path(folder)
        left = {run.key: run for run in runs}
        for record in _until_broken(list(runs), root, workers, scratch, report):
            del left[record.key]
            yield record
        while left:  # a process died
            suspects = [left.pop(key) for key in _under_way(scratch) if key in left]
            suspects = suspects or [left.pop(next(iter(left)))]
            for run in suspects:
                records = list(_until_broken([run], root, 1, scratch, report))
                yield records[0] if records else _died(run)
            for record in _until_broken(list(left.values()), root, workers, scratch, report):
                del left[record.key]
                yield record


def _until_broken(
    runs: list[Run],
    root: Path,
    workers: int,
    scratch: Path,
    report: Callable[[Run, float], None],
) -> Iterator[Record]:
    """Yield finished runs; end early, without an exception, when a process dies."""
    if not runs:
        return
    for file in scratch.glob("*.progress"):
        file.unlink()
    by_key = {run.key: run for run in runs}
    pool = ProcessPoolExecutor(
        min(workers, len(runs)),
        mp_context=_context(),
        initializer=_start_worker,
        initargs=(scratch, plugins.loaded()),
    )
    try:
        open_futures: set[Future[Record]] = {
            pool.submit(_execute, run, root, scratch) for run in runs
        }
        while open_futures:
            done, open_futures = wait(open_futures, _POLL_SECONDS, FIRST_COMPLETED)
            for future in done:
                yield future.result()
            for key, fraction in _under_way(scratch).items():
                report(by_key[key], fraction)
    except BrokenProcessPool:
        return
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        for process in multiprocessing.active_children():
            process.terminate()


def _context() -> BaseContext:
    if sys.platform != "linux":  # elsewhere, what torch loads may not survive a fork
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([_PREPARATION])
    # A process that does nothing, for which the imports are waited: an interrupt meanwhile leaves
    # no worker half started.
    context.Process(target=os.getpid).start()
    return context


def _start_worker(scratch: Path, known: plugins.Loaded) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    importlib.import_module(_PREPARATION)  # no work where the fork server has done it
    from benchmark.data.sharing import share_through

    share_through(scratch)
    plugins.load_again(known)


def _end_with_parent() -> None:
    """Nobody takes the results of a worker whose parent was killed, and nobody else ends it."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _execute(run: Run, root: Path, scratch: Path) -> Record:
    from benchmark.runner import execute

    file = scratch / f"{os.getpid()}.progress"

    def progress(fraction: float) -> None:
        file.write_text(f"{run.key} {fraction}")

    progress(0.0)
    record = execute(run, root, scratch, progress)
    file.unlink()
    # Scenario and strategy refer to each other: left to chance, the tensors of several runs would
    # stay, which are gigabytes where every model has data of its own.
    gc.collect()
    return record


def _under_way(scratch: Path) -> dict[str, float]:
    """The fraction done of the runs that workers have in hand, by key."""
    found = {}
    for file in scratch.glob("*.progress"):
        with contextlib.suppress(OSError, ValueError):  # just being written or removed
            key, fraction = file.read_text().split()
            found[key] = float(fraction)
    return found


def _died(run: Run) -> Record:
    return Record(
        **run.cell(),
        status="failed",
        error="its worker process was killed, most likely for want of memory; try fewer --workers",
        versions=versions(),
    )
