"""One suite as a template sees it, with figures."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from palimpsest.benchmark.errors import UserError, nearest
from palimpsest.benchmark.runs.record import BASELINE, LIMIT
from palimpsest.benchmark.store.store import Record
from palimpsest.reports.analysis.choosing.variants import CHOSEN, Catalog, label
from palimpsest.reports.analysis.digitized import Given, digitized_curves
from palimpsest.reports.analysis.frontier import frontiers
from palimpsest.reports.analysis.quantities import quantity_named
from palimpsest.reports.analysis.ranking import RANKED, ranking
from palimpsest.reports.figures.drawing.style import Style, Styles, series_styles
from palimpsest.reports.figures.frontier import Plane, plane_plot
from palimpsest.reports.figures.pages.growth import growth_plot
from palimpsest.reports.figures.pages.lines import Levels, Line, lines_plot
from palimpsest.reports.figures.pages.regimes import Position, regimes_plot
from palimpsest.reports.figures.pages.scenario_curves import ScenarioColumn, scenario_curves_plot
from palimpsest.reports.figures.ranks import critical_difference_plot
from palimpsest.reports.markdown.album import Album
from palimpsest.reports.markdown.strengths import chosen_strengths
from palimpsest.reports.markdown.study import Labels, Study
from palimpsest.reports.runs.cells import Cell


class IllustratedStudy(Study):
    """The runs of one suite, with figures that are written beside the page.

    Each method returns the Markdown that shows its figure, whose file has the ``name``; how to read
    it is added to the ``caption``. All scenarios are shown where none are named; ``labels`` has
    other names for scenarios, variants, strategies and quantities. Strategies have the same colours
    in all figures of the page.
    """

    def __init__(
        self,
        records: Sequence[Record],
        catalog: Catalog,
        styles: Styles,
        album: Album,
    ) -> None:
        super().__init__(records, catalog)
        self._styles = styles
        self._album = album

    def curves(
        self,
        name: str,
        caption: str = "",
        scenarios: Sequence[str] | None = None,
        variants: Sequence[str] = (),
        first: int = 0,
        reference: Mapping[str, Given] | None = None,
        labels: Labels | None = None,
    ) -> str:
        """Draw accuracies over training: a column per scenario, earlier models above new ones.

        With two models, A above B, over B's steps. With more, the mean of the earlier models above
        the model in training, over the steps since the second model began. ``first`` is how many
        first steps after a switch have a row of their own; the suite should measure each of them
        (``curve: {first: 50}``). ``reference`` has curves that were read off a published figure,
        drawn as points in scenarios of two models: by scenario and any label,
        ``{"model": 0, "variant": "wpl@1e6", "steps": [...], "accuracy": [...]}``, accuracies in
        per cent, the variant one of the figure.
        """
        labels, reference = labels or {}, reference or {}
        shown = list(scenarios or self.scenarios)
        _known(reference, shown, "reference")
        cells = {scenario: self._cells(scenario, variants) for scenario in shown}
        columns = [
            ScenarioColumn(
                labels.get(scenario, scenario),
                cells[scenario],
                digitized_curves(scenario, reference.get(scenario, {}), variants),
            )
            for scenario in shown
        ]
        styles, names = self._drawn(cells[shown[0]], labels)
        plot = scenario_curves_plot(columns, styles, names, first)
        return self._album.add(name, plot, f"{caption} {chosen_strengths(cells, labels)}")

    def lines(
        self,
        name: str,
        caption: str = "",
        scenarios: Mapping[str, float] | None = None,
        variants: Sequence[str] = (),
        scenario: str | None = None,
        series: Mapping[str, Mapping[float, str]] | None = None,
        quantities: Sequence[str] = ("first_after", "second"),
        axis: str = "",
        reference: Mapping[str, Mapping[str, Mapping[float, float]]] | None = None,
        labels: Labels | None = None,
    ) -> str:
        """Draw quantities over a number: a panel per quantity, a line per variant.

        Either over scenarios, ``scenarios={"k1": 1, "k2": 2}`` with ``variants`` as lines, or over
        variants of one scenario, ``scenario="a", series={"exact": {10: "exact_10@1e4", ...}}``
        with ``variants`` as horizontal lines to compare with. The axis, labelled ``axis``, is
        logarithmic if the numbers span a factor of 30 or more. ``reference`` has values that were
        read off a published figure, drawn as points: by quantity and variant (or label of a
        series), ``{"first_after": {"wpl@1e4": {1: 82, 2: 76}}}``, in the unit of the panel.
        """
        labels, reference = labels or {}, reference or {}
        if bool(scenarios) == bool(scenario and series):
            raise UserError("lines: give scenarios={name: x}, or scenario= and series=")
        compared: dict[str, Cell] = {}
        levels: dict[str, Style] = {}
        if scenarios:
            cells = {name: self._cells(name, variants) for name in scenarios}
            chosen = chosen_strengths(cells, labels)
            styles, names = self._drawn(next(iter(cells.values())), labels)
            keys = {written: names[written] for written in variants}
            lines = {
                names[written]: Line(
                    {x: cells[name][written] for name, x in scenarios.items()}, styles[written]
                )
                for written in variants
            }
        else:
            catalog, own = self._catalog, series or {}
            styles = series_styles(list(own))
            keys = {key: labels.get(key, key) for key in own}
            lines = {
                keys[key]: Line(
                    {x: catalog.cell(str(scenario), written) for x, written in places.items()},
                    styles[key],
                )
                for key, places in own.items()
            }
            compared = self._cells(str(scenario), variants)
            drawn = self._cells(str(scenario), [v for line in own.values() for v in line.values()])
            chosen = chosen_strengths({str(scenario): drawn | compared}, labels)
            levels, names = self._drawn(compared, labels)
        points = {}
        for quantity, by_line in reference.items():
            _known([quantity], quantities, "reference")
            _known(by_line, keys, f"reference of {quantity!r}")
            points[quantity] = {keys[key]: values for key, values in by_line.items()}
        asked = [(quantity_named(q), labels.get(q, quantity_named(q).title)) for q in quantities]
        beside = Levels(
            {names[v]: cell for v, cell in compared.items()},
            {names[v]: levels[v] for v in compared},
            points,
        )
        plot = lines_plot(lines, asked, self._baseline, beside, axis)
        return self._album.add(name, plot, f"{caption} {chosen}")

    def map(
        self,
        name: str,
        rows: Sequence[str],
        columns: Sequence[str],
        cell: str | Mapping[Position, str] | Callable[[str, str], str],
        variant: str,
        caption: str = "",
        labels: Labels | None = None,
        top: float | None = None,
    ) -> str:
        """Draw a map of what A loses, with B's accuracy and its worst seed in every cell.

        Rows go from top to bottom, columns from left to right. ``cell`` gives the scenario of a row
        and column: a pattern such as ``"{row}_{column}"``, a mapping ``{(row, column): scenario}``
        (cells that it lacks stay empty), or a function. ``top`` is the end of the colour scale in
        points, so that maps of one page can share it; above the largest value of this map where
        ``None``.
        """
        found = {}
        for row in rows:
            for column in columns:
                if isinstance(cell, str):
                    scenario: str | None = cell.format(row=row, column=column)
                elif isinstance(cell, Mapping):
                    scenario = cell.get((row, column))
                else:
                    scenario = str(cell(row, column)).strip()
                if scenario:
                    found[row, column] = self._catalog.cell(scenario, variant)
        return self._album.add(name, regimes_plot(found, rows, columns, labels or {}, top), caption)

    def frontier(
        self,
        name: str,
        caption: str = "",
        scenarios: Sequence[str] | None = None,
        strategies: Sequence[str] = (),
        labels: Labels | None = None,
    ) -> str:
        """Draw stability over plasticity: a panel per scenario, a line per strategy.

        With two models, A over B. Fine-tuning and freezing are shown as the ends where they ran.
        """
        labels = labels or {}
        planes: list[Plane] = []
        shown: list[Cell] = []
        for scenario in scenarios or self.scenarios:
            own = [c for strategy in strategies for c in self._catalog.strategy(scenario, strategy)]
            ends = [
                cell
                for cell in self._catalog.scenario(scenario)
                if cell.variant.role in {BASELINE, LIMIT} and cell not in own
            ]
            planes.append(Plane(labels.get(scenario, scenario), frontiers([*own, *ends])))
            shown += [*own, *ends]
        styles = self._styles.of({cell.variant: cell for cell in shown})
        names = {strategy: labels.get(strategy, strategy) for strategy in strategies}
        names |= {own: labels[own] for own in (c.variant.strategy for c in shown) if own in labels}
        models = {len(record.accuracy_matrix) for cell in shown for record in cell.done}
        axes = ("B, %", "A at the end, %")
        if models != {2}:
            axes = ("new models, %", "earlier models at the end, %")
        plot = plane_plot(planes, styles, axes=axes, names=names)
        if plot is None:
            raise UserError(f"figure {name!r}: no finished runs to show; choose other strategies")
        return self._album.add(name, plot, caption)

    def growth(
        self,
        name: str,
        caption: str = "",
        scenarios: Sequence[str] | None = None,
        variants: Sequence[str] = (),
        labels: Labels | None = None,
    ) -> str:
        """Draw how forgetting and plasticity grow with the number of models: a row per scenario."""
        labels = labels or {}
        shown = list(scenarios or self.scenarios)
        cells = {scenario: self._cells(scenario, variants) for scenario in shown}
        styles, names = self._drawn(cells[shown[0]], labels)
        titled = {labels.get(scenario, scenario): own for scenario, own in cells.items()}
        plot = growth_plot(titled, styles, names)
        return self._album.add(name, plot, f"{caption} {chosen_strengths(cells, labels)}")

    def ranks(
        self,
        name: str,
        caption: str = "",
        scenarios: Sequence[str] | None = None,
        metrics: Sequence[str] = ("average_accuracy",),
        labels: Labels | None = None,
    ) -> str:
        """Draw average ranks over seeds and scenarios with their critical difference.

        Each strategy counts at the strength that was chosen for it on validation data. Only
        strategies that have runs in each of the scenarios, three or more (``ranks.ENOUGH``), are
        ranked; each of the metrics, of ``ranking.RANKED`` or a plugin, has a diagram.
        """
        shown = tuple(scenarios or self.scenarios)
        for scenario in shown:
            self._catalog.scenario(scenario)
        standings = {
            standing.metric: standing
            for standing in ranking([c for c in self._catalog.choices if c.scenario in shown])
            if set(standing.scenarios) == set(shown)
        }
        for metric in metrics:
            if metric not in standings:
                raise UserError(
                    f"figure {name!r}: nothing is ranked by {metric!r} here; "
                    f"{nearest(metric, standings or RANKED)}"
                )
        plot = critical_difference_plot([standings[m] for m in metrics], labels)
        if plot is None:
            raise UserError(
                f"figure {name!r}: too few strategies, scenarios or seeds for ranks; name three or "
                "more scenarios that have the same strategies and seeds"
            )
        return self._album.add(name, plot, caption)

    def _cells(self, scenario: str, variants: Sequence[str]) -> dict[str, Cell]:
        return {written: self._catalog.cell(scenario, written) for written in variants}

    def _drawn(
        self, cells: Mapping[str, Cell], labels: Labels
    ) -> tuple[dict[str, Style], dict[str, str]]:
        """The styles and the names of variants."""
        chosen = [written for written in cells if written.endswith(f"@{CHOSEN}")]
        return self._styles.of(cells, chosen), {
            written: label(written, labels, cell.variant) for written, cell in cells.items()
        }


def _known(given: Iterable[str], valid: Iterable[str], place: str) -> None:
    """Refuse names that are not valid."""
    words = list(valid)
    for name in given:
        if name not in words:
            raise UserError(f"{place}: {name!r} is not in the figure; {nearest(name, words)}")
