"""``palimpsest report``."""

from __future__ import annotations

import gc
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.errors import UserError
from reports.merge import merge, read_stores

if TYPE_CHECKING:
    from reports.sections import Section


@dataclass(frozen=True)
class ReportOptions:
    """The options of ``palimpsest report``, as the user gave them."""

    stores: Sequence[Path]
    output: Path
    tables: Sequence[str]
    figures: Sequence[str]
    files: Path | None


def make_report(options: ReportOptions) -> None:
    """Write one HTML file about the runs of all stores, files beside it, and print where.

    Args:
        options: As the user gave them.

    Raises:
        UserError: A store is missing, named twice or empty, a format is unknown, or something
            cannot be written.
    """
    from reports.export import FIGURES, TABLES, check_formats
    from reports.html import write_report

    output = options.output
    tables = check_formats("--tables", options.tables, TABLES)
    figures = check_formats("--figures", options.figures, FIGURES)
    exporting = bool(tables or figures)
    if options.files and not exporting:
        raise UserError(f"--files {options.files}: say which, with --tables or --figures")
    if output.is_dir():
        raise UserError(f"--output {output}: this is a folder; name an HTML file")
    merged = merge(read_stores(options.stores))
    gc.freeze()  # else every collection goes through all runs again: a quarter of the time
    command = shlex.join(["palimpsest", "report", *map(str, options.stores), "-o", str(output)])
    sections = write_report(merged.records, output, sources=[merged.origin], command=command)
    print(output.resolve())
    if exporting:
        folder = options.files or output.with_name(f"{output.stem}_files")
        _export(sections, folder, tables, figures)
        print(folder.resolve())


def _export(
    sections: Sequence[Section], folder: Path, tables: Sequence[str], figures: Sequence[str]
) -> None:
    from reports.export import export
    from reports.plot import Plot
    from reports.table import Table

    parts = [
        replace(part, title=f"{part.title}: {answers.title}")
        for section in sections
        for answers in section.groups
        for part in answers.parts
        if isinstance(part, Plot | Table)
    ]
    export(parts, folder, tables, figures)
