"""The documentation is built from the code, and says everything that there is."""

import html
import re
import sys
import warnings
from pathlib import Path

import pytest

from palimpsest.benchmark.kit.check import PROPERTIES
from palimpsest.benchmark.metrics import METRICS
from palimpsest.benchmark.plugins.families import FAMILIES
from palimpsest.benchmark.probes import PROBES, load
from palimpsest.reports.figures.figure import figures
from palimpsest.strategies.base.catalogue import STRATEGIES

build = pytest.importorskip("sphinx.cmd.build")
for needed in ("myst_parser", "furo"):
    pytest.importorskip(needed)

pytestmark = pytest.mark.thorough  # the site takes as long as a hundred other tests

DOCS = Path(__file__).parents[1] / "docs"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The site, built as ``make docs`` does: a warning is an error."""
    folder = tmp_path_factory.mktemp("site")
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings(action="ignore"):
        patch.setattr(sys, "path", [*sys.path])
        assert build.main(["-E", "-W", "--keep-going", "-q", str(DOCS), str(folder)]) == 0
    return folder


def sections(page):
    """The text of each section, by its anchor."""
    parts = re.split(r'<section id="([^"]+)">', page.read_text())
    texts = (" ".join(html.unescape(re.sub(r"<[^>]+>", " ", p)).split()) for p in parts[2::2])
    return dict(zip(parts[1::2], texts, strict=True))


def words(text):
    return re.sub(r"\W+", " ", text).strip()


def anchor(name):
    return name.replace("_", "-")


def test_every_strategy_has_its_formula_settings_and_limits(site):
    found = sections(site / "strategies.html")
    for name, entry in STRATEGIES.items():
        text = found[anchor(name)]
        first_line = entry.__doc__.splitlines()[0]
        assert words(first_line) in words(text), name
        assert " Limits: " in text, name
        for setting, field in entry.Settings.model_fields.items():
            assert setting in text.split(), (name, setting)
            assert words(field.description) in words(text), (name, setting)
        assert words(entry.facts.summary) in words(found["strategies"]), name


def test_every_scenario_family_has_its_settings(site):
    found = sections(site / "scenarios.html")
    for name, family in FAMILIES.items():
        text, common = found[anchor(name)], found["what-all-families-have"]
        assert words(family.__doc__.splitlines()[0]) in words(text), name
        for setting, field in family.model_fields.items():
            if setting != "family":
                shown = [part for part in (text, common) if setting in part.split()]
                assert any(words(field.description or "") in words(part) for part in shown), setting


def test_every_metric_and_probe_has_its_entry(site):
    found = sections(site / "metrics.html")
    for name, metric in METRICS.items():
        text = words(found[anchor(name)])
        for part in (metric.function.__doc__.splitlines()[0], metric.meaning, metric.source):
            assert words(part).lower() in text.lower(), name
    found = sections(site / "probes.html")
    for name in PROBES:
        assert words(load(name).__doc__.splitlines()[0]) in words(found[name]), name


def test_every_figure_of_the_report_is_listed(site):
    text = sections(site / "report.html")["figures"]
    for name, figure in figures().items():
        assert f"{name} {figure.section} {figure.needs}" in text


def test_every_property_of_the_kit_is_explained(site):
    text = words(sections(site / "own-strategy.html")["the-kit"])
    for each in PROPERTIES:
        assert words(each.name) in text
        assert words(each.meaning) in text


def test_a_sample_report_stands_beside_the_pages(site):
    assert 'href="sample-report.html"' in (site / "report.html").read_text()
    sample = (site / "sample-report.html").read_text()
    assert "<h1" in sample and "Palimpsest report: strength" in sample
    assert len(sample) < 5_000_000


def test_pages_ask_for_nothing_from_outside(site):
    pages = list(site.glob("*.html"))
    assert len(pages) > 10
    for page in pages:
        loaded = re.findall(r"<(?:script|link|img|iframe)\b[^>]*", page.read_text())
        assert loaded
        assert not [tag for tag in loaded if re.search(r'(?:src|href)="(?:https?:)?//', tag)]
