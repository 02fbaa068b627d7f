"""Facts of strategies for runs that tests make up."""

from dataclasses import replace

from palimpsest.strategies.base.facts import STRENGTH, Dial, Facts
from palimpsest.strategies.registry import STRATEGIES


def facts_of(kind, dial=None, **changes):
    """Those of a shipped strategy, or of one that only the tests know; it has a strength."""
    entry = STRATEGIES.get(kind)
    found = Facts(kind, "made up", "nowhere", STRENGTH) if entry is None else entry.facts
    named = {} if dial is None else {"dial": Dial(dial, f"{dial}s")}
    return replace(found, **named | changes)
