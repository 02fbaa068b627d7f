"""``palimpsest doctor``."""

from __future__ import annotations

from palimpsest.benchmark.cli.models import DoctorCommand
from palimpsest.benchmark.cli.printing.output import say
from palimpsest.benchmark.store.integrity import IntegrityReport, examine
from palimpsest.benchmark.store.new_store import check_new, write_new
from palimpsest.benchmark.store.store import Record
from palimpsest.reports.wording.words import several

_MOST = 20
"""Problems that are printed; the others are counted."""


def doctor(options: DoctorCommand) -> int:
    """Say what is wrong with a store and what of it can be read; save that on request.

    Returns:
        The exit code: 1 if anything is wrong, else 0.

    Raises:
        UserError: It is no store, or the new one cannot be made; nothing is written then.
    """
    store, save = options.store, options.save
    if save is not None:
        check_new(save)
    found = examine(store)
    for problem in found.problems[:_MOST]:
        say(problem)
    if len(found.problems) > _MOST:
        say(f"and {several(len(found.problems) - _MOST, 'more problem')}")
    beside = len(found.unsaved.runs)
    runs, failed = found.records, sum(run.status == "failed" for run in found.records)
    state = "missing" if found.missing else "damaged" if found.problems else "healthy"
    say(
        f"{store}: {state}; {several(len(runs), 'run')} "
        f"({failed} of them failed) and {several(len(found.suites), 'suite')} can be read"
    )
    if beside:
        say(f"Beside it: {several(beside, 'rescued run')}; the next 'palimpsest run' takes them in")
    if save is not None:
        whole = _whole(found)
        write_new(save, whole, found.suites)
        say(f"Saved: {several(len(whole), 'run')} in {save}")
    elif found.problems and (runs or beside):
        say(f"'palimpsest doctor {store} --save NEW.db' saves what can be read in a new store")
    return 1 if found.problems else 0


def _whole(found: IntegrityReport) -> list[Record]:
    """The runs that can be read, with those beside the store where it has none that is done."""
    runs = {run.key: run for run in found.records}
    for run in found.unsaved.runs.values():
        if run.key not in runs or runs[run.key].status == "failed":
            runs[run.key] = run
    return list(runs.values())
