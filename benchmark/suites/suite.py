"""A checked suite and its runs: scenarios x strategies x values of their dials x seeds.

Imports no torch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from palimpsest.benchmark.data.catalog import canonical, fingerprint, require
from palimpsest.benchmark.errors import SettingError, UserError
from palimpsest.benchmark.plugins import digest_of, digest_of_network
from palimpsest.benchmark.scenarios.settings.scenario import ScenarioSettings
from palimpsest.benchmark.settings.defaults import at_defaults
from palimpsest.benchmark.suites.avalanche import AVALANCHE, facts_of_avalanche
from palimpsest.benchmark.suites.file import SuiteSource
from palimpsest.benchmark.suites.note import SuiteNote
from palimpsest.benchmark.suites.resources import Resources
from palimpsest.benchmark.suites.spec import ScenarioSpec, Spec, StrategySpec
from palimpsest.strategies.base.catalogue import STRATEGIES
from palimpsest.strategies.base.facts import STRENGTH, Dial, Facts
from palimpsest.strategies.base.settings import StrategySettings

RESULTS_VERSION = 1
"""Of the harness, part of every run's key: raised when a change of it changes results.

A strategy has a version of its own (``Facts.version``), and so has a family
(``ScenarioSettings.results_version``).
"""

MOST_RUNS = 1_000_000
"""Of a suite: each takes about 4 kB of memory before it has begun."""

Look = Callable[[str, Any], None]
"""A function of a scenario's name and of the `Scenario` that was built."""


@dataclass(frozen=True)
class Strategy:
    """A strategy of a suite: its kind, its settings and the values of its dial to sweep.

    Attributes:
        name: What the suite calls it.
        kind: One of ``STRATEGIES``, or ``avalanche:`` and a class.
        settings: Checked; dial and seed are set per run.
        strengths: The values of its dial; ``(None,)`` if it has none.
        dial: Its dial; ``None`` if it has none.
    """

    name: str
    kind: str
    settings: StrategySettings
    strengths: tuple[float | None, ...] = (None,)
    dial: Dial | None = None

    @property
    def facts(self) -> Facts:
        """Its facts, with these settings."""
        if self.kind.startswith(AVALANCHE):
            return facts_of_avalanche(self.kind)
        return self.settings.facts(STRATEGIES[self.kind].facts)


@dataclass(frozen=True)
class Run:
    """One cell of a suite.

    Attributes:
        key: Hash of ``spec``.
        suite: Name of the suite.
        scenario: Name of the scenario in the suite.
        strategy: Name of the strategy in the suite.
        strength: The value of the strategy's dial, ``None`` if it has none.
        seed: The run's seed.
        spec: Everything that decides the result.
        facts: Of the strategy with its settings.
    """

    key: str
    suite: str
    scenario: str
    strategy: str
    strength: float | None
    seed: int
    spec: Spec
    facts: Facts

    def cell(self) -> dict[str, Any]:
        """Return the fields that a record of this run takes over."""
        return {each.name: getattr(self, each.name) for each in fields(self)}


