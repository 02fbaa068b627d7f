"""``palimpsest archive``."""

from __future__ import annotations

import re

from palimpsest.benchmark.cli.models import ArchiveCommand
from palimpsest.benchmark.cli.printing.output import say
from palimpsest.benchmark.errors import UserError
from palimpsest.benchmark.files.writing import FileKind, Output, check_output, write_files
from palimpsest.benchmark.store.archive import MAGIC, archive, check_pyarrow, is_marked
from palimpsest.reports.runs.merge import merge, read_notes, read_stores

ARCHIVE = FileKind("archive", re.compile(re.escape(MAGIC)), marked=is_marked)


def make_archive(options: ArchiveCommand) -> None:
    """Write all runs of stores as one Parquet file, and print where.

    Raises:
        UserError: A store is missing or named twice, the stores have no runs or hold different
            results of one run, or the file cannot be written; nothing is written then.
    """
    output = options.output
    check_pyarrow(output)
    check_output(output, ARCHIVE, options.stores)  # before the work, not only after it
    if output.suffix != ".parquet":
        raise UserError(f"--output {output}: name a Parquet file, such as {output.stem}.parquet")
    merged = merge(read_stores(options.stores), read_notes(options.stores))
    if merged.disputed:
        (scenario, strategy), *_ = sorted(merged.disputed)
        raise UserError(
            f"the stores hold different results of the same run ({strategy} in {scenario}), and an "
            "archive holds each run once; write an archive per store"
        )
    if not merged.records:
        raise UserError(f"{options.stores[0]}: no runs yet; 'palimpsest run' adds some")
    write_files([Output(output, archive(merged.records, merged.suites), ARCHIVE)], options.stores)
    say(output.resolve())
