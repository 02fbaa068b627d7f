from dataclasses import replace
from itertools import combinations
from statistics import fmean

import numpy as np
import pytest

from palimpsest.benchmark.errors import UserError
from palimpsest.reports.analysis.ground_truth import (
    MEASURES,
    expected,
    measured,
    regret,
    regret_best_five,
    spearman,
    tau,
    tau_best_quarter,
    truth_of,
)
from palimpsest.reports.wording.numbers import measured as written

NAMES = [f"{i}-{j}" for i in range(4) for j in range(5)]


def errors(seed, ties=False):
    drawn = np.random.default_rng(seed).random(len(NAMES))
    return dict(zip(NAMES, (np.round(drawn, 1) if ties else drawn).tolist(), strict=True))


def slow_tau_b(one, other):
    agree = ties_one = ties_other = pairs = 0
    for a, b in combinations(one, 2):
        x, y = np.sign(one[a] - one[b]), np.sign(other[a] - other[b])
        agree += x * y
        ties_one += x == 0
        ties_other += y == 0
        pairs += 1
    return agree / np.sqrt((pairs - ties_one) * (pairs - ties_other))


@pytest.mark.parametrize("ties", [False, True])
def test_correlations_against_loops(ties):
    one, other = errors(0), errors(1, ties)
    assert tau(one, other) == pytest.approx(slow_tau_b(one, other))
    ranks = [
        np.array([sum(v < w for v in e.values()) for w in e.values()]) for e in (one, errors(2))
    ]
    assert spearman(one, errors(2)) == pytest.approx(np.corrcoef(*ranks)[0, 1])
    assert (tau(one, one), spearman(one, one)) == pytest.approx((1, 1))
    assert tau(one, {name: -error for name, error in one.items()}) == pytest.approx(-1)


def test_a_constant_ranking_has_no_correlation():
    assert tau(dict.fromkeys(NAMES, 0.5), errors(0)) is None


def test_the_best_quarter_is_that_of_the_truth():
    truth = errors(0)
    best = sorted(NAMES, key=truth.get)[:5]
    ranked = {name: (truth[name] if name in best else 1 - truth[name]) for name in NAMES}
    assert tau_best_quarter(ranked, truth) == pytest.approx(1)
    assert tau(ranked, truth) < 1


def test_regret_is_what_the_choice_costs():
    truth = {name: 0.1 * place for place, name in enumerate(NAMES)}
    ranked = {name: float(-place) for place, name in enumerate(NAMES)}
    assert regret(truth, truth) == regret_best_five(truth, truth) == 0
    assert regret(ranked, truth) == pytest.approx(1.9)
    assert regret_best_five(ranked, truth) == pytest.approx(1.5)


def search(record, validation, test, *, seed=0, shared=True, chances=None, perplexity=False):
    ranking = [
        {"architecture": name, "validation": validation[name], "test": test[name]}
        | ({} if chances is None else {"probability": chances[name]})
        for name in validation
    ]
    made = record([[0.9]], seed=seed, scenario_settings={"shared": shared})
    return replace(made, probes={"search": {"ranking": ranking, "perplexity": perplexity}})


def alone(record, count=3, **options):
    return [
        search(record, errors(9), errors(s), seed=s, shared=False, **options) for s in range(count)
    ]


def test_the_truth_is_the_mean_of_the_seeds_on_test_data(record):
    truth = truth_of(alone(record))
    assert truth.errors == pytest.approx({n: fmean(errors(s)[n] for s in range(3)) for n in NAMES})
    taus = [slow_tau_b(errors(a), errors(b)) for a, b in ((0, 1), (0, 2), (1, 2))]
    assert truth.agreement == pytest.approx(taus)


