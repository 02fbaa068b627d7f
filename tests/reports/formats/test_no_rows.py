"""A table without rows is written in every format."""

import pandas as pd

from palimpsest.benchmark.orchestration.loop import run_suite
from palimpsest.reports.formats.data import csv_of, parquet_of
from palimpsest.reports.formats.latex import latex
from palimpsest.reports.formats.markdown import markdown
from palimpsest.reports.formats.terminal import summary_rows
from palimpsest.reports.html.report import write_report
from palimpsest.reports.runs.cells import by_scenario, group
from palimpsest.reports.tables.table import Column, Table

COLUMNS = (Column("strategy", words=True), Column("p"))
EMPTY = Table(
    "Pairs", "Nothing.", COLUMNS, (), pd.DataFrame({"strategy": [], "p": []}), name="pairs"
)


def test_latex_says_that_there_are_none():
    assert "none & --" in latex(EMPTY)


def test_the_others_have_their_headings():
    assert markdown(EMPTY).startswith("| strategy | p |")
    assert csv_of(EMPTY.data).count("\n") == 1
    assert parquet_of(EMPTY.data)
    assert summary_rows([]) == []


def test_runs_of_one_installation_rank_together(tmp_path):
    small = {"family": "split", "data": "digits", "experiences": 2, "steps": 4}
    network = {"name": "reduced_resnet18", "arguments": {"width": 4}}
    suite = {
        "suite": "one",
        "seeds": 1,
        "scenarios": {"small": small, "big": small | {"network": network}},
        "strategies": {"finetune": {}, "replay": {}},
    }
    records = list(run_suite(suite, store=tmp_path / "s.db", workers=0))
    assert len({record.spec.results_version for record in records}) == 2
    scenarios = by_scenario(group(records))
    names = [[cell.variant.strategy for cell in cells] for cells in scenarios.values()]
    assert names == [["finetune", "replay"]] * 2
    write_report(records, tmp_path / "r.html", sources=["s.db"], command="")
    assert "results_version 3)" not in (tmp_path / "r.html").read_text()
