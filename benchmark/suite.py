"""From a suite file to the runs it asks for.

A suite is scenarios x strategies x strengths x seeds. Everything is checked here, with the
file and line in the message, before anything trains; importing this needs no torch.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from benchmark.data.catalog import check_name, fingerprint
from benchmark.errors import UserError, nearest
from benchmark.plugins import digest_of, load_packages
from benchmark.probes import in_order
from benchmark.scenarios import FAMILIES
from benchmark.scenarios.settings import ScenarioSettings
from benchmark.suite_file import Source, read_source
from benchmark.validation import check_plain, shown, validated
from strategies.registry import STRATEGIES
from strategies.settings import StrategySettings

RESULTS_VERSION = 3
"""Part of every run's key; raised when a change of the code changes results."""

AVALANCHE = "avalanche:"
"""Prefix of a strategy that is a class of Avalanche's."""

_MOST_SEEDS = 10_000
_SEEDS_END = 2**63
_Strength = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class AvalancheSettings(StrategySettings):
    """A strategy class of Avalanche, used as it is shipped."""

    arguments: dict[str, Any] = Field(
        default_factory=dict, description="Keyword arguments of the class's constructor."
    )


class _SuiteFile(BaseModel):
    """The top level of a suite file; scenarios and strategies are checked one by one."""

    model_config = ConfigDict(extra="forbid")

    suite: str = Field(min_length=1)
    description: str = ""
    seeds: Any = Field(5, description="How many (0, 1, ...), or which.")
    scenarios: dict[str, dict[str, Any] | None] = Field(min_length=1)
    strategies: dict[str, dict[str, Any] | None] = Field(min_length=1)
    probes: list[str] = Field([], description="What to record of the inside of every run.")


@dataclass(frozen=True)
class Strategy:
    """A strategy of a suite: its kind, its settings and the strengths to sweep.

    Attributes:
        name: What the suite calls it.
        kind: A name of the registry, or ``avalanche:`` and a class.
        settings: Checked; without strength and seed.
        strengths: ``(None,)`` where it has no such dial.
    """

    name: str
    kind: str
    settings: StrategySettings
    strengths: tuple[float | None, ...]


