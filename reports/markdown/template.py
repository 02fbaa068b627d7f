"""The template of a page: Markdown with Jinja2, and variables in front of it.

A template may begin with a block of YAML between two lines ``---``; its keys are variables of
the page, for numbers from elsewhere, such as those read off a paper's figures. ``alike`` lists
strategies that have the colour of their kind in figures, not one of their own. The rest is
Markdown, in which ``suite(NAME, ...)`` gives the runs of a suite, or of several (see
``study.Study`` and, for figures, ``illustrated.IllustratedStudy`` and ``searches.SearchStudy``):

    ---
    paper: {k3: 63}
    ---
    {% set s = suite("shared_layers") %}
    A is at {{ s.value("k3", "wpl@1e4", "first_after") }} % after B; the paper has {{ paper.k3 }}.

Other functions: ``rows(PATH)`` gives the rows of a CSV file beside the template
(``csv_rows.read_rows``), ``folded(SUMMARY, TEXT)`` text that the reader can unfold
(``markdown.folded``), ``intervals()`` the number of 95 % intervals that the page prints
(``intervals``), and ``holm(P_VALUES)`` these corrected for their number.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import jinja2.sandbox
from jinja2 import StrictUndefined, TemplateError, TemplateSyntaxError
from jinja2.utils import missing

from palimpsest.benchmark.errors import UserError, nearest
from palimpsest.benchmark.files.untrusted import content
from palimpsest.benchmark.files.writing import FileKind
from palimpsest.benchmark.files.yaml_text import YAMLTextError, load
from palimpsest.benchmark.store.store import Record
from palimpsest.reports.analysis.choosing.variants import Catalog
from palimpsest.reports.figures.drawing.style import Styles
from palimpsest.reports.formats.markdown import folded
from palimpsest.reports.formats.svg import START
from palimpsest.reports.markdown.album import Album
from palimpsest.reports.markdown.csv_rows import read_rows
from palimpsest.reports.markdown.sandbox import Sandbox
from palimpsest.reports.markdown.searches import SearchStudy
from palimpsest.reports.runs.cells import group
from palimpsest.reports.statistics.pairs import holm

_FRONT = re.compile(r"\A---[ \t]*\n(.*?)^---[ \t]*\n", re.DOTALL | re.MULTILINE)

_MARK = "<!-- Written by 'palimpsest page' from {}: edit that, not this. -->"

PAGE = FileKind(
    "page",
    re.compile(rb"(?s)(.*\n)?" + re.escape(_MARK).replace(r"\{\}", "[^\n]*").encode()),
)
"""The page; other text may precede the mark."""

FIGURE = FileKind("page", START)

_SANDBOX = {jinja2.sandbox.__file__, sys.modules[Sandbox.__module__].__file__}
"""Through which operators of a template go."""

_SPACE = "\N{NO-BREAK SPACE}"
_PRINTED = re.compile(rf"{_SPACE}\[[^\[\]\s]+,{_SPACE}[^\[\]\s]+\]")
"""An interval as ``markdown.unbroken`` writes it; nobody types these spaces by hand."""

_PLACE = "\ue000{}\ue001"  # private-use characters, which no text contains
_PLACES = re.compile("\ue000([^\ue001]*)\ue001")

_OF_TEMPLATES = (UserError, TemplateError, OverflowError)
"""What our own functions and the sandbox raise for a template's mistake."""


