"""The simulations behind the tables in the docstrings of ``reports``; not a test.

``python tests/reports/statistics/simulations.py`` prints them all, in some minutes;
with names of functions only those. Tests repeat small parts.
"""

import sys

import numpy as np
from scipy import stats

from palimpsest.benchmark.metrics import CHANGE
from palimpsest.reports.analysis.changes import Outcome, _judged
from palimpsest.reports.analysis.frontier import hypervolume, hypervolume_over_seeds
from palimpsest.reports.statistics.bootstrap import iqm_and_median
from palimpsest.reports.statistics.pairs import compare_pairs
from palimpsest.reports.statistics.profile import performance_profile
from palimpsest.reports.statistics.ranks import rank
from palimpsest.reports.statistics.two_samples import compare_samples

RUNS = 20_000


def laws(rng, shape):
    """Laws of a metric: name, values, true mean, whether it is an accuracy."""
    collapsed = rng.random(shape) < 0.15
    runs = np.where(collapsed, rng.normal(0.2, 0.03, shape), rng.normal(0.9, 0.02, shape))
    return [
        ("normal", rng.normal(0.5, 0.1, shape), 0.5, True),
        ("log-normal", np.exp(rng.normal(0, 0.5, shape)), np.exp(0.125), False),
        ("beta(18, 2)", rng.beta(18, 2, shape), 0.9, True),
        ("beta(48, 2)", rng.beta(48, 2, shape), 0.96, True),
        ("t(5)", 0.5 + 0.02 * rng.standard_t(5, shape), 0.5, True),
        ("15 % collapses", runs, 0.795, True),
    ]


def student(values):
    """Ends of Student's interval of each row."""
    n = values.shape[1]
    half = stats.t.ppf(0.975, n - 1) * values.std(axis=1, ddof=1) / np.sqrt(n)
    return values.mean(axis=1) - half, values.mean(axis=1) + half


def intervals():
    """Coverage of Student's interval of a mean."""
    rng = np.random.default_rng(0)
    rows = {}
    for n in (3, 4, 5, 10, 20):
        for name, values, truth, accuracy in laws(rng, (RUNS, n)):
            limits = (0, 1) if accuracy else (-np.inf, np.inf)
            low, high = student(values)
            covered = np.mean((low.clip(*limits) <= truth) & (truth <= high.clip(*limits)))
            rows.setdefault(name, []).append(f"{100 * covered:.0f}")
    table(["law", *(f"n={n}" for n in (3, 4, 5, 10, 20))], rows)


def order_statistics():
    """Coverage of the interquartile mean and the median, of one scenario."""
    rng = np.random.default_rng(1)
    rows = {}
    for n in (4, 5, 10, 20):
        for name, values, _, _ in laws(rng, (2000, n))[:5]:
            many = np.sort(next(v for k, v, _, _ in laws(rng, (RUNS, n)) if k == name), axis=1)
            cut = n // 4
            truths = many[:, cut : n - cut].mean(), np.median(many, axis=1).mean()
            found = [iqm_and_median({"": dict(enumerate(row))}) for row in values]
            covered = [
                100 * np.mean([one[i].low <= truths[i] <= one[i].high for one in found])
                for i in (0, 1)
            ]
            rows.setdefault(name, []).append(f"{covered[0]:.0f} {covered[1]:.0f}")
    table(["law (IQM, median)", *(f"n={n}" for n in (4, 5, 10, 20))], rows)


def correlated(rng, n, correlation, scenarios=3):
    """Values of scenarios that share seeds: (RUNS, scenarios, n)."""
    common, own = rng.standard_normal((RUNS, 1, n)), rng.standard_normal((RUNS, scenarios, n))
    return np.sqrt(correlation) * common + np.sqrt(1 - correlation) * own


