"""The chapters of a report: one for each suite of its runs, or for each value of a setting."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from palimpsest.benchmark.results.run_settings import by_setting
from palimpsest.benchmark.results.selection import by_suite
from palimpsest.benchmark.store.store import Record, SuiteNote
from palimpsest.reports.figures.drawing.plot import Plot
from palimpsest.reports.html.anchors import ALL, anchor
from palimpsest.reports.html.boards import Board
from palimpsest.reports.html.parts import Section
from palimpsest.reports.html.sections import sections
from palimpsest.reports.runs.cells import Cell, by_scenario, group
from palimpsest.reports.runs.provenance import seeds
from palimpsest.reports.wording.words import several


@dataclass(frozen=True, eq=False)
class Chapter:
    """Runs that are compared with each other, with the sections about them.

    Attributes:
        title: The suite's name, or the setting; empty where the report has no other chapter.
        prefix: Begins all names in it, see ``Section``.
        description: The suite's own; empty where it is not known.
        records: The runs.
        cells: The same, sorted.
        sections: The questions and answers.
    """

    title: str
    prefix: str
    description: str
    records: Sequence[Record]
    cells: Sequence[Cell]
    sections: Sequence[Section]

    @property
    def lead(self) -> str:
        """What is in it, in a sentence."""
        variants = sorted({cell.variant for cell in self.cells}, key=lambda variant: variant.order)
        names = list(dict.fromkeys(variant.strategy for variant in variants))
        return (
            f"{several(len(self.records), 'run')}: {len(names)} "
            f"{'strategy' if len(names) == 1 else 'strategies'} ({', '.join(names)}) in "
            f"{several(len(by_scenario(self.cells)), 'scenario')}, seeds {seeds(self.records)}."
        )

    @property
    def choices(self) -> list[tuple[str, str, str]]:
        """The anchor and name of each scenario to choose from, and how it is written.

        Of several, all together come first, which have no name.
        """
        groups = [group for section in self.sections for group in section.groups if group.scenario]
        names = {group.scenario: group.title for group in groups}
        together = f"{self.prefix}{ALL}"
        found = [(place, name, name) for place, name in names.items() if place != together]
        if together in names:
            found.insert(0, (together, "", f"All {len(found)} scenarios together"))
        return found

    @property
    def strategies(self) -> list[str]:
        """Those to choose a baseline from."""
        return list(dict.fromkeys(cell.variant.strategy for cell in self.cells if cell.done))

    @property
    def boards(self) -> list[Board]:
        """The verdicts of every scenario, and of all."""
        return [part for s in self.sections for part in s.parts if isinstance(part, Board)]

    @property
    def baseline(self) -> str:
        """What strategies are compared with when the page opens."""
        return next((board.baseline for board in self.boards), "")


def chapters(
    records: Sequence[Record],
    suites: Sequence[SuiteNote],
    by: str | None,
    begin: Callable[[Sequence[Plot]], None],
) -> list[Chapter]:
    """Return the chapters of a report; a report of one suite has one.

    Args:
        records: One run or more.
        suites: What is known of their suites.
        by: The name of a setting, each value of which has a chapter; ``None``: each suite has one,
            the one with the newest runs first. A run that several suites ask for is in each.
        begin: See ``sections``.

    Raises:
        UserError: No run has this setting.
    """
    parts = by_suite(records, suites) if by is None else by_setting(records, by, "--by")
    texts = {} if by else {s.name: " ".join(s.description.split()) for s in suites}
    if len(parts) == 1:
        (own,) = parts.values()
        cells = group(own, suites)
        return [Chapter("", "", _told(own, suites), own, cells, sections(cells, begin))]
    found = []
    for title, own in parts.items():
        cells = group(own, [s for s in suites if s.name == title] if by is None else suites)
        prefix = f"{anchor(title)}-"
        made = sections(cells, begin, title, prefix)
        found.append(Chapter(title, prefix, texts.get(title, ""), own, cells, made))
    return found


def _told(records: Sequence[Record], suites: Sequence[SuiteNote]) -> str:
    """What the suites of the runs ask; of several, each with its name."""
    names = {record.suite for record in records}
    own = {s.name: " ".join(s.description.split()) for s in suites if s.name in names}
    told = {name: text for name, text in own.items() if text}
    return " ".join(told.values() if len(names) == 1 else (f"{n}: {t}" for n, t in told.items()))


def each_once(found: Sequence[Chapter]) -> list[Cell]:
    """Return the cells of all chapters, a run that is in several of them in the first alone."""
    if len(found) == 1:
        return list(found[0].cells)
    seen: set[int] = set()

    def new(records: Sequence[Record]) -> Iterator[Record]:
        for record in records:
            if id(record) not in seen:
                seen.add(id(record))
                yield record

    cells = []
    for chapter in found:
        for cell in chapter.cells:
            own = (tuple(new(runs)) for runs in (cell.done, cell.failed, cell.repeated))
            done, failed, repeated = own
            if done or failed or repeated:
                cells.append(replace(cell, done=done, failed=failed, repeated=repeated))
    return cells
