"""``palimpsest merge``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from palimpsest.benchmark.cli.models import MergeCommand
from palimpsest.benchmark.cli.printing.output import say
from palimpsest.benchmark.errors import UserError
from palimpsest.benchmark.store.new_store import check_new, write_new
from palimpsest.benchmark.store.store import Record
from palimpsest.reports.runs.merge import merge, read_notes, read_stores, same_results
from palimpsest.reports.wording.words import several


def merge_stores(options: MergeCommand) -> None:
    """Write the runs of stores and archives into a new store, each once, and print where.

    Raises:
        UserError: A store is missing, damaged or named twice, or two hold different results of one
            run, or the new one cannot be written; nothing is written then.
    """
    new, stores = options.new, options.stores
    check_new(new)
    runs = read_stores(stores)
    _refuse_different(runs)
    merged = merge(runs, read_notes(stores))
    write_new(new, merged.records, merged.suites)
    say(f"{new.resolve()}: {several(len(merged.records), 'run')}")


def _refuse_different(stores: Mapping[str, Sequence[Record]]) -> None:
    seen: dict[str, tuple[str, Record]] = {}
    for name, records in stores.items():
        for record in records:
            if record.status != "done":
                continue
            other, known = seen.setdefault(record.key, (name, record))
            if not same_results(known, record):
                raise UserError(
                    f"{other} and {name} hold different results of the run {record.key} "
                    f"({record.strategy} in {record.scenario}, seed {record.seed}), and a store "
                    f"holds each run once; 'palimpsest compare {other} {name}' says what differs, "
                    "and 'palimpsest report' takes both and keeps them apart"
                )
