"""The tables and figures of a report as files, for a paper.

Files are named after what they show; ``index.csv`` lists them, including earlier ones that are
still there. The same runs give the same files, byte for byte, with the same versions of
Matplotlib, pandas and pyarrow.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from palimpsest.benchmark.errors import UserError, nearest
from palimpsest.benchmark.files.writing import FileKind, Output
from palimpsest.reports.figures.drawing.plot import Plot
from palimpsest.reports.formats.data import csv_lines, csv_of, harmless, parquet_of
from palimpsest.reports.formats.images import pdf, png, warned_once
from palimpsest.reports.formats.latex import latex
from palimpsest.reports.formats.svg import START as SVG_START
from palimpsest.reports.formats.svg import svg_file
from palimpsest.reports.runs.cells import Cell
from palimpsest.reports.tables.runs import runs_table
from palimpsest.reports.tables.table import Table

TABLES: dict[str, Callable[[Table], bytes]] = {
    "csv": lambda table: csv_of(table.data).encode(),
    "parquet": lambda table: parquet_of(table.data),
    "latex": lambda table: latex(table).encode(),
}
"""What a table can be written as."""

FIGURES: dict[str, Callable[[Plot], bytes]] = {"svg": svg_file, "pdf": pdf, "png": png}
"""What a figure can be written as."""

_OF_DATA = {"csv", "parquet"}
"""What a table without rows can be written as: one that is data only."""

_SUFFIXES = {"latex": "tex"}  # where it is not the format's name

_INDEX = "index.csv"
_INDEX_COLUMNS = ("name", "kind", "files", "title", "caption")
_INDEX_KIND = FileKind("report", re.compile(",".join(_INDEX_COLUMNS).encode() + b"\n"))

_STARTS = {
    "csv": re.compile(rb"[^\0]*\Z"),  # text
    "parquet": re.compile(rb"PAR1"),
    "tex": re.compile(rb"% Needs \\usepackage{booktabs} in the preamble\.\n"),
    "svg": SVG_START,
    "pdf": re.compile(rb"%PDF-"),
    "png": re.compile(rb"\x89PNG\r\n"),
}
"""How a file begins, by suffix. The index in the same folder says whether it is ours."""


def _earlier(folder: Path) -> list[list[str]]:
    """The lines of the index in a folder; none where there is no index of ours."""
    path = folder / _INDEX
    try:
        if not path.is_file() or not _INDEX_KIND.has(path):
            return []
        with path.open(encoding="utf-8", newline="") as file:
            return [line for line in csv.reader(file) if len(line) == len(_INDEX_COLUMNS)][1:]
    except (OSError, ValueError, csv.Error):  # writing the new index will report the problem
        return []


def _listed(folder: Path) -> set[str]:
    return {name for _, _, names, *_ in _earlier(folder) for name in names.split()}


def check_formats(option: str, values: Sequence[str], valid: Collection[str]) -> list[str]:
    """Return the formats that a user named, each once; refuse those that cannot be written.

    Args:
        option: The option's name, for the message.
        values: As the user gave them: each one format, or several separated by commas.
        valid: ``TABLES`` or ``FIGURES``.

    Raises:
        UserError: A format is unknown, or needs a package that is not installed.
    """
    formats = list(dict.fromkeys(name.strip() for text in values for name in text.split(",")))
    for name in formats:
        if name not in valid:
            raise UserError(f"{option}: unknown format {name!r}; {nearest(name, valid)}")
    if "parquet" in formats and not find_spec("pyarrow"):
        raise UserError(
            f"{option} parquet: this needs pyarrow; pip install 'palimpsest-bench[parquet]'"
        )
    return formats


@dataclass(frozen=True)
class Exports:
    """The tables and figures of a report as files in a folder with an ``index.csv``.

    Only files that the index of an earlier report names are replaced; others are left alone.

    Attributes:
        folder: Where to write; created if it is missing.
        tables: Formats of tables, of those in ``TABLES``.
        figures: Formats of figures, of those in ``FIGURES``.
    """

    folder: Path
    tables: Sequence[str]
    figures: Sequence[str]

    def outputs(self, parts: Iterable[Plot | Table], cells: Sequence[Cell] = ()) -> list[Output]:
        """Return the files of tables and figures, in their order, and of all ``cells`` as a table.

        Warns of ``MissingGlyphs`` once, with all characters that no installed font has.
        """
        index: dict[tuple[str, ...], list[str]] = {}
        outputs = []
        every = [runs_table(cells)] if cells and _OF_DATA & set(self.tables) else []
        with warned_once():
            written = [(part, _files(part, self.tables, self.figures)) for part in (*every, *parts)]
        for part, files in written:
            for name, content in files.items():
                kind = FileKind("report", _STARTS[name.rpartition(".")[2]], _listed)
                outputs.append(Output(self.folder / name, content, kind))
            shown = "table" if isinstance(part, Table) else "figure"
            index[part.name, shown, harmless(part.title), harmless(part.caption)] = list(files)
        new = {output.path.name for output in outputs}
        for name, shown, names, *told in _earlier(self.folder):
            left = [n for n in names.split() if n not in new and (self.folder / n).is_file()]
            index.setdefault((name, shown, *told), []).extend(left)
        lines = [(*each[:2], " ".join(names), *each[2:]) for each, names in index.items() if names]
        return [
            Output(self.folder / _INDEX, csv_lines([_INDEX_COLUMNS, *lines]).encode(), _INDEX_KIND),
            *outputs,
        ]


def _files(part: Plot | Table, tables: Sequence[str], figures: Sequence[str]) -> dict[str, bytes]:
    if isinstance(part, Table):
        possible = [n for n in tables if part.rows or n in _OF_DATA]
        return {f"{part.name}.{_SUFFIXES.get(n, n)}": TABLES[n](part) for n in possible}
    return {f"{part.name}.{n}": FIGURES[n](part) for n in figures}