@dataclass(frozen=True)
class Run:
    """One cell of a suite.

    Attributes:
        key: Hash of ``spec``.
        suite: Name of the suite.
        scenario: Name of the scenario in the suite.
        strategy: Name of the strategy in the suite.
        strength: The strategy's dial, ``None`` where it has none.
        seed: The run's seed.
        spec: Everything that decides the result, as plain data.
    """

    key: str
    suite: str
    scenario: str
    strategy: str
    strength: float | None
    seed: int
    spec: dict[str, Any]

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
        probes: What its runs record of their inside, names of ``PROBES``.
        source: The file that it was read from, for messages.
    """

    name: str
    description: str
    seeds: tuple[int, ...]
    scenarios: Mapping[str, ScenarioSettings]
    strategies: Mapping[str, Strategy]
    probes: tuple[str, ...]
    source: Source = field(repr=False, compare=False)

    def data_sets(self) -> list[str]:
        """Return the names of all data sets that the suite reads."""
        return sorted({name for s in self.scenarios.values() for name in s.data_sets()})

    def check_data(self, root: Path) -> None:
        """Refuse scenarios that their data cannot fit.

        Args:
            root: The folder that holds the data sets, which are there.

        Raises:
            UserError: Names the scenario and its line.
        """
        for name, scenario in self.scenarios.items():
            try:
                scenario.check_data(root)
            except UserError as error:
                raise self.source.error(("scenarios", name), str(error)) from None

    def runs(self, device: str, root: Path) -> list[Run]:
        """Return every run: all scenarios, seed by seed, so that early results are paired.

        Args:
            device: As torch spells it; part of a run's key.
            root: The folder that holds the data sets.
        """
        prints = {name: fingerprint(name, root) for name in self.data_sets()}
        return [
            self._run(label, scenario, strategy, strength, seed, device, prints)
            for label, scenario in self.scenarios.items()
            for seed in self.seeds
            for strategy in self.strategies.values()
            for strength in strategy.strengths
        ]

    def _run(
        self,
        label: str,
        scenario: ScenarioSettings,
        strategy: Strategy,
        strength: float | None,
        seed: int,
        device: str,
        prints: Mapping[str, str],
    ) -> Run:
        spec = {
            "scenario": {
                "name": label,
                **scenario.model_dump(mode="json"),
                "fingerprints": {name: prints[name] for name in sorted(scenario.data_sets())},
                **_plugin("scenario", scenario.family),
            },
            "strategy": {
                "name": strategy.name,
                "strategy": strategy.kind,
                "settings": strategy.settings.model_dump(mode="json", exclude={"strength", "seed"}),
                **_plugin("strategy", strategy.kind),
            },
            "strength": strength,
            "seed": seed,
            "device": device,
            "results_version": RESULTS_VERSION,
            **({"probes": list(self.probes)} if self.probes else {}),
        }
        canonical = json.dumps(spec, sort_keys=True, separators=(",", ":"))
        key = hashlib.sha256(canonical.encode()).hexdigest()[:16]
        return Run(key, self.name, label, strategy.name, strength, seed, spec)


def load_suite(
    suite: str,
    *,
    seeds: str | None = None,
    strategies: Sequence[str] | None = None,
    settings: Iterable[str] = (),
) -> Suite:
    """Read and check a suite.

    Args:
        suite: A YAML file, or the name of a suite that comes with Palimpsest.
        seeds: In place of the suite's: a number, or numbers separated by commas; ``7,`` is the one
            seed 7.
        strategies: Only these, by their names in the suite.
        settings: ``PATH=VALUE`` each, dotted path and YAML value, in place of the file's.

    Raises:
        UserError: With the file, the line or key, what was expected and the nearest name.
    """
    source = read_source(suite)
    for assignment in settings:
        source.assign(assignment)
    if seeds is not None:
        source.content["seeds"] = _parse_seeds(seeds)
        source.assigned["seeds",] = "--seeds"
    file = validated(_SuiteFile, source.content, source, ())
    checked = Suite(
        name=file.suite,
        description=file.description,
        seeds=_seeds(file.seeds, source),
        scenarios={n: _scenario(n, entry or {}, source) for n, entry in file.scenarios.items()},
        strategies={n: _strategy(n, entry or {}, source) for n, entry in file.strategies.items()},
        probes=in_order(file.probes, source),
        source=source,
    )
    if strategies is None:
        return checked
    for name in strategies:
        if name not in checked.strategies:
            raise UserError(
                f"--strategies: suite {checked.name!r} has no strategy {name!r}; "
                f"{nearest(name, checked.strategies)}"
            )
    chosen = {name: s for name, s in checked.strategies.items() if name in strategies}
    return replace(checked, strategies=chosen)


def _scenario(name: str, entry: dict[str, Any], source: Source) -> ScenarioSettings:
    path = ("scenarios", name)
    family = entry.get("family", name)
    where = (*path, "family") if "family" in entry else path
    if not isinstance(family, str):
        raise source.error(where, f"expected the name of a family, got {shown(family)}")
    if family not in FAMILIES:
        load_packages()
    if family not in FAMILIES:
        raise source.error(
            where, f"unknown scenario family {family!r}; {nearest(family, FAMILIES)}"
        )
    settings = validated(FAMILIES[family], entry | {"family": family}, source, path)
    for data in sorted(settings.data_sets()):
        try:
            check_name(data)
        except UserError as error:
            key = next(k for k in ("data", "second_data") if getattr(settings, k, "") == data)
            raise source.error((*path, key), str(error)) from None
    return settings


def _strategy(name: str, entry: dict[str, Any], source: Source) -> Strategy:
    path = ("strategies", name)
    settings = dict(entry)
    kind = settings.pop("strategy", name)
    where = (*path, "strategy") if "strategy" in entry else path
    if not isinstance(kind, str):
        raise source.error(where, f"expected the name of a strategy, got {shown(kind)}")
    if kind.startswith(AVALANCHE):
        checked = validated(AvalancheSettings, settings, source, path)
        check_plain(checked.arguments, source, (*path, "arguments"))
        return Strategy(name, kind, checked, (None,))
    if kind not in STRATEGIES:
        load_packages()
    if kind not in STRATEGIES:
        known = [*STRATEGIES, f"{AVALANCHE}CLASS"]
        raise source.error(where, f"unknown strategy {kind!r}; {nearest(kind, known)}")
    chosen = STRATEGIES[kind]
    if not chosen.has_strength:
        return Strategy(name, kind, validated(chosen.settings, settings, source, path), (None,))
    if "seed" in settings:
        raise source.error((*path, "seed"), "the suite's seeds decide it; remove this line")
    if "strength" in settings and "strengths" in settings:
        raise source.error((*path, "strengths"), "give strength or strengths, not both")
    given = {name: settings.pop(name) for name in ["strengths"] if name in settings}
    sweep = validated(_Sweep, given, source, path)
    checked_settings = validated(chosen.settings, settings, source, path)
    strengths = sweep.strengths or [checked_settings.strength]  # type: ignore[attr-defined]
    if len(set(strengths)) < len(strengths):
        raise source.error((*path, "strengths"), f"a strength is listed twice: {strengths}")
    return Strategy(name, kind, checked_settings, tuple(strengths))


def _plugin(kind: str, name: str) -> dict[str, str]:
    """What stands in a run's spec of the plugin that adds its strategy or scenario, if one does."""
    digest = digest_of(kind, name)
    return {} if digest is None else {"plugin": digest}