def scenarios():
    """Coverage of the mean over three scenarios, with whole seeds and as if independent."""
    rng = np.random.default_rng(2)
    rows = {}
    for correlation in (0.0, 0.5, 0.9):
        for n in (4, 5, 10, 20):
            values = correlated(rng, n, correlation)
            low, high = student(values.mean(axis=1))
            v = values.var(axis=2, ddof=1) / n
            freedom = v.sum(axis=1) ** 2 / (v**2 / (n - 1)).sum(axis=1)
            half = stats.t.ppf(0.975, freedom) * np.sqrt(v.sum(axis=1)) / 3
            apart = np.abs(values.mean(axis=(1, 2))) <= half
            whole = (low <= 0) & (high >= 0)
            rows.setdefault(f"correlation {correlation}", []).append(
                f"{100 * whole.mean():.0f} {100 * apart.mean():.0f}"
            )
    table(["whole seeds, as if independent", *(f"n={n}" for n in (4, 5, 10, 20))], rows)


def hypervolumes():
    """Coverage of the hypervolume's interval: three strengths between both ends, normal noise."""
    rng = np.random.default_rng(7)
    truth = np.array([[0.94, 0.8], [0.92, 0.87], [0.88, 0.92], [0.95, 0.7], [0.84, 0.95]])
    expected = hypervolume(truth[:3, 0], truth[:3, 1], truth[3], truth[4])
    rows = {}
    for deviation in (0.01, 0.02, 0.04):
        for n in (4, 5, 10, 20):
            common = rng.normal(0, deviation, (2000, n, 1, 2))
            noise = rng.normal(0, deviation, (2000, n, 5, 2))
            found = [hypervolume_over_seeds(one) for one in truth + (common + noise) / np.sqrt(2)]
            covered = np.mean([one.low <= expected <= one.high for one in found])
            rows.setdefault(f"deviation {deviation}", []).append(f"{100 * covered:.0f}")
    table(["noise of a seed", *(f"n={n}" for n in (4, 5, 10, 20))], rows)


def profiles():
    """Coverage of the bands of performance profiles: percentiles of a bootstrap, then ours."""
    rng = np.random.default_rng(0)
    rows = {}
    for scenarios in (1, 3):
        for n in (5, 10, 20):
            drawn = rng.multinomial(n, [1 / n] * n, 1000) / n
            for tau in (0.0, 0.8, 1.5):
                truth, covered = 1 - stats.norm.cdf(tau), []
                for _ in range(2000):
                    common, own = rng.normal(size=(1, n)), rng.normal(size=(scenarios, n))
                    scores = (common + own) / np.sqrt(2)
                    low, high = np.percentile(drawn @ (scores > tau).mean(axis=0), [2.5, 97.5])
                    strata = {str(k): dict(enumerate(row)) for k, row in enumerate(scores)}
                    ours = performance_profile(strata, [tau])
                    covered.append((low <= truth <= high, ours.low[0] <= truth <= ours.high[0]))
                rates = " ".join(f"{100 * rate:.0f}" for rate in np.mean(covered, axis=0))
                rows.setdefault(f"{scenarios} x {n} seeds", []).append(rates)
    table(["runs", "50 %", "21 %", "7 %"], rows)


def example():
    """-1, -1 and +20 points in three scenarios."""
    for seeds in (5, 6, 10, 20):
        noise = 0.01 * np.random.default_rng(0).random((3, seeds)) - 0.005
        moved = noise + np.array([[-0.01], [-0.01], [0.2]])
        ours, theirs = (
            {str(k): dict(enumerate(row)) for k, row in enumerate(side)}
            for side in (moved, 0 * moved)
        )
        found = compare_pairs(ours, theirs, CHANGE)
        print(
            f"{seeds} seeds: {100 * found.difference.value:+.1f} points "
            f"[{100 * found.difference.low:.1f}, {100 * found.difference.high:.1f}], "
            f"p = {found.p:.2g}; Wilcoxon of all pairs {stats.wilcoxon(moved.ravel()).pvalue:.2g}"
        )


