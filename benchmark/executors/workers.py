"""Jobs spread over worker processes, which import once, load data once and are reused.

On Linux a fork server does the imports for all workers; data sets are shared through files in a
scratch folder. Each worker reports its progress in a file of its own there, so that no message can
block when a process is killed.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import multiprocessing
import os
import sys
import threading
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.context import BaseContext
from pathlib import Path
from types import ModuleType
from typing import Any

from benchmark import plugins
from benchmark.advance import Advance
from benchmark.errors import UserError
from benchmark.executors.executor import Lost, Report
from benchmark.executors.progress_file import ProgressFile, read_all, remove_all
from benchmark.executors.scratch import WithScratch
from benchmark.jobs import Job
from benchmark.store import Record

_POLL_SECONDS = 0.2
_PREPARATION = "benchmark.executors.worker_process"
_KILLED = "its worker process was killed, most likely out of memory; try fewer workers"
_IN_VAIN = 2
"""How many times in a row all workers may end before one begins a job."""


class WorkerProcesses(WithScratch):
    """Carries out jobs in processes on this machine, with one thread each.

    If a process dies (mostly out of memory), all processes end. The jobs under way are lost; the
    others continue in new processes. Workers do not import the program that starts
    them, so that scripts need no ``if __name__ == "__main__"``, and notebooks work.

    Args:
        root: The folder that holds the data sets.
        workers: How many processes.
    """

    def __init__(self, root: Path, workers: int) -> None:
        super().__init__()
        self._root = root
        self._workers = workers

    @property
    def workers(self) -> int:
        """How many processes there are."""
        return self._workers

    def execute(
        self, jobs: Sequence[Job], report: Report
    ) -> Generator[list[Record] | Lost, None, None]:
        """Carry out jobs; see ``Executor``.

        Raises:
            UserError: This process may not start others, or workers do not start.
        """
        _check_may_start()
        left = {_name(job): job for job in jobs}
        in_vain = 0
        while left:
            before = len(left)
            with contextlib.closing(self._until_broken(list(left.values()), report)) as results:
                for records in results:
                    del left[records[0].key]
                    yield records
            suspects = [key for key in read_all(Path(self._scratch.name)) if key in left]
            for key in suspects:
                yield Lost(left.pop(key), _KILLED)
            in_vain = in_vain + 1 if left and len(left) == before else 0
            if in_vain == _IN_VAIN:
                raise UserError(
                    "worker processes end as soon as they start; with one worker everything runs "
                    "in this process, which shows why (--workers 1, or workers=1 in Python)"
                )

    def _until_broken(
        self, jobs: Sequence[Job], report: Report
    ) -> Generator[list[Record], None, None]:
        """Yield finished jobs; end early, without an exception, when a process dies."""
        scratch = Path(self._scratch.name)
        remove_all(scratch)
        by_name = {_name(job): job for job in jobs}
        others = set(multiprocessing.active_children())
        own: set[Any] | None = None
        pool = ProcessPoolExecutor(
            min(self._workers, len(jobs)),
            mp_context=_context(),
            initializer=_start_worker,
            initargs=(scratch, plugins.loaded()),
        )
        try:
            with _without_main():  # processes start while jobs are submitted
                left = {pool.submit(_execute, job, self._root, scratch) for job in jobs}
                own = set(multiprocessing.active_children())
            while left:
                done, left = wait(left, _POLL_SECONDS, FIRST_COMPLETED)
                for future in done:
                    yield future.result()
                for name, advance in read_all(scratch).items():
                    if name in by_name:  # a process that is ending may still report an earlier job
                        report(by_name[name], advance)
        except BrokenProcessPool:
            return
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            started = multiprocessing.active_children() if own is None else own
            for process in set(started) - others:
                process.terminate()


def _name(job: Job) -> str:
    return job[0].key


def _check_may_start() -> None:
    process = multiprocessing.current_process()
    advice = "with one worker everything runs in this process (--workers 1, or workers=1 in Python)"
    if process.daemon:
        raise UserError(f"this process is a worker itself and may not start others; {advice}")
    if getattr(process, "_inheriting", False):
        raise UserError(
            "this program is being imported by a process that it starts itself; put what it does "
            f'under if __name__ == "__main__", or {advice}'
        )


def _context() -> BaseContext:
    if sys.platform != "linux":  # elsewhere, what torch loads may not survive a fork
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([_PREPARATION])
    # Starting a process that does nothing waits for the imports: an interrupt meanwhile leaves no
    # worker half started.
    with _without_main():
        context.Process(target=os.getpid).start()
    return context


@contextlib.contextmanager
def _without_main() -> Iterator[None]:
    """Let processes start without importing the program that starts them.

    They need nothing from it, and without an ``if __name__ == "__main__"`` it would run again in
    each of them. Python decides by the module ``__main__`` what a new process imports.
    """
    program = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = program


def _start_worker(scratch: Path, known: plugins.Loaded) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    importlib.import_module(_PREPARATION)  # nothing left to do where the fork server has done it
    from benchmark.data.sharing import share_through

    share_through(scratch)
    plugins.load_again(known)


def _end_with_parent() -> None:
    """End with the parent: where it was killed, nothing else would end this process."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _execute(job: Job, root: Path, scratch: Path) -> list[Record]:
    from benchmark.runner import execute_job

    file = ProgressFile(scratch, _name(job))
    file.write(Advance(0.0))
    records = execute_job(job, root, scratch, file.write)
    file.remove()
    # Scenario and strategy refer to each other: without this, the tensors of several runs would
    # stay in memory, gigabytes where every model has data of its own.
    gc.collect()
    return records
