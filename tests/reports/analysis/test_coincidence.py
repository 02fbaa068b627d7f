from dataclasses import replace

from palimpsest.reports.analysis.choosing.cross_fitting import choose
from palimpsest.reports.analysis.remarks.caveats import caveats
from palimpsest.reports.analysis.remarks.coincidence import coincidence_sentences
from palimpsest.reports.runs.cells import group

KEPT = [[0.9, 0.1], [0.8, 0.8]]
LOST = [[0.9, 0.1], [0.5, 0.9]]
THREE = [[0.9, 0.1, 0.1], [0.8, 0.8, 0.1], [0.7, 0.7, 0.9]]


def runs(record, matrix, *strategies, seeds=2, **settings):
    return [
        record(matrix, strategy=name, kind=kind, strength=strength, seed=seed, **settings)
        for name, kind in strategies
        for strength in (1.0, 10.0)
        for seed in range(seeds)
    ]


EWC, WPL, SI = ("my_ewc", "ewc"), ("wpl", "wpl"), ("si", "si")
SAME = "give bit-identical runs at every strength and seed that they have in common"


def test_ewc_and_wpl_with_two_models_and_why(record):
    cells = group(runs(record, KEPT, EWC, WPL))
    (text,) = [text for text in caveats(cells, choose(cells), []) if "identical" in text]
    assert text == (
        f"same: my_ewc and wpl {SAME}: with two models they are one computation, the penalty "
        "of EWC; they differ from the third model on."
    )


def test_any_other_pair_coincides_without_a_reason(record):
    assert list(coincidence_sentences(group(runs(record, KEPT, SI, WPL)))) == [
        f"si and wpl {SAME}."
    ]
    (text,) = coincidence_sentences(group(runs(record, KEPT, EWC, SI, WPL)))
    assert text == f"my_ewc, si and wpl {SAME}."
    (text,) = coincidence_sentences(group(runs(record, KEPT, ("a", "wpl"), ("b", "wpl"))))
    assert text == f"a and b {SAME}."


def test_with_three_models_the_reason_does_not_hold(record):
    (text,) = coincidence_sentences(group(runs(record, THREE, EWC, WPL)))
    assert text == f"my_ewc and wpl {SAME}."


def test_one_different_run_is_enough(record):
    made = runs(record, KEPT, EWC, WPL)
    for place in range(len(made)):
        changed = list(made)
        changed[place] = replace(made[place], accuracy_matrix=LOST)
        assert list(coincidence_sentences(group(changed))) == []


def test_the_same_ends_on_different_curves_do_not_coincide(record):
    made = runs(record, KEPT, EWC, WPL)
    curve = {"model": 0, "steps": [0, 5], "accuracy": [[0.1, 0.9]]}
    made[-1] = replace(made[-1], curves=[curve])
    assert list(coincidence_sentences(group(made))) == []
