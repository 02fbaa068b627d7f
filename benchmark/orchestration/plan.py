"""What there is to do for suites: the runs that a store does not have yet.

Everything is checked here before anything trains.
"""

from __future__ import annotations

import warnings
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from numbers import Integral
from pathlib import Path
from typing import Any

from palimpsest.benchmark.data.catalog import data_root, inspected
from palimpsest.benchmark.errors import SettingError, UserError
from palimpsest.benchmark.executors.capacity import default_workers
from palimpsest.benchmark.executors.options import RunOptions
from palimpsest.benchmark.executors.scratch import check_scratch
from palimpsest.benchmark.executors.target import Target
from palimpsest.benchmark.plugins import digest_of
from palimpsest.benchmark.store.archive import is_archive
from palimpsest.benchmark.store.store import Store
from palimpsest.benchmark.store.unsaved_runs import UnsavedRuns, unsaved_runs
from palimpsest.benchmark.suites.avalanche import AVALANCHE, AvalancheSettings
from palimpsest.benchmark.suites.note import SuiteNote
from palimpsest.benchmark.suites.resources import Resources
from palimpsest.benchmark.suites.suite import Run, Strategy, Suite
from palimpsest.strategies.base.catalogue import STRATEGIES


@dataclass(frozen=True)
class Plan:
    """The runs of suites, and what is needed to do the missing ones.

    Attributes:
        runs: All runs that the suites ask for, each once.
        todo: Those of them that the store does not have, or has as failed.
        unsaved: Runs that the store did not take before; they are taken in first.
        options: How they are run.
        root: The folder that holds the data sets.
        workers: How many jobs run at a time; ``None`` if a cluster decides.
        suites: What the suites say about themselves.
        remarks: What to know about the data before training: images that are there twice.
        why_workers: Why it is that number of workers; empty if it was asked for.
        resources: What a run of each suite needs on a cluster, by the suite's name.
    """

    runs: tuple[Run, ...]
    todo: tuple[Run, ...]
    unsaved: UnsavedRuns
    options: RunOptions
    root: Path
    workers: int | None
    suites: tuple[SuiteNote, ...]
    remarks: tuple[str, ...] = ()
    why_workers: str = ""
    resources: Mapping[str, Resources] = field(default_factory=dict)


def make_plan(suites: Sequence[Suite], options: RunOptions, *, fetch: bool = True) -> Plan:
    """Check what suites need, and compare them with what a store has. Nothing is written there.

    Args:
        suites: A run that several ask for belongs to the first of them.
        options: How they are run.
        fetch: Download missing data sets where possible; fail if one is not available.

    Raises:
        UserError: Anything the user has to fix.
    """
    root, target, workers = data_root(options.data_root).resolve(), options.target, options.workers
    _check_options(options)
    for suite in suites:
        _check_avalanche(suite)
        _check_networks(suite)
        if target.is_local:
            _check_precision(suite, options.device)
    finished = _finished(options.store)
    unsaved = unsaved_runs(options.store)
    finished |= {run.key: run.status for run in unsaved.runs.values() if run.status == "done"}
    for suite in suites:
        if fetch:
            suite.require_data(root)
        suite.check_data(root)
    asked = [
        run for suite in suites for run in suite.runs(options.device, root, partial(_look, suite))
    ]
    runs = list({run.key: run for run in reversed(asked)}.values())[::-1]
    todo = [run for run in runs if finished.get(run.key) != "done"]
    why = ""
    if workers is None and not target.is_local:
        workers = target.workers(len(todo))
    elif workers is None:
        workers, why = default_workers(len(todo), _footprint(options, todo))
    notes = tuple(suite.note for suite in suites)
    remarks = _inspect(suites, root) if todo else ()
    for suite in suites:
        _try_out(suite, [run for run in todo if run.suite == suite.name], root)
    return Plan(
        tuple(runs), tuple(todo), unsaved, options, root, workers, notes, remarks, why,
        {suite.name: suite.resources for suite in suites},
    )  # fmt: skip


def _check_options(options: RunOptions) -> None:
    target, workers = options.target, options.workers
    check_device(options.device, target)
    if workers is not None:
        _check_number("workers", workers)
        if workers == 0 and not target.is_local:
            raise UserError(f"workers: 0 is this process; {target.told()} needs 1 or more")
    _check_number("retries", options.retries)
    if options.checkpoint_every is not None:
        _check_number("checkpoint-every", options.checkpoint_every, 1)
    if options.run_timeout is not None:
        _check_timeout(options.run_timeout, workers)
    if options.scratch is not None and target.is_local:
        check_scratch(options.scratch)


def _inspect(suites: Sequence[Suite], root: Path) -> tuple[str, ...]:
    """Read the data once that have not been found to be right; return what a user should know.

    Raises:
        UserError: Nothing can train on them.
    """
    told: dict[str, str | None] = {}
    for suite in suites:
        for name in suite.data_sets():
            if name not in told:
                with suite.about_data(name):
                    told[name] = inspected(name, root)
    return tuple(filter(None, told.values()))


