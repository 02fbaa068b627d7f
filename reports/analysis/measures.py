"""A metric of one strategy over its scenarios and seeds, to be ranked and compared.

Most metrics are means over seeds. Forgetting reduction is a ratio of means, see
``statistics/ratio.py``, and so is the difference of two of them, since both divide by the same
forgetting of fine-tuning: ``(mean F' - mean F) / mean F_finetune``. It is zero if F and F' have
the same mean, so in one scenario the test, Fieller's at zero, compares forgetting itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from palimpsest.benchmark.metrics import METRICS, Bounds
from palimpsest.reports.runs.cells import Cell
from palimpsest.reports.statistics.bootstrap import iqm_and_median
from palimpsest.reports.statistics.interval import Estimate, mean_estimate
from palimpsest.reports.statistics.pairs import PairedComparison, compare_pairs
from palimpsest.reports.statistics.ratio import (
    Pairs,
    difference_of_shares,
    linearised,
    ratio_pairs,
    removed,
    scaled,
    with_strays,
)


@dataclass(frozen=True)
class Means:
    """A metric that is a mean over seeds.

    Attributes:
        values: By scenario and seed; ``None`` where it is not defined.
        bounds: Its range.
    """

    values: Mapping[str, Mapping[int, float | None]]
    bounds: Bounds

    @property
    def by_seed(self) -> Mapping[str, Mapping[int, float | None]]:
        """The values that are ranked, by scenario and seed."""
        return self.values

    def estimate(self) -> Estimate:
        """Return the mean over scenarios of the mean over seeds."""
        return mean_estimate(self.values, self.bounds)

    def middle(self) -> tuple[Estimate, Estimate]:
        """Return the interquartile mean and the median over all runs."""
        return iqm_and_median(self.values, self.bounds)

    def minus(self, other: Means) -> PairedComparison:
        """Compare with another strategy, pair by pair."""
        return compare_pairs(self.values, other.values, self.bounds.of_difference)


@dataclass(frozen=True)
class Shares:
    """The share of fine-tuning's forgetting that is avoided.

    Attributes:
        pairs: By scenario and seed, the strategy's forgetting and fine-tuning's.
    """

    pairs: Mapping[str, Pairs]

    @property
    def by_seed(self) -> Mapping[str, Mapping[int, float | None]]:
        """The values that are ranked, by scenario and seed: see ``ratio.scaled``."""
        return {name: {**scaled(own)} for name, own in self.pairs.items()}

    def estimate(self) -> Estimate:
        """Return the mean over scenarios of the ratio of means over seeds.

        In one scenario with Fieller's interval, over several with that of the mean of the
        linearised ratios (the delta method).
        """
        if len(self.pairs) == 1:
            return removed(next(iter(self.pairs.values())))
        found = mean_estimate({name: linearised(own) for name, own in self.pairs.items()})
        if found.value is None:
            reasons = (removed(own).reason for own in self.pairs.values())
            return replace(found, reason=next(filter(None, reasons), None))
        return with_strays(found, self.pairs)

    def middle(self) -> tuple[Estimate, Estimate]:
        """Return undefined estimates: a ratio of means has no interquartile mean and no median."""
        runs = sum(len(own) for own in self.pairs.values())
        return (Estimate(n=runs),) * 2

    def minus(self, other: Shares) -> PairedComparison:
        """Compare with another strategy over the seeds that both have.

        Effect size and wins are those of forgetting, in each scenario as a share of
        fine-tuning's mean. The difference is that of the two ratios, and so is the test.

        By definition fine-tuning avoids 0 % of its forgetting, and a strategy that never forgets
        100 %: the difference of these two is not a finding, and has neither test nor effect size.
        """
        ours, theirs = {}, {}
        for name in sorted({*self.pairs, *other.pairs}):
            own, beside = self.pairs.get(name, {}), other.pairs.get(name, {})
            both = sorted(own.keys() & beside.keys())
            ours[name] = {seed: own[seed] for seed in both}
            # One denominator for both: fine-tuning with the same seed is the same run.
            theirs[name] = {seed: (beside[seed][0], own[seed][1]) for seed in both}
        left, right = ({n: scaled(own) for n, own in side.items()} for side in (ours, theirs))
        tested = compare_pairs(left, right)
        difference = _difference(ours, theirs)
        if not (_by_definition(ours, theirs) or _by_definition(theirs, ours)):
            return replace(tested, difference=difference)
        untested = replace(difference, p=None)
        return replace(tested, difference=untested, effect=None, rank_biserial=None)


Measure = Means | Shares


def measure(cells: Mapping[str, Cell | None], metric: str) -> Measure:
    """Return a metric of one strategy.

    Args:
        cells: Its runs in each scenario, one per seed; ``None`` where there are none.
        metric: A name in ``benchmark/metrics``.
    """
    done = {name: () if cell is None else cell.done for name, cell in cells.items()}
    if METRICS[metric].ratio:
        return Shares({name: ratio_pairs(metric, runs) for name, runs in done.items()})
    values = {
        name: {run.seed: run.metrics.get(metric) for run in runs} for name, runs in done.items()
    }
    return Means(values, METRICS[metric].bounds)


def compare_measures(ours: Measure, theirs: Measure) -> PairedComparison:
    """Compare two strategies by one metric, pair by pair: ours minus theirs."""
    if isinstance(ours, Shares) and isinstance(theirs, Shares):
        return ours.minus(theirs)
    if isinstance(ours, Means) and isinstance(theirs, Means):
        return ours.minus(theirs)
    raise TypeError("two different metrics cannot be compared")


def _by_definition(one: Mapping[str, Pairs], other: Mapping[str, Pairs]) -> bool:
    """Whether the first never forgets, and the second forgets what fine-tuning does."""
    never = all(own == 0 for pairs in one.values() for own, _ in pairs.values())
    return never and all(own == plain for pairs in other.values() for own, plain in pairs.values())


def _difference(ours: Mapping[str, Pairs], theirs: Mapping[str, Pairs]) -> Estimate:
    if len(ours) == 1:
        (own,), (other,) = ours.values(), theirs.values()
        return difference_of_shares(own, other)
    return mean_estimate({
        name: _paired(linearised(own), linearised(theirs[name])) for name, own in ours.items()
    })  # fmt: skip


def _paired(ours: Mapping[int, float], theirs: Mapping[int, float]) -> dict[int, float]:
    return {seed: value - theirs[seed] for seed, value in ours.items()}
