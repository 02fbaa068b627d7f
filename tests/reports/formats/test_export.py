"""Tables and figures as files: exact, escaped, the same for the same runs."""

import csv
import struct
from dataclasses import replace
from datetime import datetime
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from palimpsest.benchmark.errors import UserError
from palimpsest.benchmark.files.writing import write_files
from palimpsest.reports.figures.drawing.plot import Plot
from palimpsest.reports.formats import export as module
from palimpsest.reports.formats.export import FIGURES, TABLES, Exports, check_formats
from palimpsest.reports.formats.latex import latex
from palimpsest.reports.statistics.interval import Estimate
from palimpsest.reports.tables.table import Column, Noted, Row, Table
from palimpsest.reports.wording.numbers import percent


def draw():
    figure = Figure(figsize=(3, 2), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0.5, 1 / 3], label="wpl $1")
    axes.set_xlabel("steps")
    axes.legend()
    return figure


DATA = pd.DataFrame({"variant": ["é, strength 1e4", "b"], "mean": [1 / 3, np.nan], "n": [5, 0]})
TABLE = Table(
    "Every variant",
    "Mean ± half, 95 %",
    (
        Column("strategy, strength", words=True),
        Column("forgetting reduction", "%", write=percent),
        Column("seeds"),
    ),
    [
        Row(["wpl [a.db]", Estimate(-0.5, -0.534, -0.466, 5), 5], group="wpl"),
        Row(
            ["wpl_2", Noted(Estimate(0.25, None, None, 1), "(1)"), Noted(5, "+ 1 failed")],
            group="wpl",
        ),
        Row(["freeze", None, 5], group="freeze"),
        Row(["si", Estimate(0.5, -0.015, 0.61, 9), 5], group="freeze"),
        Row(["l2", Estimate(-0.1, None, None, 2, (-0.5, 0.3)), 2], group="freeze"),
    ],
    DATA,
    name="scenario-1-metrics",
)
PLOT = Plot(
    "Plane", "A caption, with a comma.", "What it shows.", DATA, draw, name="scenario-1-plane"
)


def export(parts, folder, tables, figures):
    write_files(Exports(folder, tables, figures).outputs(parts))


