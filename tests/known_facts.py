"""Facts of strategies for runs that tests make up."""

from dataclasses import replace

from palimpsest.benchmark.suites.avalanche import AVALANCHE, AvalancheSettings
from palimpsest.benchmark.suites.spec import Spec
from palimpsest.benchmark.suites.suite import Strategy
from palimpsest.strategies.base.facts import STRENGTH, Dial, Facts
from palimpsest.strategies.registry import STRATEGIES

DIALS = {entry.dial.name: entry.dial for entry in STRATEGIES.values() if entry.dial}


def facts_of(kind, settings=None, **changes):
    """Those of a shipped strategy, or of one that only the tests know; it has a strength."""
    if kind in STRATEGIES or kind.startswith(AVALANCHE):
        model = STRATEGIES[kind].settings if kind in STRATEGIES else AvalancheSettings
        found = Strategy(kind, kind, model.model_construct(**settings or {})).facts
    else:
        found = Facts(kind, "made up", "nowhere", STRENGTH)
    return replace(found, **changes)


def with_dial(record, dial):
    """The run as one of a strategy with another dial: a shipped one by its name, or any."""
    if isinstance(dial, str):
        own = record.facts.dial
        dial = own if own and own.name == dial else DIALS.get(dial, Dial(dial, f"{dial}s"))
    strategy = {**record.spec.data["strategy"], "dial": dial.name}
    spec = Spec({**record.spec.data, "strategy": strategy})
    return replace(record, spec=spec, facts=replace(record.facts, dial=dial))
