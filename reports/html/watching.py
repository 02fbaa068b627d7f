"""The state of active runs, which a page asks for while it is open."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from palimpsest.benchmark.store.store import ActiveJob, Record, SuiteProcess
from palimpsest.reports.figures.drawing.colors import Identity, colors, identity
from palimpsest.reports.html.environment import digest, environment, text_of
from palimpsest.reports.runs.cells import Variant
from palimpsest.reports.wording.words import several, whole_seconds


@dataclass(frozen=True)
class Live:
    """What a served page is compared with when it asks for news.

    Attributes:
        version: Of the report, counted from 1; 0 of a page without one.
        runs: The number of runs in the report.
        store: The store's name.
    """

    version: int
    runs: int
    store: str


def waiting_page(store: str) -> str:
    """Return the page that a store's name stands on before the first report."""
    script = text_of("drawing.js", "watch.js")
    return (
        environment()
        .get_template("waiting.html.j2")
        .render(
            live=Live(0, 0, store),
            style=Markup(text_of("report.css", "watch.css")),
            script=Markup(script),
            script_hash=digest(script),
        )
    )


def state(
    processes: Sequence[SuiteProcess],
    failed: Sequence[Record],
    *,
    now: float,
    living: Collection[str],
    known: Collection[Identity] = (),
) -> dict[str, Any]:
    """Return the active processes and the failures, as JSON for ``scripts/watch.js``.

    Args:
        processes: Those that run suites into the store.
        failed: Failed runs, the last one first.
        now: Unix time, in seconds.
        living: The ids of the processes that still run.
        known: Strategies of the report, which keep their colours.

    Returns:
        ``processes``: each with ``id``, ``state`` (running, interrupted or stopped), ``done``,
        ``total``, ``left`` and ``ago`` (in words), ``where``, and ``jobs`` (``key``, ``label``,
        ``color``, ``runs``, ``fraction``, ``since`` in words, ``curves``). ``failures``: each with
        ``key``, ``label``, ``kind`` and ``message``.
    """
    jobs = [job for process in processes for job in process.jobs]
    looks = colors([*known, *(identity(job.facts, job.strategy) for job in jobs)])
    return {
        "processes": [_process(process, now, process.id in living, looks) for process in processes],
        "failures": [_failure(record) for record in failed],
    }


def _process(
    process: SuiteProcess, now: float, living: bool, looks: dict[Identity, str]
) -> dict[str, Any]:
    last = process.heartbeat if process.ended is None else process.ended
    still = "running" if living else "stopped"
    found = still if process.ended is None else "interrupted"
    left = process.seconds_left
    return {
        "id": process.id,
        "state": found,
        "done": process.done,
        "total": process.total,
        "left": whole_seconds(left) if left is not None and found == "running" else "",
        "ago": whole_seconds(max(0.0, now - last)),
        "where": f"process {process.pid} on {process.host}",
        "jobs": [_job(job, now, looks) for job in process.jobs] if found == "running" else [],
    }


def _job(job: ActiveJob, now: float, looks: dict[Identity, str]) -> dict[str, Any]:
    variant = Variant(job.strategy, job.facts, job.strength)
    more = f" and {several(job.runs - 1, 'more run')}" if job.runs > 1 else ""
    return {
        "key": job.key,
        "label": f"{_label(job.scenario, variant, job.seed)}{more}",
        "color": looks[identity(job.facts, job.strategy)],
        "runs": job.runs,
        "fraction": job.fraction,
        "since": whole_seconds(max(0.0, now - job.started)),
        "curves": job.curves,
    }


def _failure(record: Record) -> dict[str, str]:
    variant = Variant(record.strategy, record.facts, record.strength)
    return {
        "key": f"{record.key} {record.started}",
        "label": _label(record.scenario, variant, record.seed),
        "kind": str(record.failure.kind) if record.failure else "error",
        "message": record.failure.message if record.failure else "no message",
    }


def _label(scenario: str, variant: Variant, seed: int) -> str:
    return f"{scenario}, {variant.label}, seed {seed}"


def identities(records: Iterable[Record]) -> frozenset[Identity]:
    """Return what decides the colours of the strategies of some runs."""
    return frozenset(identity(record.facts, record.strategy) for record in records)