class _Sweep(BaseModel):
    strengths: list[_Strength] = Field([], min_length=1)


def _seeds(seeds: Any, source: Source) -> tuple[int, ...]:
    if isinstance(seeds, list):
        for place, seed in enumerate(seeds):
            if not _whole(seed) or not 0 <= seed < _SEEDS_END:
                message = f"a seed is a whole number from 0 to 2^63 - 1, got {shown(seed)}"
                raise source.error(("seeds", place), message)
            if seed in seeds[:place]:
                raise source.error(("seeds", place), f"expected different seeds, got {seed} twice")
        if not seeds:
            raise source.error(("seeds",), "at least one seed is needed, got []")
        return tuple(seeds)
    if not _whole(seeds):
        message = f"expected how many seeds (5) or a list of them ([3, 5, 8]), got {shown(seeds)}"
        raise source.error(("seeds",), message)
    if seeds < 1:
        raise source.error(("seeds",), f"at least one seed is needed, not {seeds}")
    if seeds > _MOST_SEEDS:
        message = f"{shown(seeds)} seeds are too many; expected {_MOST_SEEDS} at most"
        if seeds < _SEEDS_END:
            given = source.assigned.get(("seeds",)) == "--seeds"
            alone = f"--seeds {seeds}," if given else f"[{seeds}]"
            message = f"{message}, or for the one seed of that number {alone}"
        raise source.error(("seeds",), message)
    return tuple(range(seeds))


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _parse_seeds(text: str) -> int | list[int]:
    try:
        numbers = [int(word) for word in text.strip().removesuffix(",").split(",")]
    except ValueError:
        numbers = []
    if not numbers or min(numbers) < 0 or len(set(numbers)) < len(numbers):
        raise UserError(
            f"--seeds {text}: expected how many seeds (--seeds 5) or different seeds separated "
            "by commas (--seeds 3,5,8, or --seeds 3, for one)"
        )
    return numbers[0] if len(numbers) == 1 and "," not in text else numbers
