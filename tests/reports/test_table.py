from functools import partial

import pandas as pd
import pytest

from reports.bootstrap import Estimate
from reports.formatting import percent
from reports.statistics import Interval
from reports.table import Column, Entry, Noted, Row, Table

SIGNED = Column("plasticity", "points", write=partial(percent, signed=True))


@pytest.mark.parametrize(
    ("column", "cell", "entry"),
    [
        (Column("seeds"), 5, Entry("5")),
        (Column("seeds"), Noted(4, "+ 1 failed"), Entry("4", note="+ 1 failed")),
        (Column("strategy"), "wpl", Entry("wpl")),
        (Column("stability", "%", write=percent), None, Entry("–")),
        (Column("stability", "%", write=percent), 0.5, Entry("50.0")),
        (SIGNED, Interval(5, 0.02, 0.011, 0.0), Entry("+2.0", "±\u202f1.1")),
        (SIGNED, Interval(1, -0.02, None, 0.0), Entry("−2.0")),
        (SIGNED, Interval(0), Entry("–")),
        (SIGNED, Estimate(0.02, -0.01, 0.05, 10), Entry("+2.0", "[−1.0, +5.0]")),
        (SIGNED, Estimate(0.02, None, None, 1), Entry("+2.0")),
        (SIGNED, Noted(Interval(2, 0.0, 0.0, 0.0), "(2)"), Entry("0.0", "±\u202f0.0", "(2)")),
    ],
)
def test_how_a_cell_is_written(column, cell, entry):
    assert column.entry(cell) == entry


def test_rows_that_belong_together():
    rows = [Row(["a", 1], "x"), Row(["b", 2], "x"), Row(["c", 3], "y"), Row(["d", 4], "x")]
    columns = [Column("name", words=True), Column("number")]
    table = Table("t", "T", "caption", columns, rows, pd.DataFrame())
    assert [[row.cells[0] for row in group] for group in table.groups] == [["a", "b"], ["c"], ["d"]]
    assert table.entries(rows[0]) == [(columns[0], Entry("a")), (columns[1], Entry("1"))]


def test_a_row_that_does_not_fit_is_an_error():
    table = Table("t", "T", "caption", [Column("name")], [Row(["a", 1])], pd.DataFrame())
    with pytest.raises(ValueError, match="argument"):
        table.entries(table.rows[0])
