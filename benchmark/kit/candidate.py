"""A strategy under test, found by name, and how to build it at any value of its dial."""

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
from palimpsest.benchmark.suites.avalanche import AVALANCHE
from palimpsest.benchmark.suites.file import Source
from palimpsest.benchmark.suites.validation import validated
from palimpsest.strategies.base.facts import STRENGTH, Dial
from palimpsest.strategies.base.hooks import Turns
from palimpsest.strategies.registry import STRATEGIES, Memory, StrategyEntry

_AVALANCHE_DIALS = {
    "EWC": "ewc_lambda",
    "SynapticIntelligence": "si_lambda",
    "MAS": "lambda_reg",
    "RWalk": "ewc_lambda",
    "LwF": "alpha",
    "LFL": "lambda_e",
}
_AVALANCHE_ARGUMENTS: dict[str, dict[str, Any]] = {"LwF": {"temperature": 2.0}}
_MOVES_UNUSED = {
    *("LwF", "LFL"),  # distillation
    *("Cumulative", "DER", "GDumb", "MIR", "RAR", "Replay"),  # earlier models' samples
    "FromScratchTraining",
}


@dataclass(frozen=True, eq=False)
class Candidate:
    """A strategy under test.

    Attributes:
        name: As the user named it.
        plugin: Its class, where it is a plugin.
        template: The Avalanche template that trains it; ``None``: the harness's own.
        arguments: Of the plugin's constructor, or else of the template's.
        strength: The argument that is its strength, or ``None``.
        dial: Its dial where that is no strength (a rank, a scale), or ``None``.
        values: Of that dial: what it is set to and, where it acts after training, one beside it.
        memory: How its state grows with models, as declared; ``None``: nothing is declared.
        moves_unused: It moves parameters that the current model does not use, by design.
        online: Its importance is gathered from the batches of training, as declared.
        searches: It works in architecture searches alone, as declared: all models learn the same.
        forgets_nothing: No model ever changes what it puts out, as declared.
        holds_for_good: What it holds it never frees, as declared.
        protects: Whether it is meant to protect; fine-tuning is not.
    """

    name: str
    plugin: type[Any] | None
    template: type[Any] | None
    arguments: Mapping[str, Any] = field(default_factory=dict)
    strength: str | None = None
    dial: Dial | None = None
    values: tuple[float, ...] = ()
    memory: Memory | None = None
    moves_unused: bool = False
    online: bool = False
    searches: bool = False
    forgets_nothing: bool = False
    holds_for_good: bool = False
    protects: bool = True

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
        """Return the candidate with its dial set to a value; ``None`` where that is refused.

        Args:
            value: Of its dial, which is no strength.
        """
        assert self.dial is not None
        arguments, entry = {**self.arguments, self.dial.name: value}, STRATEGIES.get(self.name)
        if entry is not None:
            arguments[self.dial.name] = entry.dial_value(value)
            try:
                entry.settings.model_validate(arguments)
            except ValueError:
                return None
        return replace(self, arguments=arguments, values=(value,))

    def setting(self, value: float | None) -> str:
        """Return a value with the dial's name, ``rank 2``; nothing where it has no dial."""
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
            raise UserError(f"{target}: the file adds no strategy to check; list one in STRATEGIES")
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
    entry = STRATEGIES[name]
    source = Source("--set", dict(settings))
    checked = validated(entry.settings, {**entry.brief, **settings}, source, ())
    arguments = checked.model_dump()
    found = entry.load()
    is_template = issubclass(found, SupervisedTemplate)
    facts = checked.facts(entry.facts)
    dial = None if facts.dial == STRENGTH else facts.dial
    return Candidate(
        name=name,
        plugin=None if is_template else found,
        template=found if is_template else None,
        arguments=arguments,
        strength=STRENGTH.name if entry.dial == STRENGTH else None,
        dial=dial,
        values=() if dial is None else _values(entry, arguments, dial),
        memory=entry.memory,
        moves_unused=facts.moves_unused,
        online=facts.online,
        searches=entry.searches,
        forgets_nothing=entry.forgets_nothing,
        holds_for_good=entry.holds_for_good,
        protects=facts.role != "baseline",
    )


def _values(entry: StrategyEntry, settings: Mapping[str, Any], dial: Dial) -> tuple[float, ...]:
    """Return what a dial is set to; where it acts after training, also a valid value beside it."""
    value = float(settings[dial.name])
    if not dial.after_training:
        return (value,)
    for near in (value / 2, value + 1, value - 1, value + 0.1):
        other = entry.dial_value(near)
        try:
            entry.settings.model_validate({**settings, dial.name: other})
        except ValueError:
            continue
        if other != value:
            return value, other
    raise UserError(f"{entry.name}: its dial {dial.name} has no value beside {value:g}")


def _of_avalanche(target: str, settings: Mapping[str, Any]) -> Candidate:
    name = target.removeprefix(AVALANCHE).removesuffix("Plugin")
    plugin = getattr(avalanche_plugins, f"{name}Plugin", None)
    dial = _AVALANCHE_DIALS.get(name)
    arguments = {**({dial: 1.0} if dial else {}), **_AVALANCHE_ARGUMENTS.get(name, {}), **settings}
    try:
        template = find(AVALANCHE + name)
    except UserError:
        if plugin is None:
            raise
        template = Naive
    else:
        plugin = None
        check_arguments(AVALANCHE + name, arguments)
    return Candidate(
        name=target,
        plugin=plugin,
        template=template,
        arguments=arguments,
        strength=dial,
        moves_unused=name in _MOVES_UNUSED,
        protects=name != "Naive",
    )
