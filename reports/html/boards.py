"""The first screen: verdicts on every strategy, and scenarios by strategies at a glance."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from palimpsest.reports.analysis.verdicts import Contender, Judgement, Verdict, Verdicts
from palimpsest.reports.figures.drawing.style import Style
from palimpsest.reports.html.anchors import anchor
from palimpsest.reports.runs.cells import Variant
from palimpsest.reports.statistics.interval import Estimate
from palimpsest.reports.tables.table import Table
from palimpsest.reports.tables.verdicts import differences_of, named, verdict_table
from palimpsest.reports.wording.numbers import percent, spread

_SIGNS = {
    Verdict.BETTER: "▲",
    Verdict.SAME: "=",
    Verdict.WORSE: "▼",
    Verdict.UNDETERMINED: "?",
    Verdict.BOUND: "",
    None: "",
}
"""Beside the words: no verdict is told by its colour alone."""

_NOTHING = ("", "")
_FAILED = ("failed", "failed")
"""Cells of the matrix: a verdict and what stands there."""

_points = partial(percent, signed=True)


@dataclass(frozen=True)
class BoardRow:
    """A row of a board, as it is written.

    Attributes:
        strategies: Their names.
        name: The same in words, with their strengths.
        color: The colour of the first.
        marks: What weakens its numbers, or why it has none.
        verdict: A name in ``Verdict``, ``baseline``, or nothing.
        words: The same with its sign, for the reader.
        average: The average accuracy itself, with its interval.
        numbers: The differences in average accuracy, stability and learning accuracy, likewise.
        n: Pairs of runs.
        competes: Whether it is judged; ``False`` for upper bounds.
    """

    strategies: tuple[str, ...]
    name: str
    color: str
    marks: Sequence[str]
    verdict: str
    words: str
    average: tuple[str, str]
    numbers: Sequence[tuple[str, str]]
    n: str
    competes: bool


@dataclass(frozen=True, eq=False)
class Board:
    """Verdicts on every strategy of one scenario, or of all together, against a baseline.

    Attributes:
        found: The verdicts.
        table: The same as a table, for files.
        colors: The colours of the contenders.
        place: The anchor of its scenario; ends in ``all`` of several.
    """

    found: Verdicts
    table: Table
    colors: Sequence[str]
    place: str

    @property
    def baseline(self) -> str:
        """What the strategies are compared with."""
        return self.found.reference

    @property
    def lines(self) -> list[BoardRow]:
        """Its rows, against the baseline."""
        return [self._line(place, one) for place, one in enumerate(self.found.contenders)]

    def _line(self, place: int, one: Contender) -> BoardRow:
        own = self.found.judgements.get((place, self.found.baseline or 0))
        marks = [*one.marks, *([one.reason] if one.reason else [])]
        verdict, words, numbers, n = written(own)
        return BoardRow(
            one.strategies,
            named(one),
            self.colors[place],
            marks,
            verdict,
            words,
            _NOTHING if one.average.value is None else _number(one.average, percent),
            numbers,
            n,
            one.competes,
        )

    def data(self) -> dict[str, Any]:
        """Return what ``scripts/answer.js`` needs for another baseline.

        Returns:
            ``strategies``, the names of each row; ``pairs``, for each row and baseline (one list)
            the fields of ``written``, or nothing.
        """
        places = range(len(self.found.contenders))
        return {
            "strategies": [one.strategies for one in self.found.contenders],
            "pairs": [
                [
                    None
                    if (own := self.found.judgements.get((place, baseline))) is None
                    else written(own)
                    for baseline in places
                ]
                for place in places
            ],
        }


@dataclass(frozen=True, eq=False)
class ScenarioMatrix:
    """Scenarios by strategies: each one's difference from the baseline in average accuracy.

    Attributes:
        boards: By scenario; without those in which no run has finished.
        failed: The strategies of each scenario in which no run has finished.
        order: The names of all scenarios.
        baseline: What the strategies are compared with.
        prefix: Of anchors, see ``Section``.
    """

    boards: Mapping[str, Board]
    failed: Mapping[str, Collection[str]]
    order: Sequence[str]
    baseline: str
    prefix: str = ""

    @property
    def strategies(self) -> list[str]:
        """The columns: all strategies, in the order of the first scenario that has them."""
        rows = (one for board in self.boards.values() for one in board.found.contenders)
        found = [row.strategies for row in rows]
        return list(dict.fromkeys(name for own in (*found, *self.failed.values()) for name in own))

    @property
    def rows(self) -> list[tuple[str, str, list[tuple[str, str]]]]:
        """Each scenario's name, anchor and cells: a verdict and a number."""
        found = []
        for name in self.order:
            board = self.boards.get(name)
            if board is None:
                there = self.failed.get(name, ())
                cells = [_FAILED if own in there else _NOTHING for own in self.strategies]
            else:
                lines = {own: line for line in board.lines for own in line.strategies}
                cells = [_cell(lines.get(strategy)) for strategy in self.strategies]
            found.append((name, f"{self.prefix}{anchor(name)}", cells))
        return found


def board(found: Verdicts, look: Mapping[Variant, Style], name: str, place: str) -> Board | None:
    """Return the board of some verdicts, ``None`` where no strategy has runs.

    Args:
        found: The verdicts.
        look: The style of every variant of the report.
        name: The unique name of its table.
        place: The anchor of its scenario.
    """
    table = verdict_table(found)
    if table is None:
        return None
    inks = {variant.strategy: style.base for variant, style in look.items()}
    colors = [inks[one.strategies[0]] for one in found.contenders]
    return Board(found, replace(table, name=name), colors, place)


def written(own: Judgement | None) -> tuple[str, str, list[tuple[str, str]], str]:
    """Write a judgement: the verdict, with its sign, the differences, the number of pairs."""
    if own is None:
        return "", "", [], ""
    if own.verdict is None:
        return "baseline", "baseline", [], ""
    numbers = [_number(estimate, _points) for estimate in differences_of(own).values()]
    words = f"{_SIGNS[own.verdict]} {own.verdict}".lstrip()
    return str(own.verdict), words, numbers, str(own.difference.n)


def _number(found: Estimate, write: Callable[[float | None], str]) -> tuple[str, str]:
    # With few seeds their values stand here: a narrow column has them in several lines.
    return write(found.value), spread(found, write).replace("\N{NO-BREAK SPACE}", " ")


def _cell(line: BoardRow | None) -> tuple[str, str]:
    if line is None:
        return _NOTHING
    return line.verdict, line.numbers[0][0] if line.numbers else line.verdict
