"""One run, start to finish: build, train, evaluate, return what the store keeps."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from avalanche.training.templates import SupervisedTemplate

from benchmark import avalanche_strategies
from benchmark.control import StepLimit, StopAtTarget, Warmup, Watch
from benchmark.cost import Costs, peak_memory, reset_peak_memory
from benchmark.evaluation import LOADER, AccuracyMeter, CurveRecorder, evaluate
from benchmark.failure import Failure
from benchmark.first_model.storage import place_of
from benchmark.first_model.takeover import train_or_take_over
from benchmark.generators import seed_generators
from benchmark.optimizers import EachOptimizer, make_optimizer
from benchmark.probes.probe import Probe, Subject, attach
from benchmark.provenance import versions
from benchmark.scenarios import FAMILIES
from benchmark.scenarios.scenario import Scenario
from benchmark.scenarios.settings import ScenarioSettings
from benchmark.seeding import derive
from benchmark.spec import Spec
from benchmark.store import Record
from benchmark.suite import AVALANCHE, Run
from benchmark.training import InMemoryTraining
from strategies.registry import STRATEGIES

Progress = Callable[[float], None]
"""Called with the fraction of the training that is done."""


def execute(
    run: Run, root: Path, scratch: Path | None = None, progress: Progress = lambda done: None
) -> Record:
    """Carry out a run; whatever goes wrong in it ends up in the record.

    Args:
        run: What to do.
        root: The folder that holds the data sets.
        scratch: A folder through which runs share their first model, or ``None``.
        progress: Told how far the training is.

    Returns:
        The finished run, ``done`` or ``failed``.
    """
    started, clock = datetime.now(UTC), time.perf_counter()
    reset_peak_memory(run.spec.device)
    outcome: dict[str, Any] = {"status": "done"}
    try:
        outcome |= _train_and_evaluate(run, root, scratch, progress)
    except Exception as error:  # a failed run must not end the suite
        outcome |= {"status": "failed", "failure": Failure.of(error)}
    return Record(
        **run.cell(),
        started=started.isoformat(timespec="seconds"),
        seconds=time.perf_counter() - clock,
        peak_memory=peak_memory(run.spec.device),
        versions=versions(),
        **outcome,
    )


def execute_job(
    runs: Sequence[Run],
    root: Path,
    scratch: Path | None = None,
    progress: Progress = lambda done: None,
) -> list[Record]:
    """Carry out runs that share one training; whatever goes wrong in one ends up in its record.

    Args:
        runs: What to do.
        root: The folder that holds the data sets.
        scratch: A folder through which jobs share their first model, or ``None``.
        progress: Told the fraction of the job that is done.

    Returns:
        The finished runs, one for each, in their order.
    """
    count = len(runs)
    return [
        execute(run, root, scratch, lambda done, i=i: progress((i + done) / count))  # type: ignore[misc]
        for i, run in enumerate(runs)
    ]


@dataclass(frozen=True)
class Prepared:
    """A run that is ready to train.

    Attributes:
        settings: Of its scenario.
        scenario: Its experiences and the bank.
        strategy: The Avalanche strategy that trains them.
        plugin: The strategy under test; ``None`` where it is a class of Avalanche's.
        recorder: What measures its curves; it takes part where curves are asked for.
        costs: What times it.
        probes: What looks inside, by name.
        at_once: Whether the strategy trains on all experiences in one call.
    """

    settings: ScenarioSettings
    scenario: Scenario
    strategy: Any
    plugin: Any
    recorder: CurveRecorder
    costs: Costs
    probes: dict[str, Probe]
    at_once: bool


TRAINING = {"eval_streams": [], "reset_optimizer_state": True, **LOADER}
"""How an experience is trained: nothing evaluated on the way, a fresh optimizer."""


def prepare(run: Run, root: Path, progress: Progress = lambda done: None) -> Prepared:
    """Build the scenario and the strategy of a run.

    Args:
        run: What to do.
        root: The folder that holds the data sets.
        progress: Told how far the training is.

    Raises:
        UserError: The settings do not fit the data.
    """
    settings = scenario_settings(run.spec)
    device = run.spec.device
    seed_generators(derive(run.seed, "global"))
    scenario = settings.build(run.seed, root, device)
    scenario.model.to(device)
    recorder = CurveRecorder(settings.curve, scenario.curve_data, **LOADER)
    meter, watch = AccuracyMeter(), Watch(progress, scenario.steps)
    watchers: list[Any] = [meter, watch]
    models = range(len(scenario.train))
    warmups = [settings.warmup_of(i) for i in models]
    if any(warmups):
        watchers.append(Warmup(warmups))
    optimizers = [settings.optimizer_of(i) for i in models]
    keep = settings.optimizer_state == "kept"
    ahead: list[Any] = []  # of the strategy, which may clear what the optimizer knows
    if EachOptimizer.is_needed(optimizers, keep=keep):
        ahead.append(EachOptimizer(optimizers, keep=keep))
    at_once = _trains_at_once(run)
    if not at_once and any(scenario.targets):
        watchers.append(StopAtTarget(scenario.targets, scenario.validation, **LOADER))
    if not at_once and settings.curve.every:
        watchers.append(recorder)
    plugin = _make_plugin(run)
    plugins = [*ahead, *([] if plugin is None else [plugin]), *watchers]
    strategy = _make_strategy(run, settings, scenario, plugin, plugins, at_once)
    costs = Costs(len(scenario.train), at_once, watch, meter)
    strategy.plugins.append(costs)
    subject = Subject(scenario, run.spec.strategy.kind, plugin, at_once, run.seed)
    probes = attach(run.spec.probes, subject, strategy)
    return Prepared(settings, scenario, strategy, plugin, recorder, costs, probes, at_once)


def _train_and_evaluate(
    run: Run, root: Path, scratch: Path | None, progress: Progress
) -> dict[str, Any]:
    ready = prepare(run, root, progress)
    initial = evaluate(ready.strategy, ready.scenario.test, **LOADER)
    shared = place_of(run, ready.settings, scratch)
    matrix, validation_matrix = _fill_matrices(ready, shared)
    return {
        "accuracy_matrix": matrix,
        "validation_matrix": validation_matrix,
        "initial_accuracy": list(initial),
        "curves": ready.recorder.curves,
        "cost": ready.costs.result(ready.plugin, ready.scenario.model),
        "probes": {name: probe.result(ready.strategy) for name, probe in ready.probes.items()},
    }


def scenario_settings(spec: Spec) -> ScenarioSettings:
    """Return the checked settings of the scenario that a run's spec describes."""
    return FAMILIES[spec.scenario.family].model_validate(spec.scenario.settings)


