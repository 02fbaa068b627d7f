"""One self-contained HTML file: it opens offline, and asks for nothing from outside."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from benchmark import __version__
from benchmark.errors import UserError
from benchmark.store import Record
from reports.cells import Cell, Variant, by_scenario, group, strength_text
from reports.findings import caveats, findings
from reports.formatting import duration, percent, several
from reports.plots import scenario_plots
from reports.style import Style, styles


@dataclass(frozen=True)
class Column:
    """A column of a table: a metric, or its worst seed.

    Attributes:
        metric: Its name in ``benchmark/metrics.py``.
        title: Its heading.
        unit: Per cent, or percentage points for differences.
        meaning: What it says, for the reader who has not met it.
        worst: Show the smallest value over seeds instead of the mean.
    """

    metric: str
    title: str
    unit: str
    meaning: str
    worst: bool = False


COLUMNS = (
    Column("stability", "stability", "%", "accuracy of the earlier models at the end"),
    Column(
        "plasticity",
        "plasticity",
        "points",
        "accuracy of each new model when it has just learned, minus that of the same model trained "
        "alone: 0 is as good as alone, negative is what sharing and protection cost",
    ),
    Column(
        "forgetting_reduction",
        "forgetting reduction",
        "%",
        "share of fine-tuning's forgetting that is avoided, seed by seed",
    ),
    Column("average_accuracy", "average accuracy", "%", "accuracy of all models at the end"),
    Column(
        "forgetting",
        "forgetting",
        "points",
        "loss from an earlier model's best accuracy to its last one; negative where it gained",
    ),
    Column(
        "learning_accuracy",
        "learning accuracy",
        "%",
        "accuracy of each new model when it has just learned",
    ),
    Column(
        "learning_accuracy",
        "learning accuracy, worst seed",
        "%",
        "the same for the worst seed; far below the mean, training was unstable",
        worst=True,
    ),
    Column(
        "minimum_accuracy",
        "minimum accuracy",
        "%",
        "an earlier model's worst accuracy at any measured step since it had learned",
    ),
)
MORE_COLUMNS = (
    Column(
        "backward_transfer",
        "backward transfer",
        "points",
        "change of an earlier model from when it had just learned to the end",
    ),
    Column(
        "forward_transfer",
        "forward transfer",
        "points",
        "gain of a model, before its own training, from what was trained before it",
    ),
    Column(
        "intransigence",
        "intransigence",
        "points",
        "accuracy of each new model under joint training minus that in sequence; lower is better",
    ),
)
RUN_COLUMNS = tuple(column for column in COLUMNS if not column.worst)


def write_report(
    records: Sequence[Record], output: Path, *, sources: Sequence[str], command: str
) -> None:
    """Write the report of some runs; the file appears whole or not at all.

    The same runs give the same file.

    Args:
        records: Runs as ``Store.records`` returns them.
        output: The HTML file; replaced where it exists.
        sources: Where the runs come from, such as the store's path.
        command: What to type to make this report again.

    Raises:
        UserError: There are no runs, or the file cannot be written.
    """
    if not records:
        raise UserError(
            "the store has no finished runs to report; 'palimpsest run SUITE' makes some"
        )
    page = _page(records, sources=sources, command=command)
    temporary = output.with_name(f".{output.name}.{os.getpid()}.tmp")
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        try:
            temporary.write_text(page, encoding="utf-8")
            temporary.replace(output)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise UserError(
            f"{output}: the report cannot be written here ({error.strerror}); name another file"
        ) from error


def _page(records: Sequence[Record], *, sources: Sequence[str], command: str) -> str:
    cells = group(records)
    variants = sorted({cell.variant for cell in cells}, key=lambda variant: variant.order)
    style = styles(variants)
    scenarios = [
        _scenario(name, members, style, f"scenario-{place}")
        for place, (name, members) in enumerate(by_scenario(cells).items(), 1)
    ]
    environment = Environment(
        loader=PackageLoader("reports"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "percent": percent,
        "several": several,
        "duration": duration,
        "strength": strength_text,
    }
    return environment.get_template("report.html.j2").render(
        title=f"Palimpsest report: {', '.join(sorted({r.suite for r in records}))}",
        cells=cells,
        strategies=list(dict.fromkeys(variant.strategy for variant in variants)),
        findings=findings(cells),
        caveats=caveats(cells),
        scenarios=scenarios,
        columns=COLUMNS,
        more_columns=MORE_COLUMNS,
        run_columns=RUN_COLUMNS,
        runs=[(cell, record) for cell in cells for record in cell.runs],
        failures=_failures(cells),
        provenance=_provenance(records, cells),
        sources=sources,
        command=command,
        version=__version__,
    )


def _scenario(
    name: str, cells: Sequence[Cell], style: dict[Variant, Style], prefix: str
) -> dict[str, Any]:
    """Collect what the template shows of one scenario."""
    done = [cell for cell in cells if cell.done]
    return {
        "id": prefix,
        "name": name,
        "settings": _settings(cells[0]),
        "strategies": [list(g) for _, g in groupby(cells, key=lambda c: c.variant.strategy)],
        "plots": [(plot, Markup(plot.svg())) for plot in scenario_plots(done, style, prefix)],
    }


def _settings(cell: Cell) -> list[tuple[str, str]]:
    """The settings of a scenario, in brief; they stand in full under Provenance."""
    record = next(cell.runs)
    settings = {**record.spec["scenario"], "device": record.spec.get("device")}
    return [
        (key.replace("_", " "), _in_words(value))
        for key, value in settings.items()
        if key not in {"name", "fingerprints"} and value is not None
    ]


def _in_words(value: Any) -> str:
    """A setting on one line: ``rmsprop, learning rate 0.01``, without what is switched off."""
    if not isinstance(value, dict):
        return value if isinstance(value, str) else json.dumps(value)
    parts = [
        _in_words(part) if key == "name" else f"{key.replace('_', ' ')} {_in_words(part)}"
        for key, part in sorted(value.items(), key=lambda item: item[0] != "name")
        if part or key == "name"
    ]
    return ", ".join(parts)


def _failures(cells: Sequence[Cell]) -> list[tuple[str, list[str]]]:
    """Every message once, with the runs that ended with it."""
    found: dict[str, list[str]] = {}
    for cell in cells:
        for record in cell.failed:
            run = f"{cell.scenario}, {cell.variant.label}, seed {record.seed}"
            found.setdefault(record.error or "no message", []).append(run)
    return list(found.items())


def _provenance(records: Sequence[Record], cells: Sequence[Cell]) -> dict[str, Any]:
    names = dict.fromkeys(name for record in records for name in record.versions)
    started = sorted(record.started for record in records if record.started)
    scenarios = {cell.scenario: next(cell.runs).spec["scenario"] for cell in cells}
    strategies = {cell.variant.strategy: next(cell.runs).spec["strategy"] for cell in cells}
    return {
        "versions": [
            (name, Counter(record.versions.get(name, "unknown") for record in records))
            for name in names
        ],
        "started": started,
        "seconds": sum(record.seconds for record in records),
        "memory": max(record.peak_memory for record in records) / 2**20,
        "seeds": ", ".join(str(seed) for seed in sorted({record.seed for record in records})),
        "settings": [
            (f"{kind} {name}", json.dumps(settings, indent=2, ensure_ascii=False))
            for kind, group in (("scenario", scenarios), ("strategy", strategies))
            for name, settings in group.items()
        ],
    }
