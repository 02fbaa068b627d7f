"""One suite as a template sees it: facts, values and tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from palimpsest.benchmark.errors import UserError, nearest
from palimpsest.benchmark.metrics import UNBOUNDED, Metric
from palimpsest.benchmark.runs.record import BASELINE, LIMIT
from palimpsest.benchmark.store.store import Record
from palimpsest.reports.analysis import shape
from palimpsest.reports.analysis.capacity import least_free
from palimpsest.reports.analysis.choosing.choice import Mixed
from palimpsest.reports.analysis.choosing.coarseness import coarse_text
from palimpsest.reports.analysis.choosing.equal_stability import at_equal_stability
from palimpsest.reports.analysis.choosing.variants import CHOSEN, Catalog, spellings
from palimpsest.reports.analysis.digitized import Given, digitized_curves
from palimpsest.reports.analysis.frontier import frontiers
from palimpsest.reports.analysis.quantities import (
    QUANTITIES,
    Values,
    elsewhere,
    interval,
    per_seed,
    quantity_named,
)
from palimpsest.reports.formats.markdown import markdown
from palimpsest.reports.markdown.number import Number
from palimpsest.reports.runs.cells import Cell
from palimpsest.reports.runs.clock import elapsed, most_at_once
from palimpsest.reports.runs.probes import recorded
from palimpsest.reports.runs.provenance import seeds
from palimpsest.reports.statistics.interval import mean_estimate
from palimpsest.reports.statistics.pairs import compare_pairs
from palimpsest.reports.statistics.ratio import quotient
from palimpsest.reports.tables.results import STRENGTH, results_table
from palimpsest.reports.wording.numbers import strength_text
from palimpsest.reports.wording.words import duration

Labels = Mapping[str, str]
HYPERVOLUME = elsewhere("hypervolume", "hypervolume")
ACCURACY = elsewhere("accuracy", "accuracy")
RATIO = elsewhere("ratio", "ratio", unit="", digits=2, bounds=UNBOUNDED)
PROBED = elsewhere("probed", "what a probe recorded", unit="", digits=2, bounds=UNBOUNDED)


class StabilityLevel(NamedTuple):
    """What two strategies learn at equal protection, see ``equal_stability.Level``."""

    share: float
    own: Number
    other: Number
    difference: Number


class Study:
    """The runs of one suite, as a template sees them.

    Scenarios and strategies have the names of the suite. A variant is written ``finetune``
    (no strength), ``wpl@1e4`` (one strength) or ``wpl@chosen`` (each half of the seeds at the
    strength that was chosen on the validation split of the other half, see
    ``reports/analysis/choosing/cross_fitting.py``). A quantity is one of
    ``quantities.QUANTITIES`` or a metric. ``labels`` renames scenarios, variants, strategies and
    quantities for the reader.
    """

    def __init__(self, records: Sequence[Record], catalog: Catalog) -> None:
        self._records = records
        self._catalog = catalog

    @property
    def runs(self) -> int:
        """How many runs the suite has in the store, failed ones included."""
        return len(self._records)

    @property
    def failed(self) -> int:
        """How many of them failed."""
        return sum(record.status == "failed" for record in self._records)

    @property
    def seeds(self) -> int:
        """The smallest number of seeds with which a variant was run in a scenario."""
        return min(len({record.seed for record in cell.runs}) for cell in self._catalog.cells)

    @property
    def seed_names(self) -> str:
        """The seeds: ``0 to 9``."""
        return seeds(self._records)

    @property
    def seconds(self) -> float:
        """Seconds in which at least one run of the suite was active, see ``clock.elapsed``."""
        return elapsed(self._records)

    @property
    def time(self) -> str:
        """The same as text: ``6 min 12 s``."""
        return duration(self.seconds)

    @property
    def workers(self) -> int:
        """The largest number of runs that were active at once."""
        return most_at_once(self._records)

    @property
    def versions(self) -> dict[str, str]:
        """Versions of Python, torch, Avalanche and Palimpsest, and the machine.

        Where runs have different ones, all are given, with commas.
        """
        names = dict.fromkeys(name for record in self._records for name in record.versions)
        return {
            name: ", ".join(sorted({record.versions.get(name, "?") for record in self._records}))
            for name in names
        }

    @property
    def scenarios(self) -> list[str]:
        """The names of the scenarios."""
        return list(self._catalog.scenarios)

    def variants(self, scenario: str) -> list[str]:
        """Return the variants of a scenario as they are written, from weak to strong."""
        return spellings(self._catalog.scenario(scenario))

    def strengths(self, scenario: str, strategy: str) -> list[str]:
        """Return the strengths of a strategy as they are written, from weak to strong."""
        cells = self._catalog.strategy(scenario, strategy)
        return [strength_text(c.variant.strength) for c in cells if c.variant.strength is not None]

    def chosen(self, scenario: str, strategy: str) -> str:
        """Return how the variant is written that stands for a strategy.

        Of several strengths this is ``wpl@chosen``, at what validation data choose; else the only
        one: ``finetune``, ``smile@16``. Empty where the scenario has no run of the strategy.
        """
        found = [v for v in self.variants(scenario) if v.split("@")[0] == strategy]
        return f"{strategy}@{CHOSEN}" if len(found) > 1 else "".join(found)

    def strength(self, scenario: str, variant: str) -> str:
        """Return the strength of a variant as it is written.

        For ``wpl@chosen`` the strengths of both halves of the seeds:
        ``1000 (3 of 5 seeds), 1e4 (2)`` if they differ.
        """
        return self._catalog.cell(scenario, variant).variant.value or "none"

    def at_end(self, scenario: str, strategy: str) -> bool:
        """Return whether a chosen strength is the lowest or the highest of several that were tried.

        A better one may lie beyond it. Of strengths that differ between seeds one suffices.
        """
        cells = self._catalog.strategy(scenario, strategy)
        tried = [c.variant.strength for c in cells if c.variant.strength is not None]
        chosen = self._catalog.cell(scenario, f"{strategy}@{CHOSEN}").variant
        parts = chosen.parts if isinstance(chosen, Mixed) else ((chosen.strength, 0),)
        return len(tried) > 1 and any(part in (min(tried), max(tried)) for part, _ in parts)

    def coarse(self, scenario: str, strategy: str) -> str:
        """Say where the tried values of a dial are too far apart, by ``coarseness.gaps``.

        Empty where they are not, or where it has no dial.
        """
        self._catalog.strategy(scenario, strategy)  # refuses unknown names
        return coarse_text(self._catalog.choice(scenario, strategy))

    def open_end(self, scenario: str, strategy: str) -> str:
        """Return ``weakest`` or ``strongest`` if the strength chosen on all seeds is at that end.

        A better one may lie beyond it. Empty elsewhere.
        """
        return self._catalog.choice(scenario, strategy).open_end or ""

    def processor(self, scenario: str, variant: str) -> str:
        """Return the processors of a variant's runs: times compare only on the same."""
        done = self._catalog.cell(scenario, variant).done
        return ", ".join(sorted({record.versions.get("processor", "?") for record in done}))

    def value(self, scenario: str, variant: str, quantity: str) -> Number:
        """Return a quantity's mean over seeds with its 95 % interval."""
        asked = quantity_named(quantity)
        cell = self._catalog.cell(scenario, variant)
        return Number(interval(asked, cell, self._plain(scenario, asked)), asked)

    def difference(
        self,
        scenario: str,
        variant: str,
        other: str,
        quantity: str,
        other_scenario: str | None = None,
        other_study: Study | None = None,
    ) -> Number:
        """Return a quantity of one variant minus that of another, paired by seed.

        With the interval and the p-value (in ``p``) of ``pairs.compare_pairs``. The other may be
        of another scenario, and of another study in which equal seeds have equal data.
        """
        asked = quantity_named(quantity)
        if asked.ratio:
            raise UserError(
                f"{asked.name!r} is a ratio of means and has no difference paired by seed; ask "
                f"for the difference of {asked.ratio[0]!r}"
            )
        ours = self._by_seed(scenario, variant, asked)
        theirs = (other_study or self)._by_seed(other_scenario or scenario, other, asked)
        shown = asked.difference
        found = compare_pairs({scenario: ours}, {scenario: theirs}, shown.bounds)
        return Number(found.difference, shown, found.p)

    def ratio(
        self,
        scenario: str,
        variant: str,
        other: str,
        quantity: str,
        other_scenario: str | None = None,
    ) -> Number:
        """Return a quantity of one variant divided by that of another: a ratio of means over seeds.

        With Fieller's interval, over the seeds that both have (``ratio.quotient``). It has no value
        where the other's is not clearly above zero. The other may be of another scenario.
        """
        asked = quantity_named(quantity)
        if asked.ratio:
            raise UserError(
                f"{asked.name!r} is a ratio of means already; ask for the ratio of "
                f"{asked.ratio[0]!r}"
            )
        ours = self._by_seed(scenario, variant, asked)
        theirs = self._by_seed(other_scenario or scenario, other, asked)
        pairs = {
            seed: (own, divisor)
            for seed, own in ours.items()
            if own is not None and (divisor := theirs.get(seed)) is not None
        }
        found = quotient(pairs, f"{asked.title} of {other}")
        return Number(found, RATIO)

    def _by_seed(self, scenario: str, variant: str, asked: Metric) -> Values:
        return per_seed(asked, self._catalog.cell(scenario, variant), self._plain(scenario, asked))

    def probed(
        self, scenario: str, variant: str, probe: str, column: str, **rows: object
    ) -> Number:
        """Return a column that a probe recorded, with its 95 % interval over seeds.

        ``model=1, block=None`` selects rows by other columns. Of several rows of a run that
        fit, the mean counts.
        """
        cell = self._catalog.cell(scenario, variant)
        values = recorded(cell, probe, column, rows)
        return Number(mean_estimate({"": values}), PROBED)

    def probed_difference(
        self,
        scenario: str,
        variant: str,
        other: str,
        probe: str,
        column: str,
        rows: Mapping[str, object],
        other_rows: Mapping[str, object] | None = None,
        other_column: str | None = None,
    ) -> Number:
        """Return what a probe recorded of one variant minus that of another, paired by seed.

        The other may be the same variant with other rows or another column: ``confidence`` minus
        ``accuracy`` of the same runs is how much too sure they are.
        """
        wanted = rows if other_rows is None else other_rows
        ours = recorded(self._catalog.cell(scenario, variant), probe, column, rows)
        subtracted = column if other_column is None else other_column
        theirs = recorded(self._catalog.cell(scenario, other), probe, subtracted, wanted)
        found = compare_pairs({scenario: ours}, {scenario: theirs}, None)
        return Number(found.difference, replace(PROBED, signed=True), found.p)

    def free(self, scenario: str, variant: str, layer: str, after: int) -> Number:
        """Return the share of a layer that models after one (from 0) can still change, in per cent.

        If the names of several layers begin so, the one with the least left counts.
        """
        return _accuracy(least_free(self._catalog.cell(scenario, variant), layer, after))

    def at_step(self, scenario: str, variant: str, model: int, step: int) -> Number:
        """Return a model's accuracy at a step of the last model's training, from its curve."""
        return _accuracy(shape.at_step(self._catalog.cell(scenario, variant), model, step))

    def lowest(self, scenario: str, variant: str, model: int, first: int) -> Number:
        """Return a model's lowest accuracy over the first steps, the mean of each seed's lowest."""
        return _accuracy(shape.lowest(self._catalog.cell(scenario, variant), model, first))

    def distance(
        self, scenario: str, variant: str, steps: Sequence[int], curves: shape.Shape
    ) -> float:
        """Return how far mean curves are from given ones, in points (see ``shape.distance``)."""
        return shape.distance(self._catalog.cell(scenario, variant), steps, curves)

    def distance_from(
        self, scenario: str, variant: str, reference: Given, as_: str | None = None
    ) -> float:
        """Return how far mean curves are from those read off a published figure, in points.

        As ``distance``, over all points of A and B after step 0 of the variant, or of ``as_``, in a
        reference as ``curves`` takes it.
        """
        wanted = variant if as_ is None else as_
        given = digitized_curves(scenario, reference)
        own = [one for one in given if one.variant == wanted]
        if not own:
            raise UserError(
                f"reference of {scenario!r}: no entry of {wanted!r}; "
                f"{nearest(wanted, {one.variant for one in given})}"
            )
        points = [
            (one.model, step, value)
            for one in own
            for step, value in zip(one.steps, one.accuracy, strict=True)
        ]
        return shape.distance_from_points(self._catalog.cell(scenario, variant), points)

    def equal_stability(
        self, scenario: str, strategy: str, other: str, shares: Sequence[float]
    ) -> list[StabilityLevel]:
        """Compare what two strategies learn at equal protection, in a scenario of two models.

        At each share of fine-tuning's loss that both remove.
        """
        members = self._catalog.scenario(scenario)
        ends = {cell.variant.role: [cell] for cell in members if cell.variant.strength is None}
        first, last = ends.get(BASELINE, []), ends.get(LIMIT, [])
        own, others = (
            [*first, *self._catalog.strategy(scenario, name), *last] for name in (strategy, other)
        )
        if not first:
            raise UserError(
                f"a comparison at equal stability needs fine-tuning, but {scenario!r} has no runs "
                "of it; add it to the suite"
            )
        return [
            StabilityLevel(
                level.share,
                Number(level.own, ACCURACY),
                Number(level.other, ACCURACY),
                Number(level.difference, ACCURACY.difference),
            )
            for level in at_equal_stability(own, others, shares)
        ]

    def hypervolume(self, scenario: str, strategy: str) -> Number:
        """Return the hypervolume of a strategy's frontier (see ``analysis/frontier.py``)."""
        self._catalog.strategy(scenario, strategy)
        for found in frontiers(self._catalog.scenario(scenario)).frontiers:
            if found.strategy == strategy:
                return Number(replace(found.hypervolume, reason=found.reason), HYPERVOLUME)
        raise UserError(f"{strategy!r} in {scenario!r} has no frontier: it has no finished runs")

    def table(
        self,
        scenarios: Sequence[str] | None = None,
        variants: Sequence[str] | None = None,
        quantities: Sequence[str] = ("first_before", "first_after", "second", "removed"),
        labels: Labels | None = None,
    ) -> str:
        """Return a table: a row per scenario and variant, a column per quantity or ``strength``.

        All scenarios, and all their variants, where none are named.
        """
        rows = [
            (scenario, written, self._catalog.cell(scenario, written))
            for scenario in scenarios or self.scenarios
            for written in variants or self.variants(scenario)
        ]
        columns = [name if name == STRENGTH else quantity_named(name) for name in quantities]
        return markdown(results_table(rows, columns, self._baseline, labels or {}))

    def _baseline(self, scenario: str) -> Cell | None:
        """Fine-tuning's runs, if there are any."""
        members = self._catalog.scenario(scenario)
        return next((cell for cell in members if cell.variant.role == BASELINE), None)

    def _plain(self, scenario: str, quantity: Metric) -> Cell | None:
        found = self._baseline(scenario)
        if found is None and quantity.name in QUANTITIES and quantity.reference:
            raise UserError(
                f"{quantity.name!r} compares with fine-tuning, but {scenario!r} has no runs of it; "
                "add it to the suite"
            )
        return found


def _accuracy(values: Values) -> Number:
    """Return the mean of accuracies, or other shares, by seed."""
    return Number(mean_estimate({"": values}, ACCURACY.bounds), ACCURACY)
