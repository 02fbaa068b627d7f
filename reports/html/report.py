"""The report as one self-contained HTML file, which opens offline and loads nothing."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from palimpsest.benchmark.errors import UserError
from palimpsest.benchmark.files.writing import FileKind, Output, write_files
from palimpsest.benchmark.store.store import Record, SuiteNote
from palimpsest.reports.figures.drawing.plot import Plot
from palimpsest.reports.formats.export import Exports
from palimpsest.reports.html.chapters import Chapter, chapters, each_once
from palimpsest.reports.html.drawing import Drawings, marks_data
from palimpsest.reports.html.environment import digest, environment, text_of
from palimpsest.reports.html.live import LivePlot
from palimpsest.reports.html.parts import FactList
from palimpsest.reports.html.run_details import run_details
from palimpsest.reports.html.runs_table import run_columns, runs_data
from palimpsest.reports.html.watching import Live
from palimpsest.reports.runs.provenance import WPL_PAPER, citation, exact_settings, failures, origin
from palimpsest.reports.runs.suite_text import suite_files
from palimpsest.reports.wording.words import several

REPORT = FileKind(
    "report",
    re.compile(
        rb'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        rb'<meta name="generator" content="palimpsest">'
    ),
)
"""The report, as its template begins."""

_SCRIPTS = (
    "answer", "drawing", "plane", "marks", "downloads", "pictures", "chart", "curves", "run_page",
    "runs",
)  # fmt: skip
"""In this order: later ones use what earlier ones define."""


def write_report(
    records: Sequence[Record],
    output: Path,
    *,
    sources: Sequence[str],
    command: str,
    inputs: Iterable[Path] = (),
    exports: Exports | None = None,
    suites: Sequence[SuiteNote] = (),
    by: str | None = None,
) -> None:
    """Write the report of some runs, completely or not at all.

    The same runs give the same files.

    Args:
        records: Runs as ``Store.records`` returns them.
        output: The HTML file; an earlier report there is replaced, nothing else is.
        sources: Where the runs come from, such as the store's path.
        command: The command that makes this report again.
        inputs: Files that must not be overwritten.
        exports: Tables and figures to write as files, too.
        suites: What is known of the suites: their descriptions, and the order of the report.
        by: The setting that makes chapters, see ``chapters``.

    Raises:
        UserError: There are no runs, no run has the setting ``by``, or a file cannot be written;
            then no file is.
    """
    if not records:
        raise UserError(
            "the store has no finished runs to report; 'palimpsest run SUITE' makes some"
        )
    page, made = report_page(records, sources=sources, command=command, suites=suites, by=by)
    outputs = [Output(output, page.encode(), REPORT)]
    if exports:
        parts = (part for one in made for section in one.sections for part in section.titled_parts)
        outputs += exports.outputs(parts, each_once(made))
    write_files(outputs, inputs)


def report_page(
    records: Sequence[Record],
    *,
    sources: Sequence[str],
    command: str,
    suites: Sequence[SuiteNote],
    by: str | None = None,
    live: Live | None = None,
) -> tuple[str, list[Chapter]]:
    """Return the report as HTML, and its chapters.

    Args:
        records: One run or more; all others as in ``write_report``.
        sources: Where the runs come from.
        command: The command that writes this report to a file.
        suites: What is known of the suites.
        by: The setting that makes chapters.
        live: Of a page that a server shows while runs are active: what it is compared with when
            it asks for news.
    """
    with Drawings() as drawings:
        made = chapters(records, suites, by, drawings.begin)
        cells = each_once(made)
        answers = [section for chapter in made for section in chapter.sections]
        plots = [part for section in answers for part in section.parts if isinstance(part, Plot)]
        data = {
            "answers": {board.place: board.data() for one in made for board in one.boards},
            "planes": _live(plots, "plane"),
            "curves": _live(plots, "curves"),
            "runs": runs_data(cells),
            "details": run_details(cells),
        }
        drawn = drawings.finish()
    data["marks"] = marks_data({plot.name: drawn[plot.name][1] for plot in plots})
    names = [*_SCRIPTS, "watch"] if live else _SCRIPTS
    script = text_of(*(f"{name}.js" for name in names))
    page = environment().get_template("report.html.j2").render(
        title=f"Palimpsest report: {', '.join(sorted({r.suite for r in records}))}",
        lead=made[0].lead if len(made) == 1 else f"{several(len(records), 'run')}, compared apart:",
        failed=sum(len(cell.failed) for cell in cells),
        strategies=_strategies(made),
        baseline=made[0].baseline,
        chapters=made,
        drawings={name: Markup(svg) for name, (svg, _) in drawn.items()},
        run_columns=[column for column in run_columns(cells) if column.title],
        data=data,
        failures=failures(cells),
        origin=FactList(origin(records, sources)),
        citations=f"{citation()}\n\n{WPL_PAPER}",
        suites=suite_files(records, suites),
        settings=exact_settings(cells),
        command=command,
        style=Markup(text_of("report.css", *(["watch.css"] if live else []))),
        script=Markup(script),
        script_hash=digest(script),
        live=live,
    )  # fmt: skip
    return page, made


def _strategies(made: Sequence[Chapter]) -> dict[str, list[str]]:
    """Every strategy that can be a baseline, and the chapters that have it."""
    found: dict[str, list[str]] = {}
    for chapter in made:
        for name in chapter.strategies:
            found.setdefault(name, []).append(chapter.prefix)
    return found


def _live(plots: Iterable[Plot], script: str) -> dict[str, Mapping[str, Any]]:
    """What a script draws, by the name of the figure."""
    drawn = (plot for plot in plots if isinstance(plot, LivePlot) and plot.script == script)
    return {plot.name: plot.live for plot in drawn}
