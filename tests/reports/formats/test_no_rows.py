"""A table without rows is written in every format."""

import pandas as pd

from palimpsest.reports.formats.data import csv_of, parquet_of
from palimpsest.reports.formats.latex import latex
from palimpsest.reports.formats.markdown import markdown
from palimpsest.reports.formats.terminal import summary_rows
from palimpsest.reports.tables.table import Column, Table

COLUMNS = (Column("strategy", words=True), Column("p"))
EMPTY = Table("pairs", "Pairs", "Nothing.", COLUMNS, (), pd.DataFrame({"strategy": [], "p": []}))


def test_latex_says_that_there_are_none():
    assert "none & --" in latex(EMPTY)


def test_the_others_have_their_headings():
    assert markdown(EMPTY).startswith("| strategy | p |")
    assert csv_of(EMPTY.data).count("\n") == 1
    assert parquet_of(EMPTY.data)
    assert summary_rows([]) == []
