"""Every figure of a report shows what it claims: all of it, inside its axes, and legibly."""

import pytest
from figure_checks import check, laid_out

from reports.cells import group
from reports.plot import Plot
from reports.sections import sections


@pytest.fixture(scope="module")
def cells(rich):
    return group(rich)


@pytest.fixture(scope="module")
def figures(cells):
    """Every plot of the report, with its figure laid out once."""
    parts = [part for section in sections(cells) for part in section.parts]
    return {part.name: (part, laid_out(part)) for part in parts if isinstance(part, Plot)}


def test_all(figures):
    for name, (plot, figure) in figures.items():
        for p in dict.fromkeys(check(figure)):
            print(name, p[:230])
    print(len(figures))
    assert 0
