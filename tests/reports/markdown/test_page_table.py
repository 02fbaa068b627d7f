from dataclasses import replace

import pytest

from palimpsest.benchmark.errors import UserError


def rows(markdown):
    """The cells of every line of a table, no-break spaces as spaces."""
    lines = markdown.replace("\N{NO-BREAK SPACE}", " ").splitlines()
    assert all(line.startswith("| ") and line.endswith(" |") for line in lines)
    return [[cell.strip() for cell in line[2:-2].split(" | ")] for line in lines]


def test_every_cell_is_the_value_of_the_same_name(study, runs):
    paper = study(runs)
    scenarios, variants = ["k1", "k3"], ["finetune", "wpl@1e4", "l2@chosen", "freeze"]
    quantities = ["first_before", "first_after", "second", "removed", "seconds_per_step"]
    head, rule, *body = rows(paper.table(scenarios, variants, quantities))
    assert head == [
        "scenario", "strategy", "A before, %", "A at the end, %", "B, %", "forgetting removed, %",
        "time for a step, ms",
    ]  # fmt: skip
    assert rule == ["---", "---", *["---:"] * 5]
    assert len(body) == 8
    places = [(scenario, variant) for scenario in scenarios for variant in variants]
    for (scenario, variant), cells in zip(places, body, strict=True):
        values = [paper.value(scenario, variant, quantity) for quantity in quantities]
        expected = [str(v).replace("\N{NO-BREAK SPACE}", " ").removesuffix(" ms") for v in values]
        assert cells[2:] == expected
    assert [cells[0] for cells in body] == ["k1", "", "", "", "k3", "", "", ""]


def test_one_scenario_has_no_column_and_labels_rename_everything(study, runs):
    labels = {"wpl": "WPL", "finetune": "plain", "second": "new model", "strategy": "method"}
    text = study(runs).table(["k3"], ["finetune", "wpl@1e4", "wpl@chosen"], ["second"], labels)
    head, _, *body = rows(text)
    assert head == ["method", "new model, %"]
    assert [cells[0] for cells in body] == ["plain", "WPL, strength 1e4", "WPL"]


def test_failed_runs_are_said(study, runs):
    _, _, row = rows(study(runs).table(["k3"], ["wpl_gradient@1e6"], ["second", "removed"]))
    assert row == ["wpl_gradient, strength 1e6 (4 of 4 runs failed)", "–", "–"]


def test_a_mean_over_some_seeds_says_so(study, runs):
    some = [
        replace(r, probes={}) if (r.strategy, r.seed) == ("freeze", 0) else r
        for r in runs
        if r.suite == "paper"
    ]
    _, _, row = rows(study(some).table(["k3"], ["freeze"], ["refit"]))
    assert row == ["freeze", "82.0 (seeds 81.0, 82.0, 83.0) (3 of 4)"]


def test_an_unknown_column_is_answered_with_the_nearest(study, runs):
    with pytest.raises(UserError, match="did you mean 'removed'"):
        study(runs).table(quantities=["remove"])


def test_bars_in_names_do_not_break_the_table(study, runs):
    text = study(runs).table(["k3"], ["finetune"], ["second"], {"finetune": "a|b"})
    assert "a\\|b" in text
