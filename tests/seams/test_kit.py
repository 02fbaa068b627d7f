"""The kit looks into methods that are not penalties, too."""

from pathlib import Path

import pytest

from palimpsest.benchmark.kit.candidate import candidates
from palimpsest.benchmark.kit.check import PROPERTIES, verdict
from palimpsest.benchmark.kit.properties import hooks, strength
from palimpsest.benchmark.kit.property import properties_in

(PROTECTS,) = (each for each in properties_in(strength) if each.name.startswith("protects"))

HOOKS = {
    "mask": {
        "hooks are called",
        "evaluating puts everything back",
        "adapting twice is adapting once",
    },
    "adapter": {
        "hooks are called",
        "evaluating puts everything back",
        "adapting twice is adapting once",
    },
    "sign": {"hooks are called"},
    "merge": {"hooks are called", "evaluating puts everything back", "turning trains nothing"},
}


ASKED = (*properties_in(hooks), PROTECTS)

WHOLE = {"mask"}
"""What is asked everything, which takes seconds."""


@pytest.fixture(scope="module")
def found(registries):
    with registries():
        every = candidates(str(Path(__file__).with_name("methods.py")), {})
        return {
            each.name: {
                wanted.name: verdict(wanted, each)
                for wanted in (
                    PROPERTIES if each.name in WHOLE else (*properties_in(hooks), PROTECTS)
                )
            }
            for each in every
        }


@pytest.mark.parametrize("name", HOOKS)
def test_what_it_asks_of_hooks_holds(found, name):
    verdicts = found[name]
    asked = {"hooks", "evaluating", "adapting", "turning"}
    held = {
        prop
        for prop, verdict in verdicts.items()
        if verdict.outcome == "pass" and any(prop.startswith(word) for word in asked)
    }
    assert held == HOOKS[name]
    failed = {p: v.detail for p, v in verdicts.items() if v.outcome in ("fail", "weak")}
    assert failed == {}


@pytest.mark.parametrize(
    ("name", "dial"),
    [("mask", ""), ("sign", ""), ("adapter", " at rank 2"), ("merge", " at scale 0.25")],
)
def test_protection_is_told_with_the_dials_own_name(found, name, dial):
    told = found[name][PROTECTS.name].detail
    assert f"{dial}, by +0.10 without" in told
    assert "strength" not in told
    assert (" at " in told) == bool(dial)
