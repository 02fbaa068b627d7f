"""Dials with names and ranges of their own: in suite files, specs and strategies."""

import pytest

from palimpsest.benchmark.cli import main
from palimpsest.benchmark.errors import UserError
from palimpsest.benchmark.randomness.seeding import derive
from palimpsest.benchmark.runs.preparation import prepare

SCENARIO = {"family": "two_models", "data": "digits", "steps": 2, "width": 8}


def test_a_suite_sweeps_over_a_dial_by_its_plural(make_runs):
    runs = make_runs({"adapter": {"ranks": [1, 4]}, "wpl": {"strengths": [2]}}, SCENARIO)
    assert [run.strength for run in runs] == [1, 4, 2.0]
    assert [type(run.strength) for run in runs] == [int, int, float]
    adapter, _, wpl = (run.spec.strategy for run in runs)
    assert adapter.dial == "rank"
    assert adapter.settings == {"rank": 1}
    assert wpl.dial == "strength"


def test_one_value_and_the_default_are_dials_too(make_runs):
    one, default = make_runs({"one": {"strategy": "adapter", "rank": 3}, "adapter": {}}, SCENARIO)
    assert (one.strength, default.strength) == (3.0, 2.0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"ranks": [1, 9]}, r"strategies\.adapter\.ranks\.1: .*less than or equal to 8, got 9"),
        ({"rank": 0}, r"strategies\.adapter\.rank: .*greater than or equal to 1, got 0"),
        ({"ranks": [2, 2]}, "a value of rank is listed twice"),
        ({"ranks": [1.5]}, "expected a whole number, got 1.5"),
        ({"ranks": []}, "expected 1 or more entries"),
        ({"ranks": 4}, r"expected a list, got 4; write \[4\]"),
        ({"rank": 1, "ranks": [2]}, "give rank or ranks, not both"),
        ({"strengths": [1]}, "unknown key 'strengths'"),
        ({"rnaks": [1]}, "unknown key 'rnaks'; did you mean 'ranks'"),
        ({"seed": 3}, "the suite's seeds decide it"),
    ],
)
def test_a_wrong_value_is_refused_by_the_dials_name(make_runs, settings, message):
    with pytest.raises(UserError, match=message):
        make_runs({"adapter": settings}, SCENARIO)


def test_a_strategy_gets_its_dial_in_the_settings_type_and_a_seed_of_its_own(make_runs, root):
    adapter, mask = make_runs({"adapter": {"ranks": [4]}, "mask": {}}, SCENARIO, seeds=[7])
    plugin = prepare(adapter, root).plugin
    assert (plugin.rank, type(plugin.rank)) == (4, int)
    assert plugin.seed == prepare(mask, root).plugin.seed == derive(7, "importance")


def test_without_a_dial_a_seed_is_the_suites_all_the_same(make_runs):
    with pytest.raises(UserError, match="the suite's seeds decide it"):
        make_runs({"mask": {"seed": 1}}, SCENARIO)


def test_what_a_strategy_sweeps_over_is_shown(make_runs, capsys):
    with pytest.raises(SystemExit):
        main(["show", "strategy", "adapter"])
    shown = capsys.readouterr().out
    assert "ranks\n      In a suite, in place of rank: a list to sweep over." in shown
    assert "strengths" not in shown
