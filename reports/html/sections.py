"""The sections of the report: questions and answers. The HTML and all files follow their order.

A table or figure is added in ``sections``, with one line. Parts that are ``None`` have nothing to
show and are left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from reports.analysis.caveats import caveats
from reports.analysis.choice import Choice
from reports.analysis.cross_fitting import choose
from reports.analysis.findings import findings
from reports.analysis.frontier import Frontier, Frontiers, frontiers
from reports.analysis.profiles import profiles
from reports.analysis.ranking import Standing, ranking
from reports.figures.matrices import heatmaps_plot
from reports.figures.plane import Plane, plane_plot
from reports.figures.plot import Plot
from reports.figures.probes import inside_plots
from reports.figures.profile import profile_plot
from reports.figures.ranking import critical_difference_plot, ranking_plot
from reports.figures.strategy_curves import strategy_curves_plot
from reports.figures.style import Style, styles
from reports.figures.sweep import sweep_plot
from reports.html.parts import Facts, Group, Section, Words
from reports.runs.cells import Cell, Variant, by_scenario
from reports.runs.provenance import scenario_facts
from reports.statistics.interval import FEWEST_SEEDS
from reports.tables.cost import cost_table
from reports.tables.forgetting import forgetting_table
from reports.tables.metrics import added_table, metrics_table, transfer_table
from reports.tables.ranking import choice_table, frontier_table, ranking_table
from reports.tables.table import Table
from reports.wording.numbers import percent
from reports.wording.words import several

HOW = (
    "Student’s, clipped to the range of the number; for means from the spread of the seeds, for "
    "interquartile means, medians and hypervolumes from a bootstrap over seeds. Shares of "
    "fine-tuning’s forgetting have Fieller’s intervals, over several scenarios Student’s; in the "
    "data, shares of pairs that are won have Wilson’s. Where several scenarios share seeds, a seed "
    "counts once, with all of its runs. With fewer than "
    f"{FEWEST_SEEDS} seeds, the values of the seeds are shown instead of an interval."
)
"""The report's intervals; ``statistics/__init__.py`` has their measured coverage."""

REFERENCES_IN_PLANE = (
    "Up and to the right is better. Grey marks the references: fine-tuning and freezing are the "
    "ends of every frontier and cost nothing to reach; independent training shares nothing, and "
    "joint training sees all data at once."
)


@dataclass(frozen=True, eq=False)
class ScenarioResults:
    """The results from which the parts about one scenario are made.

    Attributes:
        name: The scenario's name.
        id: The prefix of the names of its tables and plots: ``scenario-1``.
        cells: All its cells.
        done: Those with finished runs.
        choices: The strength at which each strategy is reported.
        frontiers: Its variants in the plane.
    """

    name: str
    id: str
    cells: Sequence[Cell]
    done: Sequence[Cell]
    choices: Sequence[Choice]
    frontiers: Frontiers

    @property
    def chosen(self) -> list[Cell]:
        """The runs with which each strategy is reported."""
        return [choice.reported for choice in self.choices if choice.reported is not None]


def sections(cells: Sequence[Cell]) -> list[Section]:
    """Return the sections that have something to say, in the order in which they are read.

    Args:
        cells: All of a report, see ``cells.group``.
    """
    look = styles(cells)
    choices = choose(cells)
    standings = ranking(choices)
    scenarios = _scenarios(cells, choices)
    found = [
        Section(
            "compared",
            "What was compared, and what came out?",
            "Summary",
            f"Means over seeds; in brackets their 95 % intervals: {HOW} Where a strategy has "
            "several strengths, each half of the seeds is reported at the one that was chosen on "
            "validation data of the other half; the reported numbers are on test data. "
            "Overlapping intervals do not show that two strategies are equal: runs with the same "
            "seed are paired.",
            list(_compared(scenarios, choices, standings)),
        ),
        Section(
            "ranking",
            "Which strategy is best, and how sure is that?",
            "Ranking",
            "Each half of a strategy’s seeds is reported at the strength that was chosen on "
            "validation data of the other half, so that no run affects its own strength. "
            "Differences are paired by seed, and so is their test: it flips the signs of whole "
            "seeds, in all scenarios at once. A small p says that there is a difference, not that "
            "it matters: its size is given beside it. Where some runs have no partner, the number "
            "of pairs is given after a difference.",
            list(_ranking(standings, choices, look)),
        ),
        Section(
            "protection",
            "What does protection cost?",
            "Price of protection",
            "What the earlier models keep, against what the new ones reach, for all strengths. "
            "Earlier models are all but the last, new models all but the first.",
            _each(
                scenarios,
                lambda s: [
                    _plane(s, look),
                    frontier_table(s.frontiers, f"{s.id}-frontiers"),
                    choice_table(s.choices, f"{s.id}-choice"),
                    sweep_plot(s.choices, look, f"{s.id}-sweep"),
                ],
            ),
        ),
        Section(
            "training",
            "When does forgetting happen?",
            "Over training",
            "A dip that recovers before the end shows here, and as minimum accuracy in the next "
            "section.",
            _each(scenarios, lambda s: [strategy_curves_plot(s.done, look, f"{s.id}-curves")]),
        ),
        Section(
            "models",
            "Which model loses how much?",
            "Model by model",
            "Every strength, chosen or not. Where only some seeds have a value, their number is "
            "given after it; a dash means that none has.",
            _each(
                scenarios,
                lambda s: [
                    metrics_table(s.cells, f"{s.id}-metrics"),
                    forgetting_table(s.chosen, f"{s.id}-forgetting"),
                    heatmaps_plot(s.chosen, f"{s.id}-matrices"),
                    transfer_table(s.cells, f"{s.id}-transfer"),
                    added_table(s.cells, f"{s.id}-added"),
                ],
            ),
        ),
        Section(
            "cost",
            "What does it cost to run?",
            "Time and memory",
            "",
            _each(scenarios, lambda s: [cost_table(s.done, f"{s.id}-cost")]),
        ),
        Section(
            "inside",
            "What happened inside?",
            "Inside",
            "What the suite’s probes recorded.",
            _each(scenarios, lambda s: inside_plots(s.done, look, f"{s.id}-inside")),
        ),
    ]
    return [section for section in found if section.groups]


