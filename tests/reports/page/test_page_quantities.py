from statistics import fmean, stdev

import numpy as np
import pytest

from benchmark.errors import UserError
from benchmark.metrics import METRICS
from reports.bootstrap import seed_weights
from reports.page.quantities import QUANTITIES, per_seed, removed

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
    if half:
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


@pytest.mark.parametrize("metric", [m for m in METRICS if m not in {"plasticity", "intransigence"}])
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
    assert str(paper.value("k3", "wpl@1e4", "consolidation_seconds")) == "250\N{NO-BREAK SPACE}ms"
    assert str(paper.value("k3", "wpl@1e4", "state_bytes")) == "2\N{NO-BREAK SPACE}KiB"


def test_numbers_print_as_the_report_does(study, runs):
    found = study(runs).value("k3", "finetune", "second")
    assert str(found) == f"{found.mean:.1f} [{found.low:.1f}, {found.high:.1f}]".replace(
        " ", "\N{NO-BREAK SPACE}"
    )
    assert (found.bare, found.worst) == (f"{found.mean:.1f}", f"{found.minimum:.1f}")
    assert f"{found}" == str(found)


def test_removed_is_a_ratio_of_means(study, runs):
    own = cells(runs, "k3")
    lost = [PLAIN["lost"](own["wpl", 1e4, seed], None) for seed in range(4)]
    plain = [PLAIN["lost"](own["finetune", None, seed], None) for seed in range(4)]
    found = study(runs).value("k3", "wpl@1e4", "removed")
    assert found.mean == pytest.approx(100 * (1 - sum(lost) / sum(plain)))
    shares = []
    for weights in seed_weights(4):
        ours = sum(w * value for w, value in zip(weights, lost, strict=True))
        theirs = sum(w * value for w, value in zip(weights, plain, strict=True))
        shares.append(1 - ours / theirs)
    spread = (fmean(s**2 for s in shares) - fmean(shares) ** 2) ** 0.5 * (4 / 3) ** 0.5
    assert found.high - found.mean == pytest.approx(100 * T975[4] * spread)
    assert found.mean - found.low == pytest.approx(100 * T975[4] * spread)


def test_removed_pairs_seeds():
    plain = {seed: 0.1 + 0.05 * seed for seed in range(10)}
    lost = {seed: 0.2 * plain[seed] for seed in (3, 1, 9, 5, 2, 7)} | {11: 0.7, 12: None}
    found = removed(lost, plain)
    assert (found.n, found.value) == (6, pytest.approx(0.8))
    assert found.low == found.high == pytest.approx(0.8)  # the same share in every seed


def test_removed_is_as_uncertain_as_the_delta_method_says():
    rng = np.random.default_rng(0)
    plain, noise = rng.normal(0.3, 0.06, 400), rng.normal(0.0, 0.02, 400)
    lost = 0.2 * plain + 0.01 + noise
    found = removed(dict(enumerate(lost)), dict(enumerate(plain)))
    ratio = lost.mean() / plain.mean()
    error = (lost - ratio * plain).std(ddof=1) / 400**0.5 / plain.mean()
    assert found.high - found.value == pytest.approx(1.966 * error, rel=0.1)


@pytest.mark.parametrize(
    ("lost", "plain", "n", "mean"),
    [
        ({0: 0.1}, {0: 0.2}, 1, 0.5),
        ({0: 0.1, 1: 0.1}, {0: 0.0, 1: -0.2}, 2, None),  # fine-tuning lost nothing
        ({0: 0.1, 1: 0.1}, {0: 0.5, 1: -0.1}, 2, 0.5),  # in a resample, it did not
        ({0: None}, {0: 0.2}, 0, None),
    ],
)
def test_removed_claims_no_more_than_it_can(lost, plain, n, mean):
    found = removed(lost, plain)
    assert (found.n, found.low) == (n, None)
    assert found.value == (None if mean is None else pytest.approx(mean))


def test_fine_tuning_is_not_compared_with_itself(study, runs):
    assert str(study(runs).value("k3", "finetune", "removed")) == "–"


def test_what_compares_needs_fine_tuning(study, runs):
    alone = [r for r in runs if r.strategy != "finetune"]
    for quantity in ("removed", "price"):
        with pytest.raises(UserError, match="add finetune to the suite"):
            study(alone).value("k3", "wpl@1e4", quantity)


def test_price_pairs_seeds(runs, study):
    """A seed that fine-tuning lacks does not count."""
    some = [r for r in runs if not (r.strategy == "finetune" and r.seed == 2)]
    found = study(some).value("k3", "wpl@1e4", "price")
    own = cells(runs, "k3")
    assert found.n == 3
    assert found.mean == pytest.approx(
        100 * fmean(PLAIN["price"](own["wpl", 1e4, s], own["finetune", None, s]) for s in (0, 1, 3))
    )


def test_a_difference_is_paired_and_tested(study, runs):
    found = study(runs).difference("k3", "wpl@1e4", "l2@1e2", "second")
    own = cells(runs, "k3")
    values = [
        own["wpl", 1e4, s].accuracy_matrix[1][1] - own["l2", 1e2, s].accuracy_matrix[1][1]
        for s in range(4)
    ]
    check(found, values)
    assert all(value < 0 for value in values)
    assert found.p == 2 / 2**4  # exact sign flips of four pairs that point one way
    assert found.p_text == "p = 0.12"
    assert str(found).startswith("−") and found.quantity.unit == "points"
    assert found.certain == (found.high < 0)
    opposite = study(runs).difference("k3", "l2@1e2", "wpl@1e4", "second")
    assert opposite.mean == pytest.approx(-found.mean) and str(opposite).startswith("+")


def test_removed_has_no_difference(study, runs):
    with pytest.raises(UserError, match="ask for the difference of 'lost'"):
        study(runs).difference("k3", "wpl@1e4", "l2@1e2", "removed")


def test_an_unknown_quantity_is_answered_with_the_nearest(study, runs):
    with pytest.raises(UserError, match="no quantity 'secnd'; did you mean 'second'"):
        study(runs).value("k3", "finetune", "secnd")


def test_every_quantity_has_a_value_for_some_run(study, runs):
    """So that none of the names is dead."""
    own = study(runs)._catalog.cell("k3", "wpl@1e4")
    plain = study(runs)._catalog.cell("k3", "finetune")
    silent = {
        name
        for name, quantity in QUANTITIES.items()
        if all(value is None for value in per_seed(quantity, own, plain).values())
    }
    assert silent == {"removed", "forgetting_reduction", "plasticity", "intransigence"}
