"""Single figures of the report, for a notebook or a program."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from io import BytesIO
from pathlib import Path

from matplotlib.figure import Figure

from palimpsest.benchmark.errors import UserError, nearest
from palimpsest.benchmark.results.results import Results
from palimpsest.benchmark.store.store import Record, SuiteNote
from palimpsest.reports.figures.drawing.plot import Plot
from palimpsest.reports.figures.drawing.settings import figure_settings
from palimpsest.reports.html.sections import sections
from palimpsest.reports.runs.cells import group
from palimpsest.reports.runs.merge import merge, read_notes, read_stores
from palimpsest.reports.wording.words import several

KINDS = {
    "frontier": ("plane", "runs of two models or more"),
    "strengths": ("sweep", "finished runs of a strategy at several strengths"),
    "curves": ("curves", "runs that measured curves (curve: {every: 50})"),
    "matrices": ("matrices", "finished runs"),
    "ranking": ("means", "finished runs of two strategies or more"),
    "ranks": ("ranks", "finished runs of several scenarios that share seeds and strategies"),
    "distance": ("inside-distance", "runs with the probe distance"),
    "importance": ("inside-importance", "runs with the probe importance"),
    "overlap": ("inside-overlap", "runs with the probe overlap"),
    "similarity": ("inside-similarity", "runs with the probe similarity"),
    "refit": ("inside-refit", "runs with the probe refit"),
    "unmerged": ("inside-unmerged", "merged runs with the probe unmerged"),
}
"""The figures that can be asked for: how their names in the report end, and what they need."""

_OVER_SCENARIOS = {"ranking", "ranks"}
_IN_TURN = {"frontier", "curves", "matrices"}
"""What only models have that are trained one after another."""

_AT_THE_END = {"ranking", "ranks", "strengths"}
"""What is drawn of accuracies of all models at the end."""

_Runs = Iterable[Record] | Path | str


class ReportFigure(Figure):
    """A figure that a notebook shows, without pyplot."""

    def _repr_png_(self) -> bytes:
        content = BytesIO()
        with figure_settings():
            self.savefig(content, format="png", dpi=120)
        return content.getvalue()


def plot(kind: str, results: _Runs = (), *, scenario: str | None = None) -> Figure:
    """Return a figure of the report, as matplotlib's.

    Args:
        kind: ``frontier`` (stability against plasticity), ``strengths``, ``curves``, ``matrices``,
            ``ranking``, ``ranks`` (over several scenarios), or a probe: ``distance``,
            ``importance``, ``overlap``, ``similarity``, ``refit``, ``unmerged``.
        results: What ``run_suite`` or ``open_store`` returned, other runs, or the file of a store.
        scenario: Whose; needed where the runs have several. A ranking is else over all of them.

    Raises:
        UserError: There is no such kind or scenario, these are no runs, or the runs have nothing of
            that kind; says what is missing.
    """
    if not isinstance(kind, str):
        kinds = ", ".join(KINDS)
        raise UserError(
            f"plot: the kind comes first, and is a {type(kind).__name__}; expected one of: {kinds}"
        )
    if kind not in KINDS:
        raise UserError(f"plot: unknown kind {kind!r}; {nearest(kind, KINDS)}")
    ending, _ = KINDS[kind]
    found, suites = _runs_of(results)
    records = _of(scenario, found, kind)
    plots = [
        part
        for section in sections(group(records, suites))
        for part in section.parts
        if isinstance(part, Plot) and part.name.endswith(f"-{ending}")
    ]
    if not plots:
        raise UserError(f"plot: nothing of the kind {kind!r} to draw: {_missing(kind, records)}")
    with figure_settings():
        figure = plots[-1].draw()  # of several rankings, the one over all scenarios
    figure.__class__ = ReportFigure
    return figure


def _runs_of(results: _Runs) -> tuple[Sequence[Record], Sequence[SuiteNote]]:
    """The runs, and what is known of their suites, whose order the figures follow."""
    if isinstance(results, Path | str):
        merged = merge(read_stores([Path(results)]), read_notes([Path(results)]))
        return merged.records, merged.suites
    if isinstance(results, Results):
        return results.records, results.suites
    records = list(results) if isinstance(results, Iterable) else [results]
    if not all(isinstance(record, Record) for record in records):
        raise UserError(
            f"plot: expected what run_suite or open_store returned, or the file of a store, got a "
            f"{type(results).__name__}"
        )
    return records, ()


def _missing(kind: str, records: Sequence[Record]) -> str:
    """Say what there would have to be."""
    done = [record for record in records if record.status == "done"]
    if not records:
        return "there are no runs; give what run_suite or open_store returned"
    if not done:
        one = f"the {several(len(records), 'run')} failed"
        return f"{one} ({records[0].error}); it needs finished runs"
    by_turns = all(record.moments for record in done)
    if by_turns and kind in _IN_TURN:
        return (
            "it needs models that are trained one after another, and these are trained by turns; "
            "results.frame(by='moment') has their accuracies"
        )
    if by_turns and kind in _AT_THE_END and all(None in r.final_accuracy for r in done):
        return "it needs a last visit after which all models are evaluated"
    absent = [reason for r in done if (reason := r.probes.get(kind, {}).get("absent"))]
    if absent:
        return f"the probe has recorded nothing ({absent[0]})"
    return f"it needs {KINDS[kind][1]}"


def _of(scenario: str | None, records: Sequence[Record], kind: str) -> Sequence[Record]:
    """The runs of a scenario, or all where none is named and none has to be."""
    names = list(dict.fromkeys(record.scenario for record in records))
    if scenario is not None and scenario not in names:
        raise UserError(f"plot: no scenario {scenario!r} here; {nearest(scenario, names)}")
    if scenario is not None:
        return [record for record in records if record.scenario == scenario]
    if len(names) > 1 and kind not in _OVER_SCENARIOS:
        raise UserError(f"plot: the runs have several scenarios; name one, scenario={names}")
    return records
