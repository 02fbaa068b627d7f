import numpy as np
import pytest
from known_facts import with_dial

from palimpsest.reports.analysis.choosing.cross_fitting import choose
from palimpsest.reports.analysis.ranking import ranking
from palimpsest.reports.analysis.remarks import caveats as caveats_module
from palimpsest.reports.analysis.remarks.findings import findings
from palimpsest.reports.runs.cells import group
from palimpsest.reports.statistics.collapse import Strays
from palimpsest.reports.statistics.interval import Estimate
from palimpsest.reports.wording.numbers import bracketed, percent
from palimpsest.reports.wording.words import duration, ranges

LOST = [[0.9, 0.1], [0.5, 0.9]]
KEPT = [[0.9, 0.1], [0.8, 0.8]]
ALONE = [[0.9, 0.1], [0.9, 0.9]]
REFERENCES = {"baseline": LOST, "alone": ALONE}


def runs(record, seeds=5):
    made = []
    for seed in range(seeds):
        common = {"seed": seed, "references": REFERENCES}
        made += [
            record(LOST, **common),
            record(ALONE, strategy="independent", **common),
            record(KEPT, strategy="wpl", strength=1e4, **common),
            record(ALONE, strategy="wpl", strength=1e6, **common),
        ]
    return made


def summary(records):
    cells = group(records)
    return findings(cells, choose(cells))


def caveats(cells):
    choices = choose(cells)
    return caveats_module.caveats(cells, choices, ranking(choices))


def test_summary_says_what_was_forgotten_avoided_and_paid(record):
    (finding,) = summary(runs(record))
    text = finding.references.replace("\xa0", " ")
    assert "With finetune, earlier models forget 40.0 points [40.0, 40.0]" in text
    assert "Trained alone (independent), new models reach 90.0 %" in text
    (wpl,) = finding.strategies
    assert wpl.replace("\xa0", " ") == (
        "wpl, strength 1e6 (chosen among 2) avoids 100.0 % [100.0, 100.0] of fine-tuning's "
        "forgetting at a cost of 0.0 points [0.0, 0.0] of the new models' accuracy (5 seeds)."
    )


def test_the_price_is_paired_with_fine_tuning(record):
    made = []
    for seed, (plain, ours) in enumerate([(0.9, 0.8), (0.7, 0.65), (0.8, 0.74)]):
        lost, kept = [[0.9, 0.1], [0.5, plain]], [[0.9, 0.1], [0.8, ours]]
        made += [record(lost, seed=seed), record(kept, strategy="wpl", strength=1.0, seed=seed,
                                                references={"baseline": lost})]  # fmt: skip
    (finding,) = summary(made)
    assert "at a cost of 7.0\xa0points (seeds 10.0,\xa05.0,\xa06.0) of" in finding.strategies[0]


def test_every_number_says_of_how_many_seeds_it_is(record):
    """Five seeds of WPL; fine-tuning for four, one of them in another store, alone for none."""
    made = []
    for seed in range(5):
        lost = [[0.9, 0.1], [0.5, 0.9]]
        references = {"baseline": lost} if seed < 3 else {}
        kept = [[0.9, 0.1], [0.7 + 0.02 * seed, 0.8]]
        made.append(record(kept, strategy="wpl", strength=1.0, seed=seed, references=references))
        if seed < 4:
            made.append(record(lost, seed=seed))
    (finding,) = summary(made)
    assert finding.references.endswith("(4 seeds).")
    (wpl,) = finding.strategies
    assert "% (seeds 50.0,\xa055.0,\xa060.0) of fine-tuning's forgetting" in wpl
    assert "10.0\xa0points [10.0,\xa010.0] (4 seeds) of the new models' accuracy." in wpl
    assert "5 seeds" not in wpl


def test_seeds_far_from_the_others_are_said_at_the_number_and_in_a_caveat(record):
    made = [
        record([[0.9, 0.1], [kept, 0.9]], strategy="wpl", strength=1.0, seed=seed)
        for seed, kept in enumerate([0.9, 0.91, 0.2, 0.9, 0.92])
    ]
    (finding,) = summary(made)
    assert "stability 76.6\xa0% [" in finding.strategies[0]
    assert "(1 of 5 seeds far below, median\xa090.0)" in finding.strategies[0]
    (text,) = [text for text in caveats(group(made)) if "far from all others" in text]
    assert "wpl, strength 1 (stability 1 of 5, average accuracy 1 of 5, forgetting 1 of 5)" in text


