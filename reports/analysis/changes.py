"""Which metrics changed between two stores beyond noise, and which are known to be the same.

Cells are matched by scenario, strategy and strength: by their settings, not by the keys of
their runs, which hold the results version. P-values are corrected (Holm) over all tests of the
comparison, so that of twenty comparisons where nothing changed, one says that something did.
Numbers that are equal to the last bit need no test and do not count as one, nor do those of fewer
than ``FEWEST_SEEDS`` seeds, which have neither interval nor test: they are undetermined.

That no change was found does not show that there is none. A number is *the same* only where all of
the 95 % interval of its difference lies within what is negligible (``Metric.negligible``: one
point of a percentage), which calls a number that changed by more the same in at most 2.5 % of
cases; a number that is neither is undetermined.

Forgetting reduction is a ratio of means over seeds. Its difference between two stores, which have
each its own denominator, is no such ratio and has no interval of Fieller's, as the report shows.
Interval and test are those of ``ratio.linearised``: Student's, and of the same means.

Of 1,000 comparisons of stores that differ by noise alone (10 numbers, normal, steps of one sample
in 250), some number is called changed in 5.3, 5.0 and 3.7 % with 4, 5 and 10 of the same seeds, in
3.2, 3.6 and 4.6 % with other seeds, and in none with three (``python
tests/reports/statistics/simulations.py stores`` reproduces the numbers).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Literal

from palimpsest.benchmark.metrics import METRICS
from palimpsest.benchmark.store.store import Record
from palimpsest.reports.runs.matching import Name, StoredCell, matched_cells
from palimpsest.reports.statistics.interval import CONFIDENCE, ROUNDING
from palimpsest.reports.statistics.pairs import holm
from palimpsest.reports.statistics.two_samples import SampleComparison, compare_samples

_LEVEL = 1 - CONFIDENCE

Side = Literal["a", "b"]


class Outcome(StrEnum):
    """What became of a number or a run, the most urgent first.

    ``SAME``: all of its interval lies within what is negligible. ``UNDETERMINED``: it differs, and
    its seeds can show neither a change nor that it is the same.
    """

    REGRESSED = "regressed"
    IMPROVED = "improved"
    UNDETERMINED = "undetermined"
    SAME = "same"
    EQUAL = "equal"


@dataclass(frozen=True)
class Change:
    """A metric of a cell that both stores have.

    Attributes:
        comparison: Means and the interval of their difference, fractions; its p is corrected
            over all tests of the comparison (Holm), its interval is not.
        verdict: What to make of it.
    """

    scenario: str
    variant: str
    metric: str
    comparison: SampleComparison
    verdict: Outcome


@dataclass(frozen=True)
class RunChange:
    """A run that finished in one store and failed in the other.

    Attributes:
        verdict: ``REGRESSED`` where it fails in B, ``IMPROVED`` where it failed in A.
    """

    scenario: str
    variant: str
    seed: int
    verdict: Outcome
    error: str


@dataclass(frozen=True)
class OneSided:
    """What one store has and the other has not, so that there is nothing to compare it with.

    Attributes:
        what: ``cell``; ``seeds`` of a cell that both have; or the name of a metric.
        seeds: The seeds that only this side has.
    """

    side: Side
    scenario: str
    variant: str
    what: str
    seeds: tuple[int, ...]


@dataclass(frozen=True)
class StoreComparison:
    """What changed from store A to store B."""

    cells: int
    changes: tuple[Change, ...]
    runs: tuple[RunChange, ...]
    one_sided: tuple[OneSided, ...]

    @property
    def counts(self) -> Counter[Outcome]:
        """How many numbers have which verdict."""
        return Counter(change.verdict for change in self.changes)

    @property
    def regressed(self) -> bool:
        """Whether a number got worse beyond noise, or a run fails that did not."""
        found: Iterable[Change | RunChange] = (*self.changes, *self.runs)
        return any(one.verdict is Outcome.REGRESSED for one in found)

    @property
    def undetermined(self) -> bool:
        """Whether a number differs that its seeds cannot judge."""
        return bool(self.counts[Outcome.UNDETERMINED])


def compare_stores(
    a: Sequence[Record],
    b: Sequence[Record],
    metrics: Sequence[str] | None = None,
    ignore: Callable[[str], bool] = lambda _: False,
) -> StoreComparison:
    """Compare the runs of two stores, metric by metric (see ``two_samples.compare_samples``).

    Args:
        a: Runs before, as ``Store.records`` returns them.
        b: Runs after.
        metrics: Which metrics; all where ``None``.
        ignore: See ``matched_cells``.
    """
    metrics = [*METRICS] if metrics is None else metrics
    places = matched_cells(a, b, ignore)
    both = [(name, one, other) for name, one, other in places if one and other]
    changes = [
        (*name, metric, compare_samples(values, others, METRICS[metric].bounds.of_difference))
        for name, one, other in both
        for metric in metrics
        if (values := one.values(metric)) and (others := other.values(metric))
    ]
    return StoreComparison(
        cells=len(both),
        changes=tuple(_judged(changes)),
        runs=tuple(run for place in both for run in _run_changes(*place)),
        one_sided=tuple(gap for place in places for gap in _one_sided(*place, metrics)),
    )


def _judged(found: Sequence[tuple[str, str, str, SampleComparison]]) -> Iterator[Change]:
    corrected = holm([raw.p for *_, raw in found])
    for (scenario, variant, metric, raw), p in zip(found, corrected, strict=True):
        comparison = replace(raw, p=p)
        yield Change(scenario, variant, metric, comparison, _verdict(metric, comparison))


def _verdict(metric: str, raw: SampleComparison) -> Outcome:
    """What to make of a number."""
    if raw.equal:
        return Outcome.EQUAL
    if raw.p is None and abs(raw.b - raw.a) < ROUNDING:
        return Outcome.SAME
    if raw.p is not None and raw.p < _LEVEL:
        better = (raw.b < raw.a) if METRICS[metric].better == "lower" else (raw.b > raw.a)
        return Outcome.IMPROVED if better else Outcome.REGRESSED
    low, high, margin = raw.difference.low, raw.difference.high, METRICS[metric].negligible
    if low is None or high is None or margin is None:
        return Outcome.UNDETERMINED
    return Outcome.SAME if max(-low, high) <= margin else Outcome.UNDETERMINED


def _run_changes(name: Name, a: StoredCell, b: StoredCell) -> Iterator[RunChange]:
    for verdict, done, failed in (
        (Outcome.REGRESSED, a.done, b.failed),
        (Outcome.IMPROVED, b.done, a.failed),
    ):
        for seed in sorted(done.keys() & failed.keys()):
            yield RunChange(*name, seed, verdict, failed[seed].error or "no message")


def _one_sided(
    name: Name, a: StoredCell | None, b: StoredCell | None, metrics: Sequence[str]
) -> Iterator[OneSided]:
    sides: tuple[Side, Side] = ("a", "b")
    for side, own, other in zip(sides, (a, b), (b, a), strict=True):
        if own is None:
            continue
        if other is None:
            yield OneSided(side, *name, "cell", tuple(sorted(own.runs)))
            continue
        if seeds := own.runs.keys() - other.runs.keys():
            yield OneSided(side, *name, "seeds", tuple(sorted(seeds)))
        for metric in metrics if other.done else ():
            values = own.values(metric)
            if values and not other.values(metric):
                yield OneSided(side, *name, metric, tuple(sorted(values)))