def _check_networks(suite: Suite) -> None:
    """Refuse networks that do not exist or do not take their arguments, before data are read."""
    for name, scenario in suite.scenarios.items():
        if not scenario.network.is_plain:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of what defines them
                from palimpsest.benchmark.models.making import check

                try:
                    check(scenario.network)
                except UserError as error:
                    place = ("scenarios", name, "network")
                    raise suite.source.error(place, str(error)) from error


def _try_out(suite: Suite, todo: Sequence[Run], root: Path) -> None:
    """Build scenarios once and look at what could not be told from their settings.

    That is the length of a schedule that begins after a warm-up, and whether images can be
    augmented. Those of the user's own have been built for their keys.

    Scenarios with another network than ``mlp`` and ``cnn``, too: whether it takes the images, and
    whether the strategies can act on it, shows only then.

    Raises:
        UserError: No run could train on them.
    """
    asked: dict[str, dict[str, None]] = {}
    for run in todo:
        asked.setdefault(run.scenario, {})[run.strategy] = None
    for name, strategies in asked.items():
        scenario = suite.scenarios[name]
        if digest_of("scenario", scenario.family) is not None:
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of Avalanche's imports
            if not (
                scenario.needs_a_look
                or not scenario.network.is_plain
                or any(_needs_a_look(suite.strategies[label]) for label in strategies)
            ):
                continue
            from palimpsest.benchmark.scenarios.checking import check_training

            try:
                built = scenario.build(suite.seeds[0], root, "cpu")
                check_training(scenario, built)
            except UserError as error:
                raise suite.source.error(("scenarios", name), str(error)) from error
            except (Exception, SystemExit):  # a bug of the plugin, for the run to record
                continue
            _look(suite, name, built, strategies)


def _look(
    suite: Suite, name: str, scenario: Any, strategies: Collection[str] | None = None
) -> None:
    """Refuse strategies, of all by default, that cannot act on the network of a scenario."""
    from palimpsest.benchmark.orchestration.network_checks import check_networks

    check_networks(suite, name, scenario, suite.strategies if strategies is None else strategies)


def _needs_a_look(strategy: Strategy) -> bool:
    """Whether a strategy may be unable to act on a network that ships."""
    own = digest_of("strategy", strategy.kind) is not None
    return strategy.facts.needs.check or (
        own and hasattr(STRATEGIES[strategy.kind], "check_network")
    )


def check_device(device: str, target: Target | None = None) -> None:
    """Refuse a device that torch cannot find, or on a cluster: one that a run cannot name.

    Raises:
        UserError: Says what was expected.
    """
    kind, _, index = device.partition(":")
    if kind not in {"cpu", "cuda"} or (index and not index.isdigit()):
        raise UserError(f"device {device}: expected cpu, cuda or cuda:NUMBER")
    elsewhere = target is not None and not target.is_local
    if index and target is not None and elsewhere:
        raise UserError(f"device {device}: on {target.told()} each run sees its own GPUs; say cuda")
    if kind == "cpu" or elsewhere:
        return
    import torch

    if int(index or 0) >= torch.cuda.device_count():
        raise UserError(f"device {device}: torch finds no such device on this machine; choose cpu")


def _check_precision(suite: Suite, device: str) -> None:
    """Refuse bfloat16 on a GPU that does not have it."""
    for name, scenario in suite.scenarios.items():
        if scenario.precision == "bfloat16" and device.startswith("cuda"):
            import torch

            with torch.cuda.device(device):
                supported = torch.cuda.is_bf16_supported()
            if not supported:
                message = f"the device {device} has no bfloat16; use float32, or another device"
                raise suite.source.error(("scenarios", name, "precision"), message)


def _check_number(name: str, value: object, least: int = 0) -> None:
    if not (isinstance(value, Integral) and int(value) >= least):
        raise UserError(f"{name}: expected a whole number, {least} or more, got {value!r}")


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


def _footprint(options: RunOptions, todo: Sequence[Run]) -> int | None:
    """The memory that a run of these scenarios has needed at most, if the store knows."""
    if not options.store.exists() or options.device != "cpu":
        return None
    with Store(options.store) as opened:
        needed = opened.peak_memory()
    return max((needed.get(run.scenario, 0) for run in todo), default=0) or None


def _check_avalanche(suite: Suite) -> None:
    """Check the strategies that are Avalanche classes; importing Avalanche takes seconds."""
    for strategy in suite.strategies.values():
        if strategy.kind.startswith(AVALANCHE):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of Avalanche's imports
                from palimpsest.benchmark.runs.avalanche_strategies import check_arguments

            assert isinstance(strategy.settings, AvalancheSettings)
            path = ("strategies", strategy.name)
            try:
                check_arguments(strategy.kind, strategy.settings.arguments)
            except SettingError as error:
                place = (*path, *error.path)
                raise suite.source.error(place, str(error)) from None
            except UserError as error:
                raise suite.source.error((*path, "strategy"), str(error)) from None
