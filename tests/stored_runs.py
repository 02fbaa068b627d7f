"""Runs as stores have them, finished and under way, without a training."""

from known_facts import facts_of

from palimpsest.benchmark.store.store import Record
from palimpsest.benchmark.suites.spec import Spec
from palimpsest.benchmark.suites.suite import Run

FACTS = facts_of("ties")
CURVES = [{"model": 0, "steps": [0, 5], "accuracy": [[0.1, 0.9]]}]


def a_run(name="one", strength=None):
    spec = Spec(
        {
            "scenario": {"name": "digits", "family": "two_models"},
            "strategy": {"name": name, "strategy": "ties", "dial": "scale"},
            "strength": strength,
        }
    )
    return Run(name, "suite", "digits", name, strength, 3, spec, FACTS)


def a_record(seed):
    spec = Spec({"scenario": {"name": "s"}, "strategy": {"strategy": "wpl"}, "seed": seed})
    curves = [{"model": 0, "steps": [*range(200)], "accuracy": [[0.5] * 200]}]
    own = spec.key(), "t", "s", "wpl", 1.0, seed, "done", spec, facts_of("wpl")
    return Record(*own, [[0.5]], curves=curves)