def write_page(template: Path, records: Sequence[Record], folder: str) -> tuple[str, Album]:
    """Fill in a template.

    Args:
        template: The file.
        records: All runs that it can use, as ``merge.merge`` returns them.
        folder: The folder of the figures, relative to the page.

    Returns:
        The page and its figures.

    Raises:
        UserError: The template cannot be read, or asks for something that does not exist; the
            message gives the line.
    """
    try:
        text = content(template).decode()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise UserError(f"{template}: cannot be read ({reason}); name a template") from error
    variables, body = _front_matter(text, template)
    album = Album(PurePosixPath(folder))
    studies = _Studies(records, album, _alike(variables, template))
    functions = {
        "suite": studies.suite,
        "rows": partial(read_rows, template.parent),
        "folded": folded,
        "intervals": intervals,
        "holm": holm,
    }
    hidden = sorted(functions.keys() & variables.keys())
    if hidden:
        raise UserError(f"{template}: the variable {hidden[0]!r} hides the function; rename it")
    names = {**functions, **variables}
    environment = Sandbox(
        undefined=_unknown(names), trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    try:
        page = environment.from_string(body).render(names)
    except TemplateSyntaxError as error:
        raise UserError(f"{template}, line {error.lineno}: {error.message}") from error
    except Exception as error:
        line, innermost = _line(error)
        # Any other error inside our own functions is a bug and keeps its traceback.
        if line is None or not (innermost or isinstance(error, _OF_TEMPLATES)):
            raise
        raise UserError(f"{template}, line {line}: {error}") from error
    count = len(_PRINTED.findall(page))
    page = _PLACES.sub(lambda place: f"{round(count * float(place[1])):,}", page)
    return _MARK.format(template.name) + "\n\n" + page.lstrip("\n"), album


def intervals(share: float = 1.0) -> str:
    """Return a placeholder for the number of 95 % intervals that the finished page prints.

    Counted are those in brackets in text and tables, repeated ones included; not single seeds in
    parentheses, ends that a template prints separately (``.low``), or intervals in figures.

    Args:
        share: A factor, after which the count is rounded: ``intervals(0.05)`` is how many
            intervals miss the true value, if each does so in one of twenty cases.
    """
    return _PLACE.format(float(share))


class _Studies:
    """The suites of the stores, each prepared on first use."""

    def __init__(self, records: Sequence[Record], album: Album, alike: Collection[str]) -> None:
        self._records: dict[str, list[Record]] = {}
        for record in records:
            self._records.setdefault(record.suite, []).append(record)
        self._styles = Styles({(record.facts, record.strategy) for record in records}, alike)
        self._album = album
        self._made: dict[str, SearchStudy] = {}

    def suite(self, *names: str) -> SearchStudy:
        """The runs of a suite, or of several that have no scenario in common.

        A strategy has the same name in all, also where its settings are each suite's own.
        """
        for name in names:
            if name not in self._records:
                raise UserError(f"no runs of suite {name!r}; {nearest(name, self._records)}")
        together = " and ".join(names)
        if together not in self._made:
            own = [record for name in names for record in self._records[name]]
            places = {(record.scenario, record.suite) for record in own}
            for scenario, count in Counter(scenario for scenario, _ in sorted(places)).items():
                if count > 1:
                    raise UserError(
                        f"suites {together} both have a scenario {scenario!r}; a page joins only "
                        "suites whose scenarios have names of their own"
                    )
            kinds = {(record.strategy, record.spec.strategy.kind) for record in own}
            for strategy, count in Counter(strategy for strategy, _ in sorted(kinds)).items():
                if count > 1:
                    raise UserError(
                        f"in suites {together} the name {strategy!r} stands for strategies of "
                        "several kinds; a page joins only suites in which it is one"
                    )
            cells = [cell for name in names for cell in group(self._records[name])]
            catalog = Catalog.of(together, cells)
            self._made[together] = SearchStudy(own, catalog, self._styles, self._album)
        return self._made[together]


def _front_matter(text: str, template: Path) -> tuple[Mapping[str, Any], str]:
    """The variables, and the rest with its line numbers unchanged, for messages."""
    found = _FRONT.match(text)
    if not found:
        return {}, text
    try:
        variables = load(found[1])
    except YAMLTextError as error:
        line = f", line {error.line + 1}" if error.line else ""
        message = f"the front matter is not YAML: {error.problem}"
        raise UserError(f"{template}{line}: {message}") from error
    if variables is None:
        variables = {}
    if not isinstance(variables, dict) or not all(isinstance(key, str) for key in variables):
        raise UserError(f"{template}: the front matter must be names with values, 'name: value'")
    return variables, "\n" * found[0].count("\n") + text[found.end() :]


def _alike(variables: Mapping[str, Any], template: Path) -> Collection[str]:
    found = variables.get("alike", [])
    if not isinstance(found, list) or not all(isinstance(name, str) for name in found):
        raise UserError(f"{template}: alike is {found!r}, expected a list of names of strategies")
    return found


def _unknown(names: Mapping[str, Any]) -> type[StrictUndefined]:
    """Jinja's type for unknown names: its error message suggests the nearest name."""

    class Unknown(StrictUndefined):
        @property
        def _undefined_message(self) -> str:
            name, thing = self._undefined_name, self._undefined_obj
            if not isinstance(name, str) or self._undefined_hint:
                return super()._undefined_message
            if thing is missing:
                return f"{name!r} is not known; {nearest(name, names)}"
            if isinstance(thing, Mapping):
                return f"no {name!r} here; {nearest(name, map(str, thing))}"
            if type(thing).__module__.startswith("palimpsest.reports."):
                known = [known for known in dir(thing) if not known.startswith("_")]
                return f"no {name!r} here; {nearest(name, known)}"
            return super()._undefined_message

    return Unknown


def _line(error: BaseException) -> tuple[int | None, bool]:
    """The template's line that an error came from, and whether the template itself raised it."""
    place, innermost, trace = None, False, error.__traceback__
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        if file == "<template>":
            innermost, place = True, trace.tb_lineno
        else:  # operators go through the sandbox
            innermost = innermost and file in _SANDBOX
        trace = trace.tb_next
    return place, innermost
