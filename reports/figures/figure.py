"""What a figure of the report is: one file, found by looking into this folder.

A module of this folder, or of a folder in it, that has a ``FIGURE`` is a figure of the report: it
stands in its section, ``report --figures`` writes it, and ``plot`` draws it alone. Modules without
one draw figures of pages, or what several figures share.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from importlib import import_module
from pkgutil import walk_packages
from typing import Literal

from palimpsest.reports import figures as folder
from palimpsest.reports.analysis.choosing.choice import Choice
from palimpsest.reports.analysis.choosing.cross_fitting import choose
from palimpsest.reports.analysis.frontier import Frontiers, frontiers
from palimpsest.reports.analysis.ranking import Standing, ranking
from palimpsest.reports.figures.drawing.plot import Plot
from palimpsest.reports.figures.drawing.style import Style, styles
from palimpsest.reports.runs.cells import Cell, Variant, by_scenario

RANKING = "ranking"
"""The section whose figures compare strategies: in each scenario and over all of them."""


class ReportRuns:
    """The runs of a report, and results over all of them, computed on demand."""

    def __init__(self, cells: Sequence[Cell]) -> None:
        self.cells = cells

    @cached_property
    def styles(self) -> Mapping[Variant, Style]:
        """The style of every variant."""
        return styles(self.cells)

    @cached_property
    def choices(self) -> Sequence[Choice]:
        """The strength at which each strategy is reported."""
        return choose(self.cells)

    @cached_property
    def standings(self) -> Sequence[Standing]:
        """The rankings of each scenario, then those over several."""
        return ranking(self.choices)

    @cached_property
    def scenarios(self) -> Sequence[Scope]:
        """Each scenario by itself."""
        return [Scope(self, (name,)) for name in by_scenario(self.cells)]

    @cached_property
    def comparisons(self) -> Sequence[Scope]:
        """What strategies are ranked over: each scenario, and several together."""
        spans = dict.fromkeys(standing.scenarios for standing in self.standings)
        return [Scope(self, scenarios) for scenarios in spans]


class Scope:
    """The runs that a figure shows: those of one scenario, or of several that are compared."""

    def __init__(self, report: ReportRuns, scenarios: tuple[str, ...]) -> None:
        self.report = report
        self.scenarios = scenarios
        self.cells = [cell for cell in report.cells if cell.scenario in scenarios]
        self.done = [cell for cell in self.cells if cell.done]

    @property
    def styles(self) -> Mapping[Variant, Style]:
        """The style of every variant of the report."""
        return self.report.styles

    @cached_property
    def choices(self) -> Sequence[Choice]:
        """The strength at which each strategy is reported."""
        return [choice for choice in self.report.choices if choice.scenario in self.scenarios]

    @property
    def chosen(self) -> Sequence[Cell]:
        """The runs with which each strategy is reported."""
        return [choice.reported for choice in self.choices if choice.reported is not None]

    @property
    def standings(self) -> Sequence[Standing]:
        """The rankings over these scenarios, one per metric."""
        return [own for own in self.report.standings if own.scenarios == self.scenarios]

    @cached_property
    def frontiers(self) -> Frontiers:
        """The variants of a scenario in the stability-plasticity plane."""
        return frontiers(self.cells)


@dataclass(frozen=True)
class Figure:
    """A figure of the report.

    Attributes:
        name: The end of its name in the report and its files.
        section: Its section, see ``html/sections.py``. In ``RANKING`` there is one for each of
            ``ReportRuns.comparisons``, elsewhere one for each scenario.
        place: Its place in the section, among figures and tables.
        build: Makes it; ``None`` where there is nothing to show.
        needs: The runs it is made from, after "it needs".
        notebook: Its name in ``plot``; ``name`` where empty.
        shows: What it cannot be drawn without: accuracies of models that are trained one after
            another, accuracies of all models at the end, or something else.
    """

    name: str
    section: str
    place: int
    build: Callable[[Scope], Plot | None]
    needs: str
    notebook: str = ""
    shows: Literal["turns", "end", "else"] = "else"

    def scopes(self, report: ReportRuns) -> Sequence[Scope]:
        """Return the scopes that may have such a figure."""
        return report.comparisons if self.section == RANKING else report.scenarios


@cache
def figures() -> Mapping[str, Figure]:
    """Return the figures of the report by what a notebook calls them, as they stand in it."""
    names = (module.name for module in walk_packages(folder.__path__, f"{folder.__name__}."))
    found = [getattr(import_module(name), "FIGURE", None) for name in names]
    known = sorted((f for f in found if f), key=lambda f: (f.section, f.place, f.name))
    return {figure.notebook or figure.name: figure for figure in known}
