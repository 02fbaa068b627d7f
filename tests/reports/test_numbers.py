"""No number is written in two ways, and none as minus zero."""

import re

import pytest

from palimpsest.benchmark.cli.printing.run_listing import _number as listed
from palimpsest.benchmark.metrics import METRICS
from palimpsest.reports.figures.pages.lines import _number as tick
from palimpsest.reports.wording.numbers import decimals, measured, percent, quantity, strength_text

WRITERS = {
    "percent": percent,
    "percent, signed": lambda value: percent(value, signed=True),
    "decimals": decimals,
    "decimals, signed": lambda value: decimals(value, signed=True),
    "strength": strength_text,
    "tick": tick,
    **{name: measured(metric) for name, metric in METRICS.items()},
    **{f"{n}, unit": lambda value, m=metric: quantity(m, value) for n, metric in METRICS.items()},
    **{f"{n}, listed": lambda value, m=metric: listed(m, value) for n, metric in METRICS.items()},
}
MINUS_ZERO = re.compile("[-\N{MINUS SIGN}]0(\\.0*)?(?![\\d.e])")


@pytest.mark.parametrize("value", [-0.0, 0.0, -1e-12, 1e-12, -0.0004])
def test_nothing_is_minus_zero(value):
    for name, write in WRITERS.items():
        assert not MINUS_ZERO.search(write(value)), (name, write(value))


def test_a_value_reads_alike_however_it_was_written():
    assert {strength_text(value) for value in (100, 100.0, 1e2, float("1e2"))} == {"100"}
    assert [strength_text(value) for value in (1e3, 9999, 1e4, 1e6)] == [
        "1000",
        "9999",
        "1e4",
        "1e6",
    ]