def files(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_each_part_in_each_format_and_an_index(tmp_path):
    export([PLOT, TABLE], tmp_path / "new" / "folder", ["csv", "latex"], ["svg", "pdf", "png"])
    found = files(tmp_path / "new" / "folder")
    assert set(found) == {
        "index.csv",
        "scenario-1-metrics.csv",
        "scenario-1-metrics.tex",
        *(f"scenario-1-plane.{suffix}" for suffix in ("pdf", "png", "svg")),
    }
    rows = list(csv.DictReader(found["index.csv"].decode().splitlines()))
    assert rows[0] == {
        "name": "scenario-1-plane",
        "kind": "figure",
        "files": "scenario-1-plane.svg scenario-1-plane.pdf scenario-1-plane.png",
        "title": "Plane",
        "caption": "A caption, with a comma.",
    }
    assert (rows[1]["kind"], rows[1]["title"]) == ("table", "Every variant")


def test_only_what_was_asked_for(tmp_path):
    export([PLOT, TABLE], tmp_path, [], ["png"])
    assert set(files(tmp_path)) == {"index.csv", "scenario-1-plane.png"}
    assert b"Every variant" not in files(tmp_path)["index.csv"]


def test_csv_keeps_every_bit(tmp_path):
    export([TABLE], tmp_path, ["csv"], [])
    back = pd.read_csv(tmp_path / "scenario-1-metrics.csv", encoding="utf-8")
    pd.testing.assert_frame_equal(back, DATA, check_exact=True)


def test_parquet_keeps_every_bit(tmp_path):
    pytest.importorskip("pyarrow")
    export([TABLE], tmp_path, ["parquet"], [])
    back = pd.read_parquet(tmp_path / "scenario-1-metrics.parquet")
    pd.testing.assert_frame_equal(back, DATA, check_exact=True)


def test_parquet_without_pyarrow_says_what_to_install(monkeypatch):
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install 'palimpsest-bench\[parquet\]'"):
        check_formats("--tables", ["csv,parquet"], TABLES)


def test_latex_says_what_the_page_says():
    assert latex(TABLE).splitlines() == [
        r"% Needs \usepackage{booktabs} in the preamble.",
        r"\begin{table}[htbp]",
        r"\centering\sloppy",
        r"\caption{Every variant. Mean $\pm$ half, 95 \%.}",
        r"\label{tab:scenario-1-metrics}",
        r"\smallskip",
        r"\fontsize{8}{9.5}\selectfont",
        r"\setlength{\tabcolsep}{3pt}",
        r"\begin{tabular}{@{}lrr@{}}",
        r"\toprule",
        r"\shortstack[l]{strategy, \\ strength} & forgetting reduction & seeds \tabularnewline",
        r" & \% &  \tabularnewline",
        r"\midrule",
        r"wpl {[}a.db] & $-50.0$ $[-53.4, -46.6]$ & $5$ \tabularnewline",
        r"wpl\_2 & $25.0$ (1) & $5$ + 1 failed \tabularnewline",
        r"\midrule",
        r"freeze & -- & $5$ \tabularnewline",
        r"si & $50.0$ $[-1.5, 61.0]$ & $5$ \tabularnewline",
        r"l2 & $-10.0$ ($-$50.0, 30.0) & $2$ \tabularnewline",
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]


def test_pdf_holds_truetype_fonts_and_no_date(tmp_path):
    export([PLOT], tmp_path, [], ["pdf"])
    content = (tmp_path / "scenario-1-plane.pdf").read_bytes()
    assert content.startswith(b"%PDF")
    assert b"/FontFile2" in content
    assert b"/Type3" not in content
    assert b"Date" not in content


def test_png_is_sharp_and_white(tmp_path):
    from matplotlib.image import imread

    export([PLOT], tmp_path, [], ["png"])
    content = (tmp_path / "scenario-1-plane.png").read_bytes()
    assert struct.unpack(">II", content[16:24]) == (600, 400)
    corner = imread(tmp_path / "scenario-1-plane.png")[0, 0]
    assert list(corner) == [1, 1, 1, 1]


def test_svg_stands_alone(tmp_path):
    export([PLOT], tmp_path, [], ["svg"])
    root = ElementTree.parse(tmp_path / "scenario-1-plane.svg").getroot()
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert root.attrib["aria-label"] == "What it shows."


def test_the_same_runs_give_the_same_files_on_another_day(tmp_path, monkeypatch):
    formats = [name for name in TABLES if name != "parquet"]
    export([PLOT, TABLE], tmp_path / "a", formats, list(FIGURES))
    monkeypatch.setenv("SOURCE_DATE_EPOCH", str(int(datetime(2030, 1, 1).timestamp())))
    export([PLOT, TABLE], tmp_path / "b", formats, list(FIGURES))
    assert files(tmp_path / "a") == files(tmp_path / "b")


def test_formats_come_repeated_or_with_commas():
    assert check_formats("--figures", ["svg,pdf", "png", "svg"], FIGURES) == ["svg", "pdf", "png"]
    assert check_formats("--figures", [], FIGURES) == []


@pytest.mark.parametrize("text", ["pfd", "pdf,", "svg,pfd"])
def test_an_unknown_format_is_a_mistake(text):
    with pytest.raises(UserError, match="--figures: unknown format"):
        check_formats("--figures", [text], FIGURES)


def test_a_folder_that_cannot_be_written_is_a_mistake(tmp_path):
    (tmp_path / "taken").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        export([TABLE], tmp_path / "taken", ["csv"], [])


FOREIGN = {
    "database": b"SQLite format 3\0" + bytes(100),
    "binary": bytes(range(256)),
    "suite": b"suite: mine\n",
    "svg": b'<?xml version="1.0"?>\n<svg width="1"></svg>\n',
    "tex": b"\\begin{table}\n\\end{table}\n",
    "png": b"\x89PNG\r\n\x1a\n" + bytes(100),
    "pdf": b"%PDF-1.4\n%\xac",
}
OF_ONE_KIND = {("png", "png"), ("pdf", "pdf"), ("csv", "suite"), ("csv", "svg"), ("csv", "tex"),
               ("csv", "pdf")}  # fmt: skip
FORMATS = {"csv": "csv", "tex": "latex", "parquet": "parquet", "svg": "svg", "pdf": "pdf",
           "png": "png"}  # fmt: skip


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_file_of_another_is_not_replaced(tmp_path, suffix):
    if suffix == "parquet":
        pytest.importorskip("pyarrow")
    name = FORMATS[suffix]
    exports = Exports(tmp_path, [name] * (name in TABLES), [name] * (name in FIGURES))
    part = TABLE if name in TABLES else PLOT
    index, output = exports.outputs([part])
    for kind, content in FOREIGN.items():
        output.path.write_bytes(content)
        with pytest.raises(UserError, match="did not write"):
            write_files([index, output])
        assert files(tmp_path) == {output.path.name: content}
        other = Exports(tmp_path, ["csv"] * (name != "csv"), ["png"] * (name == "csv"))
        write_files(other.outputs([TABLE, PLOT]))  # our index, which does not name the file
        with pytest.raises(UserError, match="did not write"):
            write_files(exports.outputs([part]))
        for path in set(tmp_path.iterdir()) - {output.path}:
            path.unlink()
        write_files([index])  # now it names it
        before = files(tmp_path)
        if (suffix, kind) in OF_ONE_KIND:
            assert output.kind.has(output.path)
        else:
            with pytest.raises(UserError, match="did not write"):
                write_files([index, output])
            assert files(tmp_path) == before
        output.path.unlink()
        for _ in range(2):
            write_files([index, output])
        assert files(tmp_path)[output.path.name] == output.content
        index.path.unlink()


def test_the_index_keeps_earlier_files_that_are_still_there(tmp_path):
    def listed():
        rows = csv.DictReader((tmp_path / "index.csv").read_text().splitlines())
        return [(row["name"], row["files"], row["title"]) for row in rows]

    write_files(Exports(tmp_path, ["csv", "latex"], []).outputs([TABLE, PLOT]))
    (tmp_path / f"{TABLE.name}.tex").unlink()
    for _ in range(2):
        write_files(Exports(tmp_path, [], ["png"]).outputs([TABLE, PLOT]))
        assert listed() == [
            (TABLE.name, f"{TABLE.name}.csv", TABLE.title),
            (PLOT.name, f"{PLOT.name}.png", PLOT.title),
        ]
    other = replace(TABLE, title="Of other runs")
    write_files(Exports(tmp_path, ["latex"], []).outputs([other]))
    assert listed() == [
        (TABLE.name, f"{TABLE.name}.tex", "Of other runs"),
        (TABLE.name, f"{TABLE.name}.csv", TABLE.title),
        (PLOT.name, f"{PLOT.name}.png", PLOT.title),
    ]
    write_files(Exports(tmp_path, ["csv"], []).outputs([other]))
    assert listed()[0] == (TABLE.name, f"{TABLE.name}.csv {TABLE.name}.tex", "Of other runs")
    assert len(listed()) == 2
