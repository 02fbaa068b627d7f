"""Loads suite files and checks them.

Everything is checked here, with the file and line in the message, before anything trains.
Imports no torch.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, create_model

from palimpsest.benchmark.data.catalog import check_name
from palimpsest.benchmark.data.paths import TEXT_PREFIX
from palimpsest.benchmark.errors import UserError, nearest
from palimpsest.benchmark.files.yaml_text import MOST_CHARACTERS
from palimpsest.benchmark.models.choice import PLAIN, Network
from palimpsest.benchmark.models.registry import NETWORKS, PREFIXES
from palimpsest.benchmark.plugins import load_files, load_packages
from palimpsest.benchmark.plugins.families import FAMILIES
from palimpsest.benchmark.probes import checked as checked_probes
from palimpsest.benchmark.scenarios.settings.scenario import ScenarioSettings
from palimpsest.benchmark.suites.avalanche import AVALANCHE, AvalancheSettings
from palimpsest.benchmark.suites.file import SuiteSource, read_source
from palimpsest.benchmark.suites.overrides import Assignment
from palimpsest.benchmark.suites.resources import Resources
from palimpsest.benchmark.suites.seeds import MOST_SEEDS, parse_seeds, seeds_of
from palimpsest.benchmark.suites.seeds import OPTION as SEEDS_OPTION
from palimpsest.benchmark.suites.strategy_checks import check_strategies
from palimpsest.benchmark.suites.suite import Strategy, Suite
from palimpsest.benchmark.suites.validation import check_content, check_plain, shown, validated
from palimpsest.strategies.base.catalogue import STRATEGIES
from palimpsest.strategies.base.facts import Dial
from palimpsest.strategies.base.settings import StrategySettings

SuiteLike = str | Path | Mapping[str, Any]
"""A suite file, the name of a suite that comes with Palimpsest, or a file's content."""

Seeds = int | Iterable[int] | str
"""How many, or which ones; or text as ``--seeds`` takes it."""

SettingsLike = Mapping[str, Any] | Iterable[str]
"""Values by dotted path; or ``PATH=VALUE`` each, as ``--set`` takes it."""


class _SuiteFile(BaseModel):
    """The top level of a suite file; scenarios and strategies are checked one by one."""

    model_config = ConfigDict(extra="forbid")

    suite: str = Field(min_length=1, max_length=MOST_CHARACTERS)
    description: str = ""
    seeds: Any = Field(5, description="How many (0, 1, ...), or which.")
    scenarios: dict[str, dict[str, Any] | None] = Field(min_length=1)
    strategies: dict[str, dict[str, Any] | None] = Field(min_length=1)
    probes: list[str] = Field([], description="What to record inside every run.")
    resources: dict[str, Any] | None = Field(
        None, description="What a run needs on a cluster; no result depends on it."
    )


def load_suite(
    suite: SuiteLike,
    *,
    seeds: Seeds | None = None,
    strategies: Iterable[str] | None = None,
    settings: SettingsLike = (),
    plugins: Iterable[Path | str] = (),
) -> Suite:
    """Read and check a suite.

    Args:
        suite: A YAML file, the name of a suite that comes with Palimpsest, or the content of a
            suite file as a mapping.
        seeds: In place of the suite's: how many (``5``), or which (``[3, 5, 8]``).
        strategies: Only these, by their names in the suite.
        settings: In place of the file's: values by their dotted path, such as
            ``{"scenarios.turned.width": 100}``.
        plugins: Python files that add strategies, scenarios, networks and metrics. What they add
            stays known to the process.

    Raises:
        UserError: With the file, the line or key, what was expected and the nearest name.
    """
    load_files(plugins)
    (checked,) = load_suites([suite], seeds=seeds, strategies=strategies, settings=settings)
    return checked


