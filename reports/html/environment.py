"""The templates and scripts of the report, and what templates may use."""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha256
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined

from palimpsest.reports.figures.drawing.plot import Plot
from palimpsest.reports.html.boards import Board, ScenarioMatrix
from palimpsest.reports.html.downloads import downloads
from palimpsest.reports.html.live import LivePlot
from palimpsest.reports.html.parts import FactList, Words
from palimpsest.reports.tables.table import Table
from palimpsest.reports.wording.words import several


def environment() -> Environment:
    """Return the Jinja environment, with the report's filters and tests."""
    made = Environment(
        loader=PackageLoader("palimpsest.reports.html"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.policies["json.dumps_kwargs"] = {"ensure_ascii": False, "separators": (",", ":")}
    made.filters |= {"several": several, "downloads": downloads}
    for kind in (Words, FactList, Table, Plot, LivePlot, Board, ScenarioMatrix):
        made.tests[kind.__name__.lower()] = lambda part, kind=kind: isinstance(part, kind)
    return made


def text_of(*names: str) -> str:
    """Return scripts and style sheets, such as ``answer.js`` or ``report.css``, joined."""
    room = files("palimpsest.reports.html")
    folders = ("scripts" if name.endswith(".js") else "templates" for name in names)
    found = (room / folder / name for folder, name in zip(folders, names, strict=True))
    return "".join(file.read_text(encoding="utf-8") for file in found)


def digest(script: str) -> str:
    """Return the hash by which a content security policy allows a script."""
    return b64encode(sha256(script.encode()).digest()).decode()
