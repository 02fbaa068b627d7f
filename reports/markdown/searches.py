"""One suite of architecture searches as a template sees it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from palimpsest.benchmark.errors import UserError
from palimpsest.benchmark.metrics.search import Period
from palimpsest.reports.analysis import ground_truth
from palimpsest.reports.analysis.choosing.equal_gain import at_equal_gain
from palimpsest.reports.analysis.choosing.variants import label
from palimpsest.reports.analysis.ground_truth import Truth, truth_of
from palimpsest.reports.analysis.searches import FORGETTING, GAIN, measure_of
from palimpsest.reports.figures.drawing.colors import Identity, colors
from palimpsest.reports.figures.drawing.style import Style, Styles
from palimpsest.reports.figures.searches.gains import GainLine, gains_plot
from palimpsest.reports.figures.searches.rewards import rewards_plot
from palimpsest.reports.figures.searches.truth import true_ranking_plot
from palimpsest.reports.figures.searches.visits import forgetting_plot
from palimpsest.reports.markdown.illustrated import IllustratedStudy
from palimpsest.reports.markdown.number import Number
from palimpsest.reports.markdown.strengths import chosen_strengths
from palimpsest.reports.markdown.study import RATIO, Labels
from palimpsest.reports.runs.cells import Cell
from palimpsest.reports.statistics.interval import mean_estimate
from palimpsest.reports.statistics.pairs import compare_pairs

Written = str | Sequence[str]
"""A variant as it is written, or a pair of a scenario and a variant of it."""


class EqualGainNumbers(NamedTuple):
    """A variant and a control at the same own gain, see ``analysis/equal_gain.py``."""

    ratio: Number
    gain: Number
    own: Number
    control: Number


class SearchStudy(IllustratedStudy):
    """The runs of one suite, with numbers and figures of architecture searches.

    Where variants are listed, one of another scenario is a pair: ``["slow", "wpl@1"]``. It is
    called ``slow: wpl@1``, which ``labels`` can rename like any other; labels of its parts
    count, too.
    """

    def truth(self, scenario: str, variant: str = "") -> Truth:
        """Return the true errors of architectures, from a scenario that trains each alone.

        Args:
            scenario: Its name; of the family ``architecture_search``, with ``shared: false``.
            variant: As it is written; fine-tuning where it is empty.
        """
        cell = self._catalog.cell(scenario, variant) if variant else self._baseline(scenario)
        if cell is None:
            raise UserError(f"{scenario!r} has no runs of fine-tuning; say which variant=")
        return truth_of(cell.done)

    def ranking(
        self,
        scenario: str,
        variant: str,
        measure: str,
        truth: Truth | None = None,
        less: Sequence[str] | None = None,
    ) -> Number:
        """Return a measure of a search's end, with its 95 % interval over seeds.

        Args:
            scenario: Its name.
            variant: As it is written.
            measure: One of ``ground_truth.MEASURES``, such as ``tau``, ``regret`` or ``expected``.
            truth: Of the same architectures, see ``truth``.
            less: A scenario and a variant of it, whose measure is subtracted seed by seed, with the
                interval and the p-value (in ``p``) of ``pairs.compare_pairs``.
        """
        asked, values = ground_truth.measured(
            self._catalog.cell(scenario, variant).done, measure, truth
        )
        if less is None:
            return Number(mean_estimate({"": values}, asked.bounds), asked)
        place, other = less
        _, theirs = ground_truth.measured(self._catalog.cell(place, other).done, measure, truth)
        shown = asked.difference
        found = compare_pairs({"": values}, {"": theirs}, shown.bounds)
        return Number(found.difference, shown, found.p)

    def at_equal_gain(
        self, scenario: str, variant: str, control: Sequence[Written], period: Period = "all"
    ) -> EqualGainNumbers:
        """Compare the forgetting of visits with a control's at the same own gain.

        ``ratio`` is forgetting of the variant divided by that of the control; it says so where the
        variant's gain is outside the control's range. ``gain`` and ``own`` are those of the
        variant, ``control`` is the forgetting of the control at that gain.

        Args:
            scenario: Its name.
            variant: As it is written.
            control: The control's points in their order, such as by learning rate; pairs where
                they are of other scenarios.
            period: Which epochs count: ``all``, or the ``early`` or ``late`` half.
        """
        cell = self._catalog.cell(scenario, variant)
        points = [self._place(scenario, written)[1] for written in control]
        found = at_equal_gain(cell, points, period)
        loss, gain = (measure_of(measure, [cell]) for measure in (FORGETTING, GAIN))
        return EqualGainNumbers(
            Number(found.ratio, RATIO),
            Number(found.gain, gain),
            Number(found.own, loss),
            Number(found.control, loss),
        )

    def forgetting(
        self,
        name: str,
        caption: str = "",
        scenarios: Sequence[str] | None = None,
        variants: Sequence[Written] = (),
        block: int = 1,
        labels: Labels | None = None,
    ) -> str:
        """Draw err2 - err1 over epochs: a row per scenario; the mean, the best five, the largest.

        Variants of other scenarios are in every row. The mean of ``block`` epochs makes a point.
        """
        labels = labels or {}
        shown = list(scenarios or self.scenarios)
        rows = {row: self._lines(row, variants) for row in shown}
        styles, names = self._named(rows[shown[0]], labels)
        titled = {
            "" if len(shown) == 1 else labels.get(row, row): cells for row, cells in rows.items()
        }
        plot = forgetting_plot(titled, styles, names, block)
        return self._album.add(name, plot, f"{caption} {chosen_strengths(rows, labels)}")

    def rewards(
        self,
        name: str,
        caption: str = "",
        scenario: str = "",
        variants: Sequence[Written] = (),
        block: int | None = None,
        labels: Labels | None = None,
    ) -> str:
        """Draw the controllers' rewards over their steps, a line per variant.

        The mean of ``block`` steps makes a point; so many that it can be read where ``None``.
        """
        lines, styles, names, said = self._shown(scenario, variants, caption, labels or {})
        return self._album.add(name, rewards_plot(lines, styles, names, block), said)

    def rankings(
        self,
        name: str,
        caption: str = "",
        scenario: str = "",
        variants: Sequence[Written] = (),
        truth: Truth | None = None,
        labels: Labels | None = None,
    ) -> str:
        """Draw true errors against those in the search: a panel per variant, tau above it.

        The truth (see ``truth``) is of the same architectures; it may be of another suite.
        """
        if truth is None:
            raise UserError(
                f"figure {name!r}: no truth to compare with; give truth=s.truth(SCENARIO), of a "
                "scenario with shared: false"
            )
        lines, styles, names, said = self._shown(scenario, variants, caption, labels or {})
        return self._album.add(name, true_ranking_plot(lines, styles, names, truth), said)

    def gains(
        self,
        name: str,
        caption: str = "",
        scenario: str = "",
        strategies: Sequence[str] = (),
        series: Mapping[str, Sequence[Written]] | None = None,
        labels: Labels | None = None,
    ) -> str:
        """Draw forgetting of visits against own gain: a line per strategy, a point per strength.

        ``series`` has more lines by their names, each with its variants, such as plain training
        with several learning rates: ``{"learning rate": [["slow", "wpl@1"], "wpl@1"]}``.
        Beside a point of a series stands the label of its scenario, if there is one, else that of
        its variant.
        """
        labels, series = labels or {}, series or {}
        cells = {own: self._catalog.strategy(scenario, own) for own in strategies}
        ends = {own: [cell.variant.value for cell in found] for own, found in cells.items()}
        for own, written in series.items():
            places = [self._place(scenario, one) for one in written]
            cells[own] = [cell for _, cell in places]
            ends[own] = [_beside(key, cell, labels) for key, cell in places]
        if not any(cells.values()):
            raise UserError(f"figure {name!r}: nothing to show; give strategies= or series=")
        styles = self._styles.of({own: cells[own][0] for own in strategies}, list(strategies))
        styles |= _own_styles({own: cells[own][0] for own in series})
        lines = {own: GainLine(found, ends[own], styles[own]) for own, found in cells.items()}
        names = {own: labels.get(own, own) for own in lines}
        return self._album.add(name, gains_plot(lines, names), caption)

    def _lines(self, scenario: str, variants: Sequence[Written]) -> dict[str, Cell]:
        if not variants:
            raise UserError("give the variants to show, such as variants=['wpl@1', 'wpl@10']")
        return dict(self._place(scenario, written) for written in variants)

    def _shown(
        self, scenario: str, variants: Sequence[Written], caption: str, labels: Labels
    ) -> tuple[dict[str, Cell], dict[str, Style], dict[str, str], str]:
        """Return the lines of a figure of one scenario, their styles and names, and its caption."""
        lines = self._lines(scenario, variants)
        styles, names = self._named(lines, labels)
        said = f"{caption} {chosen_strengths({scenario: lines}, labels)}"
        return lines, styles, names, said

    def _place(self, scenario: str, written: Written) -> tuple[str, Cell]:
        """A variant's name in the figure, and its runs."""
        if isinstance(written, str):
            return written, self._catalog.cell(scenario, written)
        if len(written) != 2:
            raise UserError(f"{list(written)!r}: expected a scenario and a variant of it")
        place, variant = written
        return f"{place}: {variant}", self._catalog.cell(place, variant)

    def _named(
        self, lines: Mapping[str, Cell], labels: Labels
    ) -> tuple[dict[str, Style], dict[str, str]]:
        """The styles and the names of lines."""
        of_others = {key: cell for key, cell in lines.items() if ": " in key}
        here = {key: cell for key, cell in lines.items() if key not in of_others}
        styles, names = self._drawn(here, labels)
        for key, cell in of_others.items():
            place, _, variant = key.rpartition(": ")
            own = f"{labels.get(place, place)}: {label(variant, labels, cell.variant)}"
            names[key] = labels.get(key, own)
        return styles | _own_styles(of_others), {key: names[key] for key in lines}


def _own_styles(lines: Mapping[str, Cell]) -> dict[str, Style]:
    """Styles for lines that differ in more than their strategy: colours by their names."""
    found = colors(Identity(f"line: {key}") for key in lines)
    markers = Styles().of(lines)
    return {
        key: Style(color, "-", markers[key].marker, color)
        for key, color in zip(
            lines, (found[Identity(f"line: {key}")] for key in lines), strict=True
        )
    }


def _beside(key: str, cell: Cell, labels: Labels) -> str:
    """Return the label of a point of a series."""
    place, _, variant = key.rpartition(": ")
    return labels.get(key) or labels.get(place) or label(variant, labels, cell.variant)
