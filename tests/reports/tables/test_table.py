from functools import partial

import pandas as pd
import pytest

from palimpsest.reports.statistics.collapse import Strays
from palimpsest.reports.statistics.interval import Estimate
from palimpsest.reports.tables.table import Column, Entry, Noted, Row, Table
from palimpsest.reports.wording.numbers import percent

SIGNED = Column("plasticity", "points", write=partial(percent, signed=True))

FAR = Estimate(0.05, -0.09, 0.19, 5, (0.0, 0.0, 0.0, 0.0, 0.25), Strays(1, below=False))
APART = "1 of 5 seeds far above, median\xa00.0"


@pytest.mark.parametrize(
    ("column", "cell", "entry"),
    [
        (Column("seeds"), 5, Entry("5")),
        (Column("seeds"), Noted(4, "+ 1 failed"), Entry("4", note="+ 1 failed")),
        (Column("strategy"), "wpl", Entry("wpl")),
        (Column("stability", "%", write=percent), None, Entry("–")),
        (Column("stability", "%", write=percent), 0.5, Entry("50.0")),
        (SIGNED, Estimate(-0.02, None, None, 1, (-0.02,)), Entry("−2.0")),
        (SIGNED, Estimate(None, None, None, 0), Entry("–")),
        (SIGNED, Estimate(0.02, -0.01, 0.05, 10), Entry("+2.0", "[−1.0,\xa0+5.0]")),
        (SIGNED, Estimate(0.02, None, None, 2, (0.0, 0.04)), Entry("+2.0", "(0.0,\xa0+4.0)")),
        (SIGNED, Estimate(0.02, None, None, 1), Entry("+2.0")),
        (SIGNED, Noted(Estimate(0.0, 0.0, 0.0, 4), "(4)"), Entry("0.0", "[0.0,\xa00.0]", "(4)")),
        (SIGNED, Noted(FAR, "(5)"), Entry("+5.0", "[−9.0,\xa0+19.0]", f"(5); {APART}")),
    ],
)
def test_how_a_cell_is_written(column, cell, entry):
    assert column.entry(cell) == entry


def test_rows_that_belong_together():
    rows = [Row(["a", 1], "x"), Row(["b", 2], "x"), Row(["c", 3], "y"), Row(["d", 4], "x")]
    columns = [Column("name", words=True), Column("number")]
    table = Table("T", "caption", columns, rows, pd.DataFrame())
    assert [[row.cells[0] for row in group] for group in table.groups] == [["a", "b"], ["c"], ["d"]]
    assert table.entries(rows[0]) == [(columns[0], Entry("a")), (columns[1], Entry("1"))]


def test_a_row_that_does_not_fit_is_an_error():
    table = Table("T", "caption", [Column("name")], [Row(["a", 1])], pd.DataFrame())
    with pytest.raises(ValueError, match="argument"):
        table.entries(table.rows[0])
