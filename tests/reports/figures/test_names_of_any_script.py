"""Names in figures may be of any script, whatever the figures' font has."""

import warnings

import pytest

from palimpsest.benchmark.store.store import SuiteNote
from palimpsest.reports.figures.drawing.labels import ems, wrapped
from palimpsest.reports.html.report import write_report

NAMES = ("मेरा", "ไทย", "தமிழ்", "\u0301", "עברית", "🜁", "\u200b", "\U000f0000", "策" * 40)


def test_every_character_has_a_width():
    characters = [chr(code) for code in range(1, 0x110000, 53) if not 0xD800 <= code < 0xE000]
    assert all(0 <= ems(each) <= 20 for each in characters)


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_broken_into_lines(name):
    assert wrapped(f"{name}, strength 10").count("\n") <= 2


def test_a_report_is_written_of_strategies_of_any_name(record, tmp_path):
    runs = [
        record([[0.9, 0.1], [0.5, 0.8]], strategy=name, kind="wpl", strength=strength, seed=seed)
        for name in NAMES
        for strength in (1.0, 10.0)
        for seed in range(2)
    ]
    note = SuiteNote("s", "", ("s",), NAMES)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        write_report(runs, tmp_path / "r.html", sources=["a"], command="", suites=[note])
    assert all(name in (tmp_path / "r.html").read_text() for name in NAMES if name.isprintable())
