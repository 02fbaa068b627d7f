"""The sections of the report: questions and answers. The HTML and all files follow their order.

A table or figure is added in ``sections``, with one line. Parts that are ``None`` have nothing to
show and are left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from palimpsest.reports.analysis.choosing.choice import Choice
from palimpsest.reports.analysis.choosing.cross_fitting import choose
from palimpsest.reports.analysis.frontier import Frontier, Frontiers, frontiers
from palimpsest.reports.analysis.profiles import profiles
from palimpsest.reports.analysis.ranking import Standing, ranking
from palimpsest.reports.analysis.remarks.caveats import caveats
from palimpsest.reports.analysis.remarks.findings import findings
from palimpsest.reports.analysis.verdicts import Verdicts, verdicts
from palimpsest.reports.figures.capacity import capacity_plot
from palimpsest.reports.figures.drawing.plot import Plot
from palimpsest.reports.figures.drawing.style import Style, styles
from palimpsest.reports.figures.matrices import heatmaps_plot
from palimpsest.reports.figures.plane import Plane, plane_plot
from palimpsest.reports.figures.probes import inside_plots
from palimpsest.reports.figures.profile import profile_plot
from palimpsest.reports.figures.ranking import critical_difference_plot, ranking_plot
from palimpsest.reports.figures.strategy_curves import strategy_curves_plot
from palimpsest.reports.figures.sweep import sweep_plot
from palimpsest.reports.figures.visit_rows import (
    controller_plot,
    strategy_gains_plot,
    visit_curves_plot,
)
from palimpsest.reports.html.anchors import ALL, anchor
from palimpsest.reports.html.boards import Board, Matrix, board
from palimpsest.reports.html.live_curves import live_curves
from palimpsest.reports.html.live_plane import live_plane
from palimpsest.reports.html.parts import Facts, Group, Part, Section, Words
from palimpsest.reports.html.searches import RANKINGS, VISITS, true_rankings
from palimpsest.reports.runs.cells import Cell, Variant, by_scenario, dial_of
from palimpsest.reports.runs.provenance import scenario_facts
from palimpsest.reports.statistics.interval import FEWEST_SEEDS
from palimpsest.reports.tables.capacity import capacity_table, layers_table
from palimpsest.reports.tables.cost import cost_table
from palimpsest.reports.tables.forgetting import forgetting_table
from palimpsest.reports.tables.metrics import (
    added_table,
    metrics_table,
    search_table,
    transfer_table,
)
from palimpsest.reports.tables.ranking import choice_table, frontier_table, ranking_table
from palimpsest.reports.tables.table import Table
from palimpsest.reports.tables.uncertainty import uncertainty_table
from palimpsest.reports.tables.verdicts import READ
from palimpsest.reports.wording.numbers import percent
from palimpsest.reports.wording.words import several

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
        place: What links and files call it, see ``anchors.py``.
        cells: All its cells.
        done: Those with finished runs.
        choices: The strength at which each strategy is reported.
        frontiers: Its variants in the plane.
    """

    name: str
    place: str
    cells: Sequence[Cell]
    done: Sequence[Cell]
    choices: Sequence[Choice]
    frontiers: Frontiers

    @property
    def id(self) -> str:
        """The prefix of the names of its tables and plots: ``scenario-turned-digits``."""
        return f"scenario-{self.place}"

    @property
    def chosen(self) -> list[Cell]:
        """The runs with which each strategy is reported."""
        return [choice.reported for choice in self.choices if choice.reported is not None]


def sections(
    cells: Sequence[Cell], begin: Callable[[Sequence[Plot]], None] = lambda plots: None
) -> list[Section]:
    """Return the sections that have something to say, in the order in which they are read.

    Args:
        cells: All of a report, see ``cells.group``.
        begin: Called with plots that are ready to be drawn while the rest is made.
    """
    look = styles(cells)
    choices = choose(cells)
    scenarios = _scenarios(cells, choices)
    details = _details(cells, scenarios, look)
    begin(_plots(details))
    overall = _overall(cells, scenarios, choices, look)
    begin(_plots(overall))
    return [section for section in (*overall, *details) if section.groups]