def load_suites(
    suites: Sequence[SuiteLike],
    *,
    seeds: Seeds | None = None,
    strategies: Iterable[str] | None = None,
    settings: SettingsLike = (),
) -> list[Suite]:
    """Read and check several suites.

    Choices and settings for a scenario or strategy apply to the suites that have one of that name.
    A suite that has none of the chosen strategies is left out.

    Args:
        suites: As for ``load_suite``.
        seeds: In place of each suite's.
        strategies: Only these of each suite.
        settings: In place of the files'.

    Raises:
        UserError: As for ``load_suite``; or no suite has a given name.
    """
    sources = [_source(suite) for suite in suites]
    for assignment in _assignments(settings):
        _assign(assignment, sources)
    if seeds is not None:
        for source in sources:
            _set_seeds(seeds, source)
    checked = [_checked(source) for source in sources]
    return checked if strategies is None else _only(list(strategies), checked)


def _source(suite: SuiteLike) -> SuiteSource:
    if isinstance(suite, Mapping):
        source = SuiteSource(f"suite {shown(suite.get('suite', ''))}", dict(suite))
        check_content(source)  # before it is copied
        source.content = deepcopy(source.content)
        return source
    return read_source(str(suite))


def _assignments(settings: SettingsLike) -> list[Assignment]:
    if isinstance(settings, Mapping):
        return [Assignment.of(path, value) for path, value in settings.items()]
    return [Assignment.parse(text) for text in settings]


def _assign(assignment: Assignment, sources: Sequence[SuiteSource]) -> None:
    """Set a value in the files that have the scenario or strategy; refuse a mistyped name."""
    takers = [source for source in sources if source.has(assignment.label)]
    if assignment.label and not takers:
        group, name = assignment.label
        known = {known for source in sources for known in source.names(group)}
        where = group if len(sources) == 1 else f"the {group} of any suite"
        raise UserError(f"{assignment}: no {name!r} in {where}; {nearest(name, known)}")
    for source in takers:
        source.assign(assignment)


def _set_seeds(seeds: Seeds, source: SuiteSource) -> None:
    if isinstance(seeds, str):
        source.content["seeds"] = parse_seeds(seeds)
        source.assigned["seeds",] = SEEDS_OPTION
    else:
        several = seeds if isinstance(seeds, int) else list(islice(seeds, MOST_SEEDS + 1))
        source.content["seeds"] = several
        source.assigned["seeds",] = "argument seeds"


def _checked(source: SuiteSource) -> Suite:
    check_content(source)
    file = validated(_SuiteFile, source.content, source, ())
    suite = Suite(
        name=file.suite,
        description=file.description,
        seeds=seeds_of(file.seeds, source),
        scenarios={n: _scenario(n, entry or {}, source) for n, entry in file.scenarios.items()},
        strategies={n: _strategy(n, entry or {}, source) for n, entry in file.strategies.items()},
        probes=checked_probes(file.probes, source.error),
        source=source,
        resources=validated(Resources, file.resources or {}, source, ("resources",)),
    )
    check_strategies(suite, source)
    return suite


def _only(names: Sequence[str], suites: Sequence[Suite]) -> list[Suite]:
    known = {name for suite in suites for name in suite.strategies}
    for name in names:
        if name not in known:
            who = f"suite {suites[0].name!r} has no" if len(suites) == 1 else "no suite has a"
            raise UserError(f"{who} strategy {shown(name)}; {nearest(name, known)}")
    if not names:
        raise UserError("strategies: expected one or more names, got none")
    chosen = [
        replace(suite, strategies={n: s for n, s in suite.strategies.items() if n in names})
        for suite in suites
    ]
    return [suite for suite in chosen if suite.strategies]


