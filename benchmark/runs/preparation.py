"""From a run to everything that trains it: scenario, strategy, optimizer, watching plugins."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from avalanche.training.templates import SupervisedTemplate

from palimpsest.benchmark.errors import UserError
from palimpsest.benchmark.probes.probe import Probe, Subject, attach
from palimpsest.benchmark.randomness.generators import seed_generators
from palimpsest.benchmark.randomness.seeding import derive
from palimpsest.benchmark.runs import avalanche_strategies
from palimpsest.benchmark.runs.cost import Costs
from palimpsest.benchmark.runs.job_progress import Advance
from palimpsest.benchmark.runs.measurement import Measurement
from palimpsest.benchmark.scenarios import FAMILIES
from palimpsest.benchmark.scenarios.checking import check_images, flatten_labels
from palimpsest.benchmark.scenarios.scenario import Scenario
from palimpsest.benchmark.scenarios.schedule import Schedule, in_turn
from palimpsest.benchmark.scenarios.settings.scenario import ScenarioSettings
from palimpsest.benchmark.scenarios.settings.smoothing import smoothed
from palimpsest.benchmark.search.parts import SearchParts
from palimpsest.benchmark.suites.avalanche import AVALANCHE
from palimpsest.benchmark.suites.spec import Spec
from palimpsest.benchmark.suites.strategy_checks import check_steps
from palimpsest.benchmark.suites.suite import Run
from palimpsest.benchmark.suites.validation import shown
from palimpsest.benchmark.training.augmentation import Augmentation
from palimpsest.benchmark.training.control import (
    ClipGradient,
    SeenOutputs,
    StepLimit,
    StopAtTarget,
    Warmup,
    Watch,
)
from palimpsest.benchmark.training.evaluation import LOADER, AccuracyMeter, now
from palimpsest.benchmark.training.optimizers import EachOptimizer, make_optimizer
from palimpsest.benchmark.training.precision import train_in_bfloat16
from palimpsest.benchmark.training.rates import LearningRates
from palimpsest.benchmark.training.template import InMemoryTraining
from palimpsest.strategies.base.hooks import Optimizes
from palimpsest.strategies.registry import STRATEGIES
from palimpsest.strategies.settings import StrategySettings

OnProgress = Callable[[Advance], None]
"""Called with how far the training is."""

TRAINING = {"eval_streams": [], "reset_optimizer_state": True, **LOADER}
"""How an experience is trained: without evaluations meanwhile, with a fresh optimizer."""


@dataclass(frozen=True)
class Prepared:
    """A run that is ready to train, with those that share its training.

    Attributes:
        settings: Of its scenario.
        scenario: Its experiences and the bank.
        schedule: The trainings, in order.
        strategy: The Avalanche strategy that carries them out.
        plugin: The strategy under test; ``None`` where it is a class of Avalanche's.
        measurements: What is measured for each run, including curves if requested.
        watch: The plugin that sees whether its numbers are finite.
        costs: The plugin that times it.
        probes: The probes attached to it, by name.
    """

    settings: ScenarioSettings
    scenario: Scenario
    schedule: Schedule
    strategy: Any
    plugin: Any
    measurements: list[Measurement]
    watch: Watch
    costs: Costs
    probes: dict[str, Probe]


def prepare(
    run: Run, root: Path, progress: OnProgress = lambda advance: None, others: Sequence[Run] = ()
) -> Prepared:
    """Build the scenario and the strategy of a run.

    Args:
        run: What to do.
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
        check_steps(own, shortest, f"scenario {shown(run.scenario)}")
    measurements: list[Measurement] = []
    for each in (run, *others):
        Measurement(each, plugin, scenario, settings.curve, measurements)
    curves = measurements[0].recorder.curves
    meter = AccuracyMeter(scenario.right)
    watch = Watch(lambda done: progress(Advance(done, curves)), steps)
    models = range(len(scenario.train))
    warmups = [settings.warmup_of(i) for i in models]
    watchers: list[Any] = [meter, watch, *([Warmup(warmups)] if any(warmups) else [])]
    schedules = [settings.schedule_of(i) for i in models]
    if any(schedule.name != "constant" for schedule in schedules):
        watchers.append(LearningRates(schedules, warmups, steps))
    if schedule.order == "in turn":
        if any(scenario.targets):
            watchers.append(StopAtTarget(scenario.targets, scenario.validation, **LOADER))
        if settings.curve.every:
            watchers += [each.recorder for each in measurements]
    ahead = _model_optimizers(settings, models, plugin)
    if settings.augment is not None:
        check_images(settings.augment, scenario)
        ahead.insert(0, Augmentation(settings.augment, run.seed))
    if settings.trains_seen_outputs:
        ahead.append(SeenOutputs())
    search = SearchParts.of(scenario, run.seed)
    if search is not None:
        ahead = [*search.plugins, *ahead]
    plugins = [*ahead, *_under_test(settings, plugin), *watchers]
    strategy = _make_strategy(run, settings, scenario, plugin, plugins, steps, search)
    if settings.precision == "bfloat16":
        train_in_bfloat16(strategy)
    costs = Costs(
        scenario, schedule.order == "at once", watch, meter, plugin,
        building=now(torch.device(device)) - began,
    )  # fmt: skip
    strategy.plugins.append(costs)
    subject = Subject(scenario, run.facts, plugin, schedule.unordered, run.seed)
    probes = attach(run.spec.probes, subject, strategy)
    if search is not None:
        probes["search"] = search.measuring(subject)
        strategy.plugins.append(probes["search"])
    return Prepared(
        settings, scenario, schedule, strategy, plugin, measurements, watch, costs, probes
    )


