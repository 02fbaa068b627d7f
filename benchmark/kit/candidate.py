"""A strategy under test: found by its name, and built at any value of its dial."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import avalanche.training.plugins as avalanche_plugins
from avalanche.training.supervised import Naive
from avalanche.training.templates import SupervisedTemplate

from palimpsest.benchmark.errors import UserError, nearest
from palimpsest.benchmark.plugins import load_files, load_packages, strategies_of
from palimpsest.benchmark.runs.avalanche_strategies import check_arguments, find
from palimpsest.benchmark.suites.avalanche import (
    ARGUMENTS,
    AVALANCHE,
    FINE_TUNING,
    STRENGTHS,
    facts_of_avalanche,
)
from palimpsest.benchmark.suites.file import SuiteSource
from palimpsest.benchmark.suites.validation import validated
from palimpsest.strategies.base.catalogue import STRATEGIES
from palimpsest.strategies.base.facts import STRENGTH, Dial, Facts
from palimpsest.strategies.base.hooks import Turns
from palimpsest.strategies.base.settings import StrategySettings


@dataclass(frozen=True, eq=False)
class Candidate:
    """A strategy under test.

    Attributes:
        name: As the user named it.
        facts: Its facts with its settings.
        plugin: Its class, if that is a plugin.
        template: The Avalanche template that trains it; ``None``: the harness's own.
        arguments: For the constructor of the plugin, or else of the template.
        strength: The argument that is its strength, or ``None``.
        values: Values of a dial that is no strength: its setting and, if the dial acts after
            training, a second one.
    """

    name: str
    facts: Facts
    plugin: type[Any] | None
    template: type[Any] | None
    arguments: Mapping[str, Any] = field(default_factory=dict)
    strength: str | None = None
    values: tuple[float, ...] = ()

    @property
    def dial(self) -> Dial | None:
        """Its dial where that is no strength (a rank, a scale)."""
        return None if self.facts.dial == STRENGTH else self.facts.dial

    @property
    def of_avalanche(self) -> bool:
        """Whether it is one of Avalanche's classes, which have no facts."""
        return self.name.startswith(AVALANCHE)

    @property
    def file(self) -> Path | None:
        """The file of its class, where it has one."""
        module = sys.modules.get((self.plugin or self.template or Candidate).__module__)
        file = getattr(module, "__file__", None)
        return Path(file) if file else None

    @property
    def turns(self) -> bool:
        """Whether its dial acts after training, and it has the method that sets it."""
        return self.dial is not None and self.dial.after_training and self.has(Turns)

    def has(self, hook: type[Any]) -> bool:
        """Whether it has a hook, one of the protocols of ``palimpsest.strategies.base.hooks``."""
        return self.plugin is not None and issubclass(self.plugin, hook)

    def arguments_at(self, value: float | None) -> dict[str, Any]:
        """Return the constructor's arguments at a strength; ``None``: at the default one."""
        own = {self.strength: value} if self.strength and value is not None else {}
        return {**self.arguments, **own}

    def make_plugin(self, value: float | None) -> Any:
        """Return a new plugin; ``None`` where the template is the strategy.

        Args:
            value: Of its strength, or of its dial where that acts after training; ``None``: what it
                is set to.
        """
        if self.plugin is None:
            return None
        made = self.plugin(**self.arguments_at(value))
        if self.turns and value is not None:
            made.turn(value)
        return made

    def at(self, value: float) -> Candidate | None:
        """Return the candidate with its dial, no strength, at a value; ``None`` if invalid."""
        assert self.dial is not None
        arguments = {**self.arguments, self.dial.name: self.dial.typed(value)}
        known = STRATEGIES.get(self.name)
        try:
            if known is not None:
                known.Settings.model_validate(arguments)
        except ValueError:
            return None
        return replace(self, arguments=arguments, values=(value,))

    def setting(self, value: float | None) -> str:
        """Write a value with the dial's name, ``rank 2``; nothing where there is no dial."""
        if self.dial is not None:
            return f"{self.dial.name} {self.values[0] if value is None else value:g}"
        return "" if value is None else f"{STRENGTH.name} {value:g}"


def candidates(target: str, settings: Mapping[str, Any]) -> list[Candidate]:
    """Return the strategies that a target names.

    Args:
        target: A plugin file (all its strategies), a name as suites use it, or ``avalanche:`` and
            the name of an Avalanche strategy or plugin, as in ``avalanche:RWalk``.
        settings: Some of their settings, or arguments of the Avalanche class.

    Raises:
        UserError: There is no such strategy or setting.
    """
    if target.endswith(".py"):
        load_files([Path(target)])
        names = strategies_of(Path(target))
        if not names:
            raise UserError(
                f"{target}: the file adds no strategy to check; give a class facts = Facts(...)"
            )
        return [_registered(name, settings) for name in names]
    if target.startswith(AVALANCHE):
        return [_of_avalanche(target, settings)]
    if target not in STRATEGIES:
        load_packages()
    if target not in STRATEGIES:
        hint = nearest(target, [*STRATEGIES, f"{AVALANCHE}CLASS"])
        raise UserError(f"unknown strategy {target!r}; {hint}")
    return [_registered(target, settings)]


def _registered(name: str, settings: Mapping[str, Any]) -> Candidate:
    found = STRATEGIES[name]
    source = SuiteSource("--set", dict(settings))
    checked = validated(found.Settings, {**found.facts.brief, **settings}, source, ())
    template = found if issubclass(found, SupervisedTemplate) else None
    candidate = Candidate(
        name=name,
        facts=checked.facts(found.facts),
        plugin=found if template is None else None,
        template=template,
        arguments=checked.model_dump(),
        strength=STRENGTH.name if found.facts.dial == STRENGTH else None,
    )
    return replace(candidate, values=_values(candidate, found.Settings))


def _values(candidate: Candidate, model: type[StrategySettings]) -> tuple[float, ...]:
    """Return the value of a dial and, if the dial acts after training, another valid one."""
    dial = candidate.dial
    if dial is None:
        return ()
    value = float(candidate.arguments[dial.name])
    if not dial.after_training:
        return (value,)
    for near in (value / 2, value + 1, value - 1, value + 0.1):
        other = dial.typed(near)
        try:
            model.model_validate({**candidate.arguments, dial.name: other})
        except ValueError:
            continue
        if other != value:
            return value, other
    raise UserError(f"{candidate.name}: its dial {dial.name} has no value beside {value:g}")


def _of_avalanche(target: str, settings: Mapping[str, Any]) -> Candidate:
    name = target.removeprefix(AVALANCHE).removesuffix("Plugin")
    plugin = getattr(avalanche_plugins, f"{name}Plugin", None)
    strength = STRENGTHS.get(name)
    arguments = {**({strength: 1.0} if strength else {}), **ARGUMENTS.get(name, {}), **settings}
    try:
        template = find(AVALANCHE + name)
    except UserError:
        if plugin is None:
            raise
        template = Naive
    else:
        plugin = None
        check_arguments(AVALANCHE + name, arguments)
    facts = facts_of_avalanche(AVALANCHE + name)
    if name == FINE_TUNING:
        facts = replace(facts, role="baseline")
    return Candidate(target, facts, plugin, template, arguments, strength)
