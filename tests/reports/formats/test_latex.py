"""Tables in LaTeX: escaped, and no wider than a column of a page."""

import re
import shutil
import subprocess

import pandas as pd
import pytest

from palimpsest.reports.formats.latex import WIDTH, latex
from palimpsest.reports.formats.latex_text import (
    breakable,
    broken,
    escape,
    filled,
    pieces,
    unknown,
    width,
)
from palimpsest.reports.html.sections import sections
from palimpsest.reports.runs.cells import group
from palimpsest.reports.statistics.interval import Estimate
from palimpsest.reports.tables.table import Column, Noted, Row, Table
from palimpsest.reports.wording.numbers import percent

NASTY = "50% of $x_1$ & {y} #3 ~ ^ \\ <a> | − ± – \N{NARROW NO-BREAK SPACE}[b.db] * \" '' `` -- λ"
NAMES = [
    NASTY, "Größe naïve œuvre Łódź", "策略-стратегия-🙂", "a\tb\nc\x1b\x00d", "", "w" * 90,
    "wpl_gradient_application_with_exact_fisher_and_momentum_0.9", "-0.5", "[a", "*", "M" * 60,
    "a strategy of quite some length whose name says all that it does, strength 1e3",
]  # fmt: skip

MEASURED = {
    "wpl, strength 1e4": 64.28,
    "0123456789": 42.50,
    "ABCDEFGHIJKLMNOPQRSTUVWXYZ": 158.13,
    "abcdefghijklmnopqrstuvwxyz": 108.43,
    "forgetting reduction": 73.92,
}
"""Points that TeX measures in Computer Modern at 8 points."""