def test_what_a_controller_draws_is_weighted_by_its_chances(record):
    truth = truth_of(alone(record, 1))
    uniform = search(record, errors(4), errors(5))
    assert expected(uniform, truth) == pytest.approx(fmean(truth.errors.values()))
    sure = dict.fromkeys(NAMES, 0.0) | {"2-3": 0.2, "0-0": 0.6}
    drawn = search(record, errors(4), errors(5), chances=sure)
    wanted = 0.25 * truth.errors["2-3"] + 0.75 * truth.errors["0-0"]
    assert expected(drawn, truth) == pytest.approx(wanted)


@pytest.mark.parametrize("measure", [m for m in MEASURES if m not in ("end_error", "late_reward")])
@pytest.mark.parametrize("perplexity", [False, True])
def test_a_search_is_ranked_by_its_validation_errors(record, measure, perplexity):
    truth = truth_of(alone(record, perplexity=perplexity))
    right = search(record, truth.errors, errors(7), seed=3, perplexity=perplexity)
    wrong = search(record, errors(7), truth.errors, seed=4, perplexity=perplexity)
    asked, values = measured([right, wrong], measure, truth)
    rate = not perplexity and "tau" not in measure and measure != "spearman"
    assert asked.unit == ("" if not rate else "%" if measure == "expected" else "points")
    assert written(asked)(0.5) == ("50.0" if rate else "0.50")
    assert values.keys() == {3, 4}
    if measure != "expected":
        assert values[3] == (0 if "regret" in measure else pytest.approx(1))
        assert values[4] != values[3] or measure == "regret_best_five"


def test_a_search_ends_with_a_mean_error_and_late_rewards(record):
    run = search(record, errors(3), errors(4))
    asked, values = measured([run], "end_error", None)
    assert values == {0: pytest.approx(fmean(errors(3).values()))}
    assert (asked.unit, written(asked)(0.5)) == ("%", "50.0")
    assert measured([run], "late_reward", None)[1] == {0: None}
    found = run.probes["search"] | {"rewards": [9.0, 9.0, 5.0, 1.0, 2.0]}
    run = replace(run, probes={"search": found})
    asked, values = measured([run], "late_reward", None)
    assert values == {0: 1.5}
    assert (asked.unit, written(asked)(1.5)) == ("", "1.50")
    diverged = search(record, errors(3) | {"0-0": None}, errors(4), perplexity=True)
    assert measured([diverged], "end_error", None)[1] == {0: None}
    with pytest.raises(UserError, match="tau needs a truth"):
        measured([run], "tau", None)


def test_a_perplexity_that_is_not_finite_is_ranked_last(record):
    truth = truth_of(alone(record))
    best = min(truth.errors, key=truth.errors.get)
    diverged = search(record, dict(truth.errors) | {best: None}, errors(7))
    _, values = measured([diverged], "regret", truth)
    assert values[0] == pytest.approx(sorted(truth.errors.values())[1] - truth.errors[best])


@pytest.mark.parametrize(
    ("runs", "text"),
    [
        (lambda record: [], "no finished run"),
        (lambda record: [search(record, errors(0), errors(1))], "shared: false"),
        (lambda record: [record([[0.9]], scenario_settings={"shared": False})], "ranked no"),
        (
            lambda record: [
                search(record, errors(0), errors(1), shared=False),
                search(record, {"0-0": 1.0}, {"0-0": 1.0}, seed=1, shared=False),
            ],
            "different architectures",
        ),
    ],
)
def test_what_is_no_truth_is_refused(record, runs, text):
    with pytest.raises(UserError, match=text):
        truth_of(runs(record))


def test_a_search_of_another_space_and_an_unknown_measure_are_refused(record):
    truth = truth_of(alone(record))
    other = search(record, {"0-0": 1.0}, {"0-0": 1.0})
    with pytest.raises(UserError, match=r"19 architectures.*not ranked, such as 0-1"):
        measured([other], "tau", truth)
    with pytest.raises(UserError, match=r"no measure 'tua'.*tau"):
        measured([other], "tua", truth)
