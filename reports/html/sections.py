"""The sections of the report: questions and answers. The HTML and all files follow their order.

A section's tables are listed here, each with its place; its figures say theirs
(``figures/figure.py``). Parts that are ``None`` have nothing to show and are left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from palimpsest.benchmark.metrics import added_metrics
from palimpsest.reports.analysis.remarks.caveats import caveats
from palimpsest.reports.analysis.remarks.findings import findings
from palimpsest.reports.analysis.verdicts import verdicts
from palimpsest.reports.figures.curves import CurvesPlot
from palimpsest.reports.figures.drawing.plot import Plot
from palimpsest.reports.figures.figure import RANKING, ReportRuns, Scope, figures
from palimpsest.reports.html.anchors import ALL, anchor
from palimpsest.reports.html.boards import Board, ScenarioMatrix, board
from palimpsest.reports.html.live import live_plane
from palimpsest.reports.html.live_curves import live_curves
from palimpsest.reports.html.parts import FactList, Group, Part, Section, Words
from palimpsest.reports.runs.cells import Cell, dial_of
from palimpsest.reports.runs.provenance import scenario_facts
from palimpsest.reports.statistics.interval import FEWEST_SEEDS
from palimpsest.reports.tables.capacity import capacity_table, layers_table
from palimpsest.reports.tables.cost import cost_table
from palimpsest.reports.tables.forgetting import forgetting_table
from palimpsest.reports.tables.metrics import SEARCH, TRANSFER, metrics_table
from palimpsest.reports.tables.ranking import choice_table, frontier_table, ranking_table
from palimpsest.reports.tables.recorded import recorded_table
from palimpsest.reports.tables.table import Table
from palimpsest.reports.tables.true_ranking import true_ranking_table
from palimpsest.reports.tables.uncertainty import uncertainty_table
from palimpsest.reports.tables.verdicts import READ

HOW = (
    "Student’s, clipped to the range of the number; for means from the spread of the seeds, for "
    "interquartile means, medians and hypervolumes from a bootstrap over seeds. Shares of "
    "fine-tuning’s forgetting have Fieller’s intervals, over several scenarios Student’s; in the "
    "data, shares of pairs that are won have Wilson’s. Where several scenarios share seeds, a seed "
    "counts once, with all of its runs. With fewer than "
    f"{FEWEST_SEEDS} seeds, the values of the seeds are shown instead of an interval."
)
"""The report's intervals; ``statistics/__init__.py`` has their measured coverage."""

_VISITS = "What visits gain, and what others take"
_TRANSFER = "Worst case, transfer and intransigence"

_Tables = Mapping[str, tuple[int, Callable[[Scope], Table | None]]]
_NONE: _Tables = {}


@dataclass(frozen=True)
class _Question:
    """A section before it is answered, see ``Section``.

    Attributes:
        name: Unique in a chapter.
        question: The heading.
        topic: The question in a word or two.
        intro: How to read it; ``{dial.name}`` and ``{dial.plural}`` stand for what is swept.
        tables: Of each scenario: how their names end, their places, and what makes them.
    """

    name: str
    question: str
    topic: str
    intro: str
    tables: _Tables = field(default_factory=dict)