def table(columns=6, rows=1):
    cell = Estimate(-0.5, -0.534, -0.466, 5)
    return Table(
        "Every variant", "Of many.",
        [Column("strategy, strength", words=True),
         *(Column(f"metric number {i}", "points", write=percent) for i in range(columns))],
        [Row([f"wpl {i}", *[cell] * columns], group=str(i // 3)) for i in range(rows)],
        pd.DataFrame({"a": [1]}), name="t",
    )  # fmt: skip


def tabulars(text):
    """Of each ``tabular`` the specification, the rows of its heading, and the others."""
    for spec, body in re.findall(
        r"\\begin\{tabular\}\{@\{\}([^\n]*)@\{\}\}\n(.*?)\\end", text, re.S
    ):
        parts = [
            [row.split(" & ") for row in part.split(" \\tabularnewline\n") if " & " in row]
            for part in re.split(r"\\\w+rule\n", body)[1:-1]
        ]
        yield spec, parts[0], [row for part in parts[1:] for row in part]


def test_many_columns_are_split_into_parts_that_fit_each_with_the_names():
    found = list(tabulars(latex(table())))
    assert len(found) == 3
    for spec, (titles, units), (values,) in found:
        assert spec == "lrr"
        assert titles[0] == r"\shortstack[l]{strategy, \\ strength}"
        assert units == ["", "points", "points"]
        assert values == ["wpl 0", *[r"$-50.0$ $[-53.4, -46.6]$"] * 2]
    assert 2 * (width("−50.0 [−53.4, −46.6]") + 6) + width("strategy,") <= WIDTH


def test_many_rows_are_split_into_floats_with_captions_and_labels():
    text = latex(table(2, 90))
    floats = text.split(r"\begin{table}")[1:]
    assert [re.findall(r"\\label\{(.*?)\}", one) for one in floats] == [
        ["tab:t"], ["tab:t-2"], ["tab:t-3"],
    ]  # fmt: skip
    assert r"\caption{Every variant. Of many.}" in floats[0]
    assert r"\caption{Every variant, continued.}" in floats[1]
    assert [row[0] for _, _, rows in tabulars(text) for row in rows] == [
        f"wpl {i}" for i in range(90)
    ]
    assert all(one.count("\n") < 70 for one in floats)


def test_nothing_is_lost_when_a_table_is_split(rich):
    for section in sections(group(rich)):
        for part in (part for part in section.parts if isinstance(part, Table)):
            cells = sum(len(row) - 1 for _, _, rows in tabulars(latex(part)) for row in rows)
            assert cells == (len(part.columns) - 1) * len(part.rows)


def test_an_effect_size_is_mathematics():
    columns = [Column("strategy", words=True), Column("effect", "d_z", write=str)]
    rows = [Row(["d_z", 0.5])]
    text = latex(Table("Effects", "By d_z", columns, rows, pd.DataFrame()))
    assert r" & $d_z$ \tabularnewline" in text
    assert r"\caption{Effects. By $d_z$.}" in text
    assert r"d\_z & $0.5$ \tabularnewline" in text  # a name


@pytest.mark.parametrize("text", MEASURED)
def test_widths_are_those_of_computer_modern_or_a_little_more(text):
    assert 0.998 * MEASURED[text] <= width(text) <= 1.13 * MEASURED[text]


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("50 %", r"50 \%"),
        ("a_b & c", r"a\_b \& c"),
        ("\\", r"\textbackslash{}"),
        ("{~^}", r"\{\textasciitilde{}\textasciicircum{}\}"),
        ("−0.5–1 ±", r"$-$0.5--1 $\pm$"),
        ("1\N{NO-BREAK SPACE}%", r"1~\%"),
        ("[x", "{[}x"),
        ("a--b", "a-{}-b"),
        ("λ_1", r"$\lambda$\_1"),
        ("é\nß", "é ß"),
        ("x策略_y", r"x\engineonly{策略}{{[}U+7B56 U+7565]}\_y"),
        ("\x00", r"\engineonly{}{{[}U+0000]}"),
    ],
)
def test_text_is_escaped(text, escaped):
    assert escape(text) == escaped


def test_long_words_may_be_broken_and_lines_are_filled():
    assert pieces("wpl_gradient-x") == ["wpl_", "gradient", "-", "x"]
    assert breakable("a_b wpl_gradient", 20) == r"a\_b wpl\_\allowbreak{}gradient"
    assert breakable("a wpl_gradient", 200) == r"a wpl\_gradient"
    assert filled(["to", "fine-tuning", "of"], 60) == ["to fine-tuning", "of"]
    assert broken("a metric_of_many", 45) == ["a", "metric_of_", "many"]
    assert unknown("é策λ\x00策") == ["策"]


def odd():
    """A table of odd names, notes and wide numbers."""
    far = Estimate(-123456.0, -1234567.8, 123456.7, 9)
    columns = [
        Column("strategy", words=True),
        Column(NASTY, "d_z", write=lambda value: f"{value:.1f}".replace("-", "−")),
        Column("reported at"), Column("of " + "W" * 40, "%"), Column("策略", words=True),
    ]  # fmt: skip
    rows = [
        Row([name, far, Noted("1e3 (3 of 5 seeds), 1e4 (2)", name), name, name]) for name in NAMES
    ]
    return Table(NASTY, " ".join(NAMES), columns, rows, pd.DataFrame(), name="odd")


@pytest.mark.parametrize("engine", ["pdflatex", "lualatex"])
def test_it_compiles_and_nothing_is_wider_than_a_column_or_higher_than_a_page(
    rich, tmp_path, engine
):
    if not shutil.which(engine):
        pytest.skip(f"{engine} is not installed")
    parts = [part for section in sections(group(rich)) for part in section.parts]
    tables = [odd(), table(9, 70), *(part for part in parts if isinstance(part, Table))][:20]
    document = [
        r"\documentclass[10pt,twocolumn]{article}\usepackage{booktabs}",
        rf"\columnsep0pt\columnwidth{WIDTH}pt\textwidth{2 * WIDTH}pt\begin{{document}}",
        *(text.replace("[htbp]", "[!p]") + r"\clearpage" for text in map(latex, tables)),
        r"\end{document}",
    ]
    (tmp_path / "a.tex").write_text("\n".join(document), encoding="utf-8")
    command = [engine, "-interaction=batchmode", "-halt-on-error", "a.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False)
    log = (tmp_path / "a.log").read_text(errors="replace")
    assert done.returncode == 0, log[-2000:]
    assert re.findall(r"Overfull \\hbox.*|.*Float too large.*|.*multiply defined.*", log) == []
