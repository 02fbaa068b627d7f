"""CSV that no spreadsheet executes, and Parquet whose types do not depend on the values."""

import csv
import gzip
import io
import re
from base64 import b64decode

import numpy as np
import pandas as pd
import pytest

from palimpsest.reports.figures.drawing.plot import Plot
from palimpsest.reports.formats.data import csv_of, harmless, parquet_of
from palimpsest.reports.formats.export import Exports
from palimpsest.reports.html.downloads import downloads
from palimpsest.reports.html.sections import sections
from palimpsest.reports.runs.cells import group
from palimpsest.reports.tables.table import Column, Row, Table

FORMULAS = ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\tx", "\r=1", "\n=1", "＝1+1"]


@pytest.mark.parametrize("text", FORMULAS)
def test_formulas_are_text_wherever_they_stand(text):
    made = "'" + text.replace("\r", "\n")
    assert harmless(text) == made
    assert harmless(harmless(text)) == harmless(text)
    for texts in (pd.Series([text, "b"]), pd.Series([text, None, text]).astype("category")):
        rows = list(csv.reader(io.StringIO(csv_of(pd.DataFrame({text: texts})), newline="")))
        assert rows[:2] == [[made], [made]]


def test_a_carriage_return_does_not_begin_a_row():
    text = csv_of(pd.DataFrame({"name": ["a\r=1+1", "b\r\n=2"]}))
    assert text == 'name\n"a\n=1+1"\n"b\n=2"\n'


@pytest.mark.parametrize("text", ["wpl", "a=1", "", "'=1", "ö-1", "-0.5", "+1e4", "x-y"])
def test_other_text_is_left_alone(text):
    assert harmless(text) == text


def test_numbers_stay_numbers():
    frame = pd.DataFrame({"name": ["-x", None], "change": [-0.5, np.nan], "n": [-1, 2]})
    mixed = frame.assign(value=pd.Series([-0.25, "-a"], dtype=object))
    assert csv_of(mixed).splitlines() == ["name,change,n,value", "'-x,-0.5,-1,-0.25", ",,2,'-a"]
    assert frame["name"][0] == "-x"  # the frame itself is unchanged


def test_the_data_in_the_report_are_harmless_too():
    data = pd.DataFrame({"variant": ["=wpl"], "mean": [-0.5]})
    for part in (
        Plot("", "", "", data, lambda: None, name="a"),
        Table("", "", [Column("a"), Column("b")], [Row(["=wpl", "-"])], data, name="a"),
    ):
        packed = downloads(part)[0].address.partition(",")[2]
        assert gzip.decompress(b64decode(packed)).decode() == "variant,mean\n'=wpl,-0.5\n"


def test_a_title_that_is_a_formula_stands_once_in_the_index(tmp_path):
    table = Table("=1+1", "@me", (), (), pd.DataFrame({"a": [1]}), name="t")
    for _ in range(2):
        index, *others = Exports(tmp_path, ["csv"], []).outputs([table])
        for output in (index, *others):
            output.path.write_bytes(output.content)
    assert index.content.decode().splitlines()[1:] == ["t,table,t.csv,'=1+1,'@me"]


def test_an_empty_column_has_the_type_of_a_full_one(record, rich):
    """In every table of the report: numbers as numbers, texts as texts, never of no type."""
    pq = pytest.importorskip("pyarrow.parquet")
    few = [record([[0.9, 0.1], [0.5, 0.9]], strategy=s) for s in ("finetune", "wpl")]
    types = {}
    for runs in (rich, few, [record([[0.9]])]):
        for section in sections(group(runs)):
            for table in (part for part in section.parts if isinstance(part, Table)):
                content = parquet_of(table.data)
                for field in pq.read_schema(io.BytesIO(content)):
                    text = str(field.type).removeprefix("large_")
                    own = re.sub(r"^scenario-\d+-|-\d.*", "", table.name), field.name
                    types.setdefault(own, {}).setdefault(text, table.name)
    assert len(types) > 60
    assert {name: found for name, found in types.items() if len(found) > 1 or "null" in found} == {}
