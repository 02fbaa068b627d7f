"""The tables and figures of a report as files, for a paper.

Files have the names of what they show; ``index.csv`` says what is what. The same runs give the
same files, byte for byte, with the same versions of Matplotlib, pandas and pyarrow.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Collection, Iterable, Sequence
from importlib.util import find_spec
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from benchmark.errors import UserError, nearest
from reports.files import write_whole
from reports.latex import latex
from reports.plot import Plot
from reports.style import figure_settings
from reports.table import Table

DPI = 200
"""Of PNG files: sharp in print at the figures' own size."""


def _csv(table: Table) -> bytes:
    """The data in full precision: what is read back are the same numbers."""
    return str(table.data.to_csv(index=False, lineterminator="\n")).encode()


def _parquet(table: Table) -> bytes:
    return bytes(table.data.to_parquet(engine="pyarrow", index=False))


def _latex(table: Table) -> bytes:
    return latex(table).encode()


def _svg(plot: Plot) -> bytes:
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{plot.svg()}\n'.encode()


def _pdf(plot: Plot) -> bytes:
    """With TrueType fonts inside (publishers refuse Type 3), and without the date."""
    with figure_settings(), mpl.rc_context({"pdf.fonttype": 42}):
        metadata = dict.fromkeys(("Creator", "Producer", "CreationDate"))
        return _saved(plot.draw(), format="pdf", metadata={**metadata, "Title": plot.title})


def _png(plot: Plot) -> bytes:
    with figure_settings():
        return _saved(
            plot.draw(), format="png", dpi=DPI, facecolor="white", metadata={"Software": None}
        )


def _saved(figure: Figure, **options: Any) -> bytes:
    buffer = BytesIO()
    figure.savefig(buffer, **options)
    return buffer.getvalue()


TABLES: dict[str, Callable[[Table], bytes]] = {"csv": _csv, "parquet": _parquet, "latex": _latex}
"""What a table can be written as."""

FIGURES: dict[str, Callable[[Plot], bytes]] = {"svg": _svg, "pdf": _pdf, "png": _png}
"""What a figure can be written as."""

_SUFFIXES = {"latex": "tex"}  # where it is not the format's name


def check_formats(option: str, values: Sequence[str], valid: Collection[str]) -> list[str]:
    """Return the formats that a user named, each once, and refuse those that cannot work.

    Args:
        option: The option's name, for the message.
        values: As the user gave them: one each, or several separated by commas.
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


def export(
    parts: Iterable[Plot | Table], folder: Path, tables: Sequence[str], figures: Sequence[str]
) -> None:
    """Write tables and figures into a folder, and ``index.csv`` beside them.

    Each file appears whole or not at all; one of the same name is replaced, others are left.

    Args:
        parts: What a report shows, in its order.
        folder: Where to; made where it is missing.
        tables: Formats of tables, of those in ``TABLES``.
        figures: Formats of figures, of those in ``FIGURES``.

    Raises:
        UserError: The folder cannot be written.
    """
    index = [("name", "kind", "files", "title", "caption")]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for part in parts:
            files = _files(part, tables, figures)
            for name, content in files.items():
                write_whole(folder / name, content)
            if files:
                kind = "table" if isinstance(part, Table) else "figure"
                index.append((part.name, kind, " ".join(files), part.title, part.caption))
        write_whole(folder / "index.csv", _lines(index))
    except OSError as error:
        raise UserError(
            f"--files {folder}: cannot be written ({error.strerror}); name another folder"
        ) from error


def _files(part: Plot | Table, tables: Sequence[str], figures: Sequence[str]) -> dict[str, bytes]:
    if isinstance(part, Table):
        return {f"{part.name}.{_SUFFIXES.get(n, n)}": TABLES[n](part) for n in tables}
    return {f"{part.name}.{n}": FIGURES[n](part) for n in figures}


def _lines(rows: Iterable[Sequence[str]]) -> bytes:
    buffer = StringIO()
    csv.writer(buffer, lineterminator="\n").writerows(rows)
    return buffer.getvalue().encode()