def _plots(found: Sequence[Section]) -> list[Plot]:
    return [part for section in found for part in section.parts if isinstance(part, Plot)]


def _overall(
    cells: Sequence[Cell],
    scenarios: Sequence[ScenarioResults],
    choices: Sequence[Choice],
    look: Mapping[Variant, Style],
) -> list[Section]:
    """The sections that compare strategies, also over scenarios."""
    dial = dial_of(cell.variant for cell in cells)
    standings = ranking(choices)
    return [
        Section(
            "answer",
            "What came out?",
            "Answer",
            READ,
            list(_answers(scenarios, verdicts(choices, cells), look)),
        ),
        Section(
            "compared",
            "What was compared, and how far can it be trusted?",
            "Summary",
            f"Means over seeds; in brackets their 95 % intervals: {HOW} Where a strategy has "
            f"several {dial.plural}, each half of the seeds is reported at the one that was chosen "
            "on validation data of the other half; the numbers are of test data. Intervals of two "
            "strategies that overlap do not show that the strategies are equal: runs with the same "
            "seed are paired.",
            list(_compared(scenarios, choices, standings)),
        ),
        Section(
            "ranking",
            "Which strategy is best, and how sure is that?",
            "Ranking",
            f"Each half of a strategy’s seeds is reported at the {dial.name} that was chosen on "
            "validation data of the other half, so that no run affects the choice for itself. "
            "Differences are paired by seed, and so is their test, the t-test of whole seeds that "
            "the interval inverts: p is below 0.05 where the interval of the difference excludes "
            "zero, which is what the verdicts say. It is not corrected for the number of "
            "strategies; the columns p corrected and p to best are. A small p says that there is a "
            "difference, not that it matters: its size is given beside it. Where some runs have no "
            "partner, the number of pairs is given after a difference.",
            list(_ranking(standings, choices, look)),
        ),
    ]


