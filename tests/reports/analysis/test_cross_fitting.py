from dataclasses import replace

import numpy as np
import pytest

from palimpsest.reports.analysis.choosing.choice import RULE, budgets
from palimpsest.reports.analysis.choosing.cross_fitting import choose
from palimpsest.reports.analysis.remarks.caveats import caveats
from palimpsest.reports.figures.strengths import VALIDATION, sweep_frame
from palimpsest.reports.runs.cells import group
from palimpsest.reports.statistics.interval import mean_estimate


def matrix(first, second):
    """Two models: final accuracies of the earlier and the new one."""
    return [[0.95, 0.1], [first, second]]


@pytest.fixture
def run(record):
    """A run of EWC whose validation accuracy is not its test accuracy."""

    def make(strength, seed, score, test=0.5, **settings):
        made = record(matrix(test, test), strategy="ewc", strength=strength, seed=seed, **settings)
        validation = [] if score is None else matrix(score - 0.1, score + 0.1)
        return replace(made, validation_matrix=validation)

    return make


def only(records):
    (choice,) = choose(group(records))
    return choice


def test_highest_validation_mean_wins_whatever_the_test_says(run):
    scores = {1.0: (0.5, 0.6), 10.0: (0.7, 0.8), 100.0: (0.9, 0.2)}
    test = {1.0: 0.9, 10.0: 0.1, 100.0: 0.5}
    records = [run(d, seed, s, test[d]) for d in scores for seed, s in enumerate(scores[d])]
    choice = only(records)
    assert choice.variant.strength == 10.0
    assert choice.reason == RULE
    assert choice.budget == 3
    assert choice.end is None
    assert [t.cell.variant.strength for t in choice.neighbours] == [1.0, 100.0]
    means = [t.validation.value for t in choice.tried]
    assert means == pytest.approx([0.55, 0.75, 0.55])
    assert only(records[::-1]).variant == choice.variant


def test_last_row_of_the_validation_matrix_is_what_counts(run):
    made = run(1.0, 0, 0.6)
    assert only([made]).tried[0].validation.value == pytest.approx(np.mean([0.5, 0.7]))


@pytest.mark.parametrize(
    ("scores", "strength", "end"),
    [((0.8, 0.7), 1.0, "weakest"), ((0.7, 0.8), 10.0, "strongest"), ((0.8, 0.8), 1.0, "weakest"),
     ((0.1 + 0.2, 0.3), 1.0, "weakest"), ((0.3, 0.1 + 0.2), 1.0, "weakest")],
)  # fmt: skip
def test_ends_of_the_grid_and_ties_go_to_the_weaker(run, scores, strength, end):
    choice = only([run(10.0, 0, scores[1]), run(1.0, 0, scores[0])])
    assert (choice.variant.strength, choice.end) == (strength, end)
    assert len(choice.neighbours) == 1


def test_strengths_with_failed_runs_are_left_out(run):
    records = [run(1.0, 0, 0.5), run(1.0, 1, 0.5), run(10.0, 0, 0.9), run(10.0, 1, 0.9, error="x")]
    choice = only(records)
    assert choice.variant.strength == 1.0
    assert choice.budget == 2
    assert choice.tried[1].excluded == "1 run failed"
    assert choice.tried[1].validation.value == pytest.approx(0.9)


def test_a_seed_that_was_tried_again_and_finished_has_not_failed(run):
    failed = replace(run(10.0, 0, None, error="x"), key="other")
    choice = only([failed, run(10.0, 0, 0.9), run(1.0, 0, 0.5)])
    assert choice.variant.strength == 10.0


def test_strengths_are_compared_over_the_seeds_they_share(run):
    # Seed 1 is hard: 10.0 has it and looks worse, but is better where both have runs.
    records = [run(1.0, 0, 0.7), run(10.0, 0, 0.8), run(10.0, 1, 0.2)]
    choice = only(records)
    assert choice.variant.strength == 10.0
    assert [t.validation.n for t in choice.tried] == [1, 1]


def test_no_seed_in_common_no_choice(run):
    choice = only([run(1.0, 0, 0.7), run(10.0, 1, 0.8)])
    assert choice.variant is None
    assert choice.reason == "the strengths have no seed in common"


@pytest.mark.parametrize("validation", [[], [[None, None], [None, None]]], ids=["empty", "null"])
def test_no_validation_split_no_choice(run, validation):
    records = [replace(run(s, 0, 0.5), validation_matrix=validation) for s in (1.0, 10.0)]
    choice = only(records)
    assert (choice.cell, choice.variant, choice.end, choice.neighbours) == (None, None, None, ())
    assert "no validation split" in choice.reason
    assert choice.budget == 2


def test_all_strengths_failed_somewhere(run):
    records = [run(s, seed, 0.5, error="x" if seed else None) for s in (1, 10) for seed in (0, 1)]
    assert only(records).cell is None
    assert "failed" in only(records).reason
    assert only([run(1.0, 0, None, error="x")]).reason == "no run finished"


