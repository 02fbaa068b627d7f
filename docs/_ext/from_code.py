"""Parts of pages that are written from the code, and so say what it does.

Each directive is a function from its argument to Markdown: ``{settings} module.Class``, say.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable
from importlib import import_module
from typing import Any

import yaml
from docutils import nodes
from pydantic import BaseModel
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from palimpsest.benchmark.cli.printing.listings import facts
from palimpsest.benchmark.data.sets import SETS
from palimpsest.benchmark.kit.check import PROPERTIES
from palimpsest.benchmark.metrics import METRICS
from palimpsest.benchmark.plugins.families import FAMILIES
from palimpsest.benchmark.probes import PROBES, load
from palimpsest.benchmark.scenarios.settings.scenario import ScenarioSettings
from palimpsest.benchmark.settings.text import default_text, type_text
from palimpsest.benchmark.suites.file import shipped_suites
from palimpsest.reports.figures.figure import figures
from palimpsest.strategies.base.catalogue import STRATEGIES


def plain(text: str) -> str:
    """Return Markdown that shows a text as it is."""
    return re.sub(r"([\\`*_{}\[\]<>|#~$])", r"\\\1", " ".join(text.split()))


def code(text: str) -> str:
    """Return a text as code, in a table, too."""
    return f"`{text.replace('|', chr(92) + '|')}`"


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a table of cells that are Markdown."""
    head = list(head)
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def restructured(text: str) -> str:
    """Return Markdown that holds a docstring or a directive of reStructuredText."""
    return f"````{{eval-rst}}\n{text}\n````\n"


def settings(model: type[BaseModel], names: Iterable[str] | None = None) -> str:
    """Return the table of a model's settings, or of those named."""
    chosen = model.model_fields if names is None else names
    fields = [(name, model.model_fields[name]) for name in chosen if name != "family"]
    if not fields:
        return "It has no settings.\n"
    rows = [
        (code(name), code(default_text(field)), _values(field.annotation), _meaning(model, name))
        for name, field in fields
    ]
    columns = 4 if any(row[3] for row in rows) else 3  # without a column that is empty
    head = ("setting", "default", "values", "meaning")
    return table(head[:columns], (row[:columns] for row in rows))


def strategy(name: str) -> str:
    """What a strategy is and where its limits are, by its docstring, and its settings."""
    found = STRATEGIES[name]
    known = found.facts
    dial = f"Swept over `{known.dial.plural}`. " if known.dial else ""
    memory = f"{dial}The memory of its state is {known.memory} in the number of models."
    documented = restructured(f".. autoclass:: palimpsest.strategies.{found.__name__}")
    return "\n\n".join([documented, memory, settings(found.Settings)])


def strategies() -> str:
    """All strategies, a line each."""
    rows = (
        (
            f"[{name}](#{name.replace('_', '-')})",
            plain(found.facts.summary),
            plain(found.facts.source),
        )
        for name, found in STRATEGIES.items()
    )
    return table(("strategy", "what it does", "source"), rows)


def every_strategy() -> str:
    """A section for each strategy."""
    return "\n\n".join(f"## {name}\n\n{strategy(name)}" for name in STRATEGIES)


def scenario(name: str) -> str:
    """What a family is, by its docstring, and the settings that are its own."""
    family, common = FAMILIES[name], ScenarioSettings.model_fields
    own = [
        field
        for field, info in family.model_fields.items()
        if field not in common
        or (field != "family" and default_text(info) != default_text(common[field]))
    ]
    return "\n\n".join([restructured(_docstring(family)), settings(family, own)])


def every_scenario() -> str:
    """A section for each family."""
    return "\n\n".join(f"## {name}\n\n{scenario(name)}" for name in FAMILIES)


def data_sets() -> str:
    """The data sets that have a name."""
    rows = (
        (code(each.name), _images(each.input_shape), str(each.n_classes), _files(each.layouts))
        for each in SETS.values()
    )
    return table(("`data`", "images", "classes", "files below the data folder"), rows)


def settings_of(place: str) -> str:
    """The settings of any model, ``module.Class``."""
    module, _, name = place.rpartition(".")
    return settings(getattr(import_module(module), name))


def metrics() -> str:
    """Every metric: what it says, its formula by its docstring, and what is known of it."""
    parts, told = [], set()
    for name, metric in METRICS.items():
        place = f"{metric.function.__module__}.{metric.function.__qualname__}"
        known = table(("", ""), ((what, plain(text)) for what, text in facts(metric).items()))
        meaning = f"{metric.meaning[0].upper()}{metric.meaning[1:]}."
        again = "\n   :no-index:" if place in told else ""  # of another unit
        told.add(place)
        documented = restructured(f".. autofunction:: {place}{again}")
        parts += [f"### {name}", plain(meaning), documented, known]
    return "\n\n".join(parts)


def probes() -> str:
    """Every probe by its docstring."""
    return "\n\n".join(f"## {name}\n\n{restructured(_docstring(load(name)))}" for name in PROBES)


def report_figures() -> str:
    """Every figure of the report, by what a notebook calls it."""
    rows = ((code(name), figure.section, plain(figure.needs)) for name, figure in figures().items())
    return table(("figure", "section", "what it needs"), rows)


def properties() -> str:
    """Every property of the kit."""
    rows = ((plain(p.name), plain(p.meaning), plain(p.cause)) for p in PROPERTIES)
    return table(("property", "what holds", "usual cause where it does not"), rows)


def suites() -> str:
    """The suites that ship, by their descriptions."""
    described = {
        name: yaml.safe_load(text).get("description", "") for name, text in shipped_suites().items()
    }
    return table(("suite", "what it is"), ((code(n), plain(d)) for n, d in described.items()))


WRITERS: dict[str, Callable[..., str]] = {
    "strategies": strategies,
    "every_strategy": every_strategy,
    "every_scenario": every_scenario,
    "data_sets": data_sets,
    "settings": settings_of,
    "metrics": metrics,
    "probes": probes,
    "figures": report_figures,
    "properties": properties,
    "suites": suites,
}


class FromCode(SphinxDirective):
    """A part of a page, written by the function that ``WRITERS`` has for the directive."""

    optional_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Return the part, parsed as a part of this page."""
        text = WRITERS[self.name](*self.arguments)
        return self.parse_text_to_nodes(text, allow_section_headings=True)


def _images(shape: tuple[int, int, int]) -> str:
    channels, height, width = shape
    return f"{height} x {width}{', RGB' if channels == 3 else ''}"


def _files(layouts: tuple[tuple[str, ...], ...]) -> str:
    """The folder of the files, or the files where they have none."""
    if not layouts:
        return "none"
    folders = {file.rpartition("/")[0] for file in layouts[0]} - {""}
    return ", ".join(map(code, sorted(folders) or layouts[0]))


def _docstring(documented: type[Any]) -> str:
    return inspect.getdoc(documented) or ""


def _values(annotation: Any) -> str:
    return " or ".join(code(value) for value in type_text(annotation).split(" | "))


def _meaning(model: type[BaseModel], name: str) -> str:
    """A setting's description, or that of the base whose default a model has changed."""
    bases = (base.model_fields for base in model.__mro__ if issubclass(base, BaseModel))
    found = (fields[name].description for fields in bases if name in fields)
    return plain(next(filter(None, found), ""))


def setup(app: Sphinx) -> dict[str, Any]:
    """Add the directives."""
    for name in WRITERS:
        app.add_directive(name, FromCode)
    return {"parallel_read_safe": True}
