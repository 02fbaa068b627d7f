"""Single figures of the report, for a notebook or a program."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from io import BytesIO
from pathlib import Path

from matplotlib.figure import Figure

from benchmark.errors import UserError, nearest
from benchmark.store import Record
from reports.figures.plot import Plot
from reports.figures.settings import figure_settings
from reports.html.sections import sections
from reports.runs.cells import group
from reports.runs.merge import merge, read_stores

KINDS = {
    "frontier": ("plane", "runs of two models or more"),
    "strengths": ("sweep", "a strategy with several strengths"),
    "curves": ("curves", "runs that measured curves (curve: {every: 50})"),
    "matrices": ("matrices", "finished runs"),
    "ranking": ("means", "two strategies or more"),
    "ranks": ("ranks", "several scenarios that share seeds and strategies"),
    "distance": ("inside-distance", "runs with the probe distance"),
    "importance": ("inside-importance", "runs with the probe importance"),
    "similarity": ("inside-similarity", "runs with the probe similarity"),
    "refit": ("inside-refit", "runs with the probe refit"),
}
"""The figures that can be asked for: how their names in the report end, and what they need."""

_OVER_SCENARIOS = {"ranking", "ranks"}


class ReportFigure(Figure):
    """A figure that a notebook shows, without pyplot."""

    def _repr_png_(self) -> bytes:
        content = BytesIO()
        with figure_settings():
            self.savefig(content, format="png", dpi=120)
        return content.getvalue()


def plot(
    kind: str, results: Iterable[Record] | Path | str, *, scenario: str | None = None
) -> Figure:
    """Return a figure of the report, as matplotlib's.

    Args:
        kind: ``frontier`` (stability against plasticity), ``strengths``, ``curves``, ``matrices``,
            ``ranking``, ``ranks`` (over several scenarios), or a probe: ``distance``,
            ``importance``, ``similarity``, ``refit``.
        results: What ``run_suite`` or ``open_store`` returned, other runs, or the file of a store.
        scenario: Whose; needed where the runs have several. A ranking is else over all of them.

    Raises:
        UserError: There is no such kind or scenario, or the runs have nothing of that kind.
    """
    if kind not in KINDS:
        raise UserError(f"plot: unknown kind {kind!r}; {nearest(kind, KINDS)}")
    ending, needs = KINDS[kind]
    records = _of(scenario, _records(results), kind)
    found = [
        part
        for section in sections(group(records))
        for part in section.parts
        if isinstance(part, Plot) and part.name.split("-", 2)[-1] == ending
    ]
    if not found:
        raise UserError(f"plot: these runs have nothing of the kind {kind!r}; it needs {needs}")
    with figure_settings():
        figure = found[-1].draw()  # of several rankings, the one over all scenarios
    figure.__class__ = ReportFigure
    return figure


def _records(results: Iterable[Record] | Path | str) -> Sequence[Record]:
    if isinstance(results, Path | str):
        return merge(read_stores([Path(results)])).records
    return list(results)


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