def test_nothing_forgotten_is_said(record):
    (finding,) = summary([record([[0.8, 0.1], [0.9, 0.9]])])
    assert "forget less than a point" in finding.references
    assert "there is nothing to remove" in finding.references


def test_forgetting_that_is_not_clear_is_still_forgetting(record):
    lost = [record([[0.9, 0.1], [0.9 - loss, 0.9]], seed=seed)
            for seed, loss in enumerate((0.005, 0.4, 0.3))]  # fmt: skip
    (finding,) = summary(lost)
    text = finding.references.replace("\xa0", " ")
    assert text.startswith(
        "With finetune, earlier models forget 23.5 points (seeds 0.5, 40.0, 30.0), not clearly "
        "above zero, so no share of it is given; new models reach 90.0 %"
    )


def test_without_references_the_summary_falls_back(record):
    (finding,) = summary([record(KEPT, strategy="wpl", strength=10.0)])
    assert "was not measured" in finding.references
    assert finding.strategies == [
        "wpl, strength 10: stability 80.0\xa0%; learning accuracy 80.0\xa0% (1 seed)."
    ]


def test_complete_runs_need_few_caveats(record):
    missing, end, grid = caveats(group(runs(record)))
    assert missing == (
        "same: no intransigence, which needs a reference: add a strategy that trains all models at "
        "once to the suite, see 'palimpsest list strategies'."
    )
    assert "the chosen strength of wpl, 1e6, is the strongest that was tried" in end
    assert "the grid of wpl is coarse" in grid


def test_a_memory_is_not_asked_to_grow_without_end(record):
    made = [
        record(matrix, strategy="replay", strength=memory, seed=seed)
        for memory, matrix in ((200.0, KEPT), (2000.0, ALONE))
        for seed in range(5)
    ]
    (end,) = (text for text in caveats(group(made)) if "that was tried" in text)
    assert end == (
        "same: the chosen memory of replay, 2000, is the highest that was tried: more stored "
        "samples are seldom worse, up to all data, so compare methods at the same memory."
    )


@pytest.mark.parametrize(
    ("dial", "values", "open_"),
    [
        ("energy", (0.9, 0.99), True),
        ("energy", (0.9, 1.0), False),
        ("share", (0.5, 1.0), False),
        ("density", (0.5, 1.0), False),
        ("rank", (2.0, 20.0), True),
        ("their_own", (0.5, 1.0), True),
    ],
)
def test_nobody_is_asked_for_values_beyond_the_end_of_a_scale(record, dial, values, open_):
    """The higher value is chosen."""
    made = [
        record(matrix, strategy="it", strength=value, seed=seed)
        for value, matrix in zip(values, (KEPT, ALONE), strict=True)
        for seed in range(5)
    ]
    made = [with_dial(run, dial) for run in made]
    assert any("extend the range" in text for text in caveats(group(made))) == open_


@pytest.mark.parametrize(("weakest", "open_"), [(0.0, False), (1.0, True)])
def test_nothing_is_weaker_than_no_strength(record, weakest, open_):
    """The lower strength is chosen."""
    made = [
        record(matrix, strategy="wpl", strength=value, seed=seed)
        for value, matrix in ((weakest, ALONE), (10.0, KEPT))
        for seed in range(5)
    ]
    assert any("extend the range" in text for text in caveats(group(made))) == open_


def noisy(record, seeds):
    """Runs of strategies by name, each with so many seeds, and a little noise."""
    rng = np.random.default_rng(0)
    kept = {name: 0.5 if name == "finetune" else 0.7 for name in seeds}
    return [
        record(
            [[0.9, 0.1], [kept[name] + 0.01 * float(rng.standard_normal()), 0.9]],
            strategy=name,
            seed=seed,
        )
        for name, count in seeds.items()
        for seed in range(count)
    ]


@pytest.mark.parametrize("seeds", [3, 4])
def test_seeds_that_are_too_few_for_any_test_are_named(record, seeds):
    found = caveats(group(noisy(record, dict.fromkeys(("finetune", "ewc", "wpl"), seeds))))
    said = "same: with 3 seeds no difference has an interval or a test, which take 4: read "
    assert any(text.startswith(said) for text in found) == (seeds == 3)
    assert any("no difference has an interval" in text for text in found) == (seeds == 3)


