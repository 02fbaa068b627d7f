"""Everything that decides a run's result, as a type: the only place that knows how it is stored.

A spec is plain data and kept unchanged: a store returns it exactly as it was written, also one of
an older version that lacks later additions. Importing this needs no torch.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from palimpsest.benchmark.settings.applicable import settings_in_use

STRENGTH = "strength"
"""The name of a dial if a spec does not say."""

_NO_SETTINGS = frozenset({"name", "fingerprints", "plugin", "network_plugin", "content"})
"""Keys of a scenario that are not settings."""

_OWN = frozenset({"scenario", "strategy", "strength", "seed", "results_version", "probes"})
"""Keys that are not among the circumstances that all runs of a scenario share."""


@dataclass(frozen=True)
class ScenarioSpec:
    """The scenario of a run.

    Attributes:
        name: In the suite.
        settings: By name, the family among them; defaults are filled in.
        fingerprints: Of the data sets that it reads, by name.
        plugin: Digest of the code that adds the family; ``None`` for what ships.
        network_plugin: Digest of the code of the user's own network; ``None`` for all others.
        content: Digest of the data that a family of the user's own has made; ``None`` for what
            ships, whose data have fingerprints.
    """

    name: str
    settings: Mapping[str, Any]
    fingerprints: Mapping[str, str]
    plugin: str | None = None
    network_plugin: str | None = None
    content: str | None = None

    @property
    def family(self) -> str:
        """What kind of scenario it is."""
        family: str = self.settings["family"]
        return family

    @property
    def in_use(self) -> dict[str, Any]:
        """The settings that have a meaning beside the others, for readers."""
        return settings_in_use(self.settings)

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
        kind: What it is, whatever its name in the suite: ``wpl``, or ``avalanche:`` and a class.
        settings: By name, defaults filled in; without the dial and the seed.
        plugin: Digest of the code that adds the kind; ``None`` for what ships.
        dial: What its dial is called.
    """

    name: str
    kind: str
    settings: Mapping[str, Any]
    plugin: str | None = None
    dial: str = STRENGTH

    @property
    def data(self) -> dict[str, Any]:
        """All of it, as it is stored."""
        data: dict[str, Any] = {"name": self.name, "strategy": self.kind}
        data["settings"] = {**self.settings}
        if self.dial != STRENGTH:  # keys of runs with a strength are older than other dials
            data["dial"] = self.dial
        return data if self.plugin is None else data | {"plugin": self.plugin}


@dataclass(frozen=True)
class Code:
    """The code that made a run's results, beside its settings.

    Attributes:
        scenario: Digests of the plugins of the scenario and of its network, and of the data that
            they have made.
        strategy: Digest of the strategy's plugin, and the results version.
    """

    scenario: tuple[str | None, ...]
    strategy: tuple[str | None, int | None]


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
        strength: float | None,
        seed: int,
        device: str,
        results_version: int,
        probes: Sequence[str] = (),
    ) -> Spec:
        """Put a spec together.

        Args:
            scenario: The scenario.
            strategy: The strategy.
            strength: The value of the strategy's dial, ``None`` if it has none.
            seed: The run's seed.
            device: As torch spells it.
            results_version: The results version of the code.
            probes: The probes of the run. They change no result, only what is stored.
        """
        return cls({
            "scenario": scenario.data,
            "strategy": strategy.data,
            "strength": strength,
            "seed": seed,
            "device": device,
            "results_version": results_version,
            **({"probes": list(probes)} if probes else {}),
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
        )

    @property
    def strength(self) -> float | None:
        """The value of the strategy's dial, ``None`` if it has none."""
        return self.data.get("strength")

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
        """Whether it is computed on the CPU: its peak memory is then that of the whole process."""
        return self.device == "cpu"

    @property
    def results_version(self) -> int | None:
        """That of the code that produced the results; ``None`` if a store does not say."""
        return self.data.get("results_version")

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
    def pairing(self) -> str:
        """What a run shares with those that it is compared with seed by seed."""
        common = ("scenario", "seed", "device")
        return json.dumps({name: self.data.get(name) for name in common}, sort_keys=True)

    @property
    def code(self) -> Code:
        """The code that made it, as far as its key knows it."""
        scenario, strategy = self.scenario, self.strategy
        return Code(
            (scenario.plugin, scenario.network_plugin, scenario.content),
            (strategy.plugin, self.results_version),
        )

    def key(self) -> str:
        """Return the hash by which a store finds the run."""
        canonical = json.dumps(self.data, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()[:16]
