"""``palimpsest report``."""

from __future__ import annotations

import gc
import shlex

from palimpsest.benchmark.cli.models import ReportCommand
from palimpsest.benchmark.cli.printing.output import say
from palimpsest.benchmark.errors import UserError
from palimpsest.reports.runs.merge import merge, read_notes, read_stores


def make_report(options: ReportCommand) -> None:
    """Write one HTML file about the runs of all stores, files beside it, and print where.

    Raises:
        UserError: A store is missing, named twice or empty, a chosen name, a setting or a format is
            unknown, or a file cannot be written; nothing is written then.
    """
    from palimpsest.benchmark.files.writing import check_output
    from palimpsest.reports.formats.export import FIGURES, TABLES, Exports, check_formats
    from palimpsest.reports.html.report import REPORT, write_report

    output = options.output
    tables = check_formats("--tables", options.tables or (), TABLES)
    figures = check_formats("--figures", options.figures or (), FIGURES)
    exports = None
    if tables or figures:
        folder = options.files or output.with_name(f"{output.stem}_files")
        exports = Exports(folder, tables, figures)
    elif options.files:
        raise UserError(
            f"--files {options.files}: there are no files to write; add --tables or --figures"
        )
    check_output(output, REPORT, options.stores)  # before the work, not only after it
    merged = merge(read_stores(options.stores), read_notes(options.stores))
    gc.freeze()  # or every garbage collection visits all runs again: a quarter of the time
    chosen = options.selection.options + (["--by", options.by] if options.by else [])
    stores = map(str, options.stores)
    command = shlex.join(["palimpsest", "report", *stores, *chosen, "-o", str(output)])
    write_report(
        options.selection.only(merged.records, merged.suites),
        output,
        sources=[merged.origin],
        command=command,
        inputs=options.stores,
        exports=exports,
        suites=options.selection.narrowed(merged.suites),
        by=options.by,
    )
    say(output.resolve())
    if exports:
        say(exports.folder.resolve())