def stores():
    """How often a comparison of two stores without a change calls some of 10 numbers changed."""
    rng = np.random.default_rng(6)
    rows = {}
    for first, name in ((0, "the same seeds"), (100, "other seeds")):
        for n in (3, 4, 5, 10):
            alarms = undetermined = 0
            for _ in range(1000):
                a, b = np.round(rng.normal(0.8, 0.02, (2, 10, n)) * 250) / 250
                raw = [
                    ("", "", "stability", compare_samples(
                        dict(enumerate(one)), dict(enumerate(other, first)), CHANGE))
                    for one, other in zip(a, b, strict=True)
                ]  # fmt: skip
                verdicts = {change.verdict for change in _judged(raw)}
                alarms += bool(verdicts & {Outcome.REGRESSED, Outcome.IMPROVED})
                undetermined += Outcome.UNDETERMINED in verdicts
            rows.setdefault(name, []).append(
                f"{100 * alarms / 1000:.1f} ({100 * undetermined / 1000:.0f} undetermined)"
            )
    table(["false alarms", *(f"n={n}" for n in (3, 4, 5, 10))], rows)


def best():
    """How often a strategy is called different from the best of equal ones, and the best's bias."""
    rng = np.random.default_rng(10)
    rows = {}
    for count in (3, 5, 8):
        for n in (5, 10, 20):
            values = rng.standard_normal((RUNS, count, n))
            first = values.mean(axis=2).argmax(axis=1)
            top = np.take_along_axis(values, first[:, None, None], axis=1)
            p = stats.ttest_1samp(values - top, 0, axis=2).pvalue
            least = np.nanmin(p, axis=1)  # the best beside itself has none
            bias = (top - values).mean() * count / (count - 1)
            rows.setdefault(f"{count} strategies", []).append(
                f"{100 * np.mean(least * count * (count - 1) / 2 < 0.05):.1f} "
                f"{100 * np.mean(least * (count - 1) < 0.05):.1f} {bias:.2f}"
            )
    table(["all pairs, these alone, bias", *(f"n={n}" for n in (5, 10, 20))], rows)


def ranks():
    """False alarms of the tests of ranks and their CDs, ours and Friedman's over scenarios."""
    rng = np.random.default_rng(9)
    rows = {}
    for count in (3, 5, 10):
        for correlation in (0.0, 0.5, 0.9):
            common = rng.standard_normal((2000, 4, 1, 5))
            own = rng.standard_normal((2000, 4, count, 5))
            values = np.sqrt(correlation) * common + np.sqrt(1 - correlation) * own
            found = [
                rank({
                    str(i): {str(k): dict(enumerate(row)) for k, row in enumerate(strategy)}
                    for i, strategy in enumerate(one)
                })
                for one in values[:600]
            ]  # fmt: skip
            apart = [len(max(one.groups, key=len, default=())) < 4 for one in found]
            average = stats.rankdata(-values.mean(axis=3), axis=1).mean(axis=2)
            square = 12 * count / 20 * ((average - 2.5) ** 2).sum(axis=1)
            nemenyi = stats.studentized_range.ppf(0.95, 4, np.inf) * np.sqrt(10 / 6 / count)
            rows[f"{count} scenarios, {correlation}"] = [
                f"{100 * np.mean(alarms):.1f}"
                for alarms in (
                    [one.p < 0.05 for one in found],
                    apart,
                    stats.chi2.sf(square, 3) < 0.05,
                    np.ptp(average, axis=1) >= nemenyi,
                )
            ]
    table(["", "ours", "CD", "Friedman", "CD"], rows)


def table(titles, rows):
    """Print rows of text under titles."""
    width = max(len(name) for name in (titles[0], *rows))
    columns = list(zip(titles[1:], *rows.values(), strict=True))
    widths = [max(map(len, column)) for column in columns]
    for name, cells in ((titles[0], titles[1:]), *rows.items()):
        line = "  ".join(cell.ljust(size) for cell, size in zip(cells, widths, strict=True))
        print(f"{name:<{width}}  {line}".rstrip())
    print()


if __name__ == "__main__":
    every = (
        intervals,
        order_statistics,
        scenarios,
        hypervolumes,
        profiles,
        example,
        stores,
        best,
        ranks,
    )
    for simulate in every:
        if len(sys.argv) < 2 or simulate.__name__ in sys.argv[1:]:
            print(simulate.__doc__)
            simulate()
            sys.stdout.flush()
