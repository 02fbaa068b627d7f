"""Which runs of a store a suite asks for, and which a user chooses."""

from dataclasses import replace

import pytest
from stored_runs import a_record

from palimpsest.benchmark.errors import UserError
from palimpsest.benchmark.results.selection import Selection, by_suite
from palimpsest.benchmark.suites.note import SuiteNote
from palimpsest.benchmark.suites.spec import Spec

OLD, NEW = "2026-01-01T00:00:00+00:00", "2026-02-01T00:00:00+00:00"


def run(suite, scenario="s", strategy="wpl", seed=0, started=OLD, width=8, strength=None):
    spec = Spec({
        **a_record(seed).spec.data,
        "scenario": {"name": scenario, "family": "split", "width": width},
        "strategy": {"name": strategy, "strategy": strategy, "settings": {}},
        "strength": strength,
    })  # fmt: skip
    return replace(
        a_record(seed), suite=suite, scenario=scenario, strategy=strategy,
        spec=spec, key=spec.key(), started=started,
    )  # fmt: skip


def note(name, scenarios=("s",), strategies=("wpl",)):
    return SuiteNote(name, "", scenarios, strategies)


def seeds(found):
    return {name: [run.seed for run in runs] for name, runs in found.items()}


def test_a_run_that_two_suites_ask_for_is_in_both():
    first = [run("a", seed=0), run("a", seed=1), run("a", strategy="ewc", seed=2)]
    more = [run("b", seed=3, started=NEW)]
    found = by_suite([*first, *more], [note("a", strategies=("wpl", "ewc")), note("b")])
    assert seeds(found) == {"b": [0, 1, 3], "a": [0, 1, 2, 3]}


def test_a_suite_that_ran_nothing_itself_has_the_runs_that_it_asks_for():
    found = by_suite([run("a", seed=0)], [note("a"), note("copy"), note("other", ("x",))])
    assert seeds(found) == {"a": [0], "copy": [0]}


def test_a_suite_whose_scenario_of_that_name_has_other_settings_does_not_ask_for_a_run():
    wide = run("b", seed=1, width=20, started=NEW)
    found = by_suite([run("a", seed=0), wide], [note("a"), note("b")])
    assert seeds(found) == {"b": [1], "a": [0]}


def test_what_no_note_tells_is_known_by_the_suite_of_its_runs():
    found = by_suite([run("a", seed=0), run("b", seed=1, started=NEW)])
    assert seeds(found) == {"b": [1], "a": [0]}


def test_a_choice_has_all_that_was_chosen_or_says_why_not():
    runs = [run("a"), run("b", "t", "ewc", seed=1)]
    assert Selection().only(runs) == runs
    assert Selection(suites=["a", "b"], strategies=["ewc"]).only(runs) == runs[1:]
    with pytest.raises(UserError, match="no run of the suites, scenarios and strategies that"):
        Selection(suites=["a"], strategies=["ewc"]).only(runs)
    with pytest.raises(UserError, match="no run of the scenario 'u'; expected one of: s, t"):
        Selection(scenarios=["u"]).only(runs)
    options = Selection(["a", "b"], None, ["ewc"]).options
    assert options == ["--suite", "a,b", "--strategies", "ewc"]
