"""Figures as files whose names are in any script."""

import warnings

import pandas as pd
import pytest
from matplotlib.figure import Figure

from palimpsest.reports.figures.drawing.plot import Plot
from palimpsest.reports.formats import images
from palimpsest.reports.formats.export import Exports
from palimpsest.reports.formats.images import MissingGlyphs, pdf, png
from palimpsest.reports.formats.svg import svg_file

STIX = "\N{SCRIPT SMALL G}"  # of a font that comes with Matplotlib, and not of the figures' font
NOWHERE = "\U000f0000\U000f0001"  # private use


def plot(text, name="a"):
    def draw():
        figure = Figure(figsize=(2, 1))
        figure.text(0.1, 0.5, text)
        return figure

    return Plot("Title", "", "", pd.DataFrame(), draw, name=name)


def caught(work):
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        work()
    return [each.message for each in found]


@pytest.fixture(autouse=True)
def forget():
    images._fonts.cache_clear()


@pytest.mark.parametrize("save", [png, pdf])
def test_another_font_is_taken_that_has_the_characters(save, monkeypatch):
    found = []
    assert caught(lambda: found.append(save(plot(f"wpl {STIX}")))) == []
    monkeypatch.setattr(images, "_fonts", lambda characters, truetype: ())
    boxes = []
    assert len(caught(lambda: boxes.append(save(plot(f"wpl {STIX}"))))) == 1
    assert found != boxes


def test_names_in_the_usual_font_look_as_before():
    plain = png(plot("Größe стратегия λ"))
    assert caught(lambda: png(plot("Größe стратегия λ"))) == []
    assert plain == png(plot("Größe стратегия λ"))
    assert images._fonts.cache_info().currsize == 0  # no font was searched


def test_characters_that_no_font_has_are_named_once(tmp_path):
    parts = [plot(f"{NOWHERE[0]} {STIX}"), plot(f"x{NOWHERE}", "b"), plot("c", "c")]
    (warning,) = caught(lambda: Exports(tmp_path, [], ["png", "pdf", "svg"]).outputs(parts))
    assert isinstance(warning, MissingGlyphs)
    assert warning.characters == NOWHERE
    assert str(warning).startswith(f"PNG and PDF figures show boxes for {NOWHERE}, ")


def test_other_warnings_are_not_lost(tmp_path):
    def draw():
        warnings.warn("mine", UserWarning, stacklevel=2)
        return Figure()

    part = Plot("", "", "", pd.DataFrame(), draw, name="a")
    (warning,) = caught(lambda: Exports(tmp_path, [], ["png"]).outputs([part]))
    assert str(warning) == "mine"


def test_text_of_svg_stays_text_and_needs_no_font():
    found = []
    assert caught(lambda: found.append(svg_file(plot("策略 🙂")))) == []
    assert "策略 🙂" in found[0].decode()
