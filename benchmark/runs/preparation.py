"""Builds everything for the training of a run: scenario, strategy, optimizer, plugins."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from avalanche.training.templates import SupervisedTemplate

from palimpsest.benchmark.errors import UserError
from palimpsest.benchmark.plugins.families import FAMILIES
from palimpsest.benchmark.probes.base.attach import attach
from palimpsest.benchmark.probes.base.probe import Probe, Subject
from palimpsest.benchmark.randomness.generators import seed_generators
from palimpsest.benchmark.randomness.seeding import derive
from palimpsest.benchmark.runs import avalanche_strategies
from palimpsest.benchmark.runs.cost import Costs
from palimpsest.benchmark.runs.job_progress import JobProgress
from palimpsest.benchmark.runs.measurement import Measurement
from palimpsest.benchmark.scenarios.checking import check_images, flatten_labels
from palimpsest.benchmark.scenarios.scenario import Scenario
from palimpsest.benchmark.scenarios.schedule import Schedule, in_turn
from palimpsest.benchmark.scenarios.settings.scenario import ScenarioSettings
from palimpsest.benchmark.search.parts import SearchParts
from palimpsest.benchmark.suites.avalanche import AVALANCHE
from palimpsest.benchmark.suites.spec import Spec
from palimpsest.benchmark.suites.strategy_checks import check_steps
from palimpsest.benchmark.suites.suite import Run
from palimpsest.benchmark.suites.validation import shown
from palimpsest.benchmark.training.augmentation import Augmentation
from palimpsest.benchmark.training.clock import StepClock
from palimpsest.benchmark.training.control import (
    ClipGradient,
    ClipPenalisedGradient,
    SeenOutputs,
    StepLimit,
    StopAtTarget,
    TrainingMonitor,
    Warmup,
)
from palimpsest.benchmark.training.evaluation import LOADER, AccuracyMeter, now
from palimpsest.benchmark.training.loss import smoothed
from palimpsest.benchmark.training.optimizers import EachOptimizer, make_optimizer
from palimpsest.benchmark.training.order import in_order
from palimpsest.benchmark.training.rates import LearningRates
from palimpsest.benchmark.training.template import InMemoryTraining, train_in_bfloat16
from palimpsest.strategies.base.catalogue import STRATEGIES
from palimpsest.strategies.base.hooks import Optimizes
from palimpsest.strategies.base.settings import StrategySettings

OnProgress = Callable[[JobProgress], None]
"""Called with the progress of the training."""

TRAINING = {"eval_streams": [], "reset_optimizer_state": True, **LOADER}
"""The options of a training: no evaluations during it, and a fresh optimizer."""


@dataclass(frozen=True)
class PreparedRun:
    """A run that is ready to train, with the runs that share its training.

    Attributes:
        settings: Of its scenario.
        scenario: Its experiences and the bank.
        schedule: The trainings, in order.
        strategy: The Avalanche strategy.
        plugin: The strategy under test; ``None`` for an Avalanche class.
        measurements: The accuracies of each run, with curves if requested.
        monitor: The plugin that checks for finite numbers.
        costs: The plugin that measures time.
        probes: The attached probes, by name.
    """

    settings: ScenarioSettings
    scenario: Scenario
    schedule: Schedule
    strategy: Any
    plugin: Any
    measurements: list[Measurement]
    monitor: TrainingMonitor
    costs: Costs
    probes: dict[str, Probe]


def prepare(
    run: Run,
    root: Path,
    progress: OnProgress = lambda _: None,
    others: Sequence[Run] = (),
) -> PreparedRun:
    """Build the scenario and the strategy of a run.

    Args:
        run: The run.
        root: The folder that holds the data sets.
        progress: Called with the progress of the training.
        others: Runs that share its training.

    Raises:
        UserError: The settings do not fit the data.
    """
    settings = scenario_settings(run.spec)
    device = run.spec.device
    began = now(torch.device(device))
    scenario = _built(run, settings, root)
    schedule = _schedule(run, settings, scenario)
    steps = _steps(schedule, len(scenario.train))
    plugin = _make_plugin(run)
    if isinstance(own := getattr(plugin, "settings", None), StrategySettings):
        shortest = min(visit.steps for visit in schedule.visits if not visit.plain)
        check_steps(own.facts(plugin.facts).needs, shortest, f"scenario {shown(run.scenario)}")
    measurements: list[Measurement] = []
    for each in (run, *others):
        Measurement(each, plugin, scenario, settings.curve, measurements)
    curves = measurements[0].recorder.curves
    meter = AccuracyMeter(scenario.right)
    monitor = TrainingMonitor(lambda done: progress(JobProgress(done, curves)))
    search = SearchParts.of(scenario, run.seed)
    plugins = [meter, monitor, *_of_settings(settings, scenario, run.seed, plugin)]
    if plugin is not None:
        plugins.append(plugin)
    if search is not None:
        plugins += search.plugins
    if schedule.order == "in turn":
        if any(scenario.targets):
            plugins.append(StopAtTarget(scenario.targets, scenario.validation, **LOADER))
        if settings.curve.every:
            plugins += [each.recorder for each in measurements]
    strategy = _make_strategy(
        run, settings, scenario, plugin, in_order(plugins, plugin), steps, search
    )
    if settings.precision == "bfloat16":
        train_in_bfloat16(strategy)
    costs = Costs(
        scenario, schedule.order == "at once", meter, plugin,
        building=now(torch.device(device)) - began,
    )  # fmt: skip
    strategy.plugins.append(costs)
    subject = Subject(scenario, run.facts, plugin, schedule.unordered, run.seed)
    probes = attach(run.spec.probes, subject, strategy)
    if search is not None:
        probes["search"] = search.measuring(subject)
        strategy.plugins.append(probes["search"])
    return PreparedRun(
        settings, scenario, schedule, strategy, plugin, measurements, monitor, costs, probes
    )


def scenario_settings(spec: Spec) -> ScenarioSettings:
    """Return the checked settings of a run's scenario."""
    return FAMILIES[spec.scenario.family].model_validate(spec.scenario.settings)


