"""``palimpsest prune``."""

from __future__ import annotations

from collections.abc import Sequence

from palimpsest.benchmark.cli.models import PruneCommand
from palimpsest.benchmark.cli.printing.output import say
from palimpsest.benchmark.data.catalog import data_root
from palimpsest.benchmark.errors import UserError
from palimpsest.benchmark.store.archive import is_archive
from palimpsest.benchmark.store.store import Record, Store
from palimpsest.benchmark.suites.file import suites_of
from palimpsest.benchmark.suites.loading import load_suites
from palimpsest.reports.runs.cells import group
from palimpsest.reports.wording.words import several


def prune(options: PruneCommand) -> None:
    """Say which runs nothing asks for any more, and remove them on request.

    Runs of other suites than those given stay.

    Raises:
        UserError: The user has to fix something; nothing is removed then.
    """
    if is_archive(options.store):
        raise UserError(
            f"{options.store}: this is an archive, which is read-only; 'palimpsest merge NEW.db "
            f"{options.store}' makes a results database of it"
        )
    with Store(options.store) as store:
        records = store.records()
    found = _not_named(options, records) if options.suites else replaced(records)
    if not found:
        say(f"{options.store}: nothing to remove")
        return
    _tell(found, "Removed:" if options.yes else "To be removed:")
    left = len(records) - len(found)
    if options.yes:
        with Store(options.store, create=True) as store:
            store.remove([record.key for record in found])
        say(f"{options.store}: {several(len(found), 'run')} removed, {left} left")
    else:
        say(
            f"{options.store}: {several(len(found), 'run')} would be removed and {left} left; "
            "--yes removes them for good"
        )


def replaced(records: Sequence[Record]) -> list[Record]:
    """Return the runs that differ from later ones in nothing but code or the user's own data."""
    by_suite: dict[str, list[Record]] = {}
    for record in records:
        by_suite.setdefault(record.suite, []).append(record)
    return [record for own in by_suite.values() for cell in group(own) for record in cell.outdated]


def _not_named(options: PruneCommand, records: Sequence[Record]) -> list[Record]:
    """The runs of some suites that their files do not ask for."""
    suites = load_suites(
        suites_of(options.suites or ()), seeds=options.seeds, settings=options.settings or ()
    )
    root = data_root(options.data_root).resolve()
    names = {suite.name for suite in suites}
    own = [record for record in records if record.suite in names]
    devices = sorted({record.spec.device for record in own})
    named = {run.key for suite in suites for device in devices for run in suite.runs(device, root)}
    return [record for record in own if record.key not in named]


def _tell(found: Sequence[Record], beginning: str) -> None:
    """Print how many runs of which strategies these are, and when they were made."""
    say(beginning)
    groups: dict[tuple[str, str, str], list[Record]] = {}
    for record in found:
        groups.setdefault((record.suite, record.scenario, record.strategy), []).append(record)
    for (suite, scenario, strategy), own in sorted(groups.items()):
        days = sorted(record.started[:10] for record in own)
        when = days[0] if days[0] == days[-1] else f"{days[0]} to {days[-1]}"
        say(f"  {suite}, {scenario}, {strategy}: {several(len(own), 'run')} ({when})")
