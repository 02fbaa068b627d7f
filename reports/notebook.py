"""Single figures of the report, for a notebook or a program."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from io import BytesIO
from pathlib import Path

from matplotlib import figure as matplotlib

from palimpsest.benchmark.errors import UserError, nearest
from palimpsest.benchmark.results.results import Results
from palimpsest.benchmark.store.store import Record, SuiteNote
from palimpsest.reports.figures.drawing.settings import figure_settings
from palimpsest.reports.figures.figure import RANKING, Figure, ReportRuns, figures
from palimpsest.reports.runs.cells import group
from palimpsest.reports.runs.merge import merge, read_notes, read_stores
from palimpsest.reports.wording.words import several

_Runs = Iterable[Record] | Path | str


class ReportFigure(matplotlib.Figure):
    """A figure that a notebook shows, without pyplot."""

    def _repr_png_(self) -> bytes:
        content = BytesIO()
        with figure_settings():
            self.savefig(content, format="png", dpi=120)
        return content.getvalue()


def plot(kind: str, results: _Runs = (), *, scenario: str | None = None) -> matplotlib.Figure:
    """Return a figure of the report, as matplotlib's.

    Args:
        kind: Which figure: ``frontier`` (stability against plasticity), ``curves``, ``ranking`` or
            another that the page on the report lists.
        results: What ``run_suite`` or ``open_store`` returned, other runs, or the file of a store.
        scenario: Needed where the runs have several; without one a ranking is over all of them.

    Raises:
        UserError: There is no such kind or scenario, these are no runs, or the runs have nothing of
            that kind; says what is missing.
    """
    known = figures()
    if not isinstance(kind, str):
        raise UserError(
            f"plot: the kind comes first, and is a {type(kind).__name__}; expected one of: "
            f"{', '.join(known)}"
        )
    if kind not in known:
        raise UserError(f"plot: unknown kind {kind!r}; {nearest(kind, known)}")
    found, suites = _runs_of(results)
    asked, records = known[kind], _of(scenario, found, known[kind])
    names = {record.scenario for record in records}
    # All runs are at hand: a figure may need those of other scenarios.
    scopes = [
        scope
        for scope in asked.scopes(ReportRuns(group(found, suites)))
        if {run.scenario for cell in scope.cells for run in cell.runs} <= names
    ]
    made = (asked.build(scope) for scope in reversed(scopes))  # what is over all comes last
    plot = next((one for one in made if one is not None), None)
    if plot is None:
        missing = _missing(kind, asked, records)
        raise UserError(f"plot: nothing of the kind {kind!r} to draw: {missing}")
    with figure_settings():
        drawn = plot.draw()
    drawn.__class__ = ReportFigure
    return drawn


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


def _missing(kind: str, asked: Figure, records: Sequence[Record]) -> str:
    """Say what there would have to be."""
    done = [record for record in records if record.status == "done"]
    if not records:
        return "there are no runs; give what run_suite or open_store returned"
    if not done:
        one = f"the {several(len(records), 'run')} failed"
        return f"{one} ({records[0].error}); it needs finished runs"
    by_turns = all(record.moments for record in done)
    if by_turns and asked.shows == "turns":
        return (
            "it needs models that are trained one after another, and these are trained by turns; "
            "results.frame(by='moment') has their accuracies"
        )
    if by_turns and asked.shows == "end" and all(None in r.final_accuracy for r in done):
        return "it needs a last visit after which all models are evaluated"
    absent = [reason for r in done if (reason := r.probes.get(kind, {}).get("absent"))]
    if absent:
        return f"the probe has recorded nothing ({absent[0]})"
    return f"it needs {asked.needs}"


def _of(scenario: str | None, records: Sequence[Record], asked: Figure) -> Sequence[Record]:
    """The runs of a scenario, or all where none is named and none has to be."""
    names = list(dict.fromkeys(record.scenario for record in records))
    if scenario is not None and scenario not in names:
        raise UserError(f"plot: no scenario {scenario!r} here; {nearest(scenario, names)}")
    if scenario is not None:
        return [record for record in records if record.scenario == scenario]
    if len(names) > 1 and asked.section != RANKING:
        raise UserError(f"plot: the runs have several scenarios; name one, scenario={names}")
    return records