def _details(
    cells: Sequence[Cell], scenarios: Sequence[ScenarioResults], look: Mapping[Variant, Style]
) -> list[Section]:
    """The sections that go into each scenario."""
    dial = dial_of(cell.variant for cell in cells)
    return [
        Section(
            "visits",
            "What do architectures take from one another?",
            "Visits",
            VISITS,
            _each(
                scenarios,
                lambda s: [
                    search_table(s.cells, f"{s.id}-search"),
                    visit_curves_plot(s.done, look, f"{s.id}-visits"),
                    controller_plot(s.done, look, f"{s.id}-rewards"),
                ],
            ),
        ),
        Section(
            "architectures",
            "Are architectures ranked as they deserve?",
            "Architectures",
            RANKINGS,
            _each(scenarios, lambda s: true_rankings(cells, s.done, look, f"{s.id}-rankings")),
        ),
        Section(
            "protection",
            "What does protection cost?",
            "Price of protection",
            f"How much the earlier models keep and the new ones reach at other {dial.plural}. The "
            "plane is above, with the answer. Earlier models are all but the last, new models all "
            "but the first.",
            _each(
                scenarios,
                lambda s: [
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
            _each(
                scenarios,
                lambda s: [live_curves(strategy_curves_plot(s.done, look, f"{s.id}-curves"), look)],
            ),
        ),
        Section(
            "models",
            "Which model loses how much?",
            "Model by model",
            f"Every {dial.name}, chosen or not. Where only some seeds have a value, their number "
            "stands behind it; a dash where none has.",
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
            "capacity",
            "How much room is left for later models?",
            "Capacity",
            "What a strategy holds for earlier models, later ones cannot change. Some strategies "
            "tell how much is free; what all of them keep in memory is beside it. Nothing is free "
            "from the start where models train nothing that they share, as with supermasks over "
            "fixed weights: their price is memory for each model.",
            _each(
                scenarios,
                lambda s: [
                    capacity_table(s.done, f"{s.id}-capacity"),
                    capacity_plot(s.chosen, look, f"{s.id}-free"),
                    layers_table(s.chosen, f"{s.id}-layers"),
                ],
            ),
        ),
        Section(
            "uncertainty",
            "How sure are models of what they predict, before and after?",
            "Confidence",
            "A model that forgets may stay as sure as it was. Calibration says whether its "
            "probabilities can be believed: of all it is 90 % sure of, it should get 90 % right.",
            _each(scenarios, lambda s: [uncertainty_table(s.done, f"{s.id}-uncertainty")]),
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


def _scenarios(cells: Sequence[Cell], choices: Sequence[Choice]) -> list[ScenarioResults]:
    return [
        ScenarioResults(
            name,
            anchor(name),
            members,
            [cell for cell in members if cell.done],
            [choice for choice in choices if choice.scenario == name],
            frontiers(members),
        )
        for name, members in by_scenario(cells).items()
    ]


def _ranking(
    standings: Sequence[Standing], choices: Sequence[Choice], look: Mapping[Variant, Style]
) -> Iterator[Group]:
    """The comparison of strategies, in each scenario and over all."""
    every = {standing.scenarios for standing in standings}
    total = len({scenario for scenarios in every for scenario in scenarios})
    # Metrics that not all scenarios have are compared over fewer: in groups of their own.
    split = sum(len(scenarios) > 1 for scenarios in every) > 1
    spans = groupby(standings, key=lambda standing: standing.scenarios)
    names: set[str] = set()
    for scenarios, members in spans:
        own, place = list(members), anchor(scenarios[0]) if len(scenarios) == 1 else ALL
        first = own[0].metric.replace("_", "-")
        name = f"ranking-{place}" if f"ranking-{place}" not in names else f"ranking-{place}-{first}"
        names.add(name)
        parts = [
            ranking_plot(own, look, f"{name}-means"),
            critical_difference_plot(own, f"{name}-ranks"),
            profile_plot(profiles(choices, scenarios), look, f"{name}-profile"),
            *(ranking_table(s, f"ranking-{place}-{s.metric.replace('_', '-')}") for s in own),
        ]
        found = [part for part in parts if part is not None]
        yield Group(_title(scenarios, total), found, place, name, titled=split and place == ALL)


def _title(scenarios: Sequence[str], total: int) -> str:
    if len(scenarios) == 1:
        return scenarios[0]
    count = f"All {total}" if len(scenarios) == total else f"{len(scenarios)} of {total}"
    return f"{count} scenarios together"


def _answers(
    scenarios: Sequence[ScenarioResults], found: Sequence[Verdicts], look: Mapping[Variant, Style]
) -> Iterator[Group]:
    """The verdicts on every strategy, beside the plane of each scenario."""
    places = {scenario.name: scenario for scenario in scenarios}
    boards: list[tuple[str, Board]] = []
    made: list[Part | None]
    for verdict in found:
        several = len(verdict.scenarios) > 1
        first = places[verdict.scenarios[0]]
        place = ALL if several else first.place
        own = board(verdict, look, f"verdicts-{place}")
        if several:
            made = [_matrix(dict(boards), scenarios), own]
        else:
            boards += [] if own is None else [(first.name, own)]
            plot = _plane(first, look)
            live = None if plot is None else live_plane(plot, first.frontiers, look)
            gains = strategy_gains_plot(first.done, look, f"{first.id}-gains")
            made = [own, live, gains]
        parts = [part for part in made if part is not None]
        if parts:
            yield Group(_title(verdict.scenarios, len(verdict.scenarios)), parts, place)


def _matrix(boards: Mapping[str, Board], scenarios: Sequence[ScenarioResults]) -> Matrix | None:
    if not boards:
        return None
    failed = {
        scenario.name: list(dict.fromkeys(cell.variant.strategy for cell in scenario.cells))
        for scenario in scenarios
        if not scenario.done
    }
    order = [scenario.name for scenario in scenarios if scenario.name in {*boards, *failed}]
    return Matrix(boards, failed, order, next(iter(boards.values())).baseline)


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
    dial = dial_of(point.variant for point in frontier.points).name
    with_what = f" with {several(frontier.budget, dial)}" if unequal else ""
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
            groups.append(Group(scenario.name, parts, scenario.place))
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
        yield Group(scenario.name, [words.get(scenario.name, nothing), facts], scenario.place)
    warnings = caveats(cells, choices, standings)
    if warnings:
        yield Group("Caveats", [Words("", warnings)])
