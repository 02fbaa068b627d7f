from dataclasses import replace

import pytest
from known_facts import DIALS, facts_of

from palimpsest.benchmark.errors import UserError
from palimpsest.reports.analysis.choosing.cross_fitting import choose
from palimpsest.reports.analysis.choosing.variants import Catalog, label
from palimpsest.reports.runs.cells import Variant, group


@pytest.fixture
def catalog(runs):
    return Catalog.of("paper", group([record for record in runs if record.suite == "paper"]))


@pytest.mark.parametrize(
    ("written", "strength"),
    [("wpl@100", 1e2), ("wpl@1e2", 1e2), ("wpl@1e+06", 1e6), ("finetune", None)],
)
def test_a_variant_is_found_however_its_strength_is_written(catalog, written, strength):
    cell = catalog.cell("k3", written)
    assert (cell.scenario, cell.variant.strategy) == ("k3", written.split("@")[0])
    assert cell.variant.strength == strength
    assert len(cell.done) == 4


def test_the_chosen_strength_is_that_of_the_report(catalog):
    (choice,) = (c for c in choose(catalog.cells) if (c.scenario, c.strategy) == ("k3", "l2"))
    assert choice.cell.variant.strength == 1e4  # keeps 0.9 at a price of 0.09
    assert catalog.cell("k3", "l2@chosen") is choice.cell
    assert catalog.cell("k3", "freeze@chosen").variant.kind == "freeze"


def test_where_the_halves_of_the_seeds_choose_differently_both_strengths_stand(runs, study):
    """Even seeds say 1e4, odd ones 1e2: each is reported at what the others say."""
    tilted = []
    for record in runs:
        if (record.scenario, record.strategy) == ("k3", "l2"):
            better = 0.9 if (record.strength == 1e4) == (record.seed % 2 == 0) else 0.5
            record = replace(record, validation_matrix=[[0.9, 0.1], [better, better]])
        tilted.append(record)
    cell = Catalog.of("paper", group([r for r in tilted if r.suite == "paper"])).cell(
        "k3", "l2@chosen"
    )
    assert [(r.seed, r.strength) for r in cell.done] == [(0, 1e2), (1, 1e4), (2, 1e2), (3, 1e4)]
    paper = study(tilted)
    assert paper.strength("k3", "l2@chosen") == "100 (2 of 4 seeds), 1e4 (2)"
    expected = [r.accuracy_matrix[-1][-1] for r in cell.done]
    assert paper.value("k3", "l2@chosen", "second").mean == pytest.approx(25 * sum(expected))
    assert "100 (2 of 4 seeds), 1e4 (2)" in paper.table(["k3"], ["l2@chosen"], ["strength"])
    paper.curves("a", scenarios=["k3"], variants=["l2@chosen", "l2@1e4"])
    frame = paper._album.plots[-1].data
    assert set(frame["variant"]) >= {"l2, strength 1e4"}


def test_a_page_says_where_a_grid_is_coarse_and_what_runs_ran_on(runs, study):
    paper = study([
        replace(
            record,
            validation_matrix=[[0.9, 0.1], [0.5 + 0.01 * record.seed, 0.9 if good else 0.5]],
            versions={**record.versions, "processor": "new" if good else "old"},
        )
        for record in runs
        for good in [record.strength == 1e4]
    ])  # fmt: skip
    text = paper.coarse("k3", "wpl")
    assert text.startswith("tried 100, 1e4 and 1e6; best 1e4; 100 is 20.0 points below it (seeds")
    assert "and 1e6 is 20.0 points" in text
    assert paper.open_end("k3", "wpl") == ""
    assert study(runs).open_end("k3", "l2") == "strongest"
    assert study(runs).coarse("k3", "finetune") == ""
    assert paper.processor("k3", "wpl@1e4") == "new"
    assert paper.processor("k3", "wpl@1e2") == "old"


@pytest.mark.parametrize(
    ("scenario", "written", "message"),
    [
        ("k33", "wpl@1e4", "no runs of a scenario 'k33'; did you mean 'k3'"),
        ("k3", "wlp@1e4", "no strategy 'wlp' in the store; did you mean 'wpl'"),
        ("k3", "wpl@1e5", "the store, which has wpl@100, wpl@1e4, wpl@1e6"),
        ("k3", "wpl", "which has wpl@"),
        ("k3", "finetune@1e4", "which has finetune;"),
        ("k3", "wpl@strong", "which has wpl@"),
    ],
)
def test_what_is_not_there_is_answered_with_the_nearest(catalog, scenario, written, message):
    with pytest.raises(UserError) as error:
        catalog.cell(scenario, written)
    assert message in str(error.value)
    assert "'paper'" in str(error.value)


def test_without_validation_accuracies_nothing_is_chosen(runs):
    blind = [replace(r, validation_matrix=[]) for r in runs if r.suite == "paper"]
    with pytest.raises(UserError, match=r"no strength of wpl could be chosen .*'wpl@100'"):
        Catalog.of("paper", group(blind)).cell("k3", "wpl@chosen")


@pytest.mark.parametrize(
    ("written", "dial", "expected"),
    [
        ("finetune", "strength", "plain"),
        ("wpl@1e4", "strength", "WPL, strength 1e4"),
        ("wpl@1e+04", "strength", "WPL, strength 1e4"),
        ("wpl@chosen", "strength", "WPL"),
        ("wpl@1e6", "strength", "strong WPL"),
        ("l2@1e4", "strength", "l2, strength 1e4"),
        ("adapter@4", "rank", "adapter, rank 4"),
        ("der@5e2", "memory", "der, memory 500"),
    ],
)
def test_labels(written, dial, expected):
    labels = {"finetune": "plain", "wpl": "WPL", "wpl@1e6": "strong WPL"}
    value = written.partition("@")[2]
    strength = float(value) if value not in {"", "chosen"} else 1.0
    assert (
        label(written, labels, Variant("it", facts_of("it", dial=DIALS[dial]), strength))
        == expected
    )