_ANSWER = _Question("answer", "What came out?", "Answer", READ)
_COMPARED = _Question(
    "compared",
    "What was compared, and how far can it be trusted?",
    "Summary",
    f"Means over seeds; in brackets their 95 % intervals: {HOW} Where a strategy has several "
    "{dial.plural}, each half of the seeds is reported at the one that was chosen on validation "
    "data of the other half; the numbers are of test data. Intervals of two strategies that "
    "overlap do not show that the strategies are equal: runs with the same seed are paired.",
)
_RANKING = _Question(
    RANKING,
    "Which strategy is best, and how sure is that?",
    "Ranking",
    "Each half of a strategy’s seeds is reported at the {dial.name} that was chosen on validation "
    "data of the other half, so that no run affects the choice for itself. Differences are paired "
    "by seed, and so is their test, the t-test of whole seeds that the interval inverts: p is "
    "below 0.05 where the interval of the difference excludes zero, which is what the verdicts "
    "say. It is not corrected for the number of strategies; the columns p corrected and p to best "
    "are. A small p says that there is a difference, not that it matters: its size is given beside "
    "it. Where some runs have no partner, the number of pairs is given after a difference.",
)
_OF_SCENARIOS = (
    _Question(
        "visits",
        "What do architectures take from one another?",
        "Visits",
        "Architectures that share weights are trained in turn, a visit each. What an architecture "
        "wins by its own visit (err0 − err1) and what it has lost by the end of the epoch (err2 − "
        "err1) belong together: what learns nothing forgets nothing. Both are of validation data.",
        {"search": (1, lambda scope: metrics_table(scope.cells, _VISITS, SEARCH))},
    ),
    _Question(
        "architectures",
        "Are architectures ranked as they deserve?",
        "Architectures",
        "A search is of use if it ranks architectures as their own training would. Each seed’s "
        "ranking is by validation error with the weights that the search shares; the truth is the "
        "test error of the same architectures trained alone. Less forgetting need not rank better.",
        {"rankings-measures": (1, lambda s: true_ranking_table(s.report.cells, s.done))},
    ),
    _Question(
        "protection",
        "What does protection cost?",
        "Price of protection",
        "How much the earlier models keep and the new ones reach at other {dial.plural}. The plane "
        "is above, with the answer. Earlier models are all but the last, new models all but the "
        "first.",
        {
            "frontiers": (1, lambda scope: frontier_table(scope.frontiers)),
            "choice": (2, lambda scope: choice_table(scope.choices)),
        },
    ),
    _Question(
        "training",
        "When does forgetting happen?",
        "Over training",
        "A dip that recovers before the end shows here, and as minimum accuracy in the next "
        "section.",
    ),
    _Question(
        "models",
        "Which model loses how much?",
        "Model by model",
        "Every {dial.name}, chosen or not. Where only some seeds have a value, their number stands "
        "behind it; a dash where none has.",
        {
            "metrics": (1, lambda scope: metrics_table(scope.cells)),
            "forgetting": (2, lambda scope: forgetting_table(scope.chosen)),
            "transfer": (4, lambda scope: metrics_table(scope.cells, _TRANSFER, TRANSFER)),
            "added": (5, lambda scope: metrics_table(scope.cells, "Metrics of plugins", _added())),
        },
    ),
    _Question(
        "capacity",
        "How much room is left for later models?",
        "Capacity",
        "What a strategy holds for earlier models, later ones cannot change. Some strategies tell "
        "how much is free; what all of them keep in memory is beside it. Nothing is free from the "
        "start where models train nothing that they share, as with supermasks over fixed weights: "
        "their price is memory for each model.",
        {
            "capacity": (1, lambda scope: capacity_table(scope.done)),
            "layers": (3, lambda scope: layers_table(scope.chosen)),
        },
    ),
    _Question(
        "uncertainty",
        "How sure are models of what they predict, before and after?",
        "Confidence",
        "A model that forgets may stay as sure as it was. Calibration says whether its "
        "probabilities can be believed: of all it is 90 % sure of, it should get 90 % right.",
        {"uncertainty": (1, lambda scope: uncertainty_table(scope.done))},
    ),
    _Question(
        "cost",
        "What does it cost to run?",
        "Time and memory",
        "",
        {"cost": (1, lambda scope: cost_table(scope.done))},
    ),
    _Question(
        "inside",
        "What happened inside?",
        "Inside",
        "What the suite’s probes recorded.",
        {"recorded": (9, lambda scope: recorded_table(scope.done))},
    ),
)


def _added() -> list[str]:
    """The names of the metrics of plugins."""
    return [metric.name for metric in added_metrics()]


def sections(
    cells: Sequence[Cell],
    begin: Callable[[Sequence[Plot]], None] = lambda plots: None,
    chapter: str = "",
    prefix: str = "",
) -> list[Section]:
    """Return the sections that have something to say, in reading order.

    Args:
        cells: All of a report, see ``cells.group``.
        begin: Called with plots that are ready to be drawn while the rest is made.
        chapter: The title of their chapter, see ``Section``.
        prefix: Begins all names in them.
    """
    report = ReportRuns(cells)
    dial = dial_of(cell.variant for cell in cells)

    def answered(asked: _Question, groups: Iterator[Group]) -> Section:
        intro = asked.intro.format(dial=dial)
        found = list(groups)
        return Section(asked.name, asked.question, asked.topic, intro, found, chapter, prefix)

    details = [answered(one, _each_scenario(report, one, prefix)) for one in _OF_SCENARIOS]
    begin(_plots(details))
    overall = [
        answered(_ANSWER, _answers(report, prefix)),
        answered(_COMPARED, _compared(report, prefix)),
        answered(_RANKING, _ranking(report, prefix)),
    ]
    begin(_plots(overall))
    return [section for section in (*overall, *details) if section.groups]


def _plots(found: Sequence[Section]) -> list[Plot]:
    return [part for section in found for part in section.parts if isinstance(part, Plot)]


