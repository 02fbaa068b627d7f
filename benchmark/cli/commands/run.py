"""``palimpsest run``: parsing and printing; ``orchestration.loop`` does the work."""

from __future__ import annotations

import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

from palimpsest.benchmark.cli.commands.prune import replaced
from palimpsest.benchmark.cli.models import RunCommand, names_of
from palimpsest.benchmark.cli.printing.output import say, tell
from palimpsest.benchmark.cli.printing.progress import Display, describe, make_display
from palimpsest.benchmark.cli.printing.run_listing import runs_json
from palimpsest.benchmark.cli.printing.summary import print_summary
from palimpsest.benchmark.cli.stopping import Stopped, reason_of, stopped_by_signals
from palimpsest.benchmark.errors import UserError
from palimpsest.benchmark.executors.scratch import scratch_warning
from palimpsest.benchmark.orchestration.estimate import estimate
from palimpsest.benchmark.orchestration.loop import Progress, Watcher, run_plan
from palimpsest.benchmark.orchestration.plan import Plan, make_plan
from palimpsest.benchmark.results.results import Results
from palimpsest.benchmark.store.store import Record, Store, SuiteNote
from palimpsest.benchmark.store.unsaved_runs import unsaved_runs
from palimpsest.benchmark.suites.file import suites_of
from palimpsest.benchmark.suites.loading import load_suites
from palimpsest.reports.wording.words import joined, several


def run_suites(options: RunCommand) -> int:
    """Do the runs that the store does not have yet, and print the results.

    All suites are checked before the first run starts.

    Returns:
        The exit code: 128 plus the number of the signal that stopped it (130 if interrupted), 1 if
        a run of the suites failed, else 0.

    Raises:
        UserError: The user has to fix something; nothing has been written then.
    """
    with stopped_by_signals():
        try:
            return _run_suites(options)
        except KeyboardInterrupt as stop:
            return _stopped(stop, "nothing was run")


def _run_suites(options: RunCommand) -> int:
    if not options.dry_run:
        options.target.require()
    suites = load_suites(
        suites_of(options.suites),
        seeds=options.seeds,
        strategies=names_of(options.strategies),
        settings=options.settings or (),
    )
    plan = make_plan(suites, options, fetch=not options.dry_run)
    for refused in plan.unsaved.refused:
        tell(f"palimpsest: {refused}")
    with_suite = len(suites) > 1
    if not options.quiet:
        for remark in plan.remarks:
            tell(f"palimpsest: warning: {remark}")
    if options.dry_run:
        _print_plan(plan, options, with_suite)
        return 0
    silent = options.quiet or options.as_json
    warning = scratch_warning(options.scratch) if plan.todo and options.target.is_local else None
    if warning:
        tell(f"palimpsest: {warning}")
    total, new = len(plan.runs), len(plan.todo)
    display = make_display(total, total - new, quiet=silent, with_suite=with_suite)
    try:
        with display:
            results = run_plan(plan, _beginning(plan, display))
    except KeyboardInterrupt as stop:
        kept = f"{_stored(plan)} {total} runs are in {options.store}{_beside(plan)}"
        return _stopped(stop, f"{kept}, the same command continues from there")
    return _conclude(results, plan, options)


def _beginning(plan: Plan, display: Display) -> Watcher:
    """Return a watcher that passes all news to a display, the first with the number of runs."""
    why = f" ({plan.why_workers})" if plan.why_workers else ""
    begin = [f"{several(len(plan.todo), 'run')} to do {_with_workers(plan)}{why}"]

    def tell_display(news: Progress) -> None:
        if begin:
            news = replace(news, message=". ".join(filter(None, (begin.pop(), news.message))))
        display.tell(news)

    return tell_display


def _with_workers(plan: Plan) -> str:
    target = plan.options.target
    where = "" if target.is_local else f" on {target.description()}"
    return f"with {several(plan.workers, 'worker')}{where}" if plan.workers else where.strip()


def _stopped(stop: KeyboardInterrupt, what: str) -> int:
    """Say what is left, and return the exit code."""
    stop = reason_of(stop)
    by = f"stopped by {stop.name}" if isinstance(stop, Stopped) else "interrupted"
    with suppress(OSError):  # the terminal may have gone
        tell(f"palimpsest: {by}; {what}")
    return 128 + (stop.number if isinstance(stop, Stopped) else signal.SIGINT)


def _stored(plan: Plan) -> str:
    """Say how many runs of a plan the store has, as far as it answers at once."""
    if not plan.options.store.exists():
        return "0 of"
    try:
        with Store(plan.options.store, patience=0.0) as store:
            return f"{len(store.statuses().keys() & {run.key for run in plan.runs})} of"
    except UserError:  # locked
        return "what has ended of"


def _beside(plan: Plan) -> str:
    """Say how many more runs lie beside the store, which did not take them."""
    found = unsaved_runs(plan.options.store).runs
    places = sorted({str(path.parent) for path in found})
    return f", {several(len(found), 'more run')} in {joined(places)}" if found else ""


def _print_plan(plan: Plan, options: RunCommand, with_suite: bool) -> None:
    if options.as_json:
        import json

        fields = ("key", "scenario", "strategy", "strength", "seed")
        rows = [{f: getattr(r, f) for f in fields} | {"spec": r.spec.data} for r in plan.todo]
        say(json.dumps(rows, indent=1))
        return
    for run in plan.todo:
        say(f"{run.key}  {describe(run, with_suite=with_suite)}")
    known: list[Record] = []
    if plan.todo and plan.options.store.exists():
        with Store(plan.options.store) as store:
            known = store.records()
    workers = _with_workers(plan) if plan.workers else "one after another"
    time = f": {estimate(plan.todo, known, plan.workers or 1)}" if plan.todo else ""
    say(f"{len(plan.todo)} of {len(plan.runs)} runs to do {workers}{time}")


def _conclude(results: Results, plan: Plan, options: RunCommand) -> int:
    suites = {run.key: run.suite for run in plan.runs}
    if options.as_json:
        say(runs_json(list(results)))
    elif not options.quiet:
        _print_summaries(results, suites, plan.suites)
        if not plan.todo:
            every = "the run" if len(results) == 1 else f"all {len(results)} runs"
            say(f"Nothing to do: {options.store} already has {every}.")
        say(f"Results: {options.store}   Report: palimpsest report {options.store}")
        _warn_of_newer(results, options)
    for record in results.failed:
        tell(f"palimpsest: failed: {describe(record)}: {record.error}")
    return 1 if results.failed else 0


def _warn_of_newer(results: Results, options: RunCommand) -> None:
    """Warn that reports count other runs, where code or data are as they were before."""
    with Store(options.store) as store:
        older = {record.key for record in replaced(store.records())}
    found = [record for record in results if record.key in older]
    if found:
        names = joined(sorted({record.strategy for record in found}))
        tell(
            f"palimpsest: warning: {options.store} has newer runs of {names}, made by other code "
            f"or data than today's, and a report counts those; 'palimpsest prune {options.store} "
            "SUITE', with the same options, tells and removes them"
        )


def _print_summaries(
    results: Results, suites: Mapping[str, str], notes: Sequence[SuiteNote]
) -> None:
    by_suite: dict[str, list[Record]] = {}
    for record in results:
        by_suite.setdefault(suites[record.key], []).append(record)
    for suite, own in sorted(by_suite.items()):
        print_summary(own, suite if len(by_suite) > 1 else "", notes)