_Matrix = list[list[float | None]]


def _fill_matrices(ready: Prepared, shared: Path | None) -> tuple[_Matrix, _Matrix]:
    """Train the models in order and evaluate all of them after each."""
    strategy, scenario = ready.strategy, ready.scenario
    count = len(scenario.train)
    test: _Matrix = [[None] * count for _ in range(count)]
    validation: _Matrix = [[None] * count for _ in range(count)]
    for i, experience in enumerate(scenario.train):
        if ready.at_once and i < count - 1:
            continue
        if i == 0 and shared is not None:
            train_or_take_over(strategy, experience, shared, ready.recorder, **TRAINING)
        else:
            strategy.train(scenario.train if ready.at_once else experience, **TRAINING)
        test[i] = list(evaluate(strategy, scenario.test, **LOADER))
        if len(scenario.validation[0].dataset):
            validation[i] = list(evaluate(strategy, scenario.validation, **LOADER))
    return test, validation


def _trains_at_once(run: Run) -> bool:
    kind = run.spec.strategy.kind
    if kind.startswith(AVALANCHE):
        return avalanche_strategies.trains_at_once(kind)
    return kind == "joint"


def _strategy_class(run: Run) -> tuple[type[Any], dict[str, Any]]:
    """Return the class of the strategy under test, and its arguments."""
    kind, settings = run.spec.strategy.kind, dict(run.spec.strategy.settings)
    if kind.startswith(AVALANCHE):
        return avalanche_strategies.find(kind), settings["arguments"]
    entry = STRATEGIES[kind]
    own = {"strength": run.strength, "seed": derive(run.seed, "importance")}
    decided = {n: own[n] for n in own if entry.has_strength and n in entry.settings.model_fields}
    return entry.load(), settings | decided


def _make_plugin(run: Run) -> Any:
    """Build the strategy under test, where it is a plugin and no template of Avalanche's."""
    found, arguments = _strategy_class(run)
    return None if issubclass(found, SupervisedTemplate) else found(**arguments)


def _make_strategy(
    run: Run,
    settings: ScenarioSettings,
    scenario: Scenario,
    plugin: Any,
    plugins: list[Any],
    at_once: bool,
) -> Any:
    optimizer = make_optimizer(settings.optimizer, scenario.model)
    steps = scenario.steps
    if at_once:
        steps = [sum(steps), *(0 for _ in steps[1:])]
    if plugin is None:
        return avalanche_strategies.make(
            *_strategy_class(run),
            model=scenario.model,
            optimizer=optimizer,
            batch_size=settings.batch_size,
            most_epochs=max(steps),
            device=run.spec.device,
            plugins=[*plugins, StepLimit(steps)],
        )
    return InMemoryTraining(
        model=scenario.model,
        optimizer=optimizer,
        batch_size=settings.batch_size,
        steps=steps,
        order_seeds=[derive(run.seed, "order", i) for i in range(len(steps))],
        noise_seeds=[
            (derive(run.seed, "global", 2 * i + 1), derive(run.seed, "global", 2 * i + 2))
            for i in range(len(steps))
        ],
        device=run.spec.device,
        plugins=plugins,
    )
