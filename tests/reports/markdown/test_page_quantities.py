from dataclasses import replace
from statistics import fmean, stdev

import numpy as np
import pytest
from scipy import stats

from palimpsest.benchmark.errors import UserError
from palimpsest.benchmark.metrics import METRICS
from palimpsest.reports.analysis.quantities import QUANTITIES, per_seed, quantity_named
from palimpsest.reports.markdown.number import Number
from palimpsest.reports.statistics.interval import Estimate
from palimpsest.reports.statistics.ratio import ratio_of_means

T975 = {4: 3.182446305284263, 10: 2.2621571627409915}  # Student's, n - 1 degrees of freedom


def cells(runs, scenario):
    """Records of one scenario, by strategy, strength and seed."""
    return {(r.strategy, r.strength, r.seed): r for r in runs if r.scenario == scenario}


def check(number, values, scale=100):
    """A number against the plain mean and Student's interval of its values."""
    half = T975[len(values)] * stdev(values) / len(values) ** 0.5
    assert number.n == len(values)
    assert number.mean == pytest.approx(scale * fmean(values))
    assert number.minimum == pytest.approx(scale * min(values))
    assert number.low == pytest.approx(scale * (fmean(values) - half))
    assert number.high == pytest.approx(scale * (fmean(values) + half))


PLAIN = {
    "first_before": lambda run, _: run.accuracy_matrix[0][0],
    "first_after": lambda run, _: run.accuracy_matrix[-1][0],
    "lost": lambda run, _: fmean(
        run.accuracy_matrix[j][j] - run.accuracy_matrix[-1][j]
        for j in range(len(run.accuracy_matrix) - 1)
    ),
    "second": lambda run, _: run.accuracy_matrix[-1][-1],
    "price": lambda run, plain: plain.accuracy_matrix[-1][-1] - run.accuracy_matrix[-1][-1],
    "refit": lambda run, _: run.probes["refit"]["rows"][0]["after"],
}


@pytest.mark.parametrize(("scenario", "suite"), [("k3", "paper"), ("many", "sequence")])
@pytest.mark.parametrize("quantity", PLAIN)
def test_accuracies_against_plain_arithmetic(study, runs, quantity, scenario, suite):
    found = study(runs, suite).value(scenario, "wpl@1e4", quantity)
    own = cells(runs, scenario)
    values = [
        PLAIN[quantity](own["wpl", 1e4, seed], own["finetune", None, seed]) for seed in range(4)
    ]
    assert len(set(values)) > 1
    check(found, values)


def test_a_difference_from_another_suite_is_paired_by_seed(study, runs):
    paper, sequence = study(runs, "paper"), study(runs, "sequence")
    own = cells(runs, "k3")
    other = cells(runs, "many")
    gaps = [
        own["wpl", 1e4, s].accuracy_matrix[-1][-1] - other["wpl", 1e4, s].accuracy_matrix[-1][-1]
        for s in range(4)
    ]
    found = paper.difference("k3", "wpl@1e4", "wpl@1e4", "second", "many", sequence)
    check(found, gaps)


OF_SEARCHES = {name for name in METRICS if "visit" in name}
NO_VALUE = {"plasticity", "intransigence"} | OF_SEARCHES  # in the fabricated runs


@pytest.mark.parametrize("metric", [m for m in METRICS if m not in NO_VALUE])
def test_every_metric_of_the_harness(study, runs, metric):
    own = [r.metrics[metric] for r in runs if (r.scenario, r.strategy) == ("k3", "freeze")]
    found = study(runs).value("k3", "freeze", metric)
    if metric == "forgetting_reduction":  # the fabricated runs have no references
        assert (found.mean, found.n, str(found)) == (None, 0, "–")
    else:
        check(found, own)


def test_cost_has_units(study, runs):
    paper = study(runs)
    step = paper.value("k3", "wpl@1e4", "seconds_per_step")
    check(step, [(2.0 + seed) / 1000 for seed in range(4)], scale=1000)
    assert str(step) == "3.50 [1.45, 5.55] ms".replace(" ", "\N{NO-BREAK SPACE}")
    # A time is measured, even where it is the same with every seed; bytes are counted.
    measured = str(paper.value("k3", "wpl@1e4", "consolidation_seconds"))
    assert measured == "250 [250, 250] ms".replace(" ", "\N{NO-BREAK SPACE}")
    assert str(paper.value("k3", "wpl@1e4", "state_bytes")) == "2\N{NO-BREAK SPACE}KiB"
    assert str(paper.value("k3", "wpl@1e4", "state_bits")) == "16.00\N{NO-BREAK SPACE}bits"
    assert str(paper.value("k3", "wpl@1e4", "free")) == "50.0"


def test_equal_accuracies_keep_their_interval_and_their_seeds(study, record):
    for seeds, text in ((5, "94.7 [94.7, 94.7]"), (2, "94.7 (seeds 94.7, 94.7)")):
        made = [record([[0.9, 0.1], [0.8, 0.947]], seed=seed) for seed in range(seeds)]
        found = study(made).value("same", "finetune", "second")
        assert str(found).replace("\N{NO-BREAK SPACE}", " ") == text
        assert (found.low is None) == (found.high is None) == (seeds == 2)


