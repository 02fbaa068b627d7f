"""The building blocks of the report: sections, groups, and text around tables and figures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from palimpsest.reports.figures.drawing.plot import Plot
from palimpsest.reports.html.anchors import ALL
from palimpsest.reports.html.boards import Board, ScenarioMatrix
from palimpsest.reports.tables.table import Column, Table


@dataclass(frozen=True)
class Words:
    """A paragraph, which may be empty, and the items of a list after it."""

    paragraph: str
    items: Sequence[str] = ()


@dataclass(frozen=True)
class FactList:
    """A list of names and values, as text."""

    pairs: Sequence[tuple[str, str]]


Part = Words | FactList | Table | Plot | Board | ScenarioMatrix


@dataclass(frozen=True)
class Group:
    """Parts of a section under one heading.

    Attributes:
        title: The heading, usually a scenario.
        parts: Its parts.
        scenario: The anchor of its scenario, see ``anchors.py``; empty where it is about no single
            scenario, so that it is shown with each.
        id: Of its heading; empty for one made of the section and the scenario.
        titled: Whether its heading is shown where a selector names the scenario, too.
    """

    title: str
    parts: Sequence[Part]
    scenario: str = ""
    id: str = ""
    titled: bool = False


@dataclass(frozen=True)
class Section:
    """One question and its answers.

    Attributes:
        name: Unique in a chapter; letters, digits and hyphens.
        question: The heading.
        topic: The same in a word or two, for the table of contents.
        intro: How to read the section.
        groups: The answers.
        chapter: The title of its chapter; empty in a report without chapters.
        prefix: Begins all names in it, so that they are unique in the report; empty likewise.
    """

    name: str
    question: str
    topic: str
    intro: str
    groups: Sequence[Group]
    chapter: str = ""
    prefix: str = ""

    @property
    def id(self) -> str:
        """Unique in the report."""
        return f"{self.prefix}{self.name}"

    @property
    def columns(self) -> list[Column]:
        """The columns of its tables that need an explanation, each once."""
        tables = (part for part in self.parts if isinstance(part, Table))
        found = {(c.title, c.meaning): c for table in tables for c in table.columns}
        return [column for column in found.values() if column.meaning]

    @property
    def per_scenario(self) -> bool:
        """Whether it has parts for single scenarios, but none for all together."""
        places = {group.scenario for group in self.groups} - {""}
        return bool(places) and f"{self.prefix}{ALL}" not in places

    @property
    def parts(self) -> Iterator[Part]:
        """All its parts, in their order."""
        for group in self.groups:
            yield from group.parts

    @property
    def titled_parts(self) -> Iterator[Table | Plot]:
        """Its tables and figures for export: each title includes its group."""
        for group in self.groups:
            for part in group.parts:
                own = part.table if isinstance(part, Board) else part
                if isinstance(own, Table | Plot):
                    of = ", ".join(filter(None, (self.chapter, group.title)))
                    yield replace(own, title=f"{own.title}: {of}")
