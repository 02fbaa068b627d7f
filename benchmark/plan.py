"""What there is to do for suites: the runs that a store does not have yet.

Everything is checked here before anything trains.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral
from pathlib import Path

from benchmark.archive import is_archive
from benchmark.data.catalog import data_root, require
from benchmark.errors import UserError
from benchmark.executors.capacity import default_workers
from benchmark.executors.scratch import check_scratch
from benchmark.store import Store
from benchmark.suite import AVALANCHE, AvalancheSettings, Run, Suite
from benchmark.suite_note import SuiteNote


@dataclass(frozen=True)
class Plan:
    """The runs of suites, and what is needed to carry out the missing ones.

    Attributes:
        runs: All runs that the suites ask for, each once.
        todo: Those of them that the store does not have, or has as failed.
        store: The results database, which need not exist yet.
        root: The folder that holds the data sets.
        workers: How many jobs are carried out at a time.
        suites: What the suites say about themselves.
        scratch: Where runs share files while they last; ``None`` for the system's folder of
            temporary files.
        run_timeout: Seconds that a run may take, or ``None``.
        retries: How often a run is tried again whose process has died.
        why_workers: Why it is that number of workers; empty if it was asked for.
    """

    runs: tuple[Run, ...]
    todo: tuple[Run, ...]
    store: Path
    root: Path
    workers: int
    suites: tuple[SuiteNote, ...]
    scratch: Path | None = None
    run_timeout: float | None = None
    retries: int = 1
    why_workers: str = ""


def make_plan(
    suites: Sequence[Suite],
    store: Path,
    *,
    device: str = "cpu",
    workers: int | None = None,
    root: Path | None = None,
    scratch: Path | None = None,
    run_timeout: float | None = None,
    retries: int = 1,
    fetch: bool = True,
) -> Plan:
    """Check what suites need, and compare them with what a store has. Nothing is written there.

    Args:
        suites: A run that several ask for belongs to the first of them.
        store: The results database.
        device: As torch spells it.
        workers: How many jobs at a time; ``None`` for one per processor that this process may use,
            or fewer where runs of the store have needed more memory than there is.
        root: The folder that holds the data sets; ``None`` for ``$PALIMPSEST_DATA``, else the
            user's cache.
        scratch: Where runs share files while they last; ``None`` for the system's folder of
            temporary files.
        run_timeout: Seconds that a run may take, or ``None``.
        retries: How often a run is tried again whose process has died.
        fetch: Download missing data sets where possible; fail if one is not available.

    Raises:
        UserError: Anything the user has to fix.
    """
    root = data_root(root).resolve()
    check_device(device)
    if workers is not None:
        _check_number("workers", workers)
    _check_number("retries", retries)
    if run_timeout is not None:
        _check_timeout(run_timeout, workers)
    if scratch is not None:
        check_scratch(scratch)
    for suite in suites:
        _check_avalanche(suite)
    finished = _finished(store)
    if fetch:
        for name in sorted({name for suite in suites for name in suite.data_sets()}):
            require(name, root)
    for suite in suites:
        suite.check_data(root)
    asked = [run for suite in suites for run in suite.runs(device, root)]
    runs = list({run.key: run for run in reversed(asked)}.values())[::-1]
    todo = [run for run in runs if finished.get(run.key) != "done"]
    why = ""
    if workers is None:
        workers, why = default_workers(len(todo), _footprint(store, todo, device))
    notes = tuple(suite.note for suite in suites)
    return Plan(
        tuple(runs), tuple(todo), store, root, workers, notes, scratch, run_timeout, retries, why
    )


def check_device(device: str) -> None:
    """Refuse a device that torch cannot find.

    Raises:
        UserError: Says what was expected.
    """
    kind, _, index = device.partition(":")
    if kind not in {"cpu", "cuda"} or (index and not index.isdigit()):
        raise UserError(f"device {device}: expected cpu, cuda or cuda:NUMBER")
    if kind == "cpu":
        return
    import torch

    if int(index or 0) >= torch.cuda.device_count():
        raise UserError(f"device {device}: torch finds no such device on this machine; choose cpu")


def _check_number(name: str, value: object) -> None:
    if not (isinstance(value, Integral) and int(value) >= 0):
        raise UserError(f"{name}: expected a whole number, 0 or more, got {value!r}")


def _check_timeout(seconds: object, workers: int | None) -> None:
    if not (isinstance(seconds, int | float) and seconds > 0):
        raise UserError(f"run timeout: expected a number of seconds above 0, got {seconds!r}")
    if workers == 0:
        raise UserError(
            "run timeout: a run in this process (workers=0) cannot be ended; use worker processes"
        )


def _finished(store: Path) -> dict[str, str]:
    """The status of the runs of a store, by key; the store need not exist yet."""
    if not store.parent.is_dir():
        raise UserError(f"{store}: the folder {store.parent} does not exist; create it first")
    if is_archive(store):
        raise UserError(
            f"{store}: this is an archive, which is read-only; name a results database, such as "
            "runs.db"
        )
    if not store.exists():
        return {}
    with Store(store) as opened:
        return opened.statuses()


def _footprint(store: Path, todo: Sequence[Run], device: str) -> int | None:
    """The memory that a run of these scenarios has needed at most, if the store knows."""
    if not store.exists() or device != "cpu":
        return None
    with Store(store) as opened:
        needed = opened.peak_memory()
    return max((needed.get(run.scenario, 0) for run in todo), default=0) or None


def _check_avalanche(suite: Suite) -> None:
    """Check the strategies that are Avalanche classes; importing Avalanche takes seconds."""
    for strategy in suite.strategies.values():
        if strategy.kind.startswith(AVALANCHE):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of Avalanche's imports
                from benchmark.avalanche_strategies import WrongArgumentError, check_arguments

            assert isinstance(strategy.settings, AvalancheSettings)
            path = ("strategies", strategy.name)
            try:
                check_arguments(strategy.kind, strategy.settings.arguments)
            except WrongArgumentError as error:
                place = (*path, "arguments", error.argument)
                raise suite.source.error(place, str(error)) from None
            except UserError as error:
                raise suite.source.error((*path, "strategy"), str(error)) from None