def _scenarios(cells: Sequence[Cell], choices: Sequence[Choice]) -> list[ScenarioResults]:
    return [
        ScenarioResults(
            name,
            f"scenario-{place}",
            members,
            [cell for cell in members if cell.done],
            [choice for choice in choices if choice.scenario == name],
            frontiers(members),
        )
        for place, (name, members) in enumerate(by_scenario(cells).items(), 1)
    ]


def _ranking(
    standings: Sequence[Standing], choices: Sequence[Choice], look: Mapping[Variant, Style]
) -> Iterator[Group]:
    """The comparison of strategies, in each scenario and over all."""
    spans = groupby(standings, key=lambda standing: standing.scenarios)
    for place, (scenarios, members) in enumerate(spans, 1):
        own = list(members)
        parts = [
            ranking_plot(own, look, f"ranking-{place}-means"),
            critical_difference_plot(own, f"ranking-{place}-ranks"),
            profile_plot(profiles(choices, scenarios), look, f"ranking-{place}-profile"),
            *(ranking_table(s, f"ranking-{place}-{s.metric.replace('_', '-')}") for s in own),
        ]
        title = scenarios[0] if len(scenarios) == 1 else f"All {len(scenarios)} scenarios together"
        yield Group(title, [part for part in parts if part is not None])


def _plane(scenario: ScenarioResults, look: Mapping[Variant, Style]) -> Plot | None:
    """The plane of a scenario; its legend has the hypervolume of each frontier."""
    found = scenario.frontiers
    unequal = len({frontier.budget for frontier in found.frontiers}) > 1
    return plane_plot(
        [Plane("", found)],
        look,
        f"{scenario.id}-plane",
        axes=(
            "learning accuracy of the new models, %",
            "stability: final accuracy of the earlier models, %",
        ),
        caption=REFERENCES_IN_PLANE,
        remarks={each.strategy: _filled(each, unequal=unequal) for each in found.frontiers},
        labelled=True,
    )


def _filled(frontier: Frontier, *, unequal: bool) -> str:
    area = frontier.hypervolume
    if area.value is None:
        return ""
    with_what = f" with {several(frontier.budget, 'strength')}" if unequal else ""
    return f" (fills {percent(area.value)} %{with_what})"


def _each(
    scenarios: Sequence[ScenarioResults],
    parts_of: Callable[[ScenarioResults], Sequence[Table | Plot | None]],
) -> Sequence[Group]:
    """Make a group for each scenario that has a finished run and something to show."""
    groups = []
    for scenario in scenarios:
        made = parts_of(scenario) if scenario.done else []
        parts = [part for part in made if part is not None]
        if parts:
            groups.append(Group(scenario.name, parts))
    return groups


def _compared(
    scenarios: Sequence[ScenarioResults], choices: Sequence[Choice], standings: Sequence[Standing]
) -> Iterator[Group]:
    """The findings of each scenario as text, and the caveats."""
    cells = [cell for scenario in scenarios for cell in scenario.cells]
    words = {
        finding.scenario: Words(finding.references, finding.strategies)
        for finding in findings(cells, choices)
    }
    nothing = Words("No run finished, so there is nothing to compare.")
    for scenario in scenarios:
        facts = Facts(scenario_facts(next(scenario.cells[0].runs)))
        yield Group(scenario.name, [words.get(scenario.name, nothing), facts])
    warnings = caveats(cells, choices, standings)
    if warnings:
        yield Group("Caveats", [Words("", warnings)])