def _scenario(name: str, entry: dict[str, Any], source: SuiteSource) -> ScenarioSettings:
    path = ("scenarios", name)
    family = entry.get("family", name)
    where = (*path, "family") if "family" in entry else path
    if not isinstance(family, str):
        raise source.error(where, f"expected the name of a family, got {shown(family)}")
    if family not in FAMILIES:
        load_packages()
    if family not in FAMILIES:
        raise source.error(
            where, f"unknown scenario family {shown(family)}; {nearest(family, FAMILIES)}"
        )
    settings = validated(FAMILIES[family], entry | {"family": family}, source, path)
    _check_network(settings.network, entry.get("network"), source, (*path, "network"))
    check_plain(getattr(settings, "arguments", {}), source, (*path, "arguments"))
    for data in sorted(settings.data_sets()):
        try:
            check_name(data)
            if data.startswith(TEXT_PREFIX) and not settings.takes_text:
                raise UserError(f"data set {data!r} is text; {family} needs images")
        except UserError as error:
            key = next(k for k in ("data", "second_data") if getattr(settings, k, "") == data)
            raise source.error((*path, key), str(error)) from None
    return settings


def _check_network(
    network: Network, given: Any, source: SuiteSource, path: tuple[str, ...]
) -> None:
    """Refuse the name of a network that nothing has, and arguments that no store can hold."""
    if not network.is_known:
        load_packages()
    if not network.is_known:
        known = [*PLAIN, *NETWORKS, *(f"{prefix}NAME" for prefix in PREFIXES)]
        where = (*path, "name") if isinstance(given, dict) else path
        raise source.error(
            where, f"unknown network {shown(network.name)}; {nearest(network.name, known)}"
        )
    check_plain(network.arguments, source, (*path, "arguments"))


def _strategy(name: str, entry: dict[str, Any], source: SuiteSource) -> Strategy:
    path = ("strategies", name)
    settings = dict(entry)
    kind = settings.pop("strategy", name)
    where = (*path, "strategy") if "strategy" in entry else path
    if not isinstance(kind, str):
        raise source.error(where, f"expected the name of a strategy, got {shown(kind)}")
    if kind.startswith(AVALANCHE):
        checked = validated(AvalancheSettings, settings, source, path)
        check_plain(checked.arguments, source, (*path, "arguments"))
        return Strategy(name, kind, checked)
    if kind not in STRATEGIES:
        load_packages()
    if kind not in STRATEGIES:
        known = [*STRATEGIES, f"{AVALANCHE}CLASS"]
        raise source.error(where, f"unknown strategy {shown(kind)}; {nearest(kind, known)}")
    chosen = STRATEGIES[kind]
    if "seed" in settings:
        raise source.error((*path, "seed"), "the suite's seeds decide it; remove this line")
    dial, model = chosen.facts.dial, chosen.Settings
    if dial is None:
        return Strategy(name, kind, validated(model, settings, source, path, ["strategy"]))
    if dial.name in settings and dial.plural in settings:
        message = f"give {dial.name} or {dial.plural}, not both"
        raise source.error((*path, dial.plural), message)
    given = {key: settings.pop(key) for key in [dial.plural] if key in settings}
    sweep = validated(_sweep(dial, model), given, source, path)
    checked_settings = validated(model, settings, source, path, ["strategy", dial.plural])
    listed = getattr(sweep, dial.plural) or [getattr(checked_settings, dial.name)]
    if len(set(listed)) < len(listed):
        raise source.error(
            (*path, dial.plural), f"a value of {dial.name} is listed twice: {shown(listed)}"
        )
    for value in getattr(sweep, dial.plural):  # beside the other settings, too
        validated(model, settings | {dial.name: value}, source, path)
    return Strategy(name, kind, checked_settings, tuple(listed), dial)


def _sweep(dial: Dial, settings: type[StrategySettings]) -> type[BaseModel]:
    """Return the model that checks a list of values of a dial, each like the setting itself."""
    one = settings.model_fields[dial.name]
    each: Any = Annotated[one.annotation, *one.metadata] if one.metadata else one.annotation
    field: Any = (list[each], Field([], min_length=1))
    return create_model("Sweep", __config__=ConfigDict(allow_inf_nan=False), **{dial.plural: field})
