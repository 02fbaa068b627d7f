import numpy as np
import pytest

from palimpsest.reports.analysis.choosing.cross_fitting import choose
from palimpsest.reports.analysis.remarks.caveats import caveats
from palimpsest.reports.analysis.remarks.instability import instability, instability_sentences
from palimpsest.reports.runs.cells import group
from palimpsest.reports.statistics.collapse import GAP


def two_models(record, learned, **settings):
    return [record([[0.9, 0.1], [0.5, b]], seed=seed, **settings) for seed, b in enumerate(learned)]


def only(records):
    (cell,) = group(records)
    return cell


def test_the_worst_seed_of_the_new_model_is_named(record):
    learned = [0.91, 0.92, 0.23, 0.90, 0.93]
    cells = group(two_models(record, learned))
    (text,) = [text for text in caveats(cells, choose(cells), []) if "unstable" in text]
    assert text == (
        "same: training itself is unstable (1 of 5 seeds of model 2 far below the others, the "
        "worst at 23.0 % with seed 2, median 91.0 %): what looks like forgetting may be "
        "instability, and a strategy that protects acts as a stabiliser."
    )


def test_another_strategy_is_named_and_makes_no_claim_about_training(record):
    cells = group(two_models(record, [0.9, 0.9, 0.3], strategy="wpl", strength=10.0))
    (text,) = instability_sentences(cells)
    assert text == (
        "training with wpl, strength 10 is unstable (1 of 3 seeds of model 2 far below the "
        "others, the worst at 30.0 % with seed 2, median 90.0 %)."
    )


@pytest.mark.parametrize(("below", "unstable"), [(0.001, True), (-0.001, False)])
def test_the_criterion_is_a_gap(record, below, unstable):
    learned = [0.9, 0.8, 0.95, 0.85, 0.8 - GAP - below]
    found = instability(only(two_models(record, learned)))
    assert (found is not None) == unstable
    if found:
        assert (found.count, found.seeds) == (1, 5)
        assert found.median - found.worst == pytest.approx(np.median(learned) - min(learned))


def test_a_wide_spread_and_a_seed_that_learned_more_are_not_unstable(record):
    assert instability(only(two_models(record, [0.9, 0.7, 0.5, 0.8, 0.2]))) is None
    assert instability(only(two_models(record, [0.3, 0.31, 0.9]))) is None


def test_all_seeds_that_fail_alike_and_a_lone_seed_are_not_unstable(record):
    assert instability(only(two_models(record, [0.1, 0.11, 0.1]))) is None
    assert instability(only(two_models(record, [0.1]))) is None
    assert instability(only([record([[0.9]], seed=seed) for seed in (0, 1)])) is None
    assert instability(only([record(error="RuntimeError: x")])) is None


def test_forgetting_is_not_instability(record):
    runs = [record([[0.9, 0.1], [a, 0.9]], seed=seed) for seed, a in enumerate((0.9, 0.8, 0.1))]
    assert instability(only(runs)) is None


def test_of_several_new_models_the_one_with_the_widest_gap(record):
    def run(seed, second, third):
        matrix = [[0.9, 0.1, 0.1], [0.8, second, 0.1], [0.7, 0.5, third]]
        return record(matrix, seed=seed)

    found = instability(only([run(0, 0.9, 0.9), run(1, 0.6, 0.9), run(2, 0.9, 0.2)]))
    assert (found.model, found.seed, found.worst, found.median) == (2, 2, 0.2, 0.9)


def test_models_that_were_never_measured_alone_are_left_out(record):
    joint = [[None, None, None], [None, None, None], [0.9, 0.9, 0.9]]
    runs = [record(joint, strategy="joint", seed=seed) for seed in (0, 1, 2)]
    assert instability(only(runs)) is None