def scenario_settings(spec: Spec) -> ScenarioSettings:
    """Return the checked settings of the scenario that a run's spec describes."""
    return FAMILIES[spec.scenario.family].model_validate(spec.scenario.settings)


def _built(run: Run, settings: ScenarioSettings, root: Path) -> Scenario:
    """Build the scenario, its models on the device."""
    seed_generators(derive(run.seed, "global"))
    scenario = settings.build(run.seed, root, run.spec.device)
    flatten_labels(scenario)
    scenario.model.to(run.spec.device)
    return scenario


def _schedule(run: Run, settings: ScenarioSettings, scenario: Scenario) -> Schedule:
    """The scenario's own schedule or its models in turn, unless the strategy trains all at once."""
    schedule = scenario.schedule or in_turn(scenario.steps)
    kind = run.spec.strategy.kind
    if kind.startswith(AVALANCHE):
        at_once = avalanche_strategies.trains_at_once(kind)
    else:
        at_once = STRATEGIES[kind].trains == "at once"
    if scenario.search is not None and (at_once or kind.startswith(AVALANCHE)):
        raise UserError(
            f"{kind} has a training of its own, but a search says which architecture is trained on "
            "which batch; use strategies that train models in turn, such as finetune or wpl"
        )
    if not at_once:
        return schedule
    samples = sum(len(experience.dataset) for experience in scenario.train)
    # One pass over all is shorter than a pass over each, whose last batches are not full.
    steps = settings.steps_for(samples) if settings.online else None
    return schedule.at_once(len(scenario.train), steps)


def _steps(schedule: Schedule, models: int) -> list[int]:
    """The steps of each training. Trained at once, all steps are those of the first model."""
    steps = [visit.steps for visit in schedule.visits]
    return steps if schedule.order != "at once" else [*steps, *[0] * (models - 1)]


def _model_optimizers(settings: ScenarioSettings, models: range, plugin: Any) -> list[Any]:
    """The plugin that gives each model its own optimizer, if one for all is not enough.

    It comes before the strategy, which may clear the optimizer's state. A strategy with an update
    rule of its own has its own optimizers.
    """
    optimizers = [settings.optimizer_of(i) for i in models]
    keep = settings.optimizer_state == "kept"
    if isinstance(plugin, Optimizes) or not EachOptimizer.is_needed(optimizers, keep=keep):
        return []
    return [EachOptimizer(optimizers, keep=keep)]


def _under_test(settings: ScenarioSettings, plugin: Any) -> list[Any]:
    """The strategy, and what clips the gradient before it; after it if it adds to what is clipped.

    A strategy says so by ``clipped_with_loss``.
    """
    found = [] if plugin is None else [plugin]
    if settings.clip_gradient is not None:
        place = len(found) if getattr(plugin, "clipped_with_loss", False) else 0
        found.insert(place, ClipGradient(settings.clip_gradient))
    return found


def _strategy_class(run: Run) -> tuple[type[Any], dict[str, Any]]:
    """Return the class of the strategy under test, and its arguments."""
    kind, settings = run.spec.strategy.kind, dict(run.spec.strategy.settings)
    if kind.startswith(AVALANCHE):
        return avalanche_strategies.find(kind), settings["arguments"]
    entry = STRATEGIES[kind]
    decided: dict[str, Any] = {}
    if entry.dial is not None and run.strength is not None:
        decided[entry.dial.name] = entry.dial_value(run.strength)
    if "seed" in entry.settings.model_fields:
        decided["seed"] = derive(run.seed, "importance")
    return entry.load(), settings | decided


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
        return avalanche_strategies.make(
            *_strategy_class(run),
            model=scenario.model,
            optimizer=optimizer,
            batch_size=settings.batch_size,
            most_epochs=max(steps),
            device=run.spec.device,
            plugins=[*plugins, StepLimit(steps)],
            loss=loss,
        )
    chances: Sequence[int] = range(len(steps))
    if scenario.search is not None:
        chances = [scenario.search.chance_of(i) for i in chances]
    return InMemoryTraining(
        model=scenario.model,
        optimizer=optimizer,
        batch_size=settings.batch_size,
        steps=steps,
        order_seeds=[derive(run.seed, "order", i) for i in chances],
        noise_seeds=[
            (derive(run.seed, "global", 2 * i + 1), derive(run.seed, "global", 2 * i + 2))
            for i in chances
        ],
        device=run.spec.device,
        plugins=plugins,
        loss=loss,
        order=None if search is None else search.order,
        evaluation_batch=None if scenario.search is None else scenario.search.columns,
    )