def _built(run: Run, settings: ScenarioSettings, root: Path) -> Scenario:
    """Build the scenario, with its models on the device."""
    seed_generators(derive(run.seed, "global"))
    scenario = settings.build(run.seed, root, run.spec.device)
    flatten_labels(scenario)
    scenario.model.to(run.spec.device)
    return scenario


def _schedule(run: Run, settings: ScenarioSettings, scenario: Scenario) -> Schedule:
    """Return the scenario's own schedule, its models in turn, or all of them at once."""
    schedule = scenario.schedule or in_turn(scenario.steps)
    kind, at_once = run.spec.strategy.kind, run.facts.trains == "at once"
    if scenario.search is not None and (at_once or kind.startswith(AVALANCHE)):
        raise UserError(
            f"{kind} has its own training, but a search decides which architecture trains on which "
            "batch; use strategies that train models in turn"
        )
    if not at_once:
        return schedule
    samples = sum(len(experience.dataset) for experience in scenario.train)
    # One pass over all is shorter than one over each experience, whose last batches are not full.
    steps = settings.steps_for(samples) if settings.online else None
    return schedule.at_once(len(scenario.train), steps)


def _steps(schedule: Schedule, models: int) -> list[int]:
    """Return the steps of each training. At once, all steps count for the first model."""
    steps = [visit.steps for visit in schedule.visits]
    return steps if schedule.order != "at once" else [*steps, *[0] * (models - 1)]


def _of_settings(
    settings: ScenarioSettings, scenario: Scenario, seed: int, plugin: Any
) -> Iterator[Any]:
    """Yield the plugins for a scenario's settings."""
    models = range(len(scenario.train))
    warmups = [settings.warmup_of(i) for i in models]
    if any(warmups):
        yield Warmup(warmups)
    schedules = [settings.schedule_of(i) for i in models]
    if any(schedule.name != "constant" for schedule in schedules):
        yield LearningRates(schedules, warmups)
    optimizers = [settings.optimizer_of(i) for i in models]
    keep = settings.optimizer_state == "kept"
    # A strategy with its own update rule has its own optimizers.
    if not isinstance(plugin, Optimizes) and EachOptimizer.is_needed(optimizers, keep=keep):
        yield EachOptimizer(optimizers, keep=keep)
    if settings.augment is not None:
        check_images(settings.augment, scenario)
        yield Augmentation(settings.augment, seed)
    if settings.trains_seen_outputs:
        yield SeenOutputs()
    if settings.clip_gradient is not None:
        with_penalty = getattr(plugin, "clipped_with_loss", False)
        clip = ClipPenalisedGradient if with_penalty else ClipGradient
        yield clip(settings.clip_gradient)


def _strategy_class(run: Run) -> tuple[type[Any], dict[str, Any]]:
    """Return the class of the strategy under test, and its arguments."""
    kind, settings = run.spec.strategy.kind, dict(run.spec.strategy.settings)
    if kind.startswith(AVALANCHE):
        return avalanche_strategies.find(kind), settings["arguments"]
    found = STRATEGIES[kind]
    if "seed" in found.Settings.model_fields:
        settings["seed"] = derive(run.seed, "importance")
    return found, settings


def _make_plugin(run: Run) -> Any:
    """Build the strategy under test, if it is a plugin and not an Avalanche template."""
    found, arguments = _strategy_class(run)
    return None if issubclass(found, SupervisedTemplate) else found(**arguments)


def _make_strategy(
    run: Run,
    settings: ScenarioSettings,
    scenario: Scenario,
    plugin: Any,
    plugins: list[Any],
    steps: list[int],
    search: SearchParts | None,
) -> Any:
    optimizer = make_optimizer(settings.optimizer, scenario.model)
    loss = smoothed(scenario.loss, settings.label_smoothing)
    if plugin is None:
        stock = avalanche_strategies.make(
            *_strategy_class(run),
            model=scenario.model,
            optimizer=optimizer,
            batch_size=settings.batch_size,
            most_epochs=max(steps),
            device=run.spec.device,
            plugins=[*plugins, StepLimit()],
            loss=loss,
        )
        StepClock.attach(stock, steps)
        return stock
    numbers: Sequence[int] = range(len(steps))
    if search is not None:
        numbers = [search.order.search.seed_number(i) for i in numbers]
    return InMemoryTraining(
        model=scenario.model,
        optimizer=optimizer,
        batch_size=settings.batch_size,
        steps=steps,
        order_seeds=[derive(run.seed, "order", i) for i in numbers],
        noise_seeds=[
            (derive(run.seed, "global", 2 * i + 1), derive(run.seed, "global", 2 * i + 2))
            for i in numbers
        ],
        device=run.spec.device,
        plugins=plugins,
        loss=loss,
        order=None if search is None else search.order,
        evaluation_batch=None if search is None else search.order.search.columns,
    )
