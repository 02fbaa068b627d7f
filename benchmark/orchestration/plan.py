"""Plans the runs of suites that a store does not have yet, with all checks before training."""

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
    """The runs of suites, and everything that is needed for the missing ones.

    Attributes:
        runs: All runs of the suites, each once.
        todo: The runs that are missing in the store, or failed there.
        unsaved: Runs in files next to the store; they are moved into the store first.
        options: The options of the runs.
        root: The folder that holds the data sets.
        workers: The number of parallel jobs; ``None`` if a cluster decides.
        suites: The notes of the suites.
        remarks: Remarks about the data, such as duplicate images.
        why_workers: The reason for the number of workers; empty if the user has set it.
        resources: The resources of a run on a cluster, by the suite's name.
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
    """Check suites, and find the runs that a store does not have. The store is not written.

    Args:
        suites: A run of several suites belongs to the first of them.
        options: The options of the runs.
        fetch: Download missing data sets if possible; fail if one is not available.

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
        run
        for suite in suites
        for run in suite.runs(options.device, root, partial(_check_scenario, suite))
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
        _check_built(suite, [run for run in todo if run.suite == suite.name], root)
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
            raise UserError(f"workers: 0 is this process; {target.description()} needs 1 or more")
    _check_number("retries", options.retries)
    if options.checkpoint_every is not None:
        _check_number("checkpoint-every", options.checkpoint_every, 1)
    if options.run_timeout is not None:
        _check_timeout(options.run_timeout, workers)
    if options.scratch is not None and target.is_local:
        check_scratch(options.scratch)


def _inspect(suites: Sequence[Suite], root: Path) -> tuple[str, ...]:
    """Read data that have not been inspected yet; return remarks for the user.

    Raises:
        UserError: The data are not usable.
    """
    remarks: dict[str, str | None] = {}
    for suite in suites:
        for name in suite.data_sets():
            if name not in remarks:
                with suite.about_data(name):
                    remarks[name] = inspected(name, root)
    return tuple(filter(None, remarks.values()))


def _check_networks(suite: Suite) -> None:
    """Refuse unknown networks and wrong arguments of networks, before data are read."""
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


def _check_built(suite: Suite, todo: Sequence[Run], root: Path) -> None:
    """Build scenarios once, if settings alone cannot show whether runs can train.

    These are scenarios with a schedule after a warm-up, with augmentation, with another network
    than ``mlp`` and ``cnn``, or with strategies that may not fit the network. Scenarios of the
    user's own were already built for their keys.

    Raises:
        UserError: No run can train on a scenario.
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
                or any(_needs_check(suite.strategies[label]) for label in strategies)
            ):
                continue
            from palimpsest.benchmark.scenarios.checking import check_training

            try:
                built = scenario.build(suite.seeds[0], root, "cpu")
                check_training(scenario, built)
            except UserError as error:
                raise suite.source.error(("scenarios", name), str(error)) from error
            except (Exception, SystemExit):  # a bug of a plugin, which the run records
                continue
            _check_scenario(suite, name, built, strategies)


def _check_scenario(
    suite: Suite, name: str, scenario: Any, strategies: Collection[str] | None = None
) -> None:
    """Refuse strategies, of all by default, that cannot act on the network of a scenario."""
    from palimpsest.benchmark.orchestration.network_checks import check_networks

    check_networks(suite, name, scenario, suite.strategies if strategies is None else strategies)


def _needs_check(strategy: Strategy) -> bool:
    """Whether a strategy may be unable to act on a built-in network."""
    own = digest_of("strategy", strategy.kind) is not None
    return strategy.facts.needs.check or (
        own and hasattr(STRATEGIES[strategy.kind], "check_network")
    )


def check_device(device: str, target: Target | None = None) -> None:
    """Refuse a device that torch cannot find, or one with a number on a cluster.

    Raises:
        UserError: Says what was expected.
    """
    kind, _, index = device.partition(":")
    if kind not in {"cpu", "cuda"} or (index and not index.isdigit()):
        raise UserError(f"device {device}: expected cpu, cuda or cuda:NUMBER")
    elsewhere = target is not None and not target.is_local
    if index and target is not None and elsewhere:
        raise UserError(
            f"device {device}: on {target.description()} each run sees its own GPUs; say cuda"
        )
    if kind == "cpu" or elsewhere:
        return
    import torch

    if int(index or 0) >= torch.cuda.device_count():
        raise UserError(f"device {device}: torch finds no such device on this machine; choose cpu")


def _check_precision(suite: Suite, device: str) -> None:
    """Refuse bfloat16 on a GPU that does not support it."""
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
    """Return the status of the runs of a store, by key; the store need not exist yet."""
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
    """Return the peak memory of finished runs of these scenarios; ``None`` if not known."""
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
