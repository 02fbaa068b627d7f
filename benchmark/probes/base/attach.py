"""The probes of a run, added to its plugins."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from palimpsest.benchmark.probes import load
from palimpsest.benchmark.probes.base.probe import Probe, Subject
from palimpsest.strategies.base.hooks import Samples

POSTERIORS = "uncertainty"
"""The probe that strategies with a posterior always have."""


class _OfBlocksOnly(Probe):
    """Stands in for a probe where models are no sequences of blocks."""

    def absent(self) -> str | None:
        """Return that it cannot look."""
        return "probes look at models made of blocks (mlp, cnn), not into whole networks"


def attach(names: Collection[str], subject: Subject, strategy: Any) -> dict[str, Probe]:
    """Create probes, and add those that have something to measure to a strategy's plugins.

    Strategies with a posterior have its probe, whether or not it is named.
    """
    whole = not subject.scenario.model.of_blocks
    probes: dict[str, Probe] = {
        name: _OfBlocksOnly(subject) if whole and load(name).of_blocks else load(name)(subject)
        for name in names
    }
    if POSTERIORS not in probes and isinstance(subject.plugin, Samples):
        probe = load(POSTERIORS)(subject)
        if probe.absent() is None:
            probes[POSTERIORS] = probe
    strategy.plugins += [probe for probe in probes.values() if probe.absent() is None]
    return probes