def _parts(section: str, scope: Scope, names: str, tables: _Tables = _NONE) -> list[Part]:
    """The tables and figures of a section, in their places."""
    makers: list[tuple[int, str, Callable[[Scope], Table | Plot | None]]] = [
        *((place, name, make) for name, (place, make) in tables.items()),
        *((f.place, f.name, f.build) for f in figures().values() if f.section == section),
    ]
    found: list[Part] = []
    for _, name, make in sorted(makers, key=lambda maker: maker[:2]):
        part = make(scope)
        if part is None:
            continue
        part = replace(part, name=f"{names}-{name}")
        if isinstance(part, CurvesPlot):
            part = live_curves(part, scope.styles)
        elif section == "answer" and name == "plane" and isinstance(part, Plot):
            part = live_plane(part, scope.frontiers, scope.styles)
        found.append(part)
    return found


def _each_scenario(report: ReportRuns, asked: _Question, prefix: str) -> Iterator[Group]:
    """Yield a group for each scenario that has a finished run and something to show."""
    for scope in report.scenarios:
        (name,), place = scope.scenarios, anchor(scope.scenarios[0])
        names = f"{prefix}scenario-{place}"
        parts = _parts(asked.name, scope, names, asked.tables) if scope.done else []
        if parts:
            yield Group(name, parts, f"{prefix}{place}")


def _ranking(report: ReportRuns, prefix: str) -> Iterator[Group]:
    """Yield the comparison of strategies, in each scenario and over all."""
    scopes = report.comparisons
    total = len({scenario for scope in scopes for scenario in scope.scenarios})
    # Metrics that not all scenarios have are compared over fewer: in groups of their own.
    split = sum(len(scope.scenarios) > 1 for scope in scopes) > 1
    names: set[str] = set()
    for scope in scopes:
        place = anchor(scope.scenarios[0]) if len(scope.scenarios) == 1 else ALL
        by_metric = {own.metric.replace("_", "-"): own for own in scope.standings}
        name = f"{prefix}ranking-{place}"
        name = f"{name}-{next(iter(by_metric))}" if name in names else name
        names.add(name)
        parts = _parts(RANKING, scope, name)
        for metric, standing in by_metric.items():
            parts.append(replace(ranking_table(standing), name=f"{prefix}ranking-{place}-{metric}"))
        title = _title(scope.scenarios, total)
        yield Group(title, parts, f"{prefix}{place}", name, titled=split and place == ALL)


def _title(scenarios: Sequence[str], total: int) -> str:
    if len(scenarios) == 1:
        return scenarios[0]
    count = f"All {total}" if len(scenarios) == total else f"{len(scenarios)} of {total}"
    return f"{count} scenarios together"


def _answers(report: ReportRuns, prefix: str) -> Iterator[Group]:
    """Yield the verdicts on every strategy and the plane, of each scenario."""
    scopes = {scope.scenarios: scope for scope in report.scenarios}
    boards: dict[str, Board] = {}
    for verdict in verdicts(report.choices, report.cells):
        one = scopes.get(verdict.scenarios)
        place = ALL if one is None else anchor(verdict.scenarios[0])
        own = board(verdict, report.styles, f"{prefix}verdicts-{place}", f"{prefix}{place}")
        parts: list[Part] = [] if own is None else [own]
        if one is not None:
            boards |= {} if own is None else {verdict.scenarios[0]: own}
            parts += _parts("answer", one, f"{prefix}scenario-{place}")
        elif boards:
            parts.insert(0, _matrix(boards, report, prefix))
        if parts:
            yield Group(
                _title(verdict.scenarios, len(verdict.scenarios)), parts, f"{prefix}{place}"
            )


def _matrix(boards: Mapping[str, Board], report: ReportRuns, prefix: str) -> ScenarioMatrix:
    failed = {
        scope.scenarios[0]: list(dict.fromkeys(cell.variant.strategy for cell in scope.cells))
        for scope in report.scenarios
        if not scope.done
    }
    order = [name for scope in report.scenarios for name in scope.scenarios]
    order = [name for name in order if name in {*boards, *failed}]
    return ScenarioMatrix(dict(boards), failed, order, next(iter(boards.values())).baseline, prefix)


def _compared(report: ReportRuns, prefix: str) -> Iterator[Group]:
    """Yield the findings of each scenario as text, and the caveats."""
    words = {
        finding.scenario: Words(finding.references, finding.strategies)
        for finding in findings(report.cells, report.choices)
    }
    nothing = Words("No run finished, so there is nothing to compare.")
    for scope in report.scenarios:
        (name,) = scope.scenarios
        facts = FactList(scenario_facts(next(scope.cells[0].runs)))
        yield Group(name, [words.get(name, nothing), facts], f"{prefix}{anchor(name)}")
    warnings = caveats(report.cells, report.choices, report.standings)
    if warnings:
        yield Group("Caveats", [Words("", warnings)])
