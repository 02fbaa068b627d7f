"""The report as one self-contained HTML file, which opens offline and loads nothing."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterable, Sequence
from hashlib import sha256
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from benchmark.errors import UserError
from benchmark.files import Kind, Output, write_files
from benchmark.store import Record, SuiteNote
from reports.figures.plot import Plot
from reports.formats.export import Exports
from reports.html.anchors import ALL
from reports.html.boards import Board, Matrix
from reports.html.downloads import downloads
from reports.html.drawing import drawings
from reports.html.live_plane import LivePlot
from reports.html.marks import marks_data
from reports.html.parts import Facts, Section, Words
from reports.html.run_details import run_details
from reports.html.runs_table import run_columns, runs_data
from reports.html.sections import sections
from reports.runs.cells import Cell, by_scenario, group
from reports.runs.provenance import WPL_PAPER, citation, exact_settings, failures, origin, seeds
from reports.runs.suite_text import suite_files
from reports.tables.table import Table
from reports.wording.words import several

REPORT = Kind(
    "report",
    re.compile(
        rb'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        rb'(<meta name="generator" content="palimpsest">'
        rb"|(<meta [^\n]*>\n){3}<title>Palimpsest report: )"  # as version 0.1.0 wrote them
    ),
)
"""The report, as its template begins."""

_SCRIPTS = (
    "answer", "drawing", "plane", "marks", "names", "downloads", "pictures", "run_page", "runs",
    "open",
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

    Raises:
        UserError: There are no runs, or a file cannot be written; then no file is.
    """
    if not records:
        raise UserError(
            "the store has no finished runs to report; 'palimpsest run SUITE' makes some"
        )
    cells = group(records, suites)
    answers = sections(cells)
    document = _document(
        records,
        cells,
        answers,
        sources=sources,
        command=command,
        suites=suites,
    )
    outputs = [Output(output, document.encode(), REPORT)]
    if exports:
        outputs += exports.outputs(part for section in answers for part in section.titled_parts)
    write_files(outputs, inputs)


def _document(
    records: Sequence[Record],
    cells: Sequence[Cell],
    answers: Sequence[Section],
    *,
    sources: Sequence[str],
    command: str,
    suites: Sequence[SuiteNote],
) -> str:
    plots = [part for section in answers for part in section.parts if isinstance(part, Plot)]
    boards = [part for section in answers for part in section.parts if isinstance(part, Board)]
    drawn = drawings(plots)
    script = "".join(_template(f"{name}.js") for name in _SCRIPTS)
    return _environment().get_template("report.html.j2").render(
        title=f"Palimpsest report: {', '.join(sorted({r.suite for r in records}))}",
        description=_description(records, suites),
        lead=_lead(records, cells),
        failed=sum(len(cell.failed) for cell in cells),
        scenarios=_choices(answers),
        strategies=list(dict.fromkeys(cell.variant.strategy for cell in cells if cell.done)),
        baseline=next((board.baseline for board in boards), ""),
        sections=answers,
        drawings={name: Markup(svg) for name, (svg, _) in drawn.items()},
        run_columns=[column for column in run_columns(cells) if column.title],
        data={
            "answers": {board.place: board.data() for board in boards},
            "planes": {plot.name: plot.live for plot in plots if isinstance(plot, LivePlot)},
            "marks": marks_data({name: marks for name, (_, marks) in drawn.items()}),
            "runs": runs_data(cells),
            "details": run_details(cells),
        },
        failures=failures(cells),
        origin=Facts(origin(records, sources)),
        citations=f"{citation()}\n\n{WPL_PAPER}",
        suites=suite_files(records, suites),
        settings=exact_settings(cells),
        command=command,
        style=Markup(_template("report.css")),
        script=Markup(script),
        # The report's content security policy allows only the script with this hash.
        script_hash=b64encode(sha256(script.encode()).digest()).decode(),
    )  # fmt: skip


def _description(records: Sequence[Record], suites: Sequence[SuiteNote]) -> str:
    """What the suites of the runs ask; of several, each with its name."""
    names = {record.suite for record in records}
    own = {s.name: " ".join(s.description.split()) for s in suites if s.name in names}
    told = {name: text for name, text in own.items() if text}
    return " ".join(told.values() if len(names) == 1 else (f"{n}: {t}" for n, t in told.items()))


def _choices(answers: Sequence[Section]) -> list[tuple[str, str]]:
    """Return the anchor and name of each scenario to choose from; of several, of all together."""
    groups = [group for section in answers for group in section.groups if group.scenario]
    names = {group.scenario: group.title for group in groups}
    return sorted(names.items(), key=lambda item: item[0] != ALL)


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("reports.html"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.policies["json.dumps_kwargs"] = {"ensure_ascii": False, "separators": (",", ":")}
    environment.filters |= {"several": several, "downloads": downloads}
    for kind in (Words, Facts, Table, Plot, LivePlot, Board, Matrix):
        environment.tests[kind.__name__.lower()] = lambda part, kind=kind: isinstance(part, kind)
    return environment


def _template(name: str) -> str:
    return files("reports.html").joinpath("templates", name).read_text(encoding="utf-8")


def _lead(records: Sequence[Record], cells: Sequence[Cell]) -> str:
    variants = sorted({cell.variant for cell in cells}, key=lambda variant: variant.order)
    names = list(dict.fromkeys(variant.strategy for variant in variants))
    return (
        f"{several(len(records), 'run')}: {len(names)} "
        f"{'strategy' if len(names) == 1 else 'strategies'} ({', '.join(names)}) in "
        f"{several(len(by_scenario(cells)), 'scenario')}, seeds {seeds(records)}."
    )
