"""One suite as a template sees it: facts, values and tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import NamedTuple

from palimpsest.benchmark.errors import UserError, nearest
from palimpsest.benchmark.runs.record import BASELINE, LIMIT
from palimpsest.benchmark.store.store import Record
from palimpsest.reports.analysis import shape
from palimpsest.reports.analysis.capacity import least_free
from palimpsest.reports.analysis.choosing.choice import Mixed, strengths_text
from palimpsest.reports.analysis.choosing.coarseness import coarse_text
from palimpsest.reports.analysis.choosing.equal_stability import at_equal_stability
from palimpsest.reports.analysis.choosing.variants import CHOSEN, Catalog, spellings
from palimpsest.reports.analysis.digitized import Given, digitized_curves
from palimpsest.reports.analysis.frontier import frontiers
from palimpsest.reports.analysis.quantities import (
    RATIOS,
    REMOVED,
    Quantity,
    Values,
    interval,
    per_seed,
    quantity_named,
    share_of,
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
from palimpsest.reports.wording.numbers import decimals, strength_text
from palimpsest.reports.wording.words import duration

Labels = Mapping[str, str]
HYPERVOLUME = Quantity("hypervolume", "hypervolume", lambda _, __: None)
FREE = Quantity("free", "free for later models", lambda _, __: None)
ACCURACY = Quantity("accuracy", "accuracy", lambda _, __: None)
RATIO = Quantity("ratio", "ratio", lambda _, __: None, "", 1.0, decimals, limits=None)


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
    ``reports/analysis/choosing/cross_fitting.py``). ``labels`` renames scenarios, variants,
    strategies and quantities for the reader.

    Args:
        records: The suite's runs.
        catalog: The same runs as cells.
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
        """Seconds in which runs of the suite were under way, see ``clock.elapsed``."""
        return elapsed(self._records)

    @property
    def time(self) -> str:
        """The same as text: ``6 min 12 s``."""
        return duration(self.seconds)

    @property
    def workers(self) -> int:
        """The largest number of runs that were under way at once."""
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

        That is ``wpl@chosen``, at what validation data choose of several strengths, or else the
        only one: ``finetune``, ``smile@16``. Empty where the scenario has no run of the strategy.
        """
        found = [v for v in self.variants(scenario) if v.split("@")[0] == strategy]
        return f"{strategy}@{CHOSEN}" if len(found) > 1 else "".join(found)

    def strength(self, scenario: str, variant: str) -> str:
        """Return the strength of a variant as it is written.

        For ``wpl@chosen`` the strengths of both halves of the seeds:
        ``1000 (3 of 5 seeds), 1e4 (2)`` if they differ.
        """
        return strengths_text(self._catalog.cell(scenario, variant).variant) or "none"

    def at_end(self, scenario: str, strategy: str) -> bool:
        """Return whether a chosen strength is the lowest or the highest of several that were tried.

        Beyond it may be a better one. Of strengths that differ between seeds one suffices.
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
        """Return ``weakest`` or ``strongest`` where the strength chosen on all seeds is that tried.

        A better one may lie beyond it. Empty elsewhere.
        """
        return self._catalog.choice(scenario, strategy).open_end or ""

    def processor(self, scenario: str, variant: str) -> str:
        """Return what the runs of a variant ran on: times compare only on the same."""
        done = self._catalog.cell(scenario, variant).done
        return ", ".join(sorted({record.versions.get("processor", "?") for record in done}))

    def value(self, scenario: str, variant: str, quantity: str) -> Number:
        """Return a quantity's mean over seeds with its 95 % interval.

        Args:
            scenario: Its name.
            variant: As it is written.
            quantity: One of ``quantities.QUANTITIES``, or a metric.
        """
        asked = quantity_named(quantity)
        cell = self._catalog.cell(scenario, variant)
        plain = self._plain(scenario, asked)
        share = share_of(asked, cell, plain)
        reason = None if share is None else share.reason
        return Number(interval(asked, cell, plain), asked, reason=reason)

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

        With the interval and the p-value (in ``p``) of ``pairs.compare_pairs``.

        Args:
            scenario: Its name.
            variant: As it is written.
            other: What is subtracted, likewise.
            quantity: One of ``quantities.QUANTITIES``, or a metric.
            other_scenario: The scenario of ``other``; the same where ``None``.
            other_study: The suite of ``other``, where equal seeds have equal data; this one where
                ``None``.
        """
        asked = quantity_named(quantity)
        if asked.name in RATIOS:
            raise UserError(
                f"{asked.name!r} is a ratio of means and has no difference paired by seed; ask "
                f"for the difference of {RATIOS[asked.name]!r}"
            )
        ours = self._by_seed(scenario, variant, asked)
        theirs = (other_study or self)._by_seed(other_scenario or scenario, other, asked)
        shown = asked.difference()
        found = compare_pairs({scenario: ours}, {scenario: theirs}, shown.limits)
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
        where the other's is not clearly above zero.

        Args:
            scenario: Its name.
            variant: As it is written.
            other: What it is divided by, likewise.
            quantity: One of ``quantities.QUANTITIES``, or a metric.
            other_scenario: The scenario of ``other``; the same where ``None``.
        """
        asked = quantity_named(quantity)
        if asked.name in RATIOS:
            raise UserError(
                f"{asked.name!r} is a ratio of means already; ask for the ratio of "
                f"{RATIOS[asked.name]!r}"
            )
        ours = self._by_seed(scenario, variant, asked)
        theirs = self._by_seed(other_scenario or scenario, other, asked)
        pairs = {
            seed: (own, divisor)
            for seed, own in ours.items()
            if own is not None and (divisor := theirs.get(seed)) is not None
        }
        found = quotient(pairs, f"{asked.title} of {other}")
        return Number(found.ratio, RATIO, reason=found.reason)

    def _by_seed(self, scenario: str, variant: str, asked: Quantity) -> Values:
        return per_seed(asked, self._catalog.cell(scenario, variant), self._plain(scenario, asked))

    def probed(
        self, scenario: str, variant: str, probe: str, column: str, **rows: object
    ) -> Number:
        """Return what a probe recorded, with its 95 % interval over seeds.

        Args:
            scenario: Its name.
            variant: As it is written.
            probe: Its name, as in the suite.
            column: Of the probe's rows.
            **rows: What columns of a row have to be: ``model=1, block=None``. Of several rows of a
                run that fit, the mean counts.
        """
        cell = self._catalog.cell(scenario, variant)
        values = recorded(cell, probe, column, rows)
        quantity = Quantity(column, column, lambda _, __: None, "", 1.0, decimals, limits=None)
        return Number(mean_estimate({"": values}), quantity)

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

        Args:
            scenario: Its name.
            variant: As it is written.
            other: What is subtracted, likewise; the same variant compares rows of the same runs.
            probe: Its name, as in the suite.
            column: Of the probe's rows.
            rows: What columns of a row have to be, as for ``probed``.
            other_rows: The same for ``other``; ``None``: as ``rows``.
            other_column: Of ``other``; ``None``: as ``column``. ``confidence`` minus ``accuracy``
                of the same runs is how much too sure they are.
        """
        wanted = rows if other_rows is None else other_rows
        ours = recorded(self._catalog.cell(scenario, variant), probe, column, rows)
        subtracted = column if other_column is None else other_column
        theirs = recorded(self._catalog.cell(scenario, other), probe, subtracted, wanted)
        found = compare_pairs({scenario: ours}, {scenario: theirs}, None)
        write = partial(decimals, signed=True)
        quantity = Quantity(column, column, lambda _, __: None, "", 1.0, write, limits=None)
        return Number(found.difference, quantity, found.p)

    def free(self, scenario: str, variant: str, layer: str, after: int) -> Number:
        """Return the share of a layer that later models can still change, in per cent.

        Args:
            scenario: Its name.
            variant: As it is written.
            layer: How the names of layers begin; of several, that with the least left counts.
            after: After which model, counted from 0.
        """
        values = least_free(self._catalog.cell(scenario, variant), layer, after)
        return Number(mean_estimate({"": values}, FREE.limits), FREE)

    def at_step(self, scenario: str, variant: str, model: int, step: int) -> Number:
        """Return a model's accuracy at a step of the last model's training, from its curve."""
        values = shape.at_step(self._catalog.cell(scenario, variant), model, step)
        return Number(mean_estimate({"": values}, ACCURACY.limits), ACCURACY)

    def lowest(self, scenario: str, variant: str, model: int, first: int) -> Number:
        """Return a model's lowest accuracy over the first steps, the mean of each seed's lowest."""
        values = shape.lowest(self._catalog.cell(scenario, variant), model, first)
        return Number(mean_estimate({"": values}, ACCURACY.limits), ACCURACY)

    def distance(
        self, scenario: str, variant: str, steps: Sequence[int], curves: shape.Shape
    ) -> float:
        """Return how far mean curves are from given ones, in points (see ``shape.distance``).

        Args:
            scenario: Its name.
            variant: As it is written.
            steps: The steps at which they are compared.
            curves: Accuracies in per cent by model, one per step.
        """
        return shape.distance(self._catalog.cell(scenario, variant), steps, curves)

    def distance_from(
        self, scenario: str, variant: str, reference: Given, as_: str | None = None
    ) -> float:
        """Return how far mean curves are from those read off a published figure, in points.

        As ``distance``, over all points of A and B after step 0.

        Args:
            scenario: Its name.
            variant: As it is written.
            reference: The scenario's entries as ``curves`` takes them. Those of other variants
                are ignored.
            as_: The variant whose entries are used, if it is not ``variant``.
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

        Args:
            scenario: Its name.
            strategy: A strategy with strengths, written without one.
            other: Another one.
            shares: The levels: shares of fine-tuning's loss that are removed.
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
                Number(level.difference, ACCURACY.difference()),
            )
            for level in at_equal_stability(own, others, shares)
        ]

    def hypervolume(self, scenario: str, strategy: str) -> Number:
        """Return the hypervolume of a strategy's frontier (see ``analysis/frontier.py``)."""
        self._catalog.strategy(scenario, strategy)
        found = frontiers(self._catalog.scenario(scenario)).frontiers
        for frontier in found:
            if frontier.strategy == strategy:
                return Number(frontier.hypervolume, HYPERVOLUME, reason=frontier.reason)
        raise UserError(f"{strategy!r} in {scenario!r} has no frontier: it has no finished runs")

    def table(
        self,
        scenarios: Sequence[str] | None = None,
        variants: Sequence[str] | None = None,
        quantities: Sequence[str] = ("first_before", "first_after", "second", "removed"),
        labels: Labels | None = None,
    ) -> str:
        """Return a table with a row per scenario and variant.

        Args:
            scenarios: Their names; all where ``None``.
            variants: As they are written; all variants of each scenario where ``None``.
            quantities: Its columns: of ``quantities.QUANTITIES``, metrics, or ``strength``.
            labels: Other names for scenarios, variants, strategies and quantities.
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

    def _plain(self, scenario: str, quantity: Quantity) -> Cell | None:
        found = self._baseline(scenario)
        if found is None and (quantity.paired or quantity is REMOVED):
            raise UserError(
                f"{quantity.name!r} compares with fine-tuning, but {scenario!r} has no runs of it; "
                "add it to the suite"
            )
        return found