@dataclass(frozen=True)
class Suite:
    """A suite that has been checked.

    Attributes:
        name: Its name.
        description: One sentence or more.
        seeds: The seeds of its runs.
        scenarios: By name.
        strategies: By name.
        probes: The probes of its runs, by name.
        source: The file that it was read from, for messages.
        resources: What each of its runs needs on a cluster; no part of a run.
    """

    name: str
    description: str
    seeds: tuple[int, ...]
    scenarios: Mapping[str, ScenarioSettings]
    strategies: Mapping[str, Strategy]
    probes: tuple[str, ...]
    source: SuiteSource = field(repr=False, compare=False)
    resources: Resources = field(default_factory=Resources)

    @property
    def note(self) -> SuiteNote:
        """Its description and order for a store: those of the whole file, whatever part is run."""
        return SuiteNote(
            self.name,
            self.description,
            tuple(self.source.names("scenarios")),
            tuple(self.source.names("strategies")),
        )

    def data_sets(self) -> list[str]:
        """Return the names of all data sets that the suite reads."""
        return sorted({name for s in self.scenarios.values() for name in s.data_sets()})

    def require_data(self, root: Path) -> None:
        """Make sure that all data sets are on disk, downloading them where that is possible.

        Args:
            root: The folder that holds the data sets.

        Raises:
            UserError: Names the scenario and its line.
        """
        for name in self.data_sets():
            with self.about_data(name):
                require(name, root)

    @contextmanager
    def about_data(self, name: str) -> Iterator[None]:
        """Add the first line that names a data set to an error about it."""
        try:
            yield
        except UserError as error:
            for label, scenario in self.scenarios.items():
                if name in scenario.data_sets():
                    keys = [k for k in type(scenario).model_fields if getattr(scenario, k) == name]
                    place = ("scenarios", label, *keys[:1])
                    raise self.source.error(place, str(error)) from error
            raise

    def check_data(self, root: Path) -> None:
        """Refuse scenarios that do not fit their data.

        Args:
            root: The folder that holds the data sets, which have to exist.

        Raises:
            UserError: Names the scenario and its line.
        """
        for name, scenario in self.scenarios.items():
            try:
                scenario.check_data(root)
            except UserError as error:
                inside = error.path if isinstance(error, SettingError) else ()
                raise self.source.error(("scenarios", name, *inside), str(error)) from None

    def runs(self, device: str, root: Path, look: Look = lambda *_: None) -> list[Run]:
        """Return every run: all scenarios, seed by seed, so that early results are paired.

        Args:
            device: As torch spells it; part of a run's key.
            root: The folder that holds the data sets.
            look: Called with the name of each scenario of the user's own, and with it as it was
                built for its keys.

        Raises:
            UserError: They are more than can be planned.
        """
        strengths = sum(len(strategy.strengths) for strategy in self.strategies.values())
        count = len(self.scenarios) * len(self.seeds) * strengths
        if count > MOST_RUNS:
            message = f"{count:,} runs are too many; expected at most {MOST_RUNS:,}: fewer seeds"
            raise self.source.error(("seeds",), message)
        prints = {name: fingerprint(name, root) for name in self.data_sets()}
        scenarios = [
            self._scenario(label, scenario, prints, root, look)
            for label, scenario in self.scenarios.items()
        ]
        strategies = [
            (_strategy(strategy, strength), strategy.facts)
            for strategy in self.strategies.values()
            for strength in strategy.strengths
        ]
        return [
            self._run(scenario, strategy, facts, seed, device)
            for scenario in scenarios
            for seed in self.seeds
            for strategy, facts in strategies
        ]

    def _scenario(
        self,
        label: str,
        scenario: ScenarioSettings,
        prints: Mapping[str, str],
        root: Path,
        look: Look,
    ) -> ScenarioSpec:
        """Return the scenario of runs; data of the user's own are found by building it."""
        short = {name: canonical(name, root) for name in scenario.data_sets()}
        settings = {
            name: short.get(value, value) if isinstance(value, str) else value
            for name, value in scenario.model_dump(mode="json").items()
            if name not in scenario.meaningless
        }
        names = sorted(scenario.data_sets())
        plugin, content = digest_of("scenario", scenario.family), None
        if plugin is not None:
            from palimpsest.benchmark.scenarios.own import content_of

            try:
                found = content_of(scenario, root)
            except UserError as error:
                raise self.source.error(("scenarios", label), str(error)) from error
            if found.scenario is not None:
                look(label, found.scenario)
            content = found.digest
            settings = {name: v for name, v in settings.items() if name not in found.idle}
            if "data" in found.idle:
                names = [name for name in names if name != scenario.data]
        network = digest_of_network(scenario.network)
        fingerprints = dict(sorted((short[name], prints[name]) for name in names))
        return ScenarioSpec(
            label, settings, fingerprints, plugin, network, content,
            scenario.results_version, tuple(at_defaults(scenario, settings)),
        )  # fmt: skip

    def _run(
        self, scenario: ScenarioSpec, strategy: StrategySpec, facts: Facts, seed: int, device: str
    ) -> Run:
        spec = Spec.of(
            scenario, strategy,
            seed=seed, device=device, results_version=RESULTS_VERSION, probes=self.probes,
        )  # fmt: skip
        return Run(
            spec.key(), self.name, scenario.name, strategy.name, spec.strength, seed, spec, facts
        )


def _strategy(strategy: Strategy, strength: float | None) -> StrategySpec:
    """Return the strategy of runs at one value of its dial."""
    dial, settings = strategy.dial or STRENGTH, strategy.settings
    if strength is not None:
        settings = settings.model_copy(update={dial.name: strength})
    written = settings.model_dump(mode="json", exclude={"seed"})
    return StrategySpec(
        strategy.name,
        strategy.kind,
        written,
        digest_of("strategy", strategy.kind),
        dial.name,
        strategy.facts.version,
        tuple(at_defaults(settings, written)),
    )