def test_without_a_dial_there_is_nothing_to_choose(record):
    made = replace(record(matrix(0.5, 0.5), strategy="replay"), validation_matrix=[])
    choice = only([made])
    assert choice.variant.label == "replay"
    assert (choice.budget, choice.end, choice.reason) == (1, None, "no strength")
    assert budgets([choice]) == {}


def test_budgets_of_a_scenario(run, record):
    records = [run(1.0, 0, 0.5), run(10.0, 0, 0.5), record(matrix(0.5, 0.5))]
    records.append(record(matrix(0.5, 0.5), strategy="wpl", strength=1.0))
    assert budgets(choose(group(records))) == {"ewc": 2, "wpl": 1}


def test_sensitivity_by_hand(run):
    records = [
        run(s, seed, score, 0.4) for s, score in ((1.0, 0.6), (10.0, 0.8)) for seed in (0, 1)
    ]
    frame = sweep_frame(only(records))
    assert set(frame["metric"]) == {
        VALIDATION, "average_accuracy", "stability", "learning_accuracy"
    }  # fmt: skip
    scores = frame[frame["metric"] == VALIDATION]
    assert list(scores["strength"]) == [1.0, 10.0]
    assert list(scores["mean"]) == pytest.approx([0.6, 0.8])
    assert list(scores["chosen"]) == [False, True]
    assert list(frame[frame["metric"] == "stability"]["mean"]) == pytest.approx([0.4, 0.4])
    assert frame[["low", "high"]].isna().all(axis=None)  # two seeds
    found = mean_estimate({"": [0.6, 0.6]})
    assert scores["n"].iloc[0] == found.n


# Reported at the strength that the other half of the seeds chose


def strengths(choice):
    return {r.seed: r.strength for r in choice.reported.done}


def test_halves_that_agree_are_one_strength(run):
    choice = only([run(d, seed, s) for d, s in ((1.0, 0.6), (10.0, 0.8)) for seed in range(5)])
    assert choice.reported is choice.cell
    assert choice.strengths == "10"
    assert not choice.is_optimistic


def test_each_half_is_reported_at_what_the_other_chose(run):
    # Strength 1 is good with seeds 0, 2, 4 and strength 10 with 1, 3; over all, 10 is better.
    scores = {1.0: (0.8, 0.1, 0.8, 0.1, 0.8), 10.0: (0.6, 0.7, 0.6, 0.7, 0.6)}
    records = [run(d, seed, s) for d in scores for seed, s in enumerate(scores[d])]
    for order in (1, -1):
        choice = only(records[::order])
        assert choice.variant.strength == 10.0
        assert strengths(choice) == {0: 10.0, 1: 1.0, 2: 10.0, 3: 1.0, 4: 10.0}
        assert choice.strengths == "10 (3 of 5 seeds), 1 (2)"
        assert choice.reported.variant.label == "ewc, strength 10 (3 of 5 seeds), 1 (2)"
        counts = sweep_frame(choice).groupby("strength")["reported"].first()
        assert dict(counts) == {1.0: 2, 10.0: 3}


def test_no_run_decides_about_itself(run):
    rng = np.random.default_rng(0)
    for _ in range(60):
        seeds, dials = int(rng.integers(2, 7)), int(rng.integers(2, 5))
        scores = rng.random((seeds, dials)).round(2)
        seed = int(rng.integers(seeds))

        def picked(scores):
            records = [run(float(d), s, score) for s, row in enumerate(scores.tolist())
                       for d, score in enumerate(row)]  # fmt: skip
            return strengths(only(records))

        before = picked(scores)
        # By hand: the highest mean over the other half.
        other = scores[1 - seed % 2 :: 2]
        assert before[seed] == float(np.argmax(np.round(other.sum(axis=0), 12)))
        scores[seed] = rng.random(dials)
        assert picked(scores)[seed] == before[seed]


def test_a_seed_that_some_strength_lacks_is_reported_at_the_choice_of_all_others(run):
    scores = {1.0: (0.8, 0.1, 0.8, 0.1), 10.0: (0.6, 0.7, 0.6, 0.7)}
    records = [run(d, seed, s) for d in scores for seed, s in enumerate(scores[d])]
    records.append(run(10.0, 9, 0.1))
    choice = only(records)
    assert strengths(choice)[9] == choice.variant.strength == 10.0
    assert choice.strengths == "10 (3 of 5 seeds), 1 (2)"


def test_one_seed_has_no_other_half(run):
    choice = only([run(1.0, 0, 0.6), run(10.0, 0, 0.8)])
    assert choice.is_optimistic
    assert (choice.reported, choice.strengths) == (choice.cell, "10")
    assert not only([run(1.0, 0, 0.6)]).is_optimistic
    (said,) = (t for t in caveats([choice.cell], [choice], []) if "optimistic" in t)
    assert "the strength of ewc was chosen on the seed on which it is reported" in said