def test_removed_is_a_ratio_of_means(study, runs):
    own = cells(runs, "k3")
    lost = [PLAIN["lost"](own["wpl", 1e4, seed], None) for seed in range(4)]
    plain = [PLAIN["lost"](own["finetune", None, seed], None) for seed in range(4)]
    found = study(runs).value("k3", "wpl@1e4", "removed")
    assert found.mean == pytest.approx(100 * (1 - sum(lost) / sum(plain)))
    expected = ratio_of_means(np.array(lost), np.array(plain))
    assert found.low <= 100 * (1 - expected.high) < 100 * (1 - expected.low) <= found.high
    assert found.n == 4


def test_removed_pairs_seeds(study, runs):
    some = [r for r in runs if not (r.strategy == "finetune" and r.seed == 2)]
    own = cells(runs, "k3")
    lost, plain = (
        sum(PLAIN["lost"](own[name, strength, seed], None) for seed in (0, 1, 3))
        for name, strength in (("wpl", 1e4), ("finetune", None))
    )
    found = study(some).value("k3", "wpl@1e4", "removed")
    assert (found.n, found.mean) == (3, pytest.approx(100 * (1 - lost / plain)))


@pytest.mark.parametrize("name", ["removed", "forgetting_reduction"])
def test_a_page_says_where_there_is_nothing_to_remove(study, fabricated, name):
    """Fine-tuning loses half a point at most: a share of it would be a number without sense."""
    records = []
    for made in fabricated("k3", -0.005):
        records.append(replace(made, references={"baseline": [[0.9, 0.1], [0.899, 0.9]]}))
    paper = study(records)
    assert str(paper.value("k3", "wpl@1e4", name)) == "nothing to remove"
    assert paper.value("k3", "wpl@1e4", name).mean is None
    assert "nothing to remove" in paper.table(["k3"], ["wpl@1e4"], [name])


def test_what_compares_needs_fine_tuning(study, runs):
    alone = [r for r in runs if r.strategy != "finetune"]
    for quantity in ("removed", "price"):
        with pytest.raises(UserError, match="add it to the suite"):
            study(alone).value("k3", "wpl@1e4", quantity)


def test_a_difference_is_paired_and_tested(study, runs):
    found = study(runs).difference("k3", "wpl@1e4", "l2@1e2", "second")
    own = cells(runs, "k3")
    values = [
        own["wpl", 1e4, s].accuracy_matrix[1][1] - own["l2", 1e2, s].accuracy_matrix[1][1]
        for s in range(4)
    ]
    check(found, values)
    assert all(value < 0 for value in values)
    assert found.p == pytest.approx(stats.ttest_1samp(values, 0).pvalue)
    assert found.p_text == f"p = {found.p:.2g}"
    assert (found.p < 0.05) == (found.high < 0)
    assert str(found).startswith("−") and found.quantity.unit == "points"
    assert found.certain == (found.high < 0)
    assert found.verdict() == ("worse" if found.certain else "not told apart")
    assert found.verdict(lower=True) == ("better" if found.certain else "not told apart")
    opposite = study(runs).difference("k3", "l2@1e2", "wpl@1e4", "second")
    assert opposite.mean == pytest.approx(-found.mean) and str(opposite).startswith("+")


@pytest.mark.parametrize(
    ("low", "high", "verdict", "lower"),
    [
        (0.1, 0.3, "better", "worse"),
        (-0.3, -0.1, "worse", "better"),
        (-0.1, 0.3, "not told apart", "not told apart"),
        (0.0, 0.3, "not told apart", "not told apart"),
        (None, None, "too few seeds", "too few seeds"),
    ],
)
def test_a_verdict_is_what_the_interval_says(low, high, verdict, lower):
    found = Number(Estimate(0.2, low, high, 5), QUANTITIES["second"].difference)
    assert found.verdict() == verdict and found.verdict(lower=True) == lower


@pytest.mark.parametrize(
    ("name", "instead"), [("removed", "lost"), ("forgetting_reduction", "forgetting")]
)
def test_removed_has_no_difference(study, runs, name, instead):
    with pytest.raises(UserError, match=f"ask for the difference of '{instead}'"):
        study(runs).difference("k3", "wpl@1e4", "l2@1e2", name)


def test_an_unknown_quantity_is_answered_with_the_nearest(study, runs):
    with pytest.raises(UserError, match="no quantity 'secnd'; did you mean 'second'"):
        study(runs).value("k3", "finetune", "secnd")


def test_every_quantity_has_a_value_for_some_run(study, runs):
    """So that none of the names is dead."""
    own = study(runs)._catalog.cell("k3", "wpl@1e4")
    plain = study(runs)._catalog.cell("k3", "finetune")
    silent = {
        name
        for name in (*METRICS, *QUANTITIES)
        if all(value is None for value in per_seed(quantity_named(name), own, plain).values())
    }
    assert silent == NO_VALUE | {"removed", "forgetting_reduction"}
