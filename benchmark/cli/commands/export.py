"""``palimpsest export``."""

from __future__ import annotations

import re
from collections.abc import Callable

import pandas as pd

from palimpsest.benchmark.cli.models import ExportCommand
from palimpsest.benchmark.cli.printing.output import say
from palimpsest.benchmark.errors import UserError
from palimpsest.benchmark.files.writing import FileKind, Output, check_output, write_files
from palimpsest.benchmark.results.frame import frame
from palimpsest.benchmark.store.archive import MAGIC, check_pyarrow, is_marked
from palimpsest.reports.formats.data import csv_of, json_of, parquet_of
from palimpsest.reports.runs.merge import merge, read_notes, read_stores

_MARK = "palimpsest.export"

KINDS = {
    ".csv": FileKind(
        "export", re.compile(rb"key,suite,scenario,strategy,kind,strength,seed,status,")
    ),
    ".json": FileKind("export", re.compile(rb'\[\{"key":"[^"]*","suite":"[^"]*","scenario":')),
    ".parquet": FileKind(
        "export", re.compile(re.escape(MAGIC)), marked=lambda p: is_marked(p, _MARK.encode())
    ),
}
"""What is written, by the file's ending."""


_WRITERS: dict[str, Callable[[pd.DataFrame], bytes]] = {
    ".csv": lambda table: csv_of(table).encode(),
    ".parquet": parquet_of,
    ".json": lambda table: json_of(table).encode(),
}


def export(options: ExportCommand) -> None:
    """Write the runs of stores as a tidy table, as ``Results.frame`` has it, and print where.

    Raises:
        UserError: A store is missing or named twice, a chosen name is unknown, there are no such
            rows, or the file cannot be written; nothing is written then.
    """
    output = options.output
    ending = output.suffix.lower()
    if ending not in KINDS:
        raise UserError(
            f"--output {output}: expected a file that ends in .csv, .parquet or .json, such as "
            f"{output.stem}.csv"
        )
    if ending == ".parquet":
        check_pyarrow(output)
    check_output(output, KINDS[ending], options.stores)  # before the work, not only after it
    merged = merge(read_stores(options.stores), read_notes(options.stores))
    table = frame(options.selection.only(merged.records, merged.suites), options.by)
    if table.empty:
        raise UserError(f"{options.stores[0]}: there are no rows by {options.by} in its runs")
    table.attrs[_MARK] = 1
    write_files([Output(output, _WRITERS[ending](table), KINDS[ending])], options.stores)
    say(output.resolve())