def test_unequal_budgets_are_named(record):
    made = [record(KEPT, strategy="wpl", strength=float(s)) for s in (1, 2, 3)]
    made += [record(KEPT, strategy="ewc", strength=float(s)) for s in (1, 2)]
    text = "\n".join(caveats(group(made)))
    assert "different numbers of strengths to choose from: ewc 2, wpl 3" in text


def test_few_seeds_failures_and_missing_references(record):
    found = caveats(group([
        record(KEPT, strategy="wpl", strength=1.0),
        record(KEPT, strategy="wpl", strength=1.0, seed=1),
        record(strategy="wpl", strength=1.0, seed=2, error="out of memory"),
        record(LOST, strategy="finetune"),
    ]))  # fmt: skip
    text = "\n".join(found)
    assert "1 of 4 runs failed" in text
    assert "fewer than 5 seeds (as few as 1) for all variants" in text
    assert "add a strategy that shares nothing to the suite" in text
    assert "forgetting reduction is missing for seed 1: no run of finetune finished there" in text


def test_equal_caveats_of_several_scenarios_are_one(record):
    found = caveats(group([record([[0.9]], scenario=name) for name in ("a", "b")]))
    assert found == [
        "a; b: fewer than 5 seeds (as few as 1) for all variants; below 4 seeds no interval is "
        "shown, only the seeds themselves."
    ]


def test_weak_forgetting_and_mixed_versions(record):
    after = [0.8, 0.95, 0.7, 0.95, 0.85]
    made = [record([[0.9, 0.1], [a, 0.9]], seed=i) for i, a in enumerate(after)]
    made[0] = record(
        [[0.9, 0.1], [0.8, 0.9]], versions={"torch": "2.4"}, started="2026-02-01T00:00:00+00:00"
    )
    text = "\n".join(caveats(group(made)))
    assert "the forgetting of finetune is not clearly above zero: shares of it" in text
    assert "more than one torch" in text


def test_replaced_runs_are_mentioned(record):
    made = [record(LOST, started=f"2026-0{month}-01T00:00:00+00:00") for month in (1, 2)]
    assert "1 run with the same settings" in caveats(group(made))[0]


def test_seeds_in_a_row_are_a_range(record):
    made = [record(LOST, seed=seed) for seed in range(3)]
    made += [record(KEPT, strategy="wpl", strength=1.0, seed=seed) for seed in range(10)]
    text = "\n".join(caveats(group(made)))
    assert "forgetting reduction is missing for seeds 3 to 9: no run of finetune" in text
    assert ranges([4]) == ["4"]
    assert ranges([9, 0, 1, 3, 4, 5, 9]) == ["0", "1", "3 to 5", "9"]


def test_numbers():
    assert percent(None) == "–"
    assert percent(0.9156) == "91.6"
    assert percent(-0.0001) == "0.0"
    assert percent(-0.0001, signed=True) == "0.0"
    assert percent(-0.021, signed=True) == "−2.1"
    assert percent(0.021, signed=True) == "+2.1"
    one, three = Estimate(0.5, None, None, 1, (0.5,)), Estimate(0.5, 0.4, 0.6, 4)
    assert bracketed(one, "%") == "50.0\xa0%"
    assert bracketed(one, "%", seeds=5) == "50.0\xa0% (1 seed)"
    assert bracketed(three, "%") == bracketed(three, "%", seeds=4) == "50.0\xa0% [40.0,\xa060.0]"
    assert bracketed(three, "%", seeds=5) == "50.0\xa0% [40.0,\xa060.0] (4 seeds)"
    two = Estimate(0.5, None, None, 2, (0.4, 0.6))
    assert bracketed(two, "%", seeds=5) == "50.0\xa0% (seeds 40.0,\xa060.0)"
    far = Estimate(0.5, 0.1, 0.9, 4, (0.6, 0.7, 0.1, 0.6), Strays(1, below=True))
    assert bracketed(far, "%") == (
        "50.0\xa0% [10.0,\xa090.0] (1 of 4 seeds far below, median\xa060.0)"
    )
    assert [duration(s) for s in (4.21, 200, 18720)] == ["4.2 s", "3 min 20 s", "5 h 12 min"]
