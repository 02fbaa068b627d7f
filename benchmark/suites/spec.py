"""A run's spec: everything that decides its result, and the only place that knows how it is stored.

A spec is plain data and never changes: a store returns it exactly as it was written. It has all
settings, and says which of them were at their defaults: a run's key leaves those out. Imports no
torch.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

STRENGTH = "strength"
"""The name of a dial if a spec does not say."""

_NO_SETTINGS = frozenset({"name", "fingerprints", "plugin", "network_plugin", "content"})
"""Keys of a scenario that are not settings."""

_OWN = frozenset({"scenario", "strategy", "seed", "versions", "defaults", "probes"})
"""Keys that are not among the circumstances that all runs of a scenario share."""


def _without(values: Mapping[str, Any], names: Collection[str]) -> dict[str, Any]:
    """Leave out settings; ``optimizer.momentum`` is a setting inside another."""
    if not names:
        return {**values}
    found = {}
    for key, value in values.items():
        inside = [name.removeprefix(f"{key}.") for name in names if name.startswith(f"{key}.")]
        if key not in names:
            found[key] = _without(value, inside) if isinstance(value, dict) else value
    return found


@dataclass(frozen=True)
class ScenarioSpec:
    """The scenario of a run.

    Attributes:
        name: In the suite.
        settings: By name, the family among them, with defaults. Settings that have no meaning
            beside the others are left out.
        fingerprints: Of the data sets that it reads, by name.
        plugin: Digest of the code that adds the family; ``None`` for what ships.
        network_plugin: Digest of the code of the user's own network; ``None`` for all others.
        content: Digest of the data of a family of the user's own; ``None`` for what ships, whose
            data have fingerprints.
        version: Of the family's results.
        defaults: The settings that are at their defaults.
    """

    name: str
    settings: Mapping[str, Any]
    fingerprints: Mapping[str, str]
    plugin: str | None = None
    network_plugin: str | None = None
    content: str | None = None
    version: int = 1
    defaults: Sequence[str] = ()

    @property
    def family(self) -> str:
        """What kind of scenario it is."""
        family: str = self.settings["family"]
        return family

    @property
    def changed(self) -> ScenarioSpec:
        """The same with only those settings that differ from their defaults."""
        return replace(self, settings=_without(self.settings, self.defaults))

    @property
    def data(self) -> dict[str, Any]:
        """All of it, as it is stored."""
        data = {"name": self.name, **self.settings, "fingerprints": {**self.fingerprints}}
        digests = {
            "plugin": self.plugin, "network_plugin": self.network_plugin, "content": self.content
        }  # fmt: skip
        return data | {name: value for name, value in digests.items() if value is not None}


@dataclass(frozen=True)
class StrategySpec:
    """The strategy of a run.

    Attributes:
        name: In the suite.
        kind: The strategy behind that name: ``wpl``, or ``avalanche:`` and a class.
        settings: By name, the dial among them, with defaults; without the seed.
        plugin: Digest of the code that adds the kind; ``None`` for what ships.
        dial: The name of its dial; it has none if there is no such setting.
        version: Of the kind's results.
        defaults: The settings that are at their defaults.
    """

    name: str
    kind: str
    settings: Mapping[str, Any]
    plugin: str | None = None
    dial: str = STRENGTH
    version: int = 1
    defaults: Sequence[str] = ()

    @property
    def changed(self) -> StrategySpec:
        """The same with only those settings that differ from their defaults."""
        return replace(self, settings=_without(self.settings, self.defaults))

    @property
    def without_dial(self) -> StrategySpec:
        """The same without its dial: what all runs of a sweep share."""
        return replace(self, settings=_without(self.settings, [self.dial]))

    @property
    def data(self) -> dict[str, Any]:
        """All of it, as it is stored."""
        data: dict[str, Any] = {"name": self.name, "strategy": self.kind}
        data["settings"] = {**self.settings}
        if self.dial in self.settings:
            data["dial"] = self.dial
        return data if self.plugin is None else data | {"plugin": self.plugin}


@dataclass(frozen=True)
class CodeDigests:
    """The code that made a run's results, beside its settings.

    Attributes:
        scenario: Digests of the plugins of the scenario and of its network, and of the data that
            they have made.
        strategy: Digest of the strategy's plugin, and the versions of the results.
    """

    scenario: tuple[str | None, ...]
    strategy: tuple[str | None, tuple[int, ...]]


@dataclass(frozen=True)
class Spec:
    """Everything that decides a run's result.

    Attributes:
        data: As it is stored, JSON.

    Raises:
        ValueError: It has no scenario, or no kind of strategy.
    """

    data: Mapping[str, Any]

    def __post_init__(self) -> None:
        if not isinstance(self.data, dict):
            raise ValueError("a spec is a mapping")
        scenario, strategy = (self.data.get(name) for name in ("scenario", "strategy"))
        if not isinstance(scenario, dict) or not isinstance(strategy, dict):
            raise ValueError("a spec has a scenario and a strategy")
        if not isinstance(strategy.get("strategy"), str):
            raise ValueError("a spec names the kind of its strategy")

    @classmethod
    def of(
        cls,
        scenario: ScenarioSpec,
        strategy: StrategySpec,
        *,
        seed: int,
        device: str,
        results_version: int,
        probes: Sequence[str] = (),
    ) -> Spec:
        """Put a spec together; ``results_version`` is the harness's."""
        return cls({
            "scenario": scenario.data,
            "strategy": strategy.data,
            "seed": seed,
            "device": device,
            "versions": {
                "harness": results_version,
                "scenario": scenario.version,
                "strategy": strategy.version,
            },
            **({"probes": list(probes)} if probes else {}),
            "defaults": {
                "scenario": list(scenario.defaults), "strategy": list(strategy.defaults)
            },
        })  # fmt: skip

    @cached_property
    def scenario(self) -> ScenarioSpec:
        """The scenario."""
        data = self.data["scenario"]
        settings = {name: value for name, value in data.items() if name not in _NO_SETTINGS}
        return ScenarioSpec(
            data.get("name", ""),
            settings,
            data.get("fingerprints", {}),
            data.get("plugin"),
            data.get("network_plugin"),
            data.get("content"),
            self.versions.get("scenario", 1),
            self._defaults("scenario"),
        )

    @cached_property
    def strategy(self) -> StrategySpec:
        """The strategy."""
        data = self.data["strategy"]
        kind = data["strategy"]
        return StrategySpec(
            data.get("name", kind),
            kind,
            data.get("settings", {}),
            data.get("plugin"),
            data.get("dial", STRENGTH),
            self.versions.get("strategy", 1),
            self._defaults("strategy"),
        )

    def _defaults(self, part: str) -> Sequence[str]:
        found: Sequence[str] = self.data.get("defaults", {}).get(part, ())
        return found

    @property
    def strength(self) -> float | None:
        """The value of the strategy's dial, ``None`` if it has none."""
        return self.strategy.settings.get(self.strategy.dial)

    @property
    def seed(self) -> int:
        """The run's seed."""
        seed: int = self.data["seed"]
        return seed

    @property
    def device(self) -> str:
        """As torch spells it; ``cpu`` if a store does not say."""
        return str(self.data.get("device", "cpu"))

    @property
    def on_cpu(self) -> bool:
        """Whether it runs on the CPU: its peak memory is then that of the whole process."""
        return self.device == "cpu"

    @property
    def versions(self) -> Mapping[str, int]:
        """Of the results of its harness, scenario and strategy; none if it does not say."""
        found: Mapping[str, int] = self.data.get("versions", {})
        return found

    @property
    def probes(self) -> tuple[str, ...]:
        """The probes of the run."""
        return tuple(self.data.get("probes", ()))

    @property
    def circumstances(self) -> dict[str, Any]:
        """What runs of one scenario share besides its settings, such as the device."""
        return {name: value for name, value in self.data.items() if name not in _OWN}

    def without(self, *names: str) -> Spec:
        """Return the spec without some of its parts, for comparing the others."""
        return Spec({name: value for name, value in self.data.items() if name not in names})

    @cached_property
    def hashed(self) -> Mapping[str, Any]:
        """The data of the key: all but the settings that are at their defaults."""
        data = {name: value for name, value in self.data.items() if name != "defaults"}
        return data | {
            "scenario": _without(self.data["scenario"], self.scenario.defaults),
            "strategy": self.data["strategy"] | {"settings": self.strategy.changed.settings},
        }

    @cached_property
    def pairing(self) -> str:
        """Shared by the runs that are compared with each other, seed by seed."""
        common = {name: self.hashed.get(name) for name in ("scenario", "seed", "device")}
        versions = [self.versions.get(name) for name in ("harness", "scenario")]
        return json.dumps([common, versions], sort_keys=True)

    @property
    def code(self) -> CodeDigests:
        """The code that made it, as far as its key knows it."""
        scenario, strategy = self.scenario, self.strategy
        return CodeDigests(
            (scenario.plugin, scenario.network_plugin, scenario.content),
            (strategy.plugin, tuple(self.versions.values())),
        )

    def key(self) -> str:
        """Return the hash by which a store finds the run."""
        canonical = json.dumps(self.hashed, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()[:16]
